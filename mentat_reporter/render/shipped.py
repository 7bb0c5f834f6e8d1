"""Where the templates and catalogues that ship with the reporter are."""

from functools import cache
from pathlib import Path


@cache
def shipped_templates() -> Path:
    """Return the folder inside the installed package, or the one beside the package in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"
