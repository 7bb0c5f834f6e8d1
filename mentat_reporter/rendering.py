"""Templates of a site, without trust: within a time limit, and with what ships where they fail."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, TypeVar

from mentat_reporter.errors import TemplateError
from mentat_reporter.session import Session

PATIENCE: Final = 30.0
"""Seconds that a template may take for a report (docs/reliability.md)."""

Done = TypeVar("Done")


def rendered(
    session: Session,
    template: str,
    kind: str,
    locale: str,
    own: Callable[[], Done],
    shipped: Callable[[], Done],
) -> Done:
    """Return what `own` renders; if that fails, what `shipped` does, and say so.

    `template`, `kind` and `locale` name what is rendered: what ran out of time is not asked again in this
    run. Raises TemplateError if what ships fails as well.
    """
    key = (template, kind, locale)
    if key not in session.slow_templates:
        begun = time.monotonic()
        try:
            with _time_limit(PATIENCE):
                return own()
        except TemplateError as error:
            if time.monotonic() - begun >= PATIENCE:
                session.slow_templates.add(key)
            session.quarantine("template", f"{template}/{kind}", str(error))
            session.fail(f"template {template}: {error}; the shipped default is used")
    with _time_limit(PATIENCE):
        return shipped()


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TemplateError in a block that takes longer. Only the main thread can be interrupted so."""

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise TemplateError(f"takes longer than {seconds:.0f} s")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
