"""Installations of Mentat 2.15, each test with one of its own."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mentat.installation import Dsn, Installation, ip4r_server, missing


@pytest.fixture(scope="session")
def mentat_server() -> Iterator[Dsn]:
    """Give a PostgreSQL 15 with ip4r; without it tests are skipped, but not by `make test-mentat`."""
    if lacking := missing():
        reason = f"needs {' and '.join(lacking)}"
        if os.environ.get("MENTAT_REPORTER_MAY_NOT_SKIP"):
            pytest.fail(reason)
        pytest.skip(reason)
    with ip4r_server(Path(tempfile.mkdtemp(prefix="mentat-test-"))) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def mentat_template(mentat_server: Dsn) -> Iterator[Installation]:
    """Give databases with the schema that Mentat's own code makes; never connected to again."""
    made = Installation(mentat_server)
    made.create()
    made.ask_mentat("create_schema")
    yield made
    made.drop()


@pytest.fixture
def mentat(mentat_server: Dsn, mentat_template: Installation) -> Iterator[Installation]:
    """Give a fresh installation: Mentat's tables, empty; none of the reporter's."""
    made = Installation(mentat_server)
    made.create(of=mentat_template)
    yield made
    made.drop()
