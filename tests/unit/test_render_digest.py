"""The daily digest as its reader meets it: whole, harmless, and of bearable length."""

from datetime import UTC, date, datetime
from email.parser import BytesParser
from email.policy import default as mail_policy

from mentat_reporter.core.digest import GivenUp, Held, Refusal, Trouble, Undelivered, Unusable, label_of
from mentat_reporter.render.digest import digest_mail
from mentat_reporter.render.message import Frame

NOW = datetime(2026, 5, 4, 13, tzinfo=UTC)
FRAME = Frame(
    "Reporter <reports@example.org>", (), "bounces@example.org", "example.org", None, test_mode=False
)
ADMIN = ("admin@example.org", "other@example.org")
REFUSED = Undelivered(
    "M20260504SL-AAAAA",
    ("abuse@alice.example",),
    "<M20260504SL-AAAAA.1@example.org>",
    (Refusal("gone@alice.example", 550, "no such user"), Refusal("slow@alice.example", None, "given up")),
    ("abuse@alice.example",),
    (),
)
HELD = Held(
    7, "M20260504EL-BBBBB", (), "<M20260504EL-BBBBB.1@example.org>", ("abuse@bob.example",), NOW, "", 1
)
GIVEN_UP = GivenUp("abuse@carol.example", "low", "source", NOW, NOW, 3, 10, "ValueError: odd")
UNUSABLE = Unusable("event", "event-1", "not JSON", 3, NOW, 40)
RULE = Unusable("filter", "'odd' of (all groups)", "does not compile", 1, NOW, 1)

TEXT = """\
mentat-reporter needs a hand, as of 2026-05-04 13:00 UTC. Addresses that
failed and what is in quarantine are told once, held mail and groups that were
given up every day until somebody has dealt with them. What to do stands in
docs/operations.md, under the headings named here.

Mails not delivered (1)
-----------------------
What to do: docs/operations.md, "Failed mail".

* M20260504SL-AAAAA
    gone@alice.example: 550 no such user
    slow@alice.example: given up
    Groups:      abuse@alice.example
    Message-ID:  <M20260504SL-AAAAA.1@example.org>
    Reached:     abuse@alice.example

Mails held (1)
--------------
What to do: docs/operations.md, "Held mail".

* M20260504EL-BBBBB
    To:             abuse@bob.example
    Message-ID:     <M20260504EL-BBBBB.1@example.org>
    Held since:     2026-05-04 13:00 UTC
    Killed:         1 runs ended while sending it
    In the outbox:  id 7

Groups given up (1)
-------------------
What to do: docs/operations.md, "Groups that failed".

* abuse@carol.example, low source
    Window:    2026-05-04 13:00 UTC to 2026-05-04 13:00 UTC
    Owed:      3 events
    Failures:  10
    The last:  ValueError: odd

Unusable (41)
-------------
What to do: docs/operations.md, "Quarantine". By kind: event 40, filter 1.

* event event-1
    Why:   not JSON
    Seen:  3 times, last 2026-05-04 13:00 UTC

* filter 'odd' of (all groups)
    Why:   does not compile
    Seen:  1 times, last 2026-05-04 13:00 UTC

And 39 more, which the database names.
"""


def written(trouble: Trouble, recipients: tuple[str, ...] = ADMIN) -> tuple[str, bytes]:
    content = digest_mail(trouble, recipients, NOW, FRAME).content
    mail = BytesParser(policy=mail_policy).parsebytes(content)
    return str(mail.get_content()).replace("\r\n", "\n"), content


def test_everything_is_set_out_with_where_to_read_on() -> None:
    assert written(Trouble([REFUSED], [HELD], [GIVEN_UP], [UNUSABLE, RULE]))[0] == TEXT


def test_the_headers_say_what_it_is_and_that_a_program_wrote_it() -> None:
    mail = digest_mail(Trouble([REFUSED], [HELD], [], []), ADMIN, NOW, FRAME)
    head = mail.content.partition(b"\r\n\r\n")[0].decode().split("\r\n")

    assert head == [
        "From: Reporter <reports@example.org>",
        "MIME-Version: 1.0",
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: All",
        "To: admin@example.org, other@example.org",
        "Subject: [digest-20260504] mails not delivered: 1, mails held: 1",
        "Date: Mon, 04 May 2026 13:00:00 +0000",
        f"Message-ID: {mail.message_id}",
        "X-Mentat-Report-Class: digest",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
    ]
    assert (mail.envelope_sender, mail.recipients) == ("bounces@example.org", ADMIN)


def test_the_message_id_is_that_of_the_day() -> None:
    first = digest_mail(Trouble([REFUSED], [], [], []), ADMIN, NOW, FRAME)
    again = digest_mail(Trouble([], [HELD], [], []), ADMIN, NOW.replace(hour=23), FRAME)
    later = digest_mail(Trouble([REFUSED], [], [], []), ADMIN, NOW.replace(day=5), FRAME)

    assert first.message_id == again.message_id
    assert first.message_id.startswith("<digest-20260504.")
    assert later.message_id.startswith("<digest-20260505.")
    assert label_of(date(2026, 5, 5)) == "digest-20260505"


def test_what_others_wrote_adds_no_line_no_header_and_no_link() -> None:
    odd = "a\r\nBcc: v@y\u2028\x00\ud800"
    evil = f"{odd} https://evil.example/x"
    trouble = Trouble(
        [Undelivered(odd, (odd,), odd, (Refusal(odd, 550, evil),), (), (odd,))],
        [HELD._replace(report_label=odd, text=evil, recipients=(odd,))],
        [GIVEN_UP._replace(group=odd, error=evil)],
        [UNUSABLE._replace(reference=evil, error=evil)],
    )

    text, content = written(trouble)

    assert not any(line.startswith("Bcc") for line in text.split("\n"))
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert "\u2028" not in text
    assert "\x00" not in text
    assert "https://" not in text
    assert text.count("hxxps://evil[.]example/x") == 5


def test_of_many_entries_the_first_fifty_are_set_out() -> None:
    text, _ = written(Trouble([REFUSED] * 1200, [], [], []))

    assert "Mails not delivered (1200)" in text
    assert text.count("* M20260504SL-AAAAA") == 50
    assert "And 1150 more" in text


def test_of_many_addresses_of_a_mail_twenty_are_listed() -> None:
    many = tuple(f"recipient-{number}@alice.example" for number in range(500))
    refusals = tuple(Refusal(address, 550, "no such user " * 20) for address in many)
    undelivered = REFUSED._replace(refusals=refusals, groups=many, reached=many, waiting=many)
    held = HELD._replace(groups=many, recipients=many)

    text, content = written(Trouble([undelivered] * 50, [held] * 50, [], []))

    assert text.count("    recipient-19@alice.example: 550 no") == 50
    assert "recipient-20@" not in text
    assert " ".join(text.split()).count("and 480 more") == 6 * 50
    assert len(content) < 2**20


def test_twenty_addresses_are_all() -> None:
    many = tuple(f"recipient-{number}@alice.example" for number in range(20))
    refusals = tuple(Refusal(address, 550, "no") for address in many)

    text, _ = written(Trouble([REFUSED._replace(refusals=refusals, reached=many)], [], [], []))

    assert text.count("recipient-19@") == 2
    assert "more" not in text


def test_no_trouble_is_no() -> None:
    assert not Trouble([], [], [], [])
    assert Trouble([], [], [], [UNUSABLE])
