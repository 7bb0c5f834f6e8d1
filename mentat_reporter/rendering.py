"""Templates of a site, without trust: within a time limit, and with what ships where they fail."""

import signal
import threading
import time
from collections.abc import Callable
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeVar

from mentat_reporter.core.model import Report
from mentat_reporter.errors import TemplateError
from mentat_reporter.session import Session

PATIENCE: Final = 30.0
"""Seconds that a template may take for a report (docs/reliability.md)."""

if TYPE_CHECKING:
    from mentat_reporter.render.view import View

MOST: Final = 1_000
"""Views that are kept at a time, each some kilobytes for every address."""

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
            return _limited(own)
        except TemplateError as error:
            if time.monotonic() - begun >= PATIENCE:
                session.slow_templates.add(key)
            session.quarantine("template", f"{template}/{kind}", str(error))
            session.fail(f"template {template}: {error}; the shipped default is used")
    return _limited(shipped)


def _limited(work: Callable[[], Done]) -> Done:
    """Raise TemplateError in work that takes longer. Only the main thread can be interrupted so."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    _catch_alarms()
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@cache
def _catch_alarms() -> None:
    """Take the signal for this process, once: each time would cost a twentieth of a rendering."""
    signal.signal(signal.SIGALRM, _expire)


def _expire(_number: int, _frame: FrameType | None) -> None:
    raise TemplateError(f"takes longer than {PATIENCE:.0f} s")


class Views:
    """What is made once for a report's page and its mail, from the one to the other."""

    def __init__(self) -> None:
        self._kept: dict[str, View] = {}

    def clear(self) -> None:
        """Keep none of a unit that failed half way."""
        self._kept.clear()

    def of(self, session: Session, report: Report) -> "View":
        """Return how a report's reader meets it, to be kept for its mail if it gets one."""
        seen = session.today.templates.seen(report)
        if report.mail is not None and len(self._kept) < MOST:
            self._kept[report.label] = seen
        return seen

    def take(self, report: Report) -> "View | None":
        """Return what was kept, and keep it no longer."""
        return self._kept.pop(report.label, None)
