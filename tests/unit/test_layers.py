"""CONTRIBUTING.md, "who may import whom": downward only, and each foreign library in its one place."""

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = "mentat_reporter"
TIERS: Final[tuple[frozenset[str], ...]] = (
    frozenset({"bin"}),
    frozenset({"script", "options", "console", "configfile", "demo"}),
    frozenset(
        {
            "run", "imports", "session", "links", "outside", "interrupts", "dispatch", "today", "unit",
            "mails", "rendering", "preview", "restoring", "filing",
            "deal", "shelf", "crew", "rounds", "clocks", "result", "delivery", "settings", "settings_checks",
            "settings_keys", "settings_mentat", "settings_values", "lock", "files", "digest", "signing",
            "threads", "takeover", "rehearsal", "comparing",
        }
    ),
    frozenset({"store", "render", "filters"}),
    frozenset({"core"}),
    frozenset({"errors", ""}),
)  # fmt: skip
"""From the top down; the package itself, which only has the version, is "" and lies lowest."""
APART: Final = frozenset({"store", "render", "filters"})
"""Of one tier, yet none may know another."""
PLACES: Final = {
    "pyzenkit": "script",
    "psycopg2": "store",
    "jinja2": "render",
    "babel": "render",
    "pytz": "render",
    "smtplib": "delivery",
    "gnupg": "signing",
    "ransack": "filters",
    "pynspect": "filters",
}
FILES: Final = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in (PACKAGE, "bin")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def part_of(module: str) -> str:
    """Return the folder or file of the house that a module is of: `store`, `script`, `bin`."""
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == PACKAGE else first


def tier_of(part: str) -> int:
    return next(number for number, parts in enumerate(TIERS) if part in parts)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    assert node.level == 0, "relative imports hide what they name"
    for alias in node.names:
        inner = f"{node.module}.{alias.name}"
        yield inner if inner in FILES else str(node.module)


def imports(module: str, *, lazy: bool = True) -> set[str]:
    """Return all modules that one imports; not `lazy`: only those that it needs when it is loaded."""
    nodes: list[ast.AST] = [ast.parse(FILES[module].read_text())]
    found: set[str] = set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.update(_names(node))
        elif lazy or not (isinstance(node, ast.FunctionDef | ast.Lambda) or is_for_types(node)):
            nodes += ast.iter_child_nodes(node)
    return found


def test_every_module_has_its_tier() -> None:
    known = {part for tier in TIERS for part in tier}

    assert {module for module in FILES if part_of(module) not in known} == set()


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_downward_or_beside_it(module: str) -> None:
    part = part_of(module)

    upward = {
        name
        for name in imports(module)
        if name.partition(".")[0] in (PACKAGE, "bin")
        and (tier_of(part_of(name)) < tier_of(part) or (part in APART and part_of(name) in APART - {part}))
    }

    assert upward == set()


def test_the_program_imports_the_command_class_alone() -> None:
    [program] = [module for module in FILES if part_of(module) == "bin"]

    assert imports(program) == {f"{PACKAGE}.script"}


@pytest.mark.parametrize(("library", "place"), PLACES.items())
def test_a_library_is_known_in_one_place(library: str, place: str) -> None:
    knowing = {
        part_of(module) for module in FILES if library in {name.partition(".")[0] for name in imports(module)}
    }

    assert knowing == {place}


def test_no_two_modules_need_each_other_to_be_loaded() -> None:
    graph = {module: {name for name in imports(module, lazy=False) if name in FILES} for module in FILES}

    assert len([*TopologicalSorter(graph).static_order()]) == len(FILES)


# The core is pure

CORE: Final = [module for module in FILES if part_of(module) == "core"]
CLOCKS: Final = frozenset(
    {"now", "today", "utcnow", "monotonic", "perf_counter", "time_ns", "random", "token_hex", "uuid4"}
)
EFFECTS: Final = frozenset({"open", "print", "input", "exec", "eval", "__import__", "breakpoint"})
IMPURE: Final = frozenset(
    {
        "time",
        "logging",
        "os",
        "sys",
        "io",
        "pathlib",
        "random",
        "secrets",
        "subprocess",
        "threading",
        "warnings",
        "uuid",
    }
)


@pytest.mark.parametrize("module", CORE)
def test_the_core_needs_the_standard_library_alone(module: str) -> None:
    foreign = {
        name
        for name in imports(module)
        if part_of(name) not in ("core", "errors") and name.partition(".")[0] not in sys.stdlib_module_names
    }

    assert foreign == set()


@pytest.mark.parametrize("module", [*CORE, f"{PACKAGE}.errors"])
def test_the_core_has_no_clock_no_chance_and_no_effects(module: str) -> None:
    calls = [
        node.func for node in ast.walk(ast.parse(FILES[module].read_text())) if isinstance(node, ast.Call)
    ]
    named = {call.attr for call in calls if isinstance(call, ast.Attribute)} & CLOCKS
    bare = {call.id for call in calls if isinstance(call, ast.Name)} & EFFECTS

    assert named | bare == set()
    assert {name.partition(".")[0] for name in imports(module)} & IMPURE == set()


def test_of_the_network_the_core_uses_only_the_parser_of_addresses() -> None:
    knowing = [module for module in CORE if "socket" in imports(module)]
    used = {
        node.attr
        for module in knowing
        for node in ast.walk(ast.parse(FILES[module].read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "socket"
    }

    assert knowing == [f"{PACKAGE}.core.addresses"]
    assert used == {"AF_INET", "inet_ntoa", "inet_pton"}


def clock_readers() -> set[str]:
    """Return the modules that ask for the date; a run has it from pyzenkit, once, and passes it on."""
    return {
        module
        for module, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today")
        if isinstance(node.value, ast.Name) and node.value.id in ("datetime", "date")
    }


def test_the_date_is_asked_nowhere() -> None:
    assert clock_readers() == set()
