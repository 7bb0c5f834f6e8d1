"""ransack's parser, built once, with its grammar cache in a place that is ours alone.

lark's cache is a pickle: whoever can write the file runs code in our process. It is used only in a folder
that belongs to us, that nobody else may enter, and that nobody else can put another folder in place of.
Without it every run spends some 50 ms on building the tables anew.
"""

import os
import stat
import tempfile
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Final

from ransack import Parser

_VARIABLE: Final = "RANSACK_CACHE_PATH"
# The library always wants a cache file. This one can neither be read nor written, by root neither.
_NO_CACHE: Final = Path(os.devnull) / "no-grammar-cache"
_building = Lock()


@cache
def parser() -> Parser:
    with _building:
        return _build(_cache_file())


def _build(cache_file: Path) -> Parser:
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = str(cache_file)
    try:
        return Parser()
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


def _cache_file() -> Path:
    """Find a private place: in the reporter's home, or a folder of ours under the temporary one."""
    home = os.environ.get("MENTAT_REPORTER_HOME")
    places = [Path(home) / "cache"] if home else []
    places.append(Path(tempfile.gettempdir()) / f"mentat-reporter-{os.geteuid()}")
    for folder in places:
        file = folder / "ransack-grammar"
        if _is_private(folder) and _is_ours_or_missing(file):
            return file
    return _NO_CACHE


def _is_private(folder: Path) -> bool:
    """Make the folder if it is missing; say whether it is ours, closed to others, and cannot be swapped."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        around = folder.parent.stat()
        found = folder.lstat()
    except OSError:
        return False
    swappable = around.st_mode & 0o022 and not around.st_mode & stat.S_ISVTX
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not found.st_mode & 0o077
        and around.st_uid in {0, os.geteuid()}
        and not swappable
    )


def _is_ours_or_missing(file: Path) -> bool:
    try:
        found = file.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
