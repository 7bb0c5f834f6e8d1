"""What the tests of faults share: arenas of the sweep, and the figures at the end."""

from collections.abc import Callable, Iterator
from typing import Final

import pytest
from faults.arena import Arena
from faults.sweep import Sum

FIGURES: Final = "sweep"


@pytest.fixture(scope="session")
def arenas() -> Iterator[Callable[[bool], Arena]]:
    """Give arenas for this process, whose events have a server of their own or not; made when asked for."""
    made: dict[bool, Arena] = {}

    def arena(apart: bool) -> Arena:
        if apart not in made:
            made[apart] = Arena(apart=apart)
        return made[apart]

    yield arena
    for each in made.values():
        each.close()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[Sum], None]:
    """Give what adds a sum to the figures at the end."""
    return lambda total: request.node.user_properties.append((FIGURES, vars(total)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    total = Sum()
    for tests in terminalreporter.stats.values():
        for test in tests:
            for name, value in getattr(test, "user_properties", ()):
                if name == FIGURES and test.when == "call":
                    total += Sum(**value)
    if total.points:
        terminalreporter.write_line(f"sweep: {total}")
