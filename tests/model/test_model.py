"""The program stores exactly the reports that the model expects, world by world."""

import os

import pytest
from model.harness import differences

SEEDS = int(os.environ.get("MENTAT_REPORTER_MODEL_SEEDS", "8"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_program_agrees_with_the_model(seed: int, empty_database: str) -> None:
    found = differences(seed, empty_database)

    assert not found, "\n".join(found)
