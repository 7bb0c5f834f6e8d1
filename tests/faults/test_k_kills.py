"""K1 to K3: a run that is killed anywhere loses nothing, and tells nothing twice."""

from collections.abc import Callable, Sequence
from typing import Final

import pytest
from faults.arena import Arena
from faults.sweep import VARIANTS, Sum, Variant, pairs, play, singles

PARTS: Final = range(16)
"""In how many tests a sweep is divided, for as many processes as there are."""
PAIRS: Final = 64
DRAWN: Final = "150"
"""Kills of a run that differs in its surroundings alone; `make sweep` does all of them."""
SEED: Final = 2026
FEWEST: Final = 150
"""Boundaries that the run at least has."""

Arenas = Callable[[bool], Arena]
Figures = Callable[[Sum], None]


def sweep(arena: Arena, variant: Variant, points: Sequence[tuple[int, ...]], part: int) -> Sum:
    """Play a part of the points; return the figures, and fail if one is bad."""
    verdicts = [play(arena, variant, fatal) for fatal in points[part :: len(PARTS)]]
    assert [str(verdict) for verdict in verdicts if verdict.is_bad] == []
    total = Sum()
    for verdict in verdicts:
        total.add(verdict)
    return total


@pytest.mark.parametrize("part", PARTS)
def test_k1_a_run_killed_at_any_boundary_is_made_good_by_the_next(
    arenas: Arenas, figures: Figures, part: int
) -> None:
    arena = arenas(False)
    points = singles(arena.boundaries("smtp"), "all", SEED)
    assert len(points) >= FEWEST
    total = sweep(arena, VARIANTS["plain"], points, part)
    assert total.killed == total.points
    figures(total)


@pytest.mark.parametrize("part", PARTS)
def test_k1_so_is_one_in_a_busy_server(arenas: Arenas, figures: Figures, part: int) -> None:
    arena = arenas(False)
    points = singles(arena.boundaries("smtp"), DRAWN, SEED)
    figures(sweep(arena, VARIANTS["noisy"], points, part))


@pytest.mark.parametrize("part", PARTS)
def test_k1_so_is_one_that_delivers_to_a_maildir(arenas: Arenas, figures: Figures, part: int) -> None:
    arena = arenas(False)
    points = singles(arena.boundaries("maildir"), DRAWN, SEED)
    figures(sweep(arena, VARIANTS["maildir"], points, part))


@pytest.mark.parametrize("variant", ["writer-quiet", "writer-noisy"])
@pytest.mark.parametrize("part", PARTS)
def test_k2_what_was_stored_while_it_ran_and_is_committed_after_recovery_is_told_once(
    arenas: Arenas, figures: Figures, variant: str, part: int
) -> None:
    chosen = VARIANTS[variant]
    arena = arenas(chosen.apart)
    figures(sweep(arena, chosen, singles(arena.boundaries("smtp"), "telling", SEED), part))


@pytest.mark.parametrize("variant", ["plain", "writer-quiet"])
@pytest.mark.parametrize("part", PARTS)
def test_k3_a_recovery_that_is_killed_too_is_made_good(
    arenas: Arenas, figures: Figures, variant: str, part: int
) -> None:
    chosen = VARIANTS[variant]
    arena = arenas(chosen.apart)
    figures(sweep(arena, chosen, pairs(arena.boundaries("smtp"), PAIRS, SEED), part))


def test_k1_a_run_that_is_not_killed_has_boundaries_of_every_kind(arenas: Arenas) -> None:
    names = arenas(False).boundaries("smtp")
    kinds = (
        "statement", "fetch", "commit", "after commit", "rollback", "smtp connect", "smtp EHLO", "smtp MAIL",
        "smtp RCPT", "smtp DATA", "smtp body", "smtp final dot", "after smtp final dot", "smtp RSET",
        "smtp QUIT", "file open", "file write", "file sync", "file rename",
    )  # fmt: skip
    assert [kind for kind in kinds if not any(name.startswith(kind) for name in names)] == []
