"""Nothing of Mentat's is altered: its tables, dumped before and after, are equal, reports and hits apart."""

import re
import subprocess
from pathlib import Path
from typing import Final

import psycopg2
import pytest
from integration.helpers_run import DAY, HOUR, LOG, MINUTE, START
from mentat.helpers_beside import Beside, beside, message, settle, store
from mentat.installation import BINARIES, Dsn, Installation

from mentat_reporter import preview, run
from mentat_reporter.store.connection import EVENT_READS, connect

REPORTS: Final = ("public.reports_events", "public.asoc_groups_reports")
HITS: Final = "update filters set hits = 0, last_hit = null; update detectors set hits = 0"
FREE: Final = "192.0.2.1"
RANDOM: Final = re.compile(r"^\\(?:un)?restrict .*$", re.MULTILINE)


def dump(dsn: Dsn, *without: str) -> str:
    """Return schema and rows of all that is not the reporter's own; of what is left out the schema alone."""
    left_out = [option for name in without for option in ("--exclude-table-data", name)]
    where = ["-h", dsn["host"], "-U", dsn["user"], dsn["dbname"]]
    options = ["--exclude-schema", "mentat_reporter", "--inserts", *left_out]
    done = subprocess.run(
        [BINARIES / "pg_dump", *options, *where], check=True, capture_output=True, text=True
    )
    return RANDOM.sub("", done.stdout)


def old_reports(mentat: Installation) -> list[tuple[str, ...]]:
    query = "select r::text, array(select group_id from asoc_groups_reports where report_id = r.id)::text"
    return mentat.rows(
        mentat.main, f"{query} from reports_events r where dt_to <= '2026-05-04 12:00' order by id"
    )


def sequences(text: str) -> str:
    """Leave out where the ids of reports are."""
    return re.sub(r"SELECT pg_catalog.setval\('public.reports_events_id_seq'.*\n", "", text)


@pytest.fixture
def used(mentat: Installation) -> Installation:
    """Give an installation whose reporter has run, with rules and detectors that will be hit."""
    settle(mentat)
    store(mentat, message("told", START - HOUR, FREE))
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
        message("held", START + HOUR, FREE),
        message("new", START + HOUR, "192.0.2.2"),
        message("ruled", START + HOUR, "192.0.2.9"),
        message("doubted", START + HOUR, "192.0.2.3", Node=[{"Name": "org.example.doubtful"}]),
    )
    return mentat


def work(reporter: Beside) -> None:
    """Do all that an operator does."""
    reporter.init()
    reporter.run(START + DAY, dry_run=True)
    reporter.ad_hoc(START, START + DAY, dry_run=True)
    assert reporter.run(START + DAY).total("reports") == 1
    run.deliver(reporter.settings(), LOG, lambda _text: None)
    shown = reporter.settings(time_low=START, time_high=START + DAY)
    preview.preview(shown, [], LOG, lambda _text: None)
    reporter.run(START + DAY + 10 * MINUTE)
    reporter.init()


def test_what_is_mentats_stays_as_it_is(used: Installation, tmp_path: Path) -> None:
    events, main, reports = dump(used.events), dump(used.main, *REPORTS), old_reports(used)
    with beside(used, tmp_path) as reporter:
        work(reporter)

    assert dump(used.events) == events
    assert used.rows(used.main, "select hits from filters union all select hits from detectors") == [
        (1,),
        (1,),
    ]
    used.execute(used.main, HITS)
    assert sequences(dump(used.main, *REPORTS)) == sequences(main)
    assert old_reports(used) == reports


def test_looking_leaves_no_trace_at_all(used: Installation, tmp_path: Path) -> None:
    with beside(used, tmp_path) as reporter:
        reporter.init()
        before = dump(used.events), dump(used.main), reporter.tables()
        reporter.run(START + DAY, dry_run=True)
        reporter.ad_hoc(START, START + DAY, dry_run=True)

        assert (dump(used.events), dump(used.main), reporter.tables()) == before


def test_a_run_could_not_write_to_the_events_database(
    used: Installation,
) -> None:
    connection = connect(used.events, what="events", limits=EVENT_READS)
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction), connection.cursor() as cursor:
        cursor.execute("delete from events")
    connection.close()
