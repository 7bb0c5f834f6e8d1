"""The documentation says what the program does: nothing missing, nothing invented, examples that work."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from factories import report

from mentat_reporter import options, settings_keys
from mentat_reporter.filters.compile import compile_rule
from mentat_reporter.render.templates import Templates
from mentat_reporter.settings import build_settings
from mentat_reporter.store.connection import Connection
from mentat_reporter.store.embedded import Cluster

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "bin" / "mentat-reporter.py"
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("etc/**/*.md")))
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
HELP = options.build_parser(commands=("report",), actions=("config-view",)).format_help()
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ALIASES = {"--force-template", "--force-locale"}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(text: str, heading: str) -> str:
    """Return what stands under a heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {heading}"
    return found[1]


def first_cells(text: str) -> set[str]:
    """Return the words in backticks in the first cells of tables."""
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {word.split()[0] for word in chain.from_iterable(re.findall(r"`([^`]+)`", cell) for cell in cells)}


def prose_of(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
            if "://" not in target:
                yield page, target


def every(language: str) -> list[Any]:
    """Give a parameter for each block of code in a language, named by its page."""
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page.read_text(encoding="utf-8"), language), 1)
    ]


# Nothing is missing, nothing is invented


def test_every_command_of_help_is_in_the_readme_and_no_other() -> None:
    listed = HELP.split("commands:\n")[1].split("\n\n")[0]

    assert first_cells(section(README, "Commands")) == set(re.findall(r"^  ([a-z-]+)", listed, re.MULTILINE))


def test_every_option_of_help_is_in_the_readme_and_no_other() -> None:
    documented = {word for word in first_cells(section(README, "Options")) if word.startswith("-")}

    assert documented == set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", HELP, re.MULTILINE)) | ALIASES | {"-h"}


@pytest.mark.parametrize("key", settings_keys.KEYS, ids=lambda key: key.label)
def test_every_key_is_documented(key: settings_keys.Key) -> None:
    assert f"`{key.name}`" in CONFIGURATION


@pytest.mark.parametrize("name", settings_keys.EVENTSTORAGE_KEYS)
def test_every_key_of_the_database_of_events_is_documented(name: str) -> None:
    assert f"`eventstorage.{name}`" in CONFIGURATION


def test_no_key_is_invented() -> None:
    tables = CONFIGURATION.partition("## `__core__reporter`")[2].partition("## Of a group")[0]

    assert first_cells(tables) <= {key.name for key in settings_keys.FILE_KEYS}


@pytest.mark.parametrize(
    ("page", "target"), [*links()], ids=lambda part: part.stem if isinstance(part, Path) else part
)
def test_links_lead_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page

    assert found.exists()
    assert not anchor or anchor in anchors(found)


# Examples work


@pytest.mark.parametrize("block", every("sh"))
def test_shell_parses(block: str) -> None:
    subprocess.run(["sh", "-n"], input=block, text=True, check=True)


@pytest.mark.parametrize("block", every("json"))
def test_json_parses(block: str) -> None:
    json.loads(block)


# what needs Mentat's own tables is executed in tests/mentat
@pytest.mark.parametrize(
    "block", [block for block in every("sql") if not str(block.id).startswith("docs/mentat.md")]
)
def test_sql_is_taken_by_the_database(block: str, connection: Connection) -> None:
    statements = block.replace("mentat_main", connection.info.dbname)

    with connection.cursor() as cursor:
        cursor.execute("create role reporter")
        cursor.execute(statements)
    connection.rollback()


def test_the_sample_configuration_is_taken_without_warnings() -> None:
    [sample] = blocks(section(README, "With your PostgreSQL and mail server"), "json")

    settings, warnings = build_settings(json.loads(sample), home=Path("/home/of/reporter"))

    assert warnings == []
    assert settings.mail.smtp_port == 587
    assert settings.database.main is not None
    assert settings.database.events is not None


def test_filters_compile() -> None:
    listed = blocks(section(README, "Write a filter"), "text")[0]

    for line in listed.splitlines():
        compile_rule(re.split(r"\s{3,}", line)[0], "ransack", NOW)


def test_the_template_renders(tmp_path: Path) -> None:
    shell = blocks(section(README, "Write a template"), "sh")[0]
    text = shell.split("<<'END'\n")[1].split("END\n")[0]
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "summary.txt").write_text(text, encoding="utf-8")

    templates = Templates(tmp_path, {"organisation": "CSIRT Example"}, {})
    rendered = templates.render(replace(report(), template="short"))

    assert rendered.subject.startswith("Low: ")
    assert rendered.text.startswith("CSIRT Example saw this, ")


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder that the account of root's PostgreSQL may pass through, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="mentat-reporter-docs-"))
    folder.chmod(0o755)
    (folder / "core").mkdir()
    yield folder
    Cluster(folder / "reporter" / "home").stop()
    shutil.rmtree(folder)


def command(place: Path) -> list[str]:
    """Return how to call the program without the machine's configuration."""
    own = ("--config-file", place / "none.conf", "--config-file-silent", "--config-dir", place / "core")
    return [sys.executable, str(PROGRAM), *map(str, own)]


def environment(place: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "MENTAT"))}
    home = place / "reporter" / "home"
    return {**kept, "HOME": str(place), "MENTAT_REPORTER_HOME": str(home), "PYTHONPATH": str(ROOT)}


def test_the_first_steps_end_with_a_mail(place: Path) -> None:
    install, *steps = blocks(section(README, "First steps"), "sh")
    called = f'mentat-reporter.py() {{ {shlex.join(command(place))} "$@"; }}\n'
    (place / "reporter").mkdir()

    subprocess.run(
        ["bash", "-eu"], input=called + "\n".join(steps), env=environment(place), text=True, check=True
    )

    assert "MENTAT_REPORTER_HOME=~/reporter/home" in install
    [mail] = (place / "reporter" / "home" / "maildir" / "new").iterdir()
    assert "To: abuse@example.org\nSubject: [M" in mail.read_text(encoding="utf-8")


def test_the_demo_prints_what_the_readme_shows(place: Path) -> None:
    shown = blocks(section(README, "Try it"), "text")[0].partition("embedded ")[2]
    home = re.findall(r"(/\S+)/demo\n", shown)[0]

    done = subprocess.run(
        [*command(place), "demo"], env=environment(place), capture_output=True, text=True, check=True
    )

    printed = done.stdout.partition("embedded ")[2].replace(environment(place)["MENTAT_REPORTER_HOME"], home)
    assert printed == shown
