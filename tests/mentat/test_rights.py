"""A role with exactly the rights that docs/mentat.md lists is enough, and none of them is too much."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from integration.helpers_run import DAY, HOUR, LOG, MINUTE, START
from mentat.helpers_beside import beside, message, settle, store
from mentat.installation import Installation

from mentat_reporter import imports, run
from mentat_reporter.errors import ReporterError, StoreError

PAGE: Final = Path(__file__).parents[2] / "docs" / "mentat.md"
FENCE: Final = re.compile(r"```sql\n-- in the (events|main) database\n(.*?)```", re.DOTALL)
ROLE: Final = "reporter"
BLOCKS: Final = {
    which: [line for line in text.splitlines() if line] for which, text in FENCE.findall(PAGE.read_text())
}
TABLES: Final = [
    (which, right, table.strip())
    for which, lines in BLOCKS.items()
    for line in lines
    if (match := re.fullmatch(r"grant (.+) on (?:(?:table )?)(.+) to reporter;", line))
    and not match[2].startswith("schema")
    for right in [match[1]]
    for table in match[2].split(",")
]
"""Each right of the page: in which database, which, on what."""


@pytest.fixture
def granted(mentat: Installation) -> Iterator[Installation]:
    """Give an installation with a role that has the rights of the page in it."""
    made = "do $$ begin create role reporter login; exception when duplicate_object then null; end $$"
    mentat.execute(mentat.server, made)
    settle(mentat)
    for which, lines in BLOCKS.items():
        for line in lines:
            mentat.execute(getattr(mentat, which), line)
    yield mentat
    for which in BLOCKS:
        dsn = getattr(mentat, which)
        mentat.execute(dsn, "drop owned by reporter cascade")


def fill(mentat: Installation) -> None:
    """Have Mentat tell something, store more, and have rules and detectors that are hit."""
    store(mentat, message("one", START - HOUR, "192.0.2.1"))
    mentat.ask_mentat("report", hi=START.replace(tzinfo=None).isoformat())
    mentat.execute(
        mentat.main,
        "insert into filters (createtime, name, source_based, type, filter, description, enabled, detectors,"
        " categories, event_classes, sources, targets, ip_aggr, protocols, hits)"
        " values (now(), 'all', true, 'basic', 'Source.IP4 in [192.0.2.9]', '', true,"
        " '{}', '{}', '{}', '{}', '{}', '{}', '{}', 0);"
        "insert into detectors (createtime, name, source, credibility, hits)"
        " values (now(), 'org.example.doubtful', 'manual', 0.1, 0)",
    )
    store(
        mentat,
        message("two", START + HOUR, "192.0.2.2"),
        message("ruled", START + HOUR, "192.0.2.9"),
        message("doubted", START + HOUR, "192.0.2.3", Node=[{"Name": "org.example.doubtful"}]),
    )


def test_the_rights_of_the_page_are_enough(granted: Installation, tmp_path: Path) -> None:
    fill(granted)
    with beside(granted, tmp_path, {"user": ROLE}) as reporter:
        said = reporter.init()
        assert "took over 1 of Mentat's 1 thresholds" in said
        reporter.config["mail_transport"] = "null"
        result = reporter.run(START + DAY)
        assert result.failures == []
        assert result.total("reports") == 1
        settings = reporter.settings(time_high=START + DAY)
        assert run.deliver(settings, LOG, lambda _text: None).failures == []
        assert reporter.run(START + 2 * DAY + MINUTE, dry_run=True).failures == []
    assert granted.rows(granted.main, "select hits from filters union all select hits from detectors") == [
        (1,),
        (1,),
    ]


@pytest.mark.parametrize(("which", "right", "table"), TABLES)
def test_a_missing_right_is_named_with_its_cure(
    granted: Installation, tmp_path: Path, which: str, right: str, table: str
) -> None:
    granted.execute(getattr(granted, which), f"revoke {right} on {table} from {ROLE}")
    with beside(granted, tmp_path, {"user": ROLE}) as reporter:
        store(granted, message("two", START - HOUR, "192.0.2.2"))
        name = table.rpartition(" ")[2]
        wanted = rf"grant .*\b{name}\b"
        with pytest.raises(StoreError, match=wanted):
            imports.initialise(reporter.settings())
        assert granted.rows(granted.main, "select count(*) from reports_events") == [(0,)]


def test_a_role_that_may_only_read_can_look(granted: Installation, tmp_path: Path) -> None:
    with beside(granted, tmp_path, {"user": ROLE}) as reporter:
        reporter.init()
        granted.execute(granted.main, f"revoke insert on reports_events from {ROLE}")

        assert reporter.run(START, dry_run=True).failures == []
        with pytest.raises(ReporterError):
            reporter.run(START)
