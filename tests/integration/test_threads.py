"""What answers what: mails of one problem stand together in the reader's mail program."""

from datetime import datetime
from email.message import EmailMessage
from typing import Any

import pytest
from integration.helpers_run import ADMIN, ALICE, DAY, HOUR, MINUTE, START, Reporter, event, group, reporter

from mentat_reporter.store import schema
from mentat_reporter.store.connection import transaction

__all__ = ["reporter"]

TEN = 10 * MINUTE


def only(reporter: Reporter, mode: str) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode=mode), replace=True)


def tell(reporter: Reporter, hi: datetime, *addresses: str) -> None:
    """Have each address told of at `hi`; what was told before may be held back."""
    found = addresses or ("192.0.2.1",)
    reporter.store(
        *(event(f"{address} {hi:%d %H}", hi - MINUTE, address, severity="high") for address in found)
    )
    reporter.run(hi)


def relapse(reporter: Reporter, hi: datetime, *addresses: str) -> None:
    """Have the addresses relapse at `hi`, a day after they were told of; the default one if none is given."""
    tell(reporter, hi - 4 * HOUR, *addresses)
    reporter.run(hi)


def thread(mail: EmailMessage) -> tuple[str | None, list[str]]:
    return mail["In-Reply-To"], str(mail["References"] or "").split()


def answer(*ids: str) -> tuple[str, list[str]]:
    return ids[-1], list(ids)


def kinds(mails: list[EmailMessage]) -> list[str]:
    return [str(mail["X-Mentat-Report-Type"]) for mail in mails]


def ids_of(mails: list[EmailMessage]) -> list[str]:
    return [str(mail["Message-ID"]) for mail in mails]


@pytest.mark.parametrize("mode", ["summary", "extra"])
def test_every_relapse_answers_the_first_report_of_its_problem(reporter: Reporter, mode: str) -> None:
    only(reporter, mode)
    tell(reporter, START)
    relapse(reporter, START + DAY)
    relapse(reporter, START + 2 * DAY)

    mails = reporter.mails()
    first, _, _ = ids_of(mails)
    assert kinds(mails) == [mode] * 3
    assert [thread(mail) for mail in mails] == [(None, []), answer(first), answer(first)]


def test_what_is_shown_as_reported_before_is_the_last_report_not_the_first(reporter: Reporter) -> None:
    only(reporter, "summary")
    tell(reporter, START)
    relapse(reporter, START + DAY)
    relapse(reporter, START + 2 * DAY)

    first, second, third = reporter.reports()
    [line] = third["structured_data"]["relapsed"]["scan"].values()
    assert line["reference"] == second["label"]
    assert reporter.rows("select report_label, first_label from mentat_reporter.threshold") == [
        (third["label"], first["label"])
    ]


def test_extras_answer_their_summary_and_name_the_first_report(reporter: Reporter) -> None:
    only(reporter, "both")
    tell(reporter, START)
    relapse(reporter, START + DAY)
    relapse(reporter, START + 2 * DAY)

    mails = reporter.mails()
    assert kinds(mails) == ["summary", "extra"] * 3
    first, first_extra, second, _, third, _ = ids_of(mails)
    assert [thread(mail) for mail in mails] == [
        (None, []),
        answer(first),
        answer(first),
        answer(first_extra, second),
        answer(first),
        answer(first_extra, third),
    ]


def test_target_reports_are_never_held_and_begin_no_thread(reporter: Reporter) -> None:
    only(reporter, "summary")
    for number, at in enumerate((START, START + 20 * HOUR, START + DAY)):
        attacked: dict[str, Any] = {"targets": ("192.0.2.1",), "severity": None, "target_severity": "high"}
        reporter.store(event(f"{number}", at - MINUTE, "8.8.8.8", **attacked))
        reporter.run(at)

    mails = reporter.mails()
    assert kinds(mails) == ["target"] * 3
    assert [thread(mail) for mail in mails] == [(None, [])] * 3


def test_a_report_of_several_problems_answers_the_oldest_and_names_all(reporter: Reporter) -> None:
    only(reporter, "summary")
    addresses = [f"192.0.2.{number}" for number in (3, 1, 2)]
    for number, address in enumerate(addresses):
        tell(reporter, START + number * TEN, address)
    relapse(reporter, START + DAY + 2 * TEN, *addresses, "192.0.2.99")

    oldest, second, third, fresh, last = reporter.mails()
    assert thread(last) == answer(*ids_of([second, third, oldest]))
    assert thread(fresh) == (None, [])


def test_no_mail_names_more_than_twenty_others(reporter: Reporter) -> None:
    only(reporter, "summary")
    addresses = [f"192.0.2.{number}" for number in range(1, 26)]
    for number, address in enumerate(addresses):
        tell(reporter, START + number * TEN, address)
    tell(reporter, START + 20 * HOUR, *addresses)
    reporter.run(START + DAY + 25 * TEN)

    *mails, last = reporter.mails()
    ids = ids_of(mails)
    parent, references = thread(last)
    assert last["X-Mentat-Report-Event-Count"] == "25"
    assert (parent, references) == answer(*ids[1:20], ids[0])


def test_a_problem_that_is_new_again_begins_a_new_thread(reporter: Reporter) -> None:
    only(reporter, "summary")
    tell(reporter, START)
    reporter.run(START + DAY)
    tell(reporter, START + 2 * DAY)
    relapse(reporter, START + 3 * DAY)

    _, again, relapsed = reporter.mails()
    assert thread(again) == (None, [])
    assert thread(relapsed) == answer(str(again["Message-ID"]))


def test_where_the_first_report_was_not_mailed_the_first_mail_begins_the_thread(reporter: Reporter) -> None:
    only(reporter, "none")
    tell(reporter, START)
    only(reporter, "summary")
    relapse(reporter, START + DAY)
    relapse(reporter, START + 2 * DAY)

    begins, answers = reporter.mails()
    assert thread(begins) == (None, [])
    assert thread(answers) == answer(str(begins["Message-ID"]))


@pytest.mark.parametrize(
    ("before", "after"), [("summary", "extra"), ("extra", "summary"), ("both", "summary")]
)
def test_a_thread_goes_on_when_the_group_wants_another_kind(
    reporter: Reporter, before: str, after: str
) -> None:
    only(reporter, before)
    tell(reporter, START)
    only(reporter, after)
    relapse(reporter, START + DAY)

    first, *_, last = reporter.mails()
    assert last["X-Mentat-Report-Type"] == after
    assert thread(last) == answer(str(first["Message-ID"]))


def test_a_redo_answers_the_same_mail(reporter: Reporter) -> None:
    only(reporter, "both")
    tell(reporter, START)
    tell(reporter, START + 20 * HOUR)
    reporter.execute("alter table mentat_reporter.considered add constraint broken check (false) not valid")
    reporter.execute("alter table reports_events add constraint broken check (id < 0) not valid")

    failed = reporter.run(START + DAY)
    reporter.execute("alter table mentat_reporter.considered drop constraint broken")
    reporter.execute("alter table reports_events drop constraint broken")
    reporter.run(START + DAY + HOUR)

    assert failed.failures
    mails = reporter.mails()
    first, first_extra, second, _ = ids_of(mails)
    assert [thread(mail) for mail in mails[2:]] == [answer(first), answer(first_extra, second)]


def test_a_test_of_a_relapse_answers_the_mail_that_went_out(reporter: Reporter) -> None:
    only(reporter, "both")
    tell(reporter, START)
    tell(reporter, START + 20 * HOUR)
    reporter.run(START + DAY, mail_test_mode=True)
    reporter.run(START + DAY)

    mails = reporter.mails()
    first, first_extra, tested, _, second, _ = ids_of(mails)
    assert [str(mail["To"]) for mail in mails] == [ALICE, ALICE, ADMIN, ADMIN, ALICE, ALICE]
    assert [thread(mail) for mail in mails[2:]] == [
        answer(first),
        answer(first_extra, tested),
        answer(first),
        answer(first_extra, second),
    ]
    assert tested != second


def test_thresholds_from_before_begin_with_their_last_report(reporter: Reporter) -> None:
    only(reporter, "summary")
    tell(reporter, START)
    reporter.execute("alter table mentat_reporter.threshold drop column first_label")
    reporter.execute("drop index mentat_reporter.outbox_report_label")
    reporter.execute("delete from mentat_reporter.migration where number >= 3")

    schema.initialise(reporter.connection, None)

    assert reporter.rows("select first_label = report_label from mentat_reporter.threshold") == [(True,)]


def test_the_mails_of_reports_are_found_by_an_index(reporter: Reporter) -> None:
    with transaction(reporter.connection), reporter.connection.cursor() as cursor:
        cursor.execute("set local enable_seqscan = off")
        cursor.execute("explain select message_id from mentat_reporter.outbox where report_label = 'M1'")
        plan = "\n".join(line for (line,) in cursor)

    assert "outbox_report_label" in plan
