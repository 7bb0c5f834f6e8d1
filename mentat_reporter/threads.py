"""Which mails a mail answers, so that mail programs show together what is told of one problem."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from mentat_reporter.core.model import Problem, Report
from mentat_reporter.render.message import Answers
from mentat_reporter.store.mailed import ToldBy

Answering = Callable[[Report, str | None], Answers | None]
"""A report, and the Message-ID of its summary if that is mailed → what its own mail answers."""

MOST: Final = 20
"""Mails that one names; a report of many problems would name as many."""


class Threads(NamedTuple):
    """How the recurring problems of a unit were first told, as far as there is mail of it."""

    first: Mapping[Problem, str] = {}
    """By problem, the label of the report that told of it first."""
    mails: Mapping[str, ToldBy] = {}
    """By label; a report that was not mailed is not in it."""

    def kept(self) -> dict[Problem, str]:
        """Return the first reports that can be answered; where there is none, a thread begins anew."""
        return {problem: label for problem, label in self.first.items() if label in self.mails}

    def answers(self, report: Report, summary: str | None) -> Answers | None:
        """Return what the mail of a report answers, None if nothing.

        `summary` is the Message-ID of an extra report's summary, None if that is not mailed. It comes
        before the mails that first told of what recurs; of those the oldest is the one answered.
        """
        oldest_first = self._mails_of(report)
        if summary is not None:
            return Answers(summary, (*oldest_first[: MOST - 1], summary))
        if not oldest_first:
            return None
        parent, *others = oldest_first[:MOST]
        return Answers(parent, (*others, parent))

    def _mails_of(self, report: Report) -> list[str]:
        problems = (Problem(report.shadow, line.event_class, line.address) for line in report.relapsed)
        labels = {self.first[problem] for problem in problems if problem in self.first}
        found = (self.mails[label] for label in labels if label in self.mails)
        return [mail for _, mail in sorted({told.like(report.type == "extra") for told in found})]


NO_THREADS: Final = Threads()
