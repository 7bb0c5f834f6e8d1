"""What a round keeps for its units is found again, whether in memory or on the disk."""

import errno
import os
import tempfile
from typing import Any

import orjson
import pytest
from factories_core import finding, sighting, stored
from hypothesis import given
from hypothesis import strategies as st
from strategies import messages

from mentat_reporter import shelf as shelving
from mentat_reporter.core.aggregate import entries
from mentat_reporter.core.idea import read_event
from mentat_reporter.core.intake import Intake, RuleBook, take_in
from mentat_reporter.core.model import Event, Sighting
from mentat_reporter.errors import FilesError
from mentat_reporter.shelf import Intakes, Key, Shelf

ALICE: Key = ("abuse@alice.example", "source")
BOB: Key = ("abuse@bob.example", "source")
limits = st.sampled_from([0, 100, 1000, 1 << 20])


def kept(shelf: Shelf, event_id: str, message: dict[str, Any]) -> Event:
    """Return an event whose message is on the shelf."""
    text = orjson.dumps(message)
    row = stored(event_id, eventclass="scan", eventseverity="low")
    return read_event(row, message, "low", messages=shelf, place=shelf.keep(text, message))


@given(st.lists(st.tuples(messages, st.booleans()), max_size=12), limits)
def test_a_message_is_found_at_its_place(came: list[tuple[dict[str, Any], bool]], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelving, "RECENT", limit)
        shelf = Shelf()
        places: list[tuple[int, bytes]] = []
        for message, stays in came:
            text = orjson.dumps(message)
            place = shelf.keep(text, message)
            if stays:
                places.append((place, text))
            else:
                shelf.drop(place)

        for place, text in reversed(places):
            assert shelf.text(place) == text
            assert shelf[place] == orjson.loads(text)


def test_a_message_is_read_once_for_many_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelving, "DECODED", 0)
    shelf = Shelf()
    read: list[bytes] = []
    one, two = shelf.keep(b'{"a": 1}', {"a": 1}), shelf.keep(b'{"b": 2}', {"b": 2})

    def decode(text: bytes) -> Any:
        read.append(text)
        return orjson.loads(text)

    monkeypatch.setattr(shelving, "decode", decode)

    assert [shelf[place] for place in (two, two, one, one, one)] == [{"b": 2}] * 2 + [{"a": 1}] * 3
    assert read == [b'{"a": 1}']


@given(st.lists(st.tuples(st.sampled_from([ALICE, BOB]), messages), max_size=10), st.integers(0, 12))
def test_an_intake_is_whole_however_much_of_it_was_put_on_the_disk(
    came: list[tuple[Key, dict[str, Any]]], limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelving, "SIGHTINGS", limit)
        shelf = Shelf()
        intakes = Intakes(shelf)
        expected: dict[Key, Intake] = {}
        for number, (key, message) in enumerate(came):
            seen = sighting(kept(shelf, str(number), message), chain=(key[0],))
            taken = take_in(intakes.open(key), [seen], RuleBook([]), {})
            take_in(expected.setdefault(key, Intake()), [seen], RuleBook([]), {})
            intakes.added(key, taken)

        assert intakes.keys() == sorted(expected)
        for key, whole in expected.items():
            assert intakes.weight(key) == len(whole.sightings)
            assert facts(intakes.pop(key)) == facts(whole)
        assert intakes.keys() == []


def facts(intake: Intake) -> Any:
    def shown(one: Sighting) -> Any:
        seen = one.event
        return (
            *one[1:], seen.id, seen.storage_time, seen.message, seen.source, seen.target, seen.first_time,
            seen.last_time, seen.detectors,
        )  # fmt: skip

    return (
        list(map(shown, intake.sightings)), intake.tallies, intake.considered, intake.survived,
        intake.rule_hits, intake.detector_hits,
    )  # fmt: skip


def test_what_is_told_of_an_event_comes_from_the_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelving, "RECENT", 0)
    shelf = Shelf()
    message = {"Source": [{"IP4": ["192.0.2.1"], "Port": [22]}], "FlowCount": 3}
    seen = [kept(shelf, name, message) for name in ("one", "two")]

    [line] = entries([finding(one) for one in seen], "source")

    [detail] = line.details.values()
    assert (line.count, detail.main_numbers["FlowCount"], list(detail.source_lists["Port"])) == (2, 6, ["22"])


def test_a_unit_without_events_has_an_empty_intake() -> None:
    intakes = Intakes(Shelf())
    intakes.open(ALICE)

    assert intakes.keys() == [ALICE]
    assert intakes.pop(ALICE) == Intake()
    assert intakes.pop(BOB) == Intake()


def test_a_full_disk_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shelving, "RECENT", 0)
    monkeypatch.setattr(os, "write", full)
    shelf = Shelf()
    shelf.keep(b"{}", {})

    with pytest.raises(FilesError) as refused:
        shelf.keep(b"{}", {})

    assert str(refused.value) == (
        f"the events that are too many for the memory cannot be kept in {tempfile.gettempdir()}: "
        "No space left on device; make room there, or name another folder (TMPDIR)"
    )


def test_other_processes_read_what_was_kept_before_they_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelving, "RECENT", 10)
    shelf = Shelf()
    texts = [orjson.dumps({"number": number}) for number in range(50)]
    places = [shelf.keep(text, {}) for text in texts]

    child = os.fork()
    if child == 0:
        os._exit(0 if [shelf.text(place) for place in places] == texts else 1)

    assert [shelf.text(place) for place in places] == texts
    assert os.waitpid(child, 0)[1] == 0
