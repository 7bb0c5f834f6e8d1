"""What a run reaches the world by. Each is an argument, so that tests can put faults in its way."""

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mentat_reporter.files import FileSteps
from mentat_reporter.store.connection import Connection, connect


@dataclass(frozen=True, kw_only=True)
class Outside:
    """Databases, mail servers, programs, files, and waiting."""

    connect: Callable[..., Connection] = connect
    """As `store.connection.connect`."""
    open_smtp: Callable[..., Any] | None = None
    """Opens a session with a server, ready for MAIL; None: `delivery.smtp.open_session`."""
    run_program: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run
    files: FileSteps = field(default_factory=FileSteps)
    sleep: Callable[[float], None] = time.sleep
    """Seconds."""


REAL: Final = Outside()
"""The world as it is."""


def read_only(outside: Outside) -> Outside:
    """Return the world to look at: databases are read, and files that are looked at need not survive."""

    def connect(*values: Any, limits: Mapping[str, str], **more: Any) -> Connection:
        return outside.connect(*values, limits={**limits, "default_transaction_read_only": "on"}, **more)

    return replace(outside, connect=connect, files=replace(outside.files, sync=lambda _handle: None))
