"""Back to Mentat's own reporter as docs/mentat.md has it: what was covered meanwhile is not told again."""

import re
from pathlib import Path
from typing import Final

from integration.helpers_run import ALICE, DAY, HOUR, START
from mentat.helpers_beside import Beside, message, store
from mentat.test_compare import both

__all__ = ["both"]
PAGE: Final = Path(__file__).parents[2] / "docs" / "mentat.md"


def test_mentat_goes_on_where_this_reporter_ended(both: Beside) -> None:
    [statement] = re.findall(
        r"^update state_reporter.*?;", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    last = START + 3 * DAY
    store(both.mentat, message("before", START - HOUR, "192.0.2.1"))
    both.mentat.ask_mentat("report", hi=START.replace(tzinfo=None).isoformat())
    both.init()
    store(both.mentat, message("here", START + HOUR, "192.0.2.2"))
    assert both.run(last).failures == []

    both.execute(statement)
    store(both.mentat, message("after", last + HOUR, "192.0.2.3"))
    both.mentat.ask_mentat("report", hi=(last + DAY).replace(tzinfo=None).isoformat())

    assert both.told() == {ALICE: ["after", "before", "here"]}
