"""Files that are whole or not there: written beside their name, put on the disk, then renamed."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

FOLDER_MODE: Final = 0o750
FILE_MODE: Final = 0o640
"""Group may read: the web server that shows them. docs/operations.md."""


@dataclass(frozen=True, kw_only=True)
class FileSteps:
    """What the system is asked for on the way to a finished file, each as `os` has it."""

    make_folder: Callable[[Path, int], None] = os.mkdir
    open: Callable[[Path, int, int], int] = os.open
    write: Callable[[int, bytes], int] = os.write
    sync: Callable[[int], None] = os.fsync
    close: Callable[[int], None] = os.close
    rename: Callable[[Path, Path], None] = os.rename
    remove: Callable[[Path], None] = os.unlink


def put(
    steps: FileSteps,
    path: Path,
    content: Iterable[bytes],
    *,
    mode: int = FILE_MODE,
    draft: Path | None = None,
) -> None:
    """Write a file as `drafted` does, of parts that are at hand."""
    with drafted(steps, path, mode=mode, draft=draft) as write:
        for part in content:
            write(part)


@contextmanager
def drafted(
    steps: FileSteps, path: Path, *, mode: int = FILE_MODE, draft: Path | None = None
) -> Iterator[Callable[[bytes], None]]:
    """Give a function that writes to a file, which is on the disk before its name appears, once the block
    ends; what had the name before is replaced.

    `draft` is the temporary name, on the same file system; it is always the same, so that a redo replaces
    what a killed run left of it. The folder's own entry still needs `sync_folder`. Raises OSError; whatever
    is raised leaves nothing behind.
    """
    draft = draft or path.with_name(f".{path.name}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = steps.open(draft, flags, mode)
        try:
            yield partial(_write, steps, handle, path)
            _ask(steps.sync, handle, path)
        finally:
            _ask(steps.close, handle, path)
        steps.rename(draft, path)
    except BaseException:
        with suppress(OSError):
            steps.remove(draft)
        raise


def _write(steps: FileSteps, handle: int, path: Path, part: bytes) -> None:
    left = memoryview(part)
    try:
        while left:
            left = left[steps.write(handle, bytes(left)) :]
    except OSError as error:
        _name(error, path)
        raise


def make_folders(steps: FileSteps, folder: Path, *, mode: int = FOLDER_MODE) -> None:
    """Make a folder, and those above it, where they are missing; each is on the disk then."""
    if folder.is_dir():
        return
    make_folders(steps, folder.parent, mode=mode)
    with suppress(FileExistsError):
        steps.make_folder(folder, mode)
    sync_folder(steps, folder.parent)


def sync_folder(steps: FileSteps, folder: Path) -> None:
    """Put a folder's entries on the disk: a rename in it survives a power cut from here on."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    handle = steps.open(folder, flags, 0)
    try:
        _ask(steps.sync, handle, folder)
    finally:
        _ask(steps.close, handle, folder)


def _ask(step: Callable[[int], None], handle: int, path: Path) -> None:
    try:
        step(handle)
    except OSError as error:
        _name(error, path)
        raise


def _name(error: OSError, path: Path) -> None:
    """Give an error the path that the system leaves out where it was asked by a handle."""
    if error.filename is None:
        error.filename = str(path)
