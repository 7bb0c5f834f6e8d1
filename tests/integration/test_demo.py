"""`demo`: a database of its own, five runs, and what etc/sample/README.md promises of them."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import compiled_catalogues

from mentat_reporter.demo import run_demo
from mentat_reporter.errors import UsageError
from mentat_reporter.settings import Settings, build_settings

LOG = logging.getLogger("mentat_reporter.test")


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Give settings whose home has a blank in its name, where another user can go too."""
    compiled_catalogues()
    folder = Path(tempfile.mkdtemp(prefix="demo test."))
    folder.chmod(0o755)
    yield build_settings({}, home=folder / "a home")[0]
    shutil.rmtree(folder)


def table(lines: list[str]) -> list[dict[str, int]]:
    """Return the rows of the table at the end, by column."""
    [head] = [number for number, line in enumerate(lines) if line.startswith("run as of")]
    columns = lines[head].split()[3:]
    rows = [line.split(" UTC")[1].split() for line in lines[head + 1 : head + 6]]
    return [dict(zip(columns, map(int, row), strict=True)) for row in rows]


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_the_demo_shows_all_that_its_readme_promises_twice_in_a_row(settings: Settings, umask: None) -> None:
    assert umask is None
    said: list[list[str]] = []
    for _ in range(2):
        lines: list[str] = []
        assert run_demo(settings, LOG, lines.append) == 0
        said.append(lines)

    first, second = map(table, said)
    assert first == second
    assert len(first) == 5
    assert all(row["events"] >= row["reported"] for row in first)
    sums = {name: sum(row[name] for row in first) for name in first[0]}
    assert all(sums.values()), sums
    held, relapsed = ([row[name] for row in first] for name in ("held", "relapsed"))
    assert held[0] == relapsed[0] == relapsed[1] == 0  # nothing was known before
    assert held[1] > 0
    assert relapsed[3] > 0  # scan and spam
    assert relapsed[4] > 0  # the customer's scan, the range
    maildir = settings.home / "demo" / "maildir" / "new"
    assert len(list(maildir.iterdir())) == sums["mails"]
    assert any(f"{sums['mails']} mails lie in" in line for line in said[1])
    assert not any("import" in line and "fault" in line for line in said[1])
    assert not (settings.home / "maildir").exists()


def test_a_folder_that_no_demo_made_is_not_touched(settings: Settings) -> None:
    precious = settings.home / "demo" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("data")

    with pytest.raises(UsageError, match="is not a folder of the demo's"):
        run_demo(settings, LOG, lambda _line: None)

    assert precious.read_text() == "data"
