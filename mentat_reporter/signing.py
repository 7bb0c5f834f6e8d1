"""OpenPGP signatures by the host's GnuPG. docs/operations.md."""

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from mentat_reporter.errors import MailError
from mentat_reporter.render.message import Signature
from mentat_reporter.render.plain import one_line

PATIENCE: Final = 30.0
"""Seconds that GnuPG may take for a signature (docs/reliability.md)."""
MOST_FAILURES: Final = 3
"""Failures in a row after which a run does not ask again: each may take its time, and mail must go."""
_DIGESTS: Final = {
    "1": "md5", "2": "sha1", "3": "ripemd160", "8": "sha256", "9": "sha384", "10": "sha512", "11": "sha224",
}  # fmt: skip
"""RFC 4880, section 9.4."""
_FAILURE: Final = re.compile(r"^\[GNUPG:\] FAILURE sign ([0-9]+)", re.MULTILINE)
_ERROR_CODE: Final = 0xFFFF
_REASONS: Final = {
    11: "bad passphrase; mend pgp_passphrase_file",
    17: "there is no secret key of that name; import it, or mend pgp_key or pgp_home",
    54: "the key has expired, was revoked, or may not sign; renew it, or name another in pgp_key",
    85: "the key wants a passphrase; put it into a file that pgp_passphrase_file names",
}
"""By libgpg-error's codes: GnuPG's own words are in the language of whoever runs the reporter."""

Done = TypeVar("Done")


class Signing:
    """Signs the mails of a run. What cannot be signed goes out unsigned, and the run names it once."""

    def __init__(
        self,
        key: str,
        home: Path | None,
        passphrase: str | None,
        fail: Callable[[str], None],
    ) -> None:
        self._key = key
        self._home = home
        self._passphrase = passphrase
        self._fail = fail
        self._gpg: Any = None
        self._started: list[Any] = []
        self._failures = 0

    def __call__(self, entity: bytes) -> Signature | None:
        """Return the signature of a MIME entity, None when there is none to be had."""
        if self._failures >= MOST_FAILURES:
            return None
        try:
            signature = self._in_time(lambda: self._sign(entity))
        except MailError as error:
            self._failures += 1
            self._fail(f"mail goes out unsigned, pgp_key {self._key} cannot sign: {error}")
            return None
        self._failures = 0
        return signature

    def _in_time(self, work: Callable[[], Done]) -> Done:
        """Do what may hang, in a thread that can be left alone."""
        outcomes: list[Done | Exception] = []

        def run() -> None:
            try:
                outcomes.append(work())
            except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
                outcomes.append(error)

        worker = threading.Thread(target=run, name="gpg", daemon=True)
        worker.start()
        worker.join(PATIENCE)
        if not outcomes:
            self._failures = MOST_FAILURES
            for process in self._started:
                process.kill()
            raise MailError(f"gpg takes longer than {PATIENCE:g} s; does its agent wait for somebody?")
        [outcome] = outcomes
        if isinstance(outcome, MailError):
            raise outcome
        if isinstance(outcome, Exception):
            raise MailError(one_line(outcome) or type(outcome).__name__) from outcome
        return outcome

    def _sign(self, entity: bytes) -> Signature:
        self._started.clear()
        if self._gpg is None:
            self._gpg = _watched(self._home, self._started, unattended=self._passphrase is None)
        made = self._gpg.sign(
            entity,
            # it writes latin-1: these are the bytes of UTF-8
            passphrase=None if self._passphrase is None else self._passphrase.encode().decode("latin-1"),
            clearsign=False,
            detach=True,
            # its own argument is a preference, another key signs where this one cannot
            extra_args=["--local-user", self._key],
        )
        if made.returncode != 0 or not made.data:
            raise MailError(_reason(made.stderr))
        return Signature(made.data, f"pgp-{_DIGESTS.get(made.hash_algo, made.hash_algo)}")


def _watched(home: Path | None, started: list[Any], *, unattended: bool) -> Any:
    """Return python-gnupg's door to GnuPG, which keeps the processes that it starts in `started`."""
    try:
        import gnupg  # noqa: PLC0415 - an extra, and only where mail is signed
    except ImportError:
        raise MailError(
            "python-gnupg is not installed; pip install 'mentat-reporter[pgp]', or remove pgp_key"
        ) from None
    if home is not None and not home.is_dir():
        raise MailError(f"there is no folder {home}; make it, or mend pgp_home")
    # what goes wrong is named here
    logging.getLogger("gnupg").setLevel(logging.CRITICAL)

    class Watched(gnupg.GPG):
        def _open_subprocess(self, *arguments: Any, **named: Any) -> Any:
            process = super()._open_subprocess(*arguments, **named)
            started.append(process)
            return process

    # without a passphrase GnuPG would ask for one where nobody is
    options = ["--pinentry-mode", "error"] if unattended else None
    try:
        return Watched(gnupghome=None if home is None else str(home), options=options)
    except OSError as error:
        raise MailError("gpg cannot be started; install GnuPG, or remove pgp_key") from error


def _reason(said: str) -> str:
    """Return why GnuPG did not sign, from what it said."""
    found = _FAILURE.search(said)
    known = _REASONS.get(int(found[1]) & _ERROR_CODE) if found else None
    spoken = [line.removeprefix("gpg: ") for line in said.splitlines() if line and line[0] != "["]
    return known or one_line(spoken[-1] if spoken else "gpg gives no reason")
