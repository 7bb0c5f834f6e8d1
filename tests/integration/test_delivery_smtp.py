"""The SMTP transport against servers that refuse, put off, hang up and keep silent at every step."""

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from hypothesis import given
from integration.conftest_delivery import HANG_UP, SILENCE, Actor

from mentat_reporter.delivery import smtp
from mentat_reporter.delivery.outcomes import Attempt, Ending
from mentat_reporter.delivery.smtp import Server, SmtpTransport

SENDER = "reporter@example.org"
TO = ("a@example.com", "b@example.com")
CONTENT = b"Subject: hello\r\n\r\n.\r\n..two\r\nBody\r\n"


def nothing() -> None:
    pass


@pytest.fixture
def transport() -> Iterator[Callable[..., SmtpTransport]]:
    made: list[SmtpTransport] = []

    def make(port: int, **options: Any) -> SmtpTransport:
        made.append(SmtpTransport(Server(host="127.0.0.1", port=port, **options)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def send(transport: SmtpTransport, content: bytes = CONTENT, to: tuple[str, ...] = TO) -> Attempt:
    return transport.send(SENDER, to, content, nothing)


def test_nobody_listening_is_no_session(transport: Callable[..., SmtpTransport]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    attempt = send(transport(port))

    assert attempt.ending is Ending.UNREACHABLE
    assert "refused" in attempt.reply.text


def test_an_unknown_host_is_no_session() -> None:
    attempt = send(SmtpTransport(Server(host="no-such-host.invalid", port=25)))

    assert attempt.ending is Ending.UNREACHABLE


def test_a_name_that_no_host_has_is_no_session() -> None:
    attempt = send(SmtpTransport(Server(host="mail..example.org", port=25)))

    assert attempt.ending is Ending.UNREACHABLE
    assert "smtp_host mail..example.org is no host name" in attempt.reply.text


def test_a_silent_server_is_given_up_at_the_timeout(
    transport: Callable[..., SmtpTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "CONNECT_TIMEOUT", 0.2)
    with Actor(BANNER=SILENCE) as server:
        attempt = send(transport(server.port))

    assert attempt.ending is Ending.UNREACHABLE
    assert "timed out" in attempt.reply.text


@pytest.mark.parametrize(
    "part",
    [
        {"BANNER": "554 not for you"},
        {"BANNER": "421 too busy" + HANG_UP},
        {"BANNER": HANG_UP},
        {"BANNER": "hello, I am no mail server"},
        {"EHLO": "554 no", "HELO": "554 no"},
        {"EHLO": HANG_UP},
    ],
    ids=str,
)
def test_a_server_that_does_not_want_to_talk_is_no_session(
    transport: Callable[..., SmtpTransport], part: dict[str, str]
) -> None:
    with Actor(**part) as server:
        attempt = send(transport(server.port))

    assert attempt.ending is Ending.UNREACHABLE
    assert "MAIL" not in server.verbs()


def test_an_old_server_without_ehlo_is_served(transport: Callable[..., SmtpTransport]) -> None:
    with Actor(EHLO="502 what?") as server:
        assert send(transport(server.port)).reply.code == 250


def test_a_server_without_starttls_gets_no_mail_where_it_is_demanded(
    transport: Callable[..., SmtpTransport],
) -> None:
    with Actor() as server:
        attempt = send(transport(server.port, security="starttls", user="me", password="secret"))

    assert attempt.ending is Ending.UNREACHABLE
    assert server.verbs() == ["EHLO"]


@pytest.mark.parametrize(
    ("code", "ending"), [(535, Ending.LOGIN_REFUSED), (454, Ending.UNREACHABLE)], ids=["for good", "for now"]
)
def test_a_refused_login_is_told_from_one_that_fails_for_now(
    transport: Callable[..., SmtpTransport], code: int, ending: Ending
) -> None:
    with Actor(EHLO="250-hello\r\n250 AUTH PLAIN", AUTH=f"{code} no") as server:
        attempt = send(transport(server.port, user="me", password="secret"))

    assert attempt.ending is ending
    assert "secret" not in str(attempt)


@pytest.mark.parametrize("challenge", ["abc", "a====", "žluť"])
def test_a_server_that_asks_nonsense_at_the_login_is_no_session(
    transport: Callable[..., SmtpTransport], challenge: str
) -> None:
    with Actor(EHLO="250-hello\r\n250 AUTH CRAM-MD5", AUTH=f"334 {challenge}") as server:
        attempt = send(transport(server.port, user="me", password="secret"))

    assert attempt.ending is Ending.UNREACHABLE
    assert attempt.reply.text.startswith("login as me failed: ")
    assert "secret" not in str(attempt)
    assert "MAIL" not in server.verbs()


def test_a_server_that_offers_no_login_refuses_it(transport: Callable[..., SmtpTransport]) -> None:
    with Actor() as server:
        attempt = send(transport(server.port, user="me", password="secret"))

    assert attempt.ending is Ending.LOGIN_REFUSED


def test_a_password_that_cannot_be_sent_is_not_quoted(transport: Callable[..., SmtpTransport]) -> None:
    with Actor(EHLO="250-hello\r\n250 AUTH PLAIN") as server:
        attempt = send(transport(server.port, user="me", password="tajné heslo"))

    assert attempt == Attempt(
        Ending.LOGIN_REFUSED, attempt.reply._replace(text="smtp_user and smtp_password must be ASCII")
    )


def test_the_password_is_in_no_representation() -> None:
    assert "secret" not in repr(Server(host="h", port=1, user="me", password="secret"))


@pytest.mark.parametrize("code", [450, 550])
def test_a_refused_sender_is_answered(transport: Callable[..., SmtpTransport], code: int) -> None:
    with Actor(MAIL=f"{code} not you") as server:
        attempt = send(transport(server.port))

    assert attempt.ending is Ending.ANSWERED
    assert attempt.reply == (code, "not you (to MAIL)")
    assert "RCPT" not in server.verbs()


def test_refused_recipients_are_named_and_the_rest_gets_the_mail(
    transport: Callable[..., SmtpTransport],
) -> None:
    with Actor(RCPT=["450 later", "250 ok"]) as server:
        attempt = send(transport(server.port))

    assert attempt.ending is Ending.ANSWERED
    assert attempt.reply.is_accepted
    assert {address: reply.code for address, reply in attempt.refused.items()} == {"a@example.com": 450}
    assert len(server.mails) == 1


def test_a_mail_that_all_recipients_refuse_is_not_offered(transport: Callable[..., SmtpTransport]) -> None:
    begun: list[bool] = []
    with Actor(RCPT=["450 later", "550 no"]) as server:
        attempt = transport(server.port).send(SENDER, TO, CONTENT, lambda: begun.append(True))

    assert {address: reply.code for address, reply in attempt.refused.items()} == dict(
        zip(TO, (450, 550), strict=True)
    )
    assert not begun
    assert "DATA" not in server.verbs()


def test_a_server_that_leaves_amid_the_recipients_gets_no_mail(
    transport: Callable[..., SmtpTransport],
) -> None:
    with Actor(RCPT=["250 ok", "421 leaving" + HANG_UP]) as server:
        attempt = send(transport(server.port))

    assert attempt == Attempt(Ending.ANSWERED, attempt.reply, {})
    assert attempt.reply.code == 421
    assert "DATA" not in server.verbs()


@pytest.mark.parametrize("answer", ["451 later", "421 leaving", "554 no"])
@pytest.mark.parametrize("step", ["DATA", "BODY"])
def test_a_mail_refused_before_or_after_its_content_is_answered(
    transport: Callable[..., SmtpTransport], step: str, answer: str
) -> None:
    with Actor(**{step: answer}) as server:
        attempt = send(transport(server.port))

    assert attempt.ending is Ending.ANSWERED
    assert attempt.reply.code == int(answer[:3])


@pytest.mark.parametrize("answer", ["250 ok already", "199 hm", "999 hm", "hm"])
def test_a_senseless_answer_to_data_is_not_taken_for_success(
    transport: Callable[..., SmtpTransport], answer: str
) -> None:
    with Actor(DATA=answer) as server:
        attempt = send(transport(server.port))

    assert attempt.ending is Ending.ANSWERED
    assert attempt.reply.code is None


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_a_connection_lost_at_a_command_is_lost_before_the_dot(
    transport: Callable[..., SmtpTransport], step: str
) -> None:
    with Actor(**{step: HANG_UP}) as server:
        attempt = send(transport(server.port))

    assert attempt.ending is Ending.LOST


def test_a_server_that_hangs_up_on_the_content_has_lost_it_before_the_dot(
    transport: Callable[..., SmtpTransport],
) -> None:
    with Actor(DATA="354 go" + HANG_UP) as server:
        attempt = send(transport(server.port), content=CONTENT + b"x\r\n" * 2**20)

    assert attempt.ending is Ending.LOST


def test_a_small_mail_is_not_thought_to_have_arrived_where_the_server_left_first(
    transport: Callable[..., SmtpTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Actor(DATA="354 go" + HANG_UP) as server:
        spoken = smtp._has_spoken

        def after_a_while(sock: socket.socket) -> bool:
            server._thread.join(0.2)  # the kernel has the whole mail, the server is gone
            return spoken(sock)

        monkeypatch.setattr(smtp, "_has_spoken", after_a_while)
        attempt = send(transport(server.port))

    assert attempt.ending is Ending.LOST


def test_a_refusal_amid_the_content_counts(
    transport: Callable[..., SmtpTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Actor(DATA="354 go\r\n552 too large") as server:
        spoken = smtp._has_spoken

        def after_a_while(sock: socket.socket) -> bool:
            server._thread.join(0.1)
            return spoken(sock)

        monkeypatch.setattr(smtp, "_has_spoken", after_a_while)
        attempt = send(transport(server.port))

    assert attempt.ending is Ending.ANSWERED
    assert attempt.reply.code == 552


def test_a_connection_lost_after_the_dot_leaves_doubt(transport: Callable[..., SmtpTransport]) -> None:
    with Actor(BODY=HANG_UP) as server:
        attempt = send(transport(server.port))

    assert attempt.ending is Ending.LOST_AFTER_DOT


def test_no_answer_to_the_dot_leaves_doubt(
    transport: Callable[..., SmtpTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "FINAL_DOT_TIMEOUT", 0.2)
    with Actor(BODY=SILENCE) as server:
        attempt = send(transport(server.port))

    assert attempt.ending is Ending.LOST_AFTER_DOT
    assert "timed out" in attempt.reply.text


def test_a_senseless_answer_to_the_dot_leaves_doubt(transport: Callable[..., SmtpTransport]) -> None:
    with Actor(BODY="hm") as server:
        assert send(transport(server.port)).ending is Ending.LOST_AFTER_DOT


def test_no_answer_to_a_command_is_lost_before_the_dot(
    transport: Callable[..., SmtpTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "COMMAND_TIMEOUT", 0.2)
    with Actor(RCPT=SILENCE) as server:
        assert send(transport(server.port)).ending is Ending.LOST


def test_dots_and_line_ends_arrive_as_written(transport: Callable[..., SmtpTransport]) -> None:
    with Actor() as server:
        link = transport(server.port)
        send(link, CONTENT)
        send(link, b".\nunix\n\n.x\n..")

    assert server.mails == [
        b"Subject: hello\r\n\r\n..\r\n...two\r\nBody\r\n",
        b"..\r\nunix\r\n\r\n..x\r\n...\r\n",
    ]


@given(st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"text"])).map(b"".join))
def test_whatever_the_lines_the_server_reads_them_back_whole(content: bytes) -> None:
    wire = smtp._in_smtp_lines(content)

    lines = wire.removesuffix(b"\r\n").split(b"\r\n")
    assert wire.endswith(b"\r\n")
    assert b"." not in lines  # nothing ends the mail early
    assert [line.removeprefix(b".") for line in lines] == content.replace(b"\r\n", b"\n").replace(
        b"\r", b"\n"
    ).removesuffix(b"\n").split(b"\n")


def test_data_begins_after_the_recipients_and_before_the_content(
    transport: Callable[..., SmtpTransport],
) -> None:
    seen: list[list[str]] = []
    with Actor() as server:
        transport(server.port).send(SENDER, TO, CONTENT, lambda: seen.append(server.verbs()))

    assert seen == [["EHLO", "MAIL", "RCPT", "RCPT"]]


def test_an_error_while_noting_that_data_begins_sends_nothing(
    transport: Callable[..., SmtpTransport],
) -> None:
    def fail() -> None:
        raise LookupError

    with Actor() as server:
        link = transport(server.port)
        with pytest.raises(LookupError):
            link.send(SENDER, TO, CONTENT, fail)
        link.close()

    assert "DATA" not in server.verbs()


def test_mails_share_a_session_with_a_reset_between(transport: Callable[..., SmtpTransport]) -> None:
    with Actor() as server:
        link = transport(server.port)
        for _ in range(3):
            send(link, to=("a@example.com",))
        link.close()

    assert server.connections == 1
    one = ["MAIL", "RCPT", "DATA"]
    assert server.verbs() == ["EHLO", *one, "RSET", *one, "RSET", *one, "QUIT"]


def test_a_session_ends_after_a_hundred_mails(transport: Callable[..., SmtpTransport]) -> None:
    with Actor() as server:
        link = transport(server.port)
        for _ in range(201):
            send(link)
        link.close()

    assert server.connections == 3
    assert len(server.mails) == 201


def test_a_session_that_went_stale_is_replaced_without_harm(transport: Callable[..., SmtpTransport]) -> None:
    with Actor(RSET=HANG_UP) as server:
        link = transport(server.port)
        endings = [send(link).ending for _ in range(3)]

    assert endings == [Ending.ANSWERED] * 3
    assert len(server.mails) == 3
    assert server.connections == 3


@pytest.mark.parametrize("answer", [HANG_UP, "500 no", SILENCE])
def test_nobody_cares_for_the_answer_to_quit(
    transport: Callable[..., SmtpTransport], answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "QUIT_TIMEOUT", 0.1)
    with Actor(QUIT=answer) as server:
        link = transport(server.port)
        send(link)
        link.close()
        link.close()

    assert len(server.mails) == 1


def test_the_size_is_announced_where_the_server_asks_for_it(transport: Callable[..., SmtpTransport]) -> None:
    with Actor(EHLO="250-hello\r\n250 SIZE 1000000") as server:
        send(transport(server.port))

    assert f"MAIL FROM:<{SENDER}> SIZE={len(CONTENT)}" in [
        line.replace("size=", "SIZE=") for line in server.said
    ]


def test_an_address_beyond_ascii_is_refused_where_the_server_cannot_take_it(
    transport: Callable[..., SmtpTransport],
) -> None:
    with Actor() as server:
        attempt = send(transport(server.port), to=("žluťoučký@example.com", "a@example.com"))

    assert {address: reply.code for address, reply in attempt.refused.items()} == {
        "žluťoučký@example.com": 553
    }
    assert len(server.mails) == 1


def test_a_mail_only_to_addresses_beyond_ascii_does_not_start_where_they_cannot_be_taken(
    transport: Callable[..., SmtpTransport],
) -> None:
    with Actor() as server:
        attempt = send(transport(server.port), to=("žluťoučký@example.com",))

    assert attempt.reply.is_refused
    assert "MAIL" not in server.verbs()


def test_smtputf8_is_asked_for_only_when_an_address_needs_it(transport: Callable[..., SmtpTransport]) -> None:
    with Actor(EHLO="250-hello\r\n250-8BITMIME\r\n250 SMTPUTF8") as server:
        link = transport(server.port)
        send(link, to=("a@example.com",))
        send(link, to=("žluťoučký@example.com",))
        send(link, to=("a@example.com",))

    asked = ["SMTPUTF8" in line for line in server.said if line.startswith("MAIL")]
    assert asked == [False, True, False]
    assert "RCPT TO:<žluťoučký@example.com>" in server.said
    assert len(server.mails) == 3


def test_the_server_meets_the_mail_as_the_library_would_send_it(
    transport: Callable[..., SmtpTransport],
) -> None:
    with sink() as (port, taken):
        attempt = send(transport(port))

    assert attempt.reply.is_accepted
    assert taken == [(SENDER, list(TO), CONTENT)]


# TLS, with a certificate made for the test


class Sink(Controller):
    """An aiosmtpd on a free port."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def sink(**options: Any) -> Iterator[tuple[int, list[Any]]]:
    class Handler:
        async def handle_DATA(  # noqa: N802 - aiosmtpd's name
            self, _server: Any, _session: Session, envelope: Envelope
        ) -> str:
            taken.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
            return "250 taken"

    taken: list[Any] = []
    server = Sink(Handler(), hostname="127.0.0.1", port=0, **options)
    server.start()
    try:
        yield server.port, taken
    finally:
        server.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key in one file, for 127.0.0.1."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=sink",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", path.with_suffix(".crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    with path.open("ab") as file:
        file.write(path.with_suffix(".crt").read_bytes())
    return path


@pytest.fixture
def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def client_context(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate.with_suffix(".crt")))


def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=data == LoginPassword(b"me", b"secret"), handled=False)


def test_starttls_and_login_protect_and_open_the_session(
    transport: Callable[..., SmtpTransport],
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    options = {
        "tls_context": server_context,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": authenticate,
    }
    with sink(**options) as (port, taken):
        wrong = transport(port, security="starttls", user="me", password="guess", context=client_context)
        assert send(wrong).ending is Ending.LOGIN_REFUSED
        right = transport(port, security="starttls", user="me", password="secret", context=client_context)
        assert send(right).reply.is_accepted
        assert send(right).reply.is_accepted
        right.close()

    assert len(taken) == 2


def test_tls_from_the_first_byte(
    transport: Callable[..., SmtpTransport],
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    with sink(ssl_context=server_context) as (port, taken):
        link = transport(port, security="tls", context=client_context)
        assert send(link).reply.is_accepted
        link.close()

    assert len(taken) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for_is_no_session(
    transport: Callable[..., SmtpTransport], server_context: ssl.SSLContext, security: str
) -> None:
    options = {"tls_context": server_context} if security == "starttls" else {"ssl_context": server_context}
    with sink(**options) as (port, taken):
        attempt = send(transport(port, security=security))

    assert attempt.ending is Ending.UNREACHABLE
    assert "certificate verify failed" in attempt.reply.text
    assert taken == []


def test_tls_to_a_server_that_speaks_plainly_is_no_session(transport: Callable[..., SmtpTransport]) -> None:
    with Actor() as server:
        assert send(transport(server.port, security="tls")).ending is Ending.UNREACHABLE


def test_an_idle_run_does_not_load_the_mail_library() -> None:
    code = "import mentat_reporter.delivery.deliver, sys; print('smtplib' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert ended.stdout == "False\n"
