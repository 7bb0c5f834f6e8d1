"""The pictures of docs/img: `python -m pages.screenshots FOLDER`, which `make screenshots` calls."""

import shutil
import sys
import tempfile
from pathlib import Path

from pages.chromium import SCHEMES, WIDTHS, chromium, viewed
from pages.sample import make_sample, make_shown


def take(folder: Path) -> None:
    """Take each picture at every width in light and dark: `mail-1280-dark.png`."""
    place = Path(tempfile.mkdtemp(prefix="mentat-reporter-pictures-"))
    try:
        shown = make_shown(place) | {"index": make_sample(place)["index"]}
        with chromium() as browser:
            for name, file in shown.items():
                for width in WIDTHS:
                    for scheme in SCHEMES:
                        with viewed(browser, file, width, scheme) as view:
                            view.page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
