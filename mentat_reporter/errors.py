"""What can go wrong, and the exit code that says so.

    ReporterError                  anything the reporter itself raises
    ├── UsageError                 2: the command line or the configuration is wrong
    ├── LockBusyError              75: another run holds the lock
    ├── InputError                 1: an import file as a whole cannot be taken
    ├── RuleError                  a filter or class rule does not compile, or fails on an event
    ├── MessageError               an event cannot be read as an IDEA message
    ├── TemplateError              a template cannot be found or rendered
    ├── MailError                  a mail cannot be built or its addresses are wrong
    ├── FilesError                 the files of a report cannot be written
    ├── WorkerLostError            a worker process ended in the middle of its work
    ├── EmbeddedError              1: the embedded PostgreSQL cannot be had
    └── StoreError                 1: the database is missing, unreachable or not initialised
        └── LostDatabaseError      75: the database went away during a run and did not come back

Messages name the thing (group, filter, file, line, option) and the cure.
"""

from collections.abc import Sequence
from typing import Final

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_PARTLY: Final = 3
EXIT_BUSY: Final = 75  # EX_TEMPFAIL of sysexits.h: try again later


class ReporterError(Exception):
    """Base of every error that the reporter raises on purpose."""

    exit_code: int = EXIT_FAILED


class UsageError(ReporterError):
    """The command line or the configuration asks for something that cannot be done."""

    exit_code = EXIT_USAGE


class LockBusyError(ReporterError):
    """Another run holds the lock."""

    exit_code = EXIT_BUSY


class InputError(ReporterError):
    """A file to be imported is refused as a whole; its faults are in the text."""


class RuleError(ReporterError):
    """A rule does not compile, or it fails on an event."""


class MessageError(ReporterError):
    """A stored event cannot be read as an IDEA message."""


class TemplateError(ReporterError):
    """A template cannot be found or rendered."""


class MailError(ReporterError):
    """A mail cannot be built, or an address in it is not one."""


class FilesError(ReporterError):
    """The files of a report cannot be written."""


class WorkerLostError(ReporterError):
    """A worker process ended in the middle of its work; `units` are the numbers of those that it left."""

    def __init__(self, text: str, units: Sequence[int]) -> None:
        super().__init__(text)
        self.units = units


class EmbeddedError(ReporterError):
    """The embedded PostgreSQL cannot be installed, started or reached."""


class StoreError(ReporterError):
    """The database is missing, unreachable or not initialised."""


class LostDatabaseError(StoreError):
    """The database went away during a run and did not come back in time; the next run goes on."""

    exit_code = EXIT_BUSY
