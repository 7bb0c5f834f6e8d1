"""Files are cut into messages byte by byte, however they are written."""

import gzip
import io
import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mentat_reporter.errors import InputError
from mentat_reporter.store.message_files import Found, Source, find_messages, find_sources, salvage

MESSAGES = st.lists(
    st.dictionaries(
        st.text(max_size=4), st.text(max_size=6) | st.integers() | st.lists(st.text(max_size=3)), min_size=1
    ),
    max_size=5,
)


def cut(content: bytes) -> list[Found]:
    return list(find_messages(Source("f", lambda: nullcontext(io.BytesIO(content)))))


def messages(content: bytes) -> list[bytes]:
    return [found.message for found in cut(content) if found.fault is None]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n \n", []),
        (b'{"a": 1}', [b'{"a": 1}']),
        (b'{"a": 1}\r\n\n {"b":2} \n', [b'{"a": 1}', b' {"b":2} ']),
        (b'\xef\xbb\xbf{"a": 1}\n', [b'{"a": 1}']),
        (b"[]", []),
        (b' [ {"a": [1, {}]} ,\n\n {"b": "],\\"["}\n]\n', [b'{"a": [1, {}]}', b'{"b": "],\\"["}']),
        (b'[{"a":\n\n1}, 2,]', [b'{"a":\n\n1}', b"2"]),
        (b'[{"a":1}]\n[{"b":2}]\n{"c":3}\n', [b'{"a":1}', b'{"b":2}', b'{"c":3}']),
        (b'{\n  "a": 1\n}\n{\n  "b": 2\n}\n', [b'{\n  "a": 1\n}', b'{\n  "b": 2\n}']),
        (b'[1, 2]\nx\n{"a": 1}', [b"1", b"2", b"x", b'{"a": 1}']),
    ],
)
def test_the_messages_of_a_file_are_its_own_bytes(content: bytes, expected: list[bytes]) -> None:
    assert messages(content) == expected
    assert messages(gzip.compress(content)) == expected


@given(MESSAGES, st.sampled_from([None, 1]), st.booleans())
def test_lines_and_arrays_hold_the_same_messages(
    values: list[dict[str, object]], indent: int | None, ascii_only: bool
) -> None:
    lines = "\n".join(json.dumps(value, ensure_ascii=ascii_only) for value in values)
    array = json.dumps(values, indent=indent, ensure_ascii=ascii_only)

    for text in (lines, array):
        content = text.encode(errors="surrogatepass")
        assert [json.loads(message.decode(errors="surrogatepass")) for message in messages(content)] == values


def test_messages_longer_than_a_piece_are_whole() -> None:
    long = json.dumps({"Note": 'x,]}\\" ' * 500_000}).encode()

    assert messages(b"[" + long + b"," + long + b"]") == [long, long]
    assert messages(long + b"\n" + long) == [long, long]


def test_places_are_lines_and_elements() -> None:
    content = b'[\n{"a": 1}, {"b": 2},\n{"c":\n3}\n]\n\n{"d": 4}'

    assert [found.where for found in cut(content)] == [
        "f, line 2, element 1", "f, line 2, element 2", "f, line 3, element 3", "f, line 7",
    ]  # fmt: skip


def test_a_torn_array_is_told_and_the_messages_in_it_are_found() -> None:
    good = b'{"Format": "IDEA0", "a": 1}'
    found = cut(b"[\n" + good + b',\n{"torn": "x,\n' + good + b",\n" + good + b"\n]\n")

    assert found[0].message == good
    assert [saved.message for saved in salvage(found[1])] == [good, good]
    assert found[2].fault == "the array is not closed: the file is torn or damaged"


def test_a_line_that_is_too_long_is_told_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mentat_reporter.store.message_files.MAX_MESSAGE", 1 << 20)

    found = cut(b'{"a": 1}\n' + b"x" * (5 << 20) + b'\n{"b": 2}\n')

    assert [(one.where, one.fault is None) for one in found] == [
        ("f, line 1", True), ("f, line 2", False), ("f, line 3", True),
    ]  # fmt: skip


def test_a_torn_gzip_file_gives_what_it_holds_and_a_fault(tmp_path: Path) -> None:
    lines = b"".join(b'{"a": %d}\n' % number for number in range(100_000))
    path = tmp_path / "torn.json.gz"
    path.write_bytes(gzip.compress(lines)[:-5000])

    *found, last = find_messages(find_sources([str(path)])[0])

    assert len(found) > 1000
    assert last.fault is not None
    assert last.fault.startswith("the source cannot be read further: ")


def test_directories_files_and_standard_input_are_sources(tmp_path: Path) -> None:
    for name in ("b.ndjson.gz", "a.json", "c.idea", "d.jsonl", "e.txt", "f.gz"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "g.json").mkdir()

    sources = find_sources([str(tmp_path), str(tmp_path / "e.txt"), "-"], io.BytesIO(b"[1]"))

    assert [Path(source.name).name for source in sources] == [
        "a.json", "b.ndjson.gz", "c.idea", "d.jsonl", "e.txt", "<stdin>",
    ]  # fmt: skip
    assert [found.message for found in find_messages(sources[-1])] == [b"1"]


def test_a_missing_file_is_refused_before_anything_is_read() -> None:
    with pytest.raises(InputError, match=r"nowhere\.json: there is no such file"):
        find_sources(["nowhere.json"])
