"""Rules in pynspect's language decide like the library, without its traps."""

import builtins
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import ipranges
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies_filters import messages, pynspect_rules

pytest.importorskip("pynspect", reason="the extra pynspect is not installed")

import pynspect as library_package
from pynspect.compilers import IDEAFilterCompiler
from pynspect.filters import DataObjectFilter

from mentat_reporter.errors import RuleError
from mentat_reporter.filters import compile as door
from mentat_reporter.filters import pynspect_parser

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
    "Description": "horizontal port scan",
    "Source": [{"IP4": ["192.0.2.7"], "IP6": ["2001:db8::1"]}, {"IP4": ["198.51.100.3"]}],
    "Target": [{"Port": [22, 80], "Proto": ["tcp", "ssh"]}],
}


def says(text: str, message: dict[str, Any] = SCAN) -> bool:
    return compile_rule(text, "pynspect")(message)


def typed(value: Any, key: str = "") -> Any:
    """Type the message as Mentat's own typed dictionaries are, with naive UTC times."""
    if isinstance(value, dict):
        return {name: typed(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [typed(item, key) for item in value]
    if isinstance(value, str) and key in {"IP4", "IP6"}:
        return ipranges.from_str(value)
    if isinstance(value, str) and key in TIME_KEYS:
        moment = datetime.fromisoformat(value.upper())
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return value


def outcome(decide: Callable[[], Any]) -> bool | str:
    try:
        return bool(decide())
    except Exception:  # noqa: BLE001 - what the library raises is not the point
        return RAISES


def library(text: str, message: dict[str, Any]) -> bool | str:
    def decide() -> Any:
        tree = pynspect_parser._parser().parse(text)
        return DataObjectFilter().filter(IDEAFilterCompiler().compile(tree), message)

    return outcome(decide)


# -- examples -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Category in ['Recon.Scanning']", True),
        ("'Recon.Scanning' in Category", True),
        ("Category in ['Malware']", False),
        ("Category is ['Recon.Scanning']", True),
        ("Description like 'port.*scan'", True),
        ("Description =~ '^scan'", False),
        ("'port' like Description", True),
        ("exists Source.IP4 and not exists Node", True),
        ("Source.IP4 in [192.0.2.0/24]", True),
        ("Source.IP4 in ['192.0.2.0/24', 203.0.113.1-203.0.113.9]", True),
        ("Source.IP4 in [203.0.113.0/24]", False),
        ("[192.0.2.0/24] in Source.IP4", True),
        ("Source[1].IP4 in [198.51.100.0/24]", False),
        ("Source[2].IP4 in [198.51.100.0/24]", True),
        ("Source.IP4 == 198.51.100.3", True),
        ("198.51.100.3 == Source[#].IP4", True),
        ("Source.IP6 == 2001:db8::1", True),
        ("Source.IP6 in [2001:db8::/32]", True),
        ("::1 == Source.IP6", False),
        ("Target.Port in [22, 23] xor Target.Port in [80]", False),
        ("size(Source.IP4) == 2", True),
        ("strlen(Category) > 13", True),
        ("time() > 1500000000", True),
        ("DetectTime == 2020-01-01T10:00:00Z", True),
        ("DetectTime < (utcnow() - 02:00:00)", True),
        ("DetectTime > (utcnow() - 02:00:00)", False),
        ("Category is [Source]", False),
    ],
)
def test_a_rule_says_what_it_reads_like(text: str, expected: bool) -> None:
    assert says(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 > ConnCount", False),
        ("5 < ConnCount", True),
        ("633 <= ConnCount and 633 >= ConnCount", True),
        ("634 ge ConnCount", True),
        ("5 > size(Source.IP4)", True),
        ("2021-01-01T00:00:00Z > DetectTime", True),
        ("2021-01-01T00:00:00Z < utcnow()", True),
        ("700 - ConnCount == 67", True),
        ("1266 / ConnCount == 2", True),
        ("ConnCount - 600 == 33", True),
    ],
)
def test_a_constant_on_the_left_means_what_it_says(text: str, expected: bool) -> None:
    assert says(text) is expected


def test_what_is_missing_is_neither_true_nor_after_not() -> None:
    assert not says("Node.Name == 'x'")
    assert not says("not Node.Name == 'x'")


def test_utcnow_can_be_compared_with_the_times_of_the_message() -> None:
    rule = compile_rule("(utcnow() - DetectTime) < 00:01:00", "pynspect")

    assert rule({"DetectTime": NOW.isoformat()})
    assert not rule({"DetectTime": (NOW - timedelta(hours=1)).isoformat()})


def test_utcnow_and_time_are_the_time_that_the_caller_says_it_is() -> None:
    assert compile_values("utcnow()", "pynspect")({}) == [NOW.replace(tzinfo=None).isoformat()]
    assert compile_values("time()", "pynspect")({}) == [str(NOW.timestamp())]


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_rule_is_refused(text: str) -> None:
    with pytest.raises(RuleError, match="is empty"):
        compile_rule(text, "pynspect")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Category $ 'x'", r"line 1, column 10: '\$' is not part of the language"),
        ("Category in\n ['x'] & 5", "line 2, column 8: '&'"),
        ("Category ==\n 'a' 'b'", "line 2, column 6: cannot be understood from here: 'b'"),
        ("Category in", "at the end"),
        ("len(Category) > 1", "line 1"),
        ("count(Category) > 1", r"no function count\(\); known are size, strlen, time, utcnow"),
        ("size() > 1", r"size\(\) takes one argument"),
        ("utcnow(5) > DetectTime", r"utcnow\(\) takes no argument"),
        ("Category like '['", "is not a regular expression"),
        ("Source[-1].IP4 in [192.0.2.1]", "is not a path"),
        ("Source.IP4 == 'x'", "'?x'? does not appear as IPv4|x does not appear"),
        ("DetectTime > 'x'", "Wrong time operation constant"),
    ],
)
def test_a_text_that_is_no_rule_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(RuleError, match=why):
        compile_rule(text, "pynspect")


@pytest.mark.parametrize("text", ["ConnCount > 'x'", "ConnCount like 'x'", "DetectTime > 5.5", "size(5) > 1"])
def test_a_rule_that_fails_on_an_event_raises_only_the_rule_error(text: str) -> None:
    rule = compile_rule(text, "pynspect")

    with pytest.raises(RuleError) as caught:
        rule(SCAN)

    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "text",
    [
        "(" * 500 + "ConnCount > 5" + ")" * 500,
        "not (" * 500 + "ConnCount > 5" + ")" * 500,
        " or ".join(["Category in ['x']"] * 5000),
    ],
)
def test_a_deep_rule_works_or_is_refused(text: str) -> None:
    try:
        found: bool | str = says(text)
    except RuleError as error:
        found = str(error)

    assert found in {True, False, "is nested too deeply"}


def test_nothing_is_printed_and_no_file_appears(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = Path(library_package.__path__[0])
    before = sorted(path.name for path in package.iterdir())
    monkeypatch.chdir(tmp_path)
    # A table found in the working directory would be imported, that is, run.
    (tmp_path / "parsetab.py").write_text("raise SystemExit('stranger')")
    monkeypatch.syspath_prepend(str(tmp_path))
    pynspect_parser._parser.cache_clear()

    for text in ["Category in ['x']", "Category $ in", "foo(", "Category like '[[a]'"]:
        outcome(lambda text=text: says(text))  # type: ignore[misc]

    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["parsetab.py"]
    assert sorted(path.name for path in package.iterdir()) == before


def test_without_the_package_the_rule_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("pynspect", "mentat_reporter.filters.pynspect"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("mentat_reporter.filters.pynspect", raising=False)
    real_import = builtins.__import__

    def without_pynspect(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "pynspect":
            raise ModuleNotFoundError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pynspect)

    with pytest.raises(RuleError, match=r"mentat-reporter\[pynspect\]"):
        compile_rule("1", "pynspect")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Category", ["Recon.Scanning"]),
        ("Source.IP4", ["192.0.2.7", "198.51.100.3"]),
        ("ConnCount + 1", ["634"]),
        ("Node.Name", []),
        ("Category in ['x']", []),
        ("['a', 'b', 'a']", ["a", "b"]),
    ],
)
def test_an_expression_gives_its_values_as_distinct_strings(text: str, expected: list[str]) -> None:
    assert compile_values(text, "pynspect")(SCAN) == expected


# -- properties ---------------------------------------------------------------------------------------------


@settings(max_examples=1500, deadline=None)
@given(text=pynspect_rules(), message=messages())
@example(text="Source.IP4 in [192.0.2.7, 198.51.100.0/24]", message={"Source": [{"IP4": ["192.0.2.0/24"]}]})
@example(text="Note in ['x', 22]", message={"Note": [{"a": 1}, "x"]})
@example(text="Note is ['x']", message={"Note": [["x"]]})
def test_a_rule_decides_like_the_library_on_the_typed_message(text: str, message: dict[str, Any]) -> None:
    assert outcome(lambda: says(text, message)) == library(text, typed(message))


@settings(deadline=None)
@given(
    text=st.one_of(st.text(), st.text(alphabet="[]()'\".,=<>!$ \n1:5xSource4IP andortlike")),
    message=messages(),
)
def test_no_text_gets_anything_but_the_rule_error_out(text: str, message: dict[str, Any]) -> None:
    try:
        found: Any = says(text, message)
    except RuleError:
        found = False

    assert isinstance(found, bool)


@given(
    constant=st.sampled_from(["5", "22", "633", "2.5"]),
    operators=st.sampled_from(
        [(">", "<"), (">=", "<="), ("<", ">"), ("<=", ">="), ("==", "=="), ("!=", "!=")]
    ),
    path=st.sampled_from(["ConnCount", "Source.Port", "Target.Port"]),
    message=messages(),
)
def test_turning_a_comparison_around_does_not_change_it(
    constant: str, operators: tuple[str, str], path: str, message: dict[str, Any]
) -> None:
    written, turned = operators

    assert says(f"{constant} {written} {path}", message) == says(f"{path} {turned} {constant}", message)
