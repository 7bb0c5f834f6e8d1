"""What `pip install .` puts on a machine works without the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import mentat_reporter

ROOT = Path(__file__).parents[2]
PACKED = ("mentat_reporter", "templates", "etc", "bin")


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MENTAT"))}
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts}


def offline() -> list[str]:
    """Build with the libraries that are here, if they are new enough to make a wheel."""
    try:
        new_enough = int(version("setuptools").partition(".")[0]) >= 71
    except PackageNotFoundError:
        new_enough = False
    return ["--no-build-isolation"] if new_enough else []


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Copy what a build needs to a path with a space."""
    place = tmp_path_factory.mktemp("a path") / "check out"
    ignore = shutil.ignore_patterns("__pycache__", "*.mo")
    for name in PACKED:
        shutil.copytree(ROOT / name, place / name, ignore=ignore)
    for pattern in ("setup.py", "pyproject.toml", "MANIFEST.in", "*.md", "LICENSE"):
        for path in ROOT.glob(pattern):
            shutil.copy(path, place)
    yield place
    shutil.rmtree(place.parent, ignore_errors=True)


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    """Build from another working directory."""
    before = tree(checkout)
    folder = checkout.parent / "wheels"
    words = ["wheel", "--no-deps", *offline(), "--wheel-dir", str(folder), str(checkout)]
    run(sys.executable, "-m", "pip", *words, cwd=checkout.parent)
    assert tree(checkout) == before, "the build left something in the checkout"
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """Install the wheel into an environment of its own; dependencies are those of the tests."""
    place = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=tmp_path)
    python = place / "bin" / "python"
    Path(libraries(python), "dependencies.pth").write_text(f"{libraries(sys.executable)}\n", encoding="utf-8")
    words = ["--python", str(python), "install", "--no-deps", "--no-index", "--force-reinstall", str(wheel)]
    run(sys.executable, "-m", "pip", *words, cwd=tmp_path)
    return place / "bin"


def libraries(python: str | Path) -> str:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return run(python, "-c", code, cwd=Path("/")).strip()


def test_the_wheel_has_code_templates_catalogues_queries_and_samples(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.removeprefix("mentat_reporter/") for name in archive.namelist()}
    source = ROOT / "mentat_reporter"

    assert {str(path.relative_to(source)) for path in source.rglob("*.py")} <= names
    assert {str(path.relative_to(source)) for path in source.rglob("*.sql")} <= names
    for folder in ("templates", "etc"):
        files = {path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".mo"}
        assert {str(path.relative_to(ROOT)) for path in files} <= names
    assert "templates/locale/cs/LC_MESSAGES/messages.mo" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_command_works_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    program = installed / "mentat-reporter.py"

    shown = run(program, "--help", cwd=tmp_path, COLUMNS="100")
    where = run(installed / "python", "-c", "import mentat_reporter as m; print(m.__file__)", cwd=tmp_path)

    assert shown == Path(__file__).with_name("help.txt").read_text(encoding="utf-8")
    assert where.startswith(libraries(installed / "python"))
    # Refused, if templates and compiled catalogues were not found inside the package.
    words = ("--locale", "cs", "--template-id", "another", "--action", "config-view")
    run(program, *words, cwd=tmp_path, MENTAT_REPORTER_HOME=str(tmp_path / "home"))


def test_the_version_is_the_packages_own(wheel: Path) -> None:
    assert wheel.name == f"mentat_reporter-{mentat_reporter.__version__}-py3-none-any.whl"
