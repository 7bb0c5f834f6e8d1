"""The checker of the invariants finds each violation, made by hand, and nothing in a world that is well."""

import ast
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from faults.invariants import Findings, check, held_now
from faults.mailcheck import Mail, as_received
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    HOUR,
    MINUTE,
    START,
    Reporter,
    event,
    group,
    reporter,
)

__all__ = ["reporter"]

NOW = START + DAY
CHECKER = ("invariants", "books", "expected", "mailcheck", "filecheck")
TELL = """
update reports_events set statistics = jsonb_set(statistics, '{list_ids}', (statistics -> 'list_ids') || %s)
where id = (select min(r.id) from reports_events r join asoc_groups_reports a on a.report_id = r.id
            join groups g on g.id = a.group_id where g.name = %s)
"""
"""Adds an event, as JSON, to the first report of a group."""
TELL_AGAIN = """
with copy as (
    insert into reports_events (label, severity, type, dt_from, dt_to, delta, flag_shadow, flag_testdata,
                                flag_mailed, evcount_rep, evcount_all, evcount_rlp, statistics)
    select 'M20260505SL-AGAIN', severity, type, dt_from, dt_to, delta, flag_shadow, flag_testdata,
           flag_mailed, evcount_rep, evcount_all, %s, statistics
    from reports_events where statistics -> 'list_ids' ? %s
    returning id
)
insert into asoc_groups_reports select g.id, copy.id from groups g, copy where g.name = %s
"""
"""Tells of one event in a second report to a group, with so many relapses."""


class World:
    """A reporter that has run twice, the mails that were received, and what the checker says."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.received = [
            Mail(message_id, sender, tuple(recipients), as_received(bytes(message)))
            for message_id, sender, message, recipients in reporter.rows(
                "select message_id, envelope_sender, message, array(select address"
                " from mentat_reporter.outbox_recipient where outbox_id = o.id) from mentat_reporter.outbox o"
            )
        ]
        self.execute = reporter.execute

    @property
    def reports(self) -> Path:
        return self.reporter.home / "reports"

    def check(self) -> Findings:
        return check(
            self.reporter.dsn, self.reporter.dsn, NOW, self.received,
            reports_dir=self.reports, maildir=self.reporter.home / "maildir",
        )  # fmt: skip

    def faults(self) -> list[str]:
        return self.check().all


@pytest.fixture
def world(reporter: Reporter) -> World:
    """Give a world in which an event came to every end that there is."""
    reporter.groups(
        group(ALICE, "192.0.2.0/24", filters=[{"name": "logins", "filter": "'Attempt.Login' in Category"}]),
        group(BOB, "198.51.100.0/24"),
        group(CAROL, "203.0.113.0/24"),
        detectors=[{"name": "org.example.liar", "credibility": 0.3}],
    )
    lo, hi = START - HOUR, NOW - HOUR
    reporter.store(
        event("first", lo),
        event("bob's", lo, "198.51.100.1"),
        event("attack", lo, "172.16.0.1", targets=("203.0.113.1",), severity=None, target_severity="low"),
    )
    reporter.run(START)
    reporter.store(
        event("held", hi),
        event("two", hi, "192.0.2.1", "192.0.2.7"),
        event("login", hi, "192.0.2.2", category="Attempt.Login"),
        event("lie", hi, "192.0.2.3", message={"Node": [{"Name": "org.example.liar"}]}),
        event("nobody's", hi, "172.16.0.9"),
        event("everybody's", hi, "192.0.2.255-198.51.100.7"),
        event("test", hi, category="Test"),
        event("later", NOW, "198.51.100.3"),
        event("unreadable", hi)._replace(message=b"{"),
    )
    reporter.run(NOW)
    return World(reporter)


def test_a_world_that_is_well_is_found_so(world: World) -> None:
    found = world.check()
    assert found.all == []
    assert found.duplicate_mails == 0
    assert found.judged == 9
    assert len(world.received) >= 5


@pytest.mark.parametrize("name", CHECKER)
def test_the_checker_knows_nothing_of_the_program(name: str) -> None:
    tree = ast.parse(Path(__file__).with_name(f"{name}.py").read_text())
    froms = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not [module for module in froms | plain if module.startswith(("mentat_reporter", "integration"))]


def test_i1_an_event_that_no_report_tells_of_is_lost(world: World) -> None:
    world.execute(
        "update reports_events set statistics = statistics #- '{list_ids}' || '{\"list_ids\": []}'"
        " where statistics -> 'list_ids' ? 'bob''s'"
    )
    assert "event bob's (2026-05-04 11:00:00+00:00), low source of abuse@bob.example is lost" in (
        world.check().lost
    )


def test_i1_an_event_that_is_held_no_more_is_lost_unless_it_was_seen_held(world: World) -> None:
    held = held_now(world.reporter.dsn)
    world.execute("delete from mentat_reporter.thresholded_event where event_id = 'held'")
    dsn = world.reporter.dsn
    assert [text.split()[1] for text in check(dsn, dsn, NOW, world.received).lost] == ["held"]
    assert check(dsn, dsn, NOW, world.received, held_before=held).all == []


@pytest.mark.parametrize(
    ("event_id", "name", "fault"),
    [
        ("login", ALICE, "should have been dropped"),
        ("lie", ALICE, "should have been dropped"),
        ("nobody's", ALICE, "is no matter of"),
        ("first", BOB, "is no matter of"),
        ("attack", ALICE, "is no matter of"),
        ("later", BOB, "was taken before its window"),
    ],
)
def test_i1_an_event_told_to_whom_it_is_no_matter_is_found(
    world: World, event_id: str, name: str, fault: str
) -> None:
    world.execute(TELL, f'"{event_id}"', name)
    assert [text for text in world.check().faults if fault in text and f"event {event_id}" in text]


def test_i1_an_event_that_is_told_and_owed_is_found(world: World) -> None:
    world.execute(
        "insert into mentat_reporter.unit_retry select %s, 'low', 'source', '', lo, hi, fetch_lo, period,"
        " '{first}', 1, now(), 'made up' from mentat_reporter.run_window where severity = 'low' limit 1",
        ALICE,
    )
    assert [text.partition(", though")[0].split(" is ")[1] for text in world.check().twice] == [
        "owed by a failed unit"
    ]


def test_i1_an_event_that_is_owed_is_not_lost(world: World) -> None:
    world.execute("delete from mentat_reporter.thresholded_event where event_id = 'held'")
    world.execute(
        "insert into mentat_reporter.unit_retry select %s, 'low', 'source', '', lo, hi, fetch_lo, period,"
        " '{held}', 1, now(), 'made up' from mentat_reporter.run_window where severity = 'low' limit 1",
        ALICE,
    )
    assert world.faults() == []


def test_i1_an_event_that_cannot_be_read_belongs_into_quarantine(world: World) -> None:
    world.execute("delete from mentat_reporter.quarantine")
    assert world.check().lost == ["event unreadable cannot be read and is not in quarantine"]


def test_i2_an_event_that_two_reports_tell_a_group_is_found(world: World) -> None:
    world.execute(TELL_AGAIN, 0, "bob's", BOB)
    assert [text.split()[1] for text in world.check().twice] == ["bob's"]


def test_i2_telling_of_it_as_a_relapse_does_not_excuse_an_event_of_one_address(world: World) -> None:
    world.execute(TELL_AGAIN, 1, "bob's", BOB)
    assert [text.split()[1] for text in world.check().twice] == ["bob's"]


def test_i2_an_event_may_be_told_for_one_address_and_relapse_at_another(world: World) -> None:
    for path in world.reports.rglob("security-*"):
        path.unlink()
    world.execute(TELL_AGAIN, 1, "two", ALICE)
    assert [text for text in world.check().twice if "event two" in text] == []


def test_i2_an_event_that_is_told_and_held_is_found(world: World) -> None:
    world.execute(TELL, '"held"', ALICE)
    assert ["and held back" in text for text in world.check().twice] == [True]


def test_i3_a_threshold_without_its_report_is_found(world: World) -> None:
    world.execute("update mentat_reporter.threshold set report_label = 'M0' where group_name = %s", BOB)
    assert set(world.faults()) == {f"the threshold of {BOB} rests on report M0, which is not there"}


@pytest.mark.parametrize(
    ("state", "attempt"),
    [
        ("pending", None),
        ("sending", None),
        ("deferred", None),
        ("deferred", NOW),
        ("deferred", NOW - MINUTE),
    ],
)
def test_i4_a_mail_that_is_left_is_found(world: World, state: str, attempt: object) -> None:
    world.execute(
        "update mentat_reporter.outbox set state = %s, next_attempt = %s where id = 1", state, attempt
    )
    assert [f"is left {state}" in text for text in world.faults()] == [True]


def test_i4_a_mail_may_wait_for_its_next_attempt(world: World) -> None:
    world.execute(
        "update mentat_reporter.outbox set state = 'deferred', next_attempt = %s where id = 1",
        NOW + timedelta(minutes=5),
    )
    assert world.faults() == []


def test_a_window_that_is_left_open_is_found(world: World) -> None:
    world.execute("update mentat_reporter.run_window set state = 'open' where id = 1")
    assert [text for text in world.faults() if "is left open" in text]


Spoil = Callable[[Path], object]


def _first_line(path: Path) -> bytes:
    return path.with_suffix(".csv").read_bytes().partition(b"\n")[0] + b"\n"


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "is no JSON"),
        (lambda path: path.write_text("[]"), "more or less than its report"),
        (lambda path: path.unlink(), "has no file"),
        (lambda path: path.rename(path.with_name(f".{path.name}.part")), "is left over"),
        (lambda path: path.with_name("M20260505SL-NOBODYS.json").write_text("[]"), "no stored report"),
        (lambda path: path.with_name(f"{path.stem}.zip").write_bytes(b"PK"), "is no ZIP"),
        (lambda path: path.with_suffix(".csv").write_text("a,b\nc"), "in the middle of a line"),
        (lambda path: path.with_suffix(".csv").write_text("a,b\r\n"), "other columns"),
        (
            lambda path: path.with_suffix(".csv").write_bytes(_first_line(path)),
            "more or less than its report",
        ),
        (lambda path: path.with_suffix(".html").write_text("<html><p>half"), "in the middle of a page"),
        (lambda path: path.with_suffix(".html").unlink(), "has no file .html"),
        (lambda path: path.with_name(f"{path.stem}-scan.xarf.json").write_text("{}"), "is no XARF"),
        (lambda path: path.parent.with_name("index.html").write_text("<html>"), "middle of a page"),
    ],
)
def test_i5_a_file_that_is_not_as_its_report_is_found(world: World, spoil: Spoil, fault: str) -> None:
    spoil(min(world.reports.rglob("security-*.json")))
    assert [fault in text for text in world.faults()] == [True]


@pytest.mark.parametrize(
    ("folder", "content", "fault"),
    [("tmp", b"Subject: half", "is left half written"), ("new", b"Subject: whose?\n", "is not as any")],
)
def test_i5_a_mail_in_a_maildir_that_is_not_whole_is_found(
    world: World, folder: str, content: bytes, fault: str
) -> None:
    (world.reporter.home / "maildir" / folder / "x").write_bytes(content)
    assert [fault in text for text in world.faults()] == [True]


def test_i6_a_mail_that_did_not_arrive_is_found(world: World) -> None:
    gone = world.received.pop()
    assert world.faults() == [f"mail {gone.message_id} is sent, but did not arrive"]


def test_i6_a_report_whose_mail_was_never_made_is_found(world: World) -> None:
    gone = world.received.pop(0)
    world.execute("delete from mentat_reporter.outbox where message_id = %s", gone.message_id)
    assert [text for text in world.faults() if text.endswith("is mailed, and has no mail")]


def test_i6_a_mail_that_the_outbox_does_not_know_is_found(world: World) -> None:
    world.received.append(world.received[0]._replace(message_id="<m@elsewhere.example>"))
    assert world.faults() == ["mail <m@elsewhere.example> was received, and the outbox does not know it"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"content": b"Subject: other\r\n"}, "arrived with other bytes than the outbox has"),
        ({"recipients": ("somebody@else.example",)}, "reached ['somebody@else.example'], the outbox says"),
        ({"sender": "somebody@else.example"}, "arrived from another envelope sender"),
    ],
)
def test_i6_a_mail_that_arrived_otherwise_is_found(
    world: World, changes: dict[str, object], fault: str
) -> None:
    world.received[0] = world.received[0]._replace(**changes)  # type: ignore[arg-type] # each is of its field
    assert [fault in text for text in world.faults()] == [True]


def test_i6_a_mail_that_came_twice_is_counted_by_whom_it_reached(world: World) -> None:
    first = world.received[0]
    world.received.append(first)
    world.received.append(first._replace(recipients=()))
    assert world.check().duplicate_mails == 1
    assert world.faults() == []


@pytest.mark.parametrize("rule", ["'a' in Category and true", "Category == 'a'", "'a' in Description"])
def test_a_rule_that_cannot_be_judged_is_said(world: World, rule: str) -> None:
    world.execute("update filters set filter = %s", rule)
    with pytest.raises(ValueError, match="the checker cannot judge the rule"):
        world.check()
