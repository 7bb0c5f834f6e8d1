"""Mails to an SMTP server, step by step, so that it is known what the server has when something breaks."""

import smtplib
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Final, Literal

from mentat_reporter.delivery.outcomes import CLOSING, Attempt, Ending, Reply, clean_reply

CONNECT_TIMEOUT: Final = 30.0  # seconds, up to the banner
COMMAND_TIMEOUT: Final = 60.0
FINAL_DOT_TIMEOUT: Final = 600.0
QUIT_TIMEOUT: Final = 5.0
MAILS_PER_CONNECTION: Final = 100
CHUNK: Final = 2**16  # bytes; each has COMMAND_TIMEOUT to itself
GO_AHEAD: Final = 354
NO_SMTPUTF8: Final = Reply(553, "the server does not offer SMTPUTF8, which the address needs")


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where mail goes and how to get in. `context` checks its certificate; None: the system's authorities."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"] = "none"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    context: ssl.SSLContext | None = field(default=None, repr=False)


class LoginRefusedError(Exception):
    """The server does not take our name and password, nor will it for the next mail."""


class SmtpTransport:
    """One session for up to a hundred mails, opened when the first mail comes.

    `connect` opens a session that is ready for MAIL; it raises LoginRefusedError or OSError.
    """

    def __init__(self, server: Server, connect: "Callable[[Server], smtplib.SMTP] | None" = None) -> None:
        self._server = server
        self._connect = connect or open_session
        self._session: smtplib.SMTP | None = None
        self._mails = 0

    def send(
        self, envelope_sender: str, recipients: Sequence[str], content: bytes, on_data: Callable[[], None]
    ) -> Attempt:
        """Send one mail; `on_data` is called just before the server may begin to take it."""
        try:
            session = self._ready()
        except LoginRefusedError as error:
            return Attempt(Ending.LOGIN_REFUSED, clean_reply(None, error))
        except OSError as error:  # every smtplib.SMTPException is one
            return Attempt(Ending.UNREACHABLE, _reply_of(error))
        try:
            attempt = _converse(session, envelope_sender, recipients, content, on_data)
        except OSError as error:
            attempt = Attempt(Ending.LOST, clean_reply(None, error))
        if attempt.ending is not Ending.ANSWERED:
            self._drop()
        return attempt

    def close(self) -> None:
        """Say QUIT and hang up. Nobody cares for the answer."""
        if self._session is not None and self._session.sock is not None:
            with suppress(OSError):
                self._session.sock.settimeout(QUIT_TIMEOUT)
                self._session.docmd("QUIT")
        self._drop()

    def _ready(self) -> smtplib.SMTP:
        if self._session is not None and (self._mails >= MAILS_PER_CONNECTION or not self._is_reset()):
            self.close()
        if self._session is None:
            self._session = self._connect(self._server)
            self._mails = 0
        self._mails += 1
        return self._session

    def _is_reset(self) -> bool:
        """Clear what the last mail left; a session that cannot (idle for too long) is done with."""
        if self._session is None:
            return False
        try:
            return bool(self._session.rset()[0] == 250)  # noqa: PLR2004 - RFC 5321
        except OSError:
            return False

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def open_session(server: Server) -> smtplib.SMTP:
    """Connect, greet, secure and log in, as `server` says. Nothing is sent in clear that should not be."""
    secure = partial(smtplib.SMTP_SSL, context=_context(server)) if server.security == "tls" else smtplib.SMTP
    try:
        session = secure(server.host, server.port, local_hostname=_own_name(), timeout=CONNECT_TIMEOUT)
    except UnicodeError:
        raise OSError(f"smtp_host {server.host} is no host name") from None
    try:
        _greet(session, server)
        if server.user is not None:
            _log_in(session, server.user, server.password or "")
    except BaseException:
        session.close()
        raise
    return session


def _greet(session: smtplib.SMTP, server: Server) -> None:
    sock = _socket(session)
    # the final dot is a packet of its own: without this it waits 40 ms for the receipt of the body
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(COMMAND_TIMEOUT)
    session.ehlo_or_helo_if_needed()
    if server.security == "starttls":
        session.starttls(context=_context(server))
        session.ehlo_or_helo_if_needed()


def _log_in(session: smtplib.SMTP, user: str, password: str) -> None:
    try:
        session.login(user, password)
    except UnicodeError:
        # its text would quote the password
        raise LoginRefusedError("smtp_user and smtp_password must be ASCII") from None
    except ValueError as error:  # a challenge that is no Base64
        raise smtplib.SMTPException(f"login as {user} failed: {error}") from error
    except smtplib.SMTPServerDisconnected:
        raise
    except smtplib.SMTPException as error:
        reply = _reply_of(error)
        if reply.code is not None and not reply.is_refused:
            raise  # for now
        raise LoginRefusedError(f"login as {user} refused: {reply}") from error


def _converse(
    session: smtplib.SMTP,
    sender: str,
    recipients: Sequence[str],
    content: bytes,
    on_data: Callable[[], None],
) -> Attempt:
    refused = _out_of_reach(session, [sender, *recipients])
    reachable = [address for address in recipients if address not in refused]
    if sender in refused or not reachable:
        return Attempt(Ending.ANSWERED, NO_SMTPUTF8, refused)
    reply = _ask_sender(session, sender, reachable, len(content))
    if reply.is_accepted:
        reply = _ask_recipients(session, reachable, refused)
    if not reply.is_accepted:
        return Attempt(Ending.ANSWERED, _no(reply), refused)
    on_data()
    reply = _named("DATA", session.docmd("DATA"))
    if reply.code != GO_AHEAD:
        return Attempt(Ending.ANSWERED, _no(reply), refused)
    return _write(session, content)._replace(refused=refused)


def _out_of_reach(session: smtplib.SMTP, addresses: Sequence[str]) -> dict[str, Reply]:
    if session.has_extn("smtputf8"):
        return {}
    return {address: NO_SMTPUTF8 for address in addresses if not address.isascii()}


def _ask_sender(session: smtplib.SMTP, sender: str, recipients: Sequence[str], size: int) -> Reply:
    options = [f"SIZE={size}"] if session.has_extn("size") else []
    if session.has_extn("smtputf8") and not all(map(str.isascii, [sender, *recipients])):
        options.append("SMTPUTF8")
        session.command_encoding = "utf-8"  # until RSET
    return _named("MAIL", session.docmd("MAIL", " ".join([f"FROM:<{sender}>", *options])))


def _ask_recipients(session: smtplib.SMTP, addresses: Sequence[str], refused: dict[str, Reply]) -> Reply:
    """Offer each recipient, put the refusals into `refused`; return an acceptance if there was any."""
    accepted = None
    reply = NO_SMTPUTF8
    for address in addresses:
        reply = _named("RCPT", session.docmd("RCPT", f"TO:<{address}>"))
        if reply.code == CLOSING:
            return reply
        if reply.is_accepted:
            accepted = reply
        else:
            reply = refused[address] = _no(reply)
    return accepted or reply


def _write(session: smtplib.SMTP, content: bytes) -> Attempt:
    """Send the mail, then the dot: the server may deliver from the dot on, never before."""
    text = _in_smtp_lines(content)
    for begin in range(0, len(text), CHUNK):
        session.send(text[begin : begin + CHUNK])
    sock = _socket(session)
    if _has_spoken(sock):
        early = _named("DATA", session.getreply())  # raises if it is the end
        return Attempt(Ending.ANSWERED, Reply(early.code if early.is_refused else None, early.text))
    try:
        sock.settimeout(FINAL_DOT_TIMEOUT)
        session.send(b".\r\n")
        reply = _named("final dot", session.getreply())
        sock.settimeout(COMMAND_TIMEOUT)
    except OSError as error:
        return Attempt(Ending.LOST_AFTER_DOT, clean_reply(None, error))
    understood = reply.is_accepted or reply.is_refused or (reply.code or 0) // 100 == 4  # noqa: PLR2004
    return Attempt(Ending.ANSWERED if understood else Ending.LOST_AFTER_DOT, reply)


def _in_smtp_lines(content: bytes) -> bytes:
    """Return the content with CRLF at every line's end and a second dot before a leading one."""
    lines = b"\n" + content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n")
    return lines.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n").removeprefix(b"\r\n") + b"\r\n"


def _has_spoken(sock: socket.socket) -> bool:
    """Whether the server already hung up or refused, before the dot.

    Otherwise a small mail and its dot vanish in the kernel's buffer, and the server might have them. With
    TLS it cannot be seen: then such a mail counts as ambiguous, which errs on the safe side.
    """
    if isinstance(sock, ssl.SSLSocket):
        return False
    sock.setblocking(False)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        sock.settimeout(COMMAND_TIMEOUT)
    return True


def _no(reply: Reply) -> Reply:
    """Return the reply as a refusal: what is neither 4xx nor 5xx makes no sense here, so try again later."""
    sensible = reply.code is not None and 400 <= reply.code < 600  # noqa: PLR2004 - classes of RFC 5321
    return reply if sensible else Reply(None, f"unexpected answer {reply}")


def _named(command: str, answer: tuple[int, bytes]) -> Reply:
    code, text = answer
    return clean_reply(code, f"{text.decode('utf-8', 'replace')} (to {command})")


def _reply_of(error: OSError) -> Reply:
    if isinstance(error, smtplib.SMTPResponseException):
        return clean_reply(error.smtp_code, error.smtp_error)
    return clean_reply(None, error)


def _socket(session: smtplib.SMTP) -> socket.socket:
    if session.sock is None:
        raise smtplib.SMTPServerDisconnected("the connection is closed")
    return session.sock


def _context(server: Server) -> ssl.SSLContext:
    return server.context or ssl.create_default_context()


@cache
def _own_name() -> str:
    return socket.getfqdn()
