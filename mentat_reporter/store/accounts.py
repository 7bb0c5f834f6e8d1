"""Accounts, and the folders that are theirs alone: PostgreSQL refuses to run as root."""

import os
import pwd
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from mentat_reporter.errors import EmbeddedError

NOT_YOURS: Final = "run as the account that owns it, or set MENTAT_REPORTER_HOME to a folder of your own"
# Nothing of the caller's: a PGPORT or a locale must change neither the server nor the language of its log.
ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


class Account(NamedTuple):
    uid: int
    gid: int


def is_root() -> bool:
    return os.geteuid() == 0


def switch(account: Account) -> dict[str, Any]:
    """Give the keywords with which `subprocess` runs a program as an account."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if is_root() else {}


def run(command: Sequence[str | Path], account: Account) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  a list, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=ENVIRONMENT,
        text=True,
        errors="replace",
        check=False,
        **switch(account),
    )


def may_execute(account: Account, path: Path) -> bool:
    """Ask the kernel, as that account, whether it may enter a folder or run a file: ACLs count too."""
    return run(["test", "-x", path], account).returncode == 0


def is_ours_to_open(home: Path) -> bool:
    """Tell whether a home is root's alone and made for the reporter, not the folder where root logs in."""
    status = home.stat()
    return (status.st_uid, status.st_gid) == (0, 0) and home != Path(pwd.getpwuid(0).pw_dir)


def check_owner(folder: Path) -> None:
    status = folder.lstat()  # a link to elsewhere is not ours to open or close
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        raise EmbeddedError(
            f"{folder} is not a folder of uid {os.geteuid()} but of {status.st_uid}; {NOT_YOURS}"
        )


def make_private(folder: Path, account: Account) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
        folder.chmod(0o700)
        if is_root():
            os.chown(folder, *account)
    check_private(folder, account)


def check_private(folder: Path, account: Account) -> None:
    """Refuse a link or a folder that others own or may enter: whoever made it could pose as the server."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid or status.st_mode & 0o077:
        raise EmbeddedError(f"{folder} is not a private folder of the server's account: remove it")


def open_private(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchmod(handle, 0o600)
    return handle
