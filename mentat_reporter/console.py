"""What a person at the terminal sees: one line a message, one line of progress."""

import logging
import shutil
import sys
from typing import Final, TextIO

LABEL: Final = "mentat-reporter"


class OneLine(logging.Formatter):
    """`mentat-reporter: text`; tracebacks are the log file's."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno >= logging.ERROR else f"{record.levelname.lower()}: "
        return f"{LABEL}: {level}{record.getMessage()}"


class Progress:
    """One line on a terminal, rewritten in place; elsewhere nothing."""

    def __init__(self, stream: TextIO, *, wanted: bool) -> None:
        self._stream = stream
        self._wanted = wanted and stream.isatty()
        self._shown = False

    def __call__(self, text: str) -> None:
        if self._wanted:
            line = "".join(letter for letter in text if letter.isprintable())
            self._stream.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
            self._stream.flush()
            self._shown = True

    def clear(self) -> None:
        """Make place for a message."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False


def complain(text: object) -> None:
    print(f"{LABEL}: {text}", file=sys.stderr)  # noqa: T201 - the log may not exist yet
