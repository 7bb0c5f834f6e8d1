"""Files are whole or not there, whatever step fails."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mentat_reporter.files import FileSteps, make_folders, put, sync_folder

STEPS = [step.name for step in fields(FileSteps)]


def noting(said: list[str], **faults: OSError) -> FileSteps:
    """Return steps that note their names, and fail where a fault is given."""

    def step(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            said.append(name)
            if name in faults:
                raise faults[name]
            return real(*arguments)

        return call

    plain = FileSteps()
    return FileSteps(**{name: step(name, getattr(plain, name)) for name in STEPS})


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture(autouse=True)
def _open_umask() -> Any:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    said: list[str] = []

    put(noting(said), tmp_path / "a", [b"one ", b"two"])

    assert said == ["open", "write", "write", "sync", "close", "rename"]
    assert (tmp_path / "a").read_bytes() == b"one two"
    assert names(tmp_path) == ["a"]


def test_files_and_folders_are_never_more_open_than_they_should_be(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "20261122"

    make_folders(FileSteps(), folder)
    put(FileSteps(), folder / "a", [b"x"])
    put(FileSteps(), folder / "b", [b"x"], mode=0o600)

    assert [mode_of(path) for path in (folder.parent, folder, folder / "a", folder / "b")] == [
        0o750, 0o750, 0o640, 0o600,
    ]  # fmt: skip


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    make_folders(FileSteps(), tmp_path)

    assert mode_of(tmp_path) == 0o700


def test_a_new_folder_is_put_on_the_disk_with_those_above_it(tmp_path: Path) -> None:
    said: list[str] = []

    make_folders(noting(said), tmp_path / "a" / "b")

    assert said == ["make_folder", "open", "sync", "close"] * 2


@pytest.mark.parametrize("step", ["open", "write", "sync", "close", "rename"])
def test_a_step_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path, step: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    with pytest.raises(OSError, match="full"):
        put(noting([], **{step: OSError(28, "disk full")}), path, [b"new"])

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("step", ["write", "sync", "close"])
def test_a_step_that_fails_on_an_open_file_names_the_file(tmp_path: Path, step: str) -> None:
    path = tmp_path / "a"

    with pytest.raises(OSError, match="disk full") as raised:
        put(noting([], **{step: OSError(28, "disk full")}), path, [b"new"])

    assert str(raised.value) == f"[Errno 28] disk full: '{path}'"


@pytest.mark.parametrize("step", ["sync", "close"])
def test_a_step_that_fails_on_an_open_folder_names_the_folder(tmp_path: Path, step: str) -> None:
    with pytest.raises(OSError, match="disk full") as raised:
        sync_folder(noting([], **{step: OSError(28, "disk full")}), tmp_path)

    assert raised.value.filename == str(tmp_path)


def test_content_that_cannot_be_read_is_not_blamed_on_the_file_that_is_written(tmp_path: Path) -> None:
    def unreadable() -> Iterator[bytes]:
        raise OSError(5, "cannot be read")
        yield b""

    with pytest.raises(OSError, match="cannot be read") as raised:
        put(FileSteps(), tmp_path / "a", unreadable())

    assert raised.value.filename is None


def test_what_a_killed_run_left_half_written_is_replaced(tmp_path: Path) -> None:
    class KilledError(BaseException):
        pass

    def killed(_source: Path, _target: Path) -> None:
        raise KilledError

    path = tmp_path / "a"
    unable = replace(FileSteps(), rename=killed, remove=lambda _path: None)
    with pytest.raises(KilledError):
        put(unable, path, [b"a long text, half of which is written"])
    assert len(names(tmp_path)) == 1

    put(FileSteps(), path, [b"short"])

    assert path.read_bytes() == b"short"
    assert names(tmp_path) == ["a"]


def test_a_symbolic_link_in_the_drafts_place_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    (tmp_path / ".a.part").symlink_to(other)

    with pytest.raises(OSError, match="symbolic"):
        put(FileSteps(), tmp_path / "a", [b"x"])

    assert other.read_bytes() == b"mine"


@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(min_value=1, max_value=7))
def test_a_disk_that_takes_little_at_a_time_gets_all(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], portion: int
) -> None:
    path = tmp_path_factory.mktemp("files") / "a"
    stingy = replace(FileSteps(), write=lambda handle, data: os.write(handle, data[:portion]))

    put(stingy, path, parts)

    assert path.read_bytes() == b"".join(parts)


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync_folder(FileSteps(), tmp_path / "gone")
