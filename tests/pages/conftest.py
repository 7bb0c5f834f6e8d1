"""What the tests of pages share: the browser, and pages to look at."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages.chromium import chromium
from pages.sample import make_sample
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Give a Chromium that all tests share."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def sample() -> Iterator[dict[str, Path]]:
    """Give pages of a real run by their names; its server's user must reach the folder."""
    place = Path(tempfile.mkdtemp(prefix="mentat-reporter-pages-"))
    try:
        yield make_sample(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
