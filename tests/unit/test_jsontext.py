"""A message for a report's file and for its table, read once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import messages

from mentat_reporter.errors import MessageError
from mentat_reporter.store.jsontext import as_json, decode


def read(text: bytes) -> tuple[bytes, Any]:
    value = decode(text)
    return as_json(text, value), value


@given(messages, st.booleans())
def test_what_is_json_stays_as_it_is_and_is_understood_as_ever(message: object, escaped: bool) -> None:
    text = json.dumps(message, ensure_ascii=escaped, indent=1).encode(errors="replace")

    assert read(text) == (text, decode(text))


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize(
    "text", [b'{"X": 1.50e400}', b'{"X": "\\ud800"}', b'{"X": -1e-999, "Y": "\\uDC00\\n"}']
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["bare", "byte order mark"])
def test_json_by_its_grammar_stays_too_and_a_byte_order_mark_alone_goes(text: bytes, mark: bytes) -> None:
    assert read(mark + text) == (text, decode(text))


@given(
    st.binary(max_size=40) | st.text(max_size=40).map(lambda text: f'{{"Note": "{text}", "X": NaN}}'.encode())
)
def test_what_is_no_json_is_written_as_it_was_understood_or_refused(text: bytes) -> None:
    try:
        value = decode(text)
    except MessageError:
        with pytest.raises(MessageError):
            read(text)
        return

    written, read_value = read(text)

    json.loads(written, parse_constant=refuse)
    assert read_value == value or read_value != read_value  # noqa: PLR0124 - not a number
