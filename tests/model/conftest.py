from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .server import fresh_database, server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    """Yield the libpq URL of a fresh, empty database."""
    with fresh_database(server_url) as url:
        yield url
