"""Ways for a mail to leave: an SMTP server, the local sendmail, a maildir, nowhere.

Each tells what happened as an `Attempt`; what follows from it is for `outcomes.judge`.
"""

import hashlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol

from mentat_reporter.delivery.outcomes import Attempt, Ending, Reply, clean_reply
from mentat_reporter.files import FileSteps, make_folders, put, sync_folder
from mentat_reporter.settings import MailSettings

SENDMAIL: Final = "/usr/sbin/sendmail"
SENDMAIL_TIMEOUT: Final = 600.0  # seconds
EX_TEMPFAIL: Final = 75
TAKEN: Final = Reply(250, "taken")
# sendmail's exit codes, in the words of SMTP
CODES: Final = {0: 250, EX_TEMPFAIL: 450}
CODE_REFUSED: Final = 550
FOLDER_MODE: Final = 0o700  # of a maildir: mail is nobody else's
FILE_MODE: Final = 0o600

OnData = Callable[[], None]
OpenSession = Callable[..., Any]
RunProgram = Callable[..., "subprocess.CompletedProcess[bytes]"]


class Transport(Protocol):
    def send(
        self, envelope_sender: str, recipients: Sequence[str], content: bytes, on_data: OnData
    ) -> Attempt:
        """Send one mail; call `on_data` just before it may begin to be taken."""

    def close(self) -> None:
        """End the session, if there is one. The next `send` opens another."""


def make_transport(
    settings: MailSettings,
    *,
    open_session: OpenSession | None = None,
    run_program: RunProgram = subprocess.run,
    files: FileSteps | None = None,
) -> Transport:
    """Make the configured transport. Dev mode is always plain SMTP to the development server.

    `open_session` is as `delivery.smtp.open_session`, which it stands for when it is None.
    """
    if settings.dev_mode or settings.transport == "smtp":
        return _smtp(settings, open_session)
    if settings.transport == "sendmail":
        return SendmailTransport(run=run_program)
    if settings.transport == "maildir":
        return MaildirTransport(settings.maildir, files)
    return NullTransport()


def _smtp(settings: MailSettings, open_session: OpenSession | None) -> Transport:
    from mentat_reporter.delivery.smtp import Server, SmtpTransport  # noqa: PLC0415 - idle runs save its 30 ms

    if settings.dev_mode:
        return SmtpTransport(Server(host=settings.dev_server, port=settings.dev_port), open_session)
    return SmtpTransport(
        Server(
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            user=settings.smtp_user,
            password=settings.smtp_password,
        ),
        open_session,
    )


class SendmailTransport:
    """The local mail system's command. Addresses are arguments, never read from the mail's header."""

    def __init__(
        self,
        program: str = SENDMAIL,
        run: RunProgram = subprocess.run,
        timeout: float = SENDMAIL_TIMEOUT,
    ) -> None:
        self._program = program
        self._run = run
        self._timeout = timeout

    def send(
        self, envelope_sender: str, recipients: Sequence[str], content: bytes, on_data: OnData
    ) -> Attempt:
        """Hand one mail over. The exit code is for all recipients."""
        command = [self._program, "-i", "-f", envelope_sender, "--", *recipients]
        on_data()
        try:
            ended = self._run(
                command,
                input=_in_local_lines(content),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=self._timeout,
                check=False,
                process_group=0,  # Ctrl-C goes to all of ours, and must not end the mail under way
            )
        except subprocess.TimeoutExpired:
            # not its own text, which quotes the command
            return Attempt(
                Ending.LOST_AFTER_DOT, Reply(None, f"sendmail took longer than {self._timeout:g} s")
            )
        except OSError as error:
            return Attempt(
                Ending.UNREACHABLE, clean_reply(None, f"cannot run {self._program}: {error.strerror}")
            )
        said = (ended.stderr or b"").decode("utf-8", "replace")
        if ended.returncode < 0:
            return Attempt(
                Ending.LOST_AFTER_DOT,
                clean_reply(None, f"sendmail ended by signal {-ended.returncode}: {said}"),
            )
        code = CODES.get(ended.returncode, CODE_REFUSED)
        return Attempt(Ending.ANSWERED, clean_reply(code, f"sendmail exit {ended.returncode}: {said}"))

    def close(self) -> None:
        """Do nothing: each mail has a process of its own."""


class MaildirTransport:
    """A folder of mails, created when needed: each is complete and on the disk, or not there."""

    def __init__(self, folder: Path, files: FileSteps | None = None) -> None:
        self._folder = folder
        self._files = files or FileSteps()
        self._numbers = count(1)

    def send(
        self,
        envelope_sender: str,  # noqa: ARG002 - as every transport has it
        recipients: Sequence[str],  # noqa: ARG002 - the same
        content: bytes,
        on_data: OnData,
    ) -> Attempt:
        """Store one mail, whoever it is for. It is there from its renaming on, never before."""
        name = self._unique_name()

        def rename(draft: Path, final: Path) -> None:
            on_data()
            self._files.rename(draft, final)

        try:
            for part in ("tmp", "new", "cur"):
                make_folders(self._files, self._folder / part, mode=FOLDER_MODE)
            put(
                replace(self._files, rename=rename),
                self._folder / "new" / name,
                [_in_local_lines(content)],
                mode=FILE_MODE,
                # the same for the same mail, so that a redo replaces what a killed run left of it
                draft=self._folder / "tmp" / hashlib.sha256(content).hexdigest(),
            )
        except OSError as error:
            return Attempt(Ending.UNREACHABLE, self._complaint(error))
        try:
            sync_folder(self._files, self._folder / "new")
        except OSError as error:
            return Attempt(Ending.LOST_AFTER_DOT, self._complaint(error))
        return Attempt(Ending.ANSWERED, TAKEN)

    def close(self) -> None:
        """Do nothing: there is no session."""

    def _complaint(self, error: OSError) -> Reply:
        return clean_reply(None, f"maildir {self._folder}: {error.strerror}")

    def _unique_name(self) -> str:
        host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
        return f"{time.time_ns() / 1e9:.6f}.P{os.getpid()}Q{next(self._numbers)}.{host}"


def _in_local_lines(content: bytes) -> bytes:
    """Return the content with the line ends that programs on this host expect."""
    return content.replace(b"\r\n", b"\n")


class NullTransport:
    """Takes every mail and keeps none."""

    def send(
        self,
        envelope_sender: str,  # noqa: ARG002 - as every transport has it
        recipients: Sequence[str],  # noqa: ARG002 - the same
        content: bytes,  # noqa: ARG002 - the same
        on_data: OnData,
    ) -> Attempt:
        """Say that it went."""
        on_data()
        return Attempt(Ending.ANSWERED, TAKEN)

    def close(self) -> None:
        """Do nothing: there is no session."""
