"""A real Chromium, and what it is asked: pages as people see them, and axe-core's opinion."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from playwright.sync_api import Browser, Page, sync_playwright

Scheme = Literal["light", "dark"]

WIDTHS: Final = (360, 1280)
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")
HEIGHT: Final = 900
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_AXE: Final = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def executable() -> str:
    """Return the program: `$CHROMIUM`, else what is on the path."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise RuntimeError(
            "these tests need Chromium: apt install chromium, or set CHROMIUM to the program of another one"
        )
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start it. Root has no sandbox, in which it could start."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class View:
    """One page in a window, with whatever it complained of or asked for."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.url = file.as_uri()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(self.url)

    def violations(self) -> list[str]:
        """Return what axe-core finds, with the places."""
        self.page.evaluate(_AXE)
        options = {"runOnly": {"type": "tag", "values": RULES}}
        found = self.page.evaluate("(options) => axe.run(document, options)", options)
        return [
            f"{rule['id']}: {rule['help']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    def width(self) -> int:
        """Return how wide the page is, which is more than the window if it scrolls sideways."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))

    def focus(self) -> dict[str, Any]:
        """Say what has the focus, and whether that is to be seen."""
        found: dict[str, Any] = self.page.evaluate(
            """() => {
                const here = document.activeElement, style = getComputedStyle(here);
                return {
                    tag: here.tagName.toLowerCase(), id: here.id, text: here.textContent.trim(),
                    visible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0,
                };
            }"""
        )
        return found


@contextmanager
def viewed(
    browser: Browser, file: Path, width: int = 1280, scheme: Scheme = "light", *, scripts: bool = True
) -> Iterator[View]:
    """Open a file in a window of its own, without a network."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme=scheme,
        java_script_enabled=scripts,
        offline=True,
    )
    try:
        yield View(context.new_page(), file)
    finally:
        context.close()
