"""What a run did: counts, what failed, what an operator should know."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from mentat_reporter.core.model import Severity, Window
from mentat_reporter.errors import EXIT_DONE, EXIT_PARTLY

COLUMNS: Final = (
    "events", "reported", "held", "relapsed", "filtered", "doubtful", "unowned", "bad", "reports", "mails",
)  # fmt: skip
"""`doubtful`: of low credibility. `bad`: could not be used, kept in quarantine."""


@dataclass(slots=True)
class RunResult:
    """Counts by severity, failures (exit code 3) and notes."""

    counts: dict[Severity, Counter[str]] = field(default_factory=dict)
    windows: list[Window] = field(default_factory=list)
    too_soon: dict[Severity, datetime] = field(default_factory=dict)
    """When a severity that was not due yet will be."""
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    held_back: timedelta | None = None
    """How far a transaction in the events database made a window read back, where it is worth a warning."""
    delivered: Counter[str] = field(default_factory=Counter)
    plans: list[str] = field(default_factory=list)
    """What a dry run would have stored and sent."""

    def add(self, severity: Severity, **counts: int) -> None:
        self.counts.setdefault(severity, Counter()).update(counts)

    def fail(self, text: str) -> None:
        """Name a failure once; the run goes on and exits 3."""
        if text not in self.failures:
            self.failures.append(text)

    def join(self, other: "RunResult") -> None:
        """Add what a unit did that another process worked."""
        for severity, counts in other.counts.items():
            self.add(severity, **counts)
        for text in other.failures:
            self.fail(text)
        self.notes += other.notes
        self.plans += other.plans

    def total(self, column: str) -> int:
        return sum(counts[column] for counts in self.counts.values())

    @property
    def exit_code(self) -> int:
        return EXIT_PARTLY if self.failures else EXIT_DONE

    def summary_lines(self) -> list[str]:
        """Return what a person at a terminal wants to read."""
        lines = list(self.plans)
        if self.windows:
            lines += _table(self)
        elif not (self.plans or self.delivered):
            lines.append("nothing was due")
        for severity, when in self.too_soon.items():
            lines.append(f"{severity}: skipped-too-soon, due at {_minute(when)}")
        if self.delivered:
            lines.append(
                "mail: " + ", ".join(f"{count} {state}" for state, count in self.delivered.items() if count)
            )
        return lines + self._leftovers() + self.notes

    def _leftovers(self) -> list[str]:
        """Say what of the events' addresses could go to nobody."""
        told = {
            "unowned_addresses": "addresses or parts of them are in nobody's networks",
            "invalid_addresses": "entries of events are no addresses, the log names them",
            "oversized": "events are too large to be told with their details, the log names them",
            "odd_times": "events have a time outside 1970 to 2100, the log names them",
        }
        return [f"{self.total(name):,} {text}" for name, text in told.items() if self.total(name)]

    def log_line(self) -> str:
        """Return the run in one line, for the log."""
        parts = [f"{name} {self.total(name)}" for name in COLUMNS]
        parts += [
            f"{name.replace('_', ' ')} {self.total(name)}"
            for name in ("unowned_addresses", "invalid_addresses", "oversized", "odd_times")
            if self.total(name)
        ]
        parts += [f"mail {state} {count}" for state, count in self.delivered.items() if count]
        if self.held_back:
            parts.append(f"held back {self.held_back.total_seconds() / 3600:.1f} h")
        return f"{len(self.windows)} windows: " + ", ".join(parts) + f"; {len(self.failures)} failures"


@dataclass(slots=True)
class Answer:
    """What a command found that only looks: `said` line by line, and the `faults` that make it exit 3."""

    said: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return EXIT_PARTLY if self.faults else EXIT_DONE


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """Align text columns to the left and numbers to the right."""
    body = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    cells = [list(header), *body]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _table(result: RunResult) -> list[str]:
    spans: dict[Severity, list[Window]] = {}
    for window in result.windows:
        spans.setdefault(window.severity, []).append(window)
    rows = [
        [
            severity,
            f"{min(window.lo for window in found):%m-%d %H:%M}",
            f"{max(window.hi for window in found):%m-%d %H:%M}",
            *(result.counts.get(severity, Counter())[name] for name in COLUMNS),
        ]
        for severity, found in spans.items()
    ]
    return table(("severity", "from (UTC)", "to", *COLUMNS), rows)
