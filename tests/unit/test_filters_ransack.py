"""Rules in ransack's language decide like the library, on typed messages, and never surprise."""

import os
import stat
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ipranges
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ransack import Filter
from strategies_filters import addressed_messages, messages, quoted_address_rules, ransack_rules

from mentat_reporter.errors import RuleError
from mentat_reporter.filters import compile as door
from mentat_reporter.filters import grammar

TIME_KEYS = [
    "CreateTime",
    "DetectTime",
    "EventTime",
    "CeaseTime",
    "WinStartTime",
    "WinEndTime",
    "StorageTime",
]
RAISES = "raises"
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)

compile_rule = partial(door.compile_rule, now=NOW)
compile_values = partial(door.compile_values, now=NOW)

SCAN: dict[str, Any] = {
    "Category": ["Recon.Scanning"],
    "ConnCount": 633,
    "DetectTime": "2020-01-01 11:00:00+01:00",
    "Note": None,
    "Source": [{"IP4": ["192.0.2.7"], "Port": [4711]}, {"IP4": ["198.51.100.3"]}],
    "Target": [{"Port": [22, 80], "Proto": ["tcp", "ssh"]}],
}


def says(text: str, message: dict[str, Any] = SCAN) -> bool:
    return compile_rule(text, "ransack")(message)


def typed(value: Any, key: str = "") -> Any:
    """Type the message as Mentat's own typed dictionaries are."""
    if isinstance(value, dict):
        return {name: typed(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [typed(item, key) for item in value]
    if not isinstance(value, str):
        return value
    try:
        if key in {"IP4", "IP6"}:
            return ipranges.from_str(value)
        if key in TIME_KEYS:
            moment = datetime.fromisoformat(value.upper())
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    except ValueError:
        pass
    return value


def outcome(decide: Callable[[], Any]) -> bool | str:
    try:
        return bool(decide())
    except Exception:  # noqa: BLE001 - what the library raises is not the point
        return RAISES


def library(text: str, message: dict[str, Any]) -> bool | str:
    return outcome(lambda: Filter().eval(grammar.parser().parse(text), message))


# -- examples -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'Recon.Scanning' in Category", True),
        ("'Malware' in Category", False),
        ("Category = 'Recon.Scanning' and ConnCount > 600", True),
        ("Target.Port in [22, 23]", True),
        ("Target.Port in [23]", False),
        ("600 < ConnCount and 700 > ConnCount and not 700 <= ConnCount", True),
        ("ConnCount in 600..700", True),
        ("Source.IP4 in [192.0.2.0/24]", True),
        ("Source.IP4 in [203.0.113.0/24, 203.0.113.9]", False),
        ("Source.IP4 in [198.51.100.3]", True),
        ("Source.IP4 in [192.0.2.1-192.0.2.9]", True),
        ("Source.IP4 = 192.0.2.0/24", True),
        ("(Source.IP6 ?? []) in [2001:db8::/32]", False),
        ("DetectTime = 2020-01-01T10:00:00Z", True),
        ("DetectTime < now() - 30D00:00:00", True),
        ("now() == now() and now() = now()", True),
        ("length(Source.IP4) = 2", True),
        ("'ssh' in (Source.Proto ?? []) or 'ssh' in (Target.Proto ?? [])", True),
        ("Note ??", True),
        ("CeaseTime ??", False),
    ],
)
def test_a_rule_says_what_it_reads_like(text: str, expected: bool) -> None:
    assert says(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'192.0.2.7' in Source.IP4", True),
        ("'192.0.2.8' in Source.IP4", False),
        ("Source.IP4 in ['192.0.2.7']", True),
        ("Source.IP4 in ['192.0.2.8', 5]", False),
        ("Source.IP4 = '198.51.100.3'", True),
        ("'198.51.100.4' = Source.IP4", False),
        ("Source.IP4 = ['x', 192.0.2.0/24]", True),
        ("Source.IP4 in [203.0.113.0/24, '198.51.100.3']", True),
        ("Source.IP4 == ['192.0.2.7', '198.51.100.3']", True),
        ("Source.IP4 contains '192.0'", True),
        ("Source.IP4 contains '203.'", False),
    ],
)
def test_an_address_also_counts_as_its_text(text: str, expected: bool) -> None:
    assert says(text) is expected


def test_the_text_of_an_address_is_the_one_in_the_message() -> None:
    message = {"Source": {"IP6": ["2001:DB8::1", "2001:db8::/48"]}}

    assert says("'2001:DB8::1' in Source.IP6", message)
    assert not says("'2001:db8::1' in Source.IP6", message)
    assert says("2001:db8::1 in Source.IP6", message)
    assert says("'2001:db8::/48' in Source.IP6", message)


@pytest.mark.parametrize(
    "text", ["Source.IP4 in '192.0.2.7'", "Source.IP4 = 5", "Note.IP4 = 'x'", "Category > 5"]
)
def test_what_has_no_meaning_in_either_reading_is_an_error(text: str) -> None:
    with pytest.raises(RuleError):
        says(text)


def test_any_mapping_will_do_for_a_message() -> None:
    assert compile_rule("Target.Port = 22 and now() > DetectTime", "ransack")(MappingProxyType(SCAN))


@pytest.mark.parametrize(
    "odd",
    [
        "foo",
        "192.0.2.999",
        "192.0.2.0/33",
        "192.0.2.0/-5",
        "192.0.2.0/9999999999999",
        "192.0.2.1-x",
        "1\x00",
        "\ud800",
    ],
)
def test_an_address_that_does_not_parse_stays_a_string(odd: str) -> None:
    assert says("Source.IP4 = 'foo'", {"Source": [{"IP4": [odd]}]}) is (odd == "foo")


@pytest.mark.parametrize(
    ("written", "hour"),
    [
        ("2020-01-01T10:00:00Z", 10),
        ("2020-01-01t10:00:00z", 10),
        ("2020-01-01 10:00:00", 10),
        ("2020-01-01T10:00:00.123456789+02:00", 8),
        ("2020-01-01T10:00:00-02:30", 12),
    ],
)
def test_times_are_aware_utc(written: str, hour: int) -> None:
    low, high = f"2020-01-01T{hour:02}:00:00Z", f"2020-01-01T{hour:02}:59:59Z"

    assert says(f"DetectTime in {low}..{high}", {"DetectTime": written})


@pytest.mark.parametrize(
    "written", ["yesterday", "2020-01-1 10:00:00", "0001-01-01T00:00:00+10:00", "0xcb13.0x0"]
)
def test_a_time_that_does_not_parse_stays_a_string(written: str) -> None:
    assert says(f"DetectTime = '{written}'", {"DetectTime": written})


def test_now_is_the_time_that_the_caller_says_it_is() -> None:
    rule = compile_rule("now() - DetectTime < 00:01:00", "ransack")

    assert rule({"DetectTime": NOW.isoformat()})
    assert not rule({"DetectTime": (NOW - timedelta(hours=1)).isoformat()})
    assert compile_values("now()", "ransack")({}) == [NOW.isoformat()]


def test_an_event_without_the_name_is_an_error_that_names_it() -> None:
    with pytest.raises(RuleError, match=r"line 1, column 6: the event has no Source\.IP6") as caught:
        says("0 or Source.IP6 in [2001:db8::/32]")

    assert isinstance(caught.value.__cause__, LookupError)


def test_the_view_of_an_ipv6_address_has_no_ipv4_key() -> None:
    view = {**SCAN, "Source": [{"IP6": ["2001:db8::1"]}]}

    assert says("(Source.IP4 ?? []) in [0.0.0.0/0] or Source.IP6 in [2001:db8::/32]", view)
    with pytest.raises(RuleError, match=r"Source\.IP4"):
        says("Source.IP4 in [0.0.0.0/0]", view)


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_rule_is_refused(text: str) -> None:
    with pytest.raises(RuleError, match="is empty"):
        compile_rule(text, "ransack")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("Category in", "column"),
        ("Category ~ 'x'", "line 1, column 10"),
        ("Category and\n  )", "line 2, column 3"),
        ("DetectTime > 2020-13-01T00:00:00Z", "line 1, column 14: month"),
        ("Source.IP4 in [192.0.2.256]", "line 1, column 16: Invalid IPv4"),
        ("sqrt(2) > 1", r"line 1, column 1: there is no function sqrt\(\)"),
        (")", "line 1, column 1"),
        ("\x0c", "."),
    ],
)
def test_a_text_that_is_no_rule_is_refused_with_its_place(text: str, where: str) -> None:
    with pytest.raises(RuleError, match=where):
        compile_rule(text, "ransack")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 500 + "ConnCount > 5" + ")" * 500,
        "not (" * 500 + "ConnCount > 5" + ")" * 500,
        " or ".join(["'x' in Category"] * 5000),
        "[" * 500 + "]" * 500,
    ],
)
def test_a_deep_rule_works_or_is_refused(text: str) -> None:
    assert outcome_or_refusal(text) in {True, False, "is nested too deeply"}


def outcome_or_refusal(text: str) -> bool | str:
    try:
        return says(text)
    except RuleError as error:
        return str(error)


@pytest.mark.parametrize(
    "text", ["ConnCount / 0 > 1", "length(ConnCount)", "-Category = 1", "not ::/0", "Note + 1"]
)
def test_a_rule_that_fails_on_an_event_raises_only_the_rule_error(text: str) -> None:
    rule = compile_rule(text, "ransack")

    with pytest.raises(RuleError) as caught:
        rule(SCAN)

    assert caught.value.__cause__ is not None


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(RuleError, match="unknown language"):
        compile_rule("1", "sql")  # type: ignore[arg-type]


def test_nothing_is_printed_and_no_file_appears(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    for text in ["Category in ['x']", "Category in", "now(", "'a' & b"]:
        outcome_or_refusal(text)

    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Category", ["Recon.Scanning"]),
        ("Target.Proto . ['tcp', 'http', '']", ["tcp", "ssh", "http"]),
        ("ConnCount", ["633"]),
        ("Source.IP4", ["192.0.2.7", "198.51.100.3"]),
        ("DetectTime", ["2020-01-01T10:00:00+00:00"]),
        ("Note", []),
        ("'x' in Category", []),
        ("'Recon.Scanning' in Category", []),
        ("Source", []),
        ("[192.0.2.0/24, 5]", ["192.0.2.0/24", "5"]),
    ],
)
def test_an_expression_gives_its_values_as_distinct_strings(text: str, expected: list[str]) -> None:
    assert compile_values(text, "ransack")(SCAN) == expected


def test_an_expression_that_fails_raises_the_rule_error_too() -> None:
    with pytest.raises(RuleError, match="Nowhere"):
        compile_values("Nowhere", "ransack")(SCAN)


# -- properties ---------------------------------------------------------------------------------------------


@settings(max_examples=1500, deadline=None)
@given(text=ransack_rules(), message=messages())
@example(text="Source.IP4 in [192.0.2.7]", message={"Source": [{"IP4": ["192.0.2.7/32"]}]})
@example(text="Source.IP6 in [0.0.0.0/8]", message={"Source": {"IP6": ["::1"]}})
@example(text="'x' in Note", message={"Note": [["x"]]})
@example(text="Source.IP4 contains Source.IP4", message={"Source": {"IP4": "192.0.2.7"}})
@example(text="1 in Note", message={"Note": [True]})
@example(text="Source.Port ??", message={"Source": [{"Port": []}]})
def test_a_rule_decides_like_the_library_on_the_typed_message(text: str, message: dict[str, Any]) -> None:
    assert outcome(lambda: says(text, message)) == library(text, typed(message))


@settings(max_examples=500, deadline=None)
@given(text=quoted_address_rules(), message=addressed_messages())
def test_strings_and_addresses_decide_typed_first_then_as_plain_text(
    text: str, message: dict[str, Any]
) -> None:
    typed_says, plain_says = library(text, typed(message)), library(text, message)

    expected: bool | str = typed_says
    if typed_says is not True and plain_says is not RAISES:
        expected = plain_says
    assert outcome(lambda: says(text, message)) == expected


@settings(deadline=None)
@given(
    text=st.one_of(st.text(), st.text(alphabet="[]()'\".,=<>?! \n1:5xSource4IP andort-")), message=messages()
)
def test_no_text_gets_anything_but_the_rule_error_out(text: str, message: dict[str, Any]) -> None:
    try:
        found: Any = says(text, message)
    except RuleError:
        found = False

    assert isinstance(found, bool)


# -- the grammar cache --------------------------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("MENTAT_REPORTER_HOME", raising=False)
    monkeypatch.setenv("RANSACK_CACHE_PATH", "untouched")
    return tmp_path


def test_the_cache_lies_in_a_folder_that_only_we_may_enter(temporary: Path) -> None:
    file = grammar._cache_file()

    assert file.parent.parent == temporary
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    for _ in range(2):  # building, then reading
        assert grammar._build(file).parse("1 > 0")
        assert file.stat().st_size > 1000
    assert os.environ["RANSACK_CACHE_PATH"] == "untouched"


def test_the_cache_lies_in_the_home_when_there_is_one(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = temporary / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("MENTAT_REPORTER_HOME", str(home))

    assert grammar._cache_file().parent == home / "cache"


@pytest.mark.parametrize("way", ["open", "symlink", "file", "stranger", "open parent"])
def test_a_place_that_is_not_private_is_not_used(temporary: Path, way: str) -> None:
    folder = grammar._cache_file().parent
    if way == "stranger" and os.geteuid() != 0:
        pytest.skip("only root can give a folder away")

    if way == "open":
        folder.chmod(0o770)
    elif way == "open parent":
        temporary.chmod(0o777)
    elif way == "stranger":
        os.chown(folder, 65534, 65534)
    else:
        folder.rmdir()
        (temporary / "other").mkdir(mode=0o700)
        if way == "file":
            folder.touch()
        else:
            folder.symlink_to(temporary / "other")

    assert grammar._cache_file() == grammar._NO_CACHE


def test_a_stranger_s_file_in_it_is_not_used(temporary: Path) -> None:
    assert grammar._is_private(temporary)
    file = grammar._cache_file()
    file.symlink_to("/etc/passwd")

    assert grammar._cache_file() == grammar._NO_CACHE


def test_without_a_private_place_the_parser_is_built_without_cache(capfd: pytest.CaptureFixture[str]) -> None:
    assert grammar._build(grammar._NO_CACHE).parse("1 > 0")

    assert capfd.readouterr() == ("", "")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


# -- real rules, real messages ------------------------------------------------------------------------------


def test_real_classes_decide_real_messages_like_the_library() -> None:
    folder = os.environ.get("MENTAT_REPORTER_FEEDS")
    if not folder:
        pytest.skip("MENTAT_REPORTER_FEEDS does not name the folder of the feed samples")
    classes = orjson.loads((Path(folder) / "groups-feeds.json").read_bytes())["event_classes"]
    lines = (Path(folder) / "idea-feeds.ndjson").read_bytes().splitlines()
    rules = [(entry["rule"], compile_rule(entry["rule"], "ransack")) for entry in classes]

    hits = 0
    for line in lines:
        message = orjson.loads(line)
        for text, rule in rules:
            found = outcome(lambda rule=rule, message=message: rule(message))  # type: ignore[misc]
            assert found == library(text, typed(message)), (text, message)
            hits += found is True

    assert (len(rules), len(lines)) == (19, 625)
    assert hits > 600
