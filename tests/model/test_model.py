"""The program stores exactly the reports that the model expects, world by world."""

from __future__ import annotations

import os

import pytest

from .harness import PROGRAM, differences

SEEDS = int(os.environ.get("MENTAT_REPORTER_MODEL_SEEDS", "12"))


@pytest.mark.skipif(not PROGRAM.exists(), reason="the program is not there yet")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_program_agrees_with_the_model(seed: int, database: str) -> None:
    found = differences(seed, database)

    assert not found, "\n".join(found)
