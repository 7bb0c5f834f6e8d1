"""Two reporters on the same databases: whoever runs this one is warned, and nobody else."""

import logging
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from integration.helpers_run import DAY, HOUR, MINUTE, START
from mentat.helpers_beside import Beside, beside, message, settle, store
from mentat.installation import Installation

FREE = "192.0.2.1"


def run_mentat(mentat: Installation, hi: datetime) -> None:
    mentat.ask_mentat("report", hi=hi.replace(tzinfo=None).isoformat())


def foreign(reporter: Beside, label: str, hi: datetime, made: timedelta) -> None:
    made_at, lo, until = (moment.replace(tzinfo=None) for moment in (hi + made, hi - 10 * MINUTE, hi))
    reporter.execute(
        "insert into reports_events (createtime, label, severity, type, dt_from, dt_to, delta, flag_shadow,"
        " flag_testdata, flag_mailed, evcount_rep, evcount_all, mail_to)"
        " values (%s, %s, 'high', 'summary', %s, %s, 600, false, false, true, 1, 1, '{}')",
        made_at, label, lo, until,
    )  # fmt: skip


def warnings(caplog: pytest.LogCaptureFixture) -> int:
    found = [record for record in caplog.records if "another reporter is at work" in record.getMessage()]
    caplog.clear()
    assert all(record.levelno == logging.WARNING for record in found)
    return len(found)


def test_a_reporter_that_goes_on_is_warned_about_until_it_stops(
    mentat: Installation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settle(mentat)
    run_mentat(mentat, START)
    with beside(mentat, tmp_path) as reporter:
        reporter.init()
        assert reporter.run(START + 10 * MINUTE).exit_code == 0
        assert warnings(caplog) == 0

        run_mentat(mentat, START + 20 * MINUTE)
        assert reporter.run(START + 20 * MINUTE).exit_code == 0
        assert warnings(caplog) == 1
        reporter.run(START + 30 * MINUTE)  # it may have been the slower one at the last time
        caplog.clear()
        reporter.run(START + 40 * MINUTE)
        assert warnings(caplog) == 0


def test_one_that_ran_on_after_the_takeover_is_warned_about(
    mentat: Installation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settle(mentat)
    run_mentat(mentat, START)
    with beside(mentat, tmp_path) as reporter:
        reporter.init()
        run_mentat(mentat, START + 10 * MINUTE)
        reporter.run(START + 20 * MINUTE)

        assert warnings(caplog) == 1


def test_its_reports_alone_give_it_away(
    mentat: Installation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settle(mentat)
    mentat.execute(mentat.main, "drop table state_reporter")
    with beside(mentat, tmp_path) as reporter:
        reporter.init()
        store(mentat, message("one", START - MINUTE, FREE, severity="high"))
        foreign(reporter, "M20260501SH-AAAAA", START - DAY, MINUTE)
        reporter.run(START)
        foreign(reporter, "M20260401SH-BBBBB", START - 30 * DAY, MINUTE)  # restored
        reporter.run(START + 10 * MINUTE)
        assert warnings(caplog) == 0

        foreign(reporter, "M20260504SH-CCCCC", START + 20 * MINUTE, MINUTE)
        reporter.run(START + 20 * MINUTE)
        assert warnings(caplog) == 1
        reporter.run(START + HOUR)
        caplog.clear()
        foreign(reporter, "M20260504SH-DDDDD", START - 5 * DAY, 6 * DAY)  # imported, as if made now
        reporter.run(START + HOUR + 10 * MINUTE)
        assert warnings(caplog) == 0
