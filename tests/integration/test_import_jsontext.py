"""Text of events is read whatever people send, or refused with the place and the reason."""

import json
import math
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mentat_reporter.core.durations import parse_duration
from mentat_reporter.core.idea import clean
from mentat_reporter.errors import MessageError
from mentat_reporter.store.jsontext import decode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"ID": "a"}', {"ID": "a"}),
        ('\ufeff{"ID": "a"}', {"ID": "a"}),
        (b'{"Description": "caf\xe9"}', {"Description": "caf\ufffd"}),
        (r'{"Description": "a\ud800b"}', {"Description": "a\ufffdb"}),
        (r'{"Description": "a\u0000b\nc"}', {"Description": "ab c"}),
        ('{"Description": "a\tb"}', {"Description": "a b"}),
        (r'{"Note": "a\nb"}', {"Note": "a\nb"}),
        ('{"ConnCount": 1e400}', {"ConnCount": math.inf}),
        ('{"ConnCount": 18446744073709551617}', {"ConnCount": 18446744073709551617.0}),
    ],
)
def test_what_people_send_is_read(text: str | bytes, value: Any) -> None:
    assert decode(text) == value


def test_not_a_number_is_read() -> None:
    assert math.isnan(decode('{"ConnCount": NaN}')["ConnCount"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"ID": "a"', r"is no JSON: it ends too early, at line 1, column 11"),
        ("", r"ends too early, at line 1, column 1"),
        ('{"ID": a}', r"Expecting value, at line 1, column 8, before 'a}'"),
        ("{" + '"a": ' + "9" * 5000 + "}", r"whole number of more than 4,300 digits"),
        ("[" * 100_000 + "]" * 100_000, r"nested deeper than 64"),
        ("[" * 100_000, r"nested deeper than 64"),
        ("[" * 65 + "1" + "]" * 65, r"nested deeper than 64"),
        ('{"a":' * 900 + "1" + "}" * 900, r"nested deeper than 64"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, fault: str) -> None:
    with pytest.raises(MessageError, match=fault):
        decode(text)


def test_sixty_four_levels_are_fine() -> None:
    assert decode("[" * 64 + "1" + "]" * 64) is not None


@given(JSON)
def test_every_json_value_is_decoded_and_clean(value: Any) -> None:
    for escaped in (True, False):
        decoded = json.dumps(decode(json.dumps(value, ensure_ascii=escaped)))

        assert "\\u0000" not in decoded


@given(st.binary())
def test_nothing_but_a_message_error_is_raised(content: bytes) -> None:
    try:
        decode(content)
    except MessageError as error:
        assert str(error)  # noqa: PT017 - most bytes are no JSON, some are


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("none", None),
        ("5min", timedelta(minutes=5)),
        ("1mins", timedelta(minutes=1)),
        ("2hr", timedelta(hours=2)),
        ("12hrs", timedelta(hours=12)),
        ("1day", timedelta(days=1)),
        ("11days", timedelta(days=11)),
        ("4weeks", timedelta(weeks=4)),
    ],
)
def test_a_duration_is_what_it_says(text: str, duration: timedelta | None) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "0days", "1", "day", "-1day", "1.5days", "1 month", "9999999weeks", "1day "]
)
def test_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|lasts no time|longer than ten years"):
        parse_duration(text)


@given(st.text() | st.text(st.characters(categories=["Cc", "Cs", "Zl", "Zp"])))
def test_a_clean_line_has_no_nul_surrogate_or_control_character(value: str) -> None:
    cleaned = clean({"Description": value, "Note": value})

    assert cleaned["Note"] == re.sub("[\ud800-\udfff]", "\ufffd", value.replace("\0", ""))
    assert cleaned["Description"] == re.sub("[\x01-\x1f\x7f-\x9f\u2028\u2029]", " ", cleaned["Note"])
