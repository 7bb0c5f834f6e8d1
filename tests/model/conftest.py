from collections.abc import Callable, Mapping

import pytest
from model.server import url_of


@pytest.fixture
def empty_database(make_database: Callable[..., Mapping[str, str]]) -> str:
    """Give the URL of a fresh, empty database."""
    return url_of(make_database(empty=True))
