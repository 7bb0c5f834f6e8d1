"""S1: names of templates and languages lead to no file outside of their folders."""

from pathlib import Path
from typing import Final

import pytest
from integration.helpers_run import ALICE, MINUTE, START, Reporter, event, group, reporter
from integration.test_script import Caller

from mentat_reporter.errors import EXIT_USAGE

__all__ = ["reporter"]

CANARY: Final = "the canary sings"


def plant(reporter: Reporter) -> None:
    """Put a readable template and catalogue beside the folder of templates."""
    (reporter.place / "templates").mkdir()
    for folder in ("x", "templates/.hidden"):
        (reporter.place / folder).mkdir()
        for kind in ("summary", "extra", "target"):
            (reporter.place / folder / f"{kind}.txt").write_text(f"{CANARY}\n\n{CANARY}")
    reporter.config["__core__reporter"]["templates_dir"] = str(reporter.place / "templates")


OUTSIDE_NAMES: Final = ("../x", "../../x", "/etc/passwd", ".hidden", "x/../../x", "..", "../x\n")


@pytest.mark.parametrize("name", OUTSIDE_NAMES)
@pytest.mark.parametrize("option", ["--template-id", "--locale"])
def test_s1_a_name_on_the_command_line_that_leads_elsewhere_is_exit_code_2_and_nothing_is_read(
    reporter: Reporter, tmp_path: Path, option: str, name: str
) -> None:
    plant(reporter)
    call = Caller(tmp_path)
    call.configure(reporter.config)

    done = call("--dry-run", "--time-high", START.isoformat(), f"{option}={name}")

    assert done.returncode == EXIT_USAGE
    assert CANARY not in done.stdout + done.stderr
    assert "root:" not in done.stdout + done.stderr
    assert reporter.reports() == []


@pytest.mark.parametrize("name", OUTSIDE_NAMES)
def test_s1_a_name_in_a_groups_row_that_leads_elsewhere_is_not_followed(
    reporter: Reporter, name: str
) -> None:
    plant(reporter)
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both", template="default"))
    reporter.execute("update mentat_reporter.group_settings set template = %s", name)
    reporter.execute("update settings_reporting set locale = %s", name[:20])
    reporter.store(event("one", START - MINUTE))

    result = reporter.run(START)

    assert reporter.told() == {ALICE: ["one"]}
    assert result.exit_code == 3
    assert any("template" in line for line in result.failures)
    assert reporter.mails()
    for mail in reporter.mails():
        assert CANARY not in mail.as_string()
        assert "root:x:" not in mail.as_string()
