"""SIGTERM and SIGINT, put off for as long as a mail is under way."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def put_off(log: logging.Logger) -> Iterator[None]:
    """Let the block finish before a signal that ends the run is obeyed; a second one is obeyed at once.

    Only the main thread gets signals; in another this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if caught:
            restore()
            signal.raise_signal(number)
        caught.append(number)
        log.warning(
            "%s: stopping when the mail under way is settled; once more to stop at once",
            signal.Signals(number).name,
        )

    before = {number: signal.signal(number, note) for number in STOPPING}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        yield
    finally:
        restore()
        if caught:
            signal.raise_signal(caught[0])
