"""The lock file: one holder at a time, whatever happens to the path."""

import multiprocessing
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mentat_reporter.errors import EXIT_BUSY, EXIT_USAGE, LockBusyError, UsageError
from mentat_reporter.lock import SimpleFlock

HOLD = """
import sys
from mentat_reporter.lock import SimpleFlock
with SimpleFlock(sys.argv[1], timeout=0):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@contextmanager
def another_holder(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield holder
        finally:
            assert holder.stdin is not None
            holder.stdin.close()


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_the_file_names_its_holder_and_is_gone_afterwards(path: Path) -> None:
    with SimpleFlock(path) as lock:
        assert lock.path == path
        assert path.read_text() == f"{os.getpid()}\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    assert not path.exists()


def test_the_lock_is_let_go_when_the_block_raises(path: Path) -> None:
    with pytest.raises(KeyError), SimpleFlock(str(path)):
        raise KeyError

    with SimpleFlock(path, timeout=0):
        pass


def test_a_second_process_is_told_who_holds_the_lock(path: Path) -> None:
    with another_holder(path) as holder, pytest.raises(LockBusyError) as caught, SimpleFlock(path, timeout=0):
        pass

    assert str(holder.pid) in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == EXIT_BUSY


def test_being_refused_does_not_touch_the_holders_file(path: Path) -> None:
    with another_holder(path) as holder:
        before = inode(path)
        with pytest.raises(LockBusyError):
            SimpleFlock(path, timeout=0.1).acquire()

        assert path.read_text() == f"{holder.pid}\n"
        assert inode(path) == before
    assert not path.exists()


def test_a_timeout_is_waited_for(path: Path) -> None:
    with another_holder(path):
        begin = time.monotonic()
        with pytest.raises(LockBusyError):
            SimpleFlock(path, timeout=0.3).acquire()

    assert 0.3 <= time.monotonic() - begin < 5


@pytest.mark.parametrize("timeout", [None, 30])
def test_a_lock_that_gets_free_in_time_is_taken(path: Path, timeout: float | None) -> None:
    with another_holder(path) as holder:
        assert holder.stdin is not None
        holder.stdin.close()
        with SimpleFlock(path, timeout=timeout):
            assert path.read_text() == f"{os.getpid()}\n"


def test_a_killed_holder_leaves_only_a_stale_file_which_is_reused(path: Path) -> None:
    with another_holder(path) as holder:
        holder.kill()
        holder.wait()
        assert path.exists()

        with SimpleFlock(path, timeout=0):
            assert path.read_text() == f"{os.getpid()}\n"


def test_old_contents_are_emptied(path: Path) -> None:
    path.write_text("4711\nand much more\n")

    with SimpleFlock(path, timeout=0):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_loose_mode_is_tightened(path: Path) -> None:
    path.touch()
    path.chmod(0o666)

    with SimpleFlock(path, timeout=0):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_umask_does_not_matter(path: Path) -> None:
    before = os.umask(0)
    try:
        with SimpleFlock(path, timeout=0):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_symbolic_link_is_refused_and_its_target_untouched(path: Path) -> None:
    target = path.with_name("precious")
    target.write_text("data")
    path.symlink_to(target)

    with pytest.raises(UsageError, match=r"symbolic link.*set another lock_file") as caught:
        SimpleFlock(path, timeout=0).acquire()

    assert caught.value.exit_code == EXIT_USAGE
    assert target.read_text() == "data"


def test_a_dangling_symbolic_link_creates_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("missing"))

    with pytest.raises(UsageError, match="symbolic link"):
        SimpleFlock(path, timeout=0).acquire()

    assert not path.with_name("missing").exists()


def test_a_hard_link_is_refused_and_its_other_name_untouched(path: Path) -> None:
    target = path.with_name("precious")
    target.write_text("data")
    path.hardlink_to(target)

    with pytest.raises(UsageError, match="second name"):
        SimpleFlock(path, timeout=0).acquire()

    assert target.read_text() == "data"


def test_a_directory_is_refused(path: Path) -> None:
    path.mkdir()

    with pytest.raises(UsageError, match="is a directory"):
        SimpleFlock(path, timeout=0).acquire()


def test_a_fifo_is_refused_without_waiting_for_a_writer(path: Path) -> None:
    os.mkfifo(path)

    with pytest.raises(UsageError, match="not a regular file"):
        SimpleFlock(path, timeout=0).acquire()


def test_a_missing_directory_is_named_with_its_cure(path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist; create that"):
        SimpleFlock(path / "deeper", timeout=0).acquire()


def test_a_file_in_the_place_of_the_directory_is_refused(path: Path) -> None:
    path.touch()

    with pytest.raises(UsageError, match="parent is not a directory"):
        SimpleFlock(path / "deeper", timeout=0).acquire()


def try_as_nobody(path: Path, answer: "multiprocessing.SimpleQueue[str]") -> None:
    os.setuid(65534)
    try:
        SimpleFlock(path, timeout=0).acquire()
    except UsageError as error:
        answer.put(str(error))
    else:
        answer.put("got it")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_somebody_elses_unreadable_file_is_refused_with_a_cure() -> None:
    context = multiprocessing.get_context("fork")
    answer: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
    with TemporaryDirectory() as folder:
        path = Path(folder, "lock")
        path.touch(mode=0o600)
        path.parent.chmod(0o755)

        child = context.Process(target=try_as_nobody, args=(path, answer))
        child.start()
        child.join()

    assert answer.get() == (
        f"lock file {path} cannot be opened: Permission denied; "
        "check its owner and mode, or remove it or set another lock_file"
    )


def test_a_file_that_a_stranger_replaced_is_not_deleted(path: Path) -> None:
    with SimpleFlock(path, timeout=0):
        path.unlink()
        path.write_text("a stranger's")

    assert path.read_text() == "a stranger's"


def test_a_file_that_a_stranger_deleted_is_no_error_on_release(path: Path) -> None:
    with SimpleFlock(path, timeout=0):
        path.unlink()

    assert not path.exists()


def test_an_inode_that_lost_its_name_between_opening_and_locking_is_opened_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    open_really = os.open

    def open_then_lose_name(*arguments: object) -> int:
        handle = open_really(*arguments)  # type: ignore[arg-type]
        opened.append(handle)
        if len(opened) == 1:
            path.unlink()
        return handle

    monkeypatch.setattr(os, "open", open_then_lose_name)

    with SimpleFlock(path, timeout=0):
        assert len(opened) == 2
        assert path.read_text() == f"{os.getpid()}\n"


def test_one_object_cannot_lock_twice(path: Path) -> None:
    with SimpleFlock(path) as lock, pytest.raises(RuntimeError, match="already locked"):
        lock.acquire()


def test_releasing_twice_is_harmless(path: Path) -> None:
    lock = SimpleFlock(path)
    lock.acquire()
    lock.release()
    lock.release()


def test_a_forked_child_does_not_delete_its_parents_lock(path: Path) -> None:
    with SimpleFlock(path, timeout=0) as lock:
        child = multiprocessing.get_context("fork").Process(target=lock.release)
        child.start()
        child.join()

        assert path.exists()
        with pytest.raises(LockBusyError):
            SimpleFlock(path, timeout=0).acquire()


def work(path: Path, log: Path, rounds: int) -> None:
    """Enter and leave; inside, note it in two steps that any other process in between would tear apart."""
    for _ in range(rounds):
        with SimpleFlock(path, timeout=60), log.open("a", buffering=1) as file:
            file.write(f"in {os.getpid()}\n")
            file.write(f"out {os.getpid()}\n")


def test_two_hundred_races_have_one_winner_each(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mentat_reporter.lock.POLL", 0.0001)
    log = path.with_name("log")
    context = multiprocessing.get_context("fork")
    runners = [context.Process(target=work, args=(path, log, 100)) for _ in range(2)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()

    lines = log.read_text().splitlines()
    assert [runner.exitcode for runner in runners] == [0, 0]
    assert len(lines) == 400
    for entered, left in zip(lines[::2], lines[1::2], strict=True):
        assert entered.replace("in", "out") == left
    assert not path.exists()
