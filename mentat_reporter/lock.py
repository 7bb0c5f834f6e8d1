"""One run at a time on a host: a lock file that only its holder deletes.

The lock is the kernel's (`flock`), so it ends with the process, however that ends; the file's presence
says nothing. Deleting it makes the race: a runner may lock an inode that has just lost its name while
the next one creates the path anew. So the name goes before the lock does, and whoever gets a lock
looks whether the path still leads to what it locked, and else opens it again.
"""

import errno
import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mentat_reporter.errors import LockBusyError, UsageError

POLL: Final = 0.05  # seconds
MODE: Final = 0o600
FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not block
CURE: Final = "remove it or set another lock_file"
REASONS: Final = {
    errno.ELOOP: f"is a symbolic link, which is never followed; {CURE}",
    errno.EISDIR: f"is a directory; {CURE}",
    errno.ENXIO: f"is not a regular file; {CURE}",
    errno.ENOENT: "cannot be created, its directory does not exist; create that or set another lock_file",
    errno.ENOTDIR: "cannot be created, its parent is not a directory; set another lock_file",
}


class SimpleFlock:
    """A context manager that holds the lock at `path`: creates and empties the file, deletes it at the end.

    `timeout` in seconds: None waits as long as it takes, 0 tries once. Entering raises LockBusyError
    when another holds the lock for longer, UsageError when the path cannot be a lock file. While held,
    the file has the mode 0600 and contains the holder's pid.
    """

    def __init__(self, path: Path | str, timeout: float | None = None) -> None:
        self.path = Path(path)
        self.timeout = timeout
        self._handle: int | None = None
        self._owner = 0

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock; see the class for what it raises."""
        if self._handle is not None:
            raise RuntimeError(f"{self.path} is already locked by this object")
        end = None if self.timeout is None else time.monotonic() + self.timeout
        while True:
            handle = self._open()
            try:
                if _lock(handle) and self._is_at_path(handle):
                    break
                self._check_time(handle, end)
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
        self._handle, self._owner = handle, os.getpid()
        _sign(handle)

    def release(self) -> None:
        """Delete the file if it is still ours, then unlock. A forked child only lets go of its copy."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        try:
            if self._owner == os.getpid() and self._is_at_path(handle):
                with suppress(FileNotFoundError):
                    self.path.unlink()
        finally:
            os.close(handle)

    def _open(self) -> int:
        try:
            handle = os.open(self.path, FLAGS, MODE)
        except OSError as error:
            reason = REASONS.get(
                error.errno or 0, f"cannot be opened: {error.strerror}; check its owner and mode, or {CURE}"
            )
            raise UsageError(f"lock file {self.path} {reason}") from error
        status = os.fstat(handle)
        if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
            return handle
        os.close(handle)
        # emptying a file that has a second name would destroy somebody's data
        what = "has a second name (a hard link)" if stat.S_ISREG(status.st_mode) else "is not a regular file"
        raise UsageError(f"lock file {self.path} {what}; {CURE}")

    def _is_at_path(self, handle: int) -> bool:
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(handle))

    def _check_time(self, handle: int, end: float | None) -> None:
        """Sleep until the next try, at once if the file is another; LockBusyError if none is left."""
        if not self._is_at_path(handle):
            return
        left = POLL if end is None else end - time.monotonic()
        if left <= 0:
            pid = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
            holder = f"process {pid}" if pid.isdecimal() else "another process"
            raise LockBusyError(f"{holder} holds the lock {self.path}; it is let go when that ends")
        time.sleep(min(POLL, left))


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(handle: int) -> None:
    """Say who holds the lock. It is for people: a full disk or another's file does not undo the lock."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode("ascii"), 0)
    with suppress(OSError):
        os.fchmod(handle, MODE)
