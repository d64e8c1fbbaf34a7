"""A page in a browser."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
AXE = Path(sys.prefix) / "axe" / "node_modules" / "axe-core" / "axe.min.js"
Open = Callable[..., Any]


def titles(page: Any) -> list[str]:
    """The tests in the list."""
    found: list[str] = page.locator(".row .title").all_inner_texts()
    return found


def tab(page: Any, name: str) -> Any:
    """Choose a tab of the open test; what it shows."""
    page.get_by_role("tab", name=name, exact=True).click()
    return page.get_by_role("tabpanel", name=name, exact=True)


def assert_accessible(page: Any) -> None:
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    for violation in found["violations"]:
        print(violation["id"], *(node["html"][:200] for node in violation["nodes"]), sep="\n  ")
    assert not found["violations"]


def wider_than(page: Any, width: int) -> list[str]:
    """What is cut at the right edge of a screen, other than what can be scrolled."""
    found: list[str] = page.evaluate(
        """(width) => [...document.querySelectorAll("body *")]
            .filter((e) => e.getBoundingClientRect().right > width)
            .filter((e) => !e.closest(".scroll, [role=tablist]"))
            .map((e) => e.outerHTML.slice(0, 120)).slice(0, 5)""",
        width,
    )
    if page.evaluate("document.documentElement.scrollWidth") > width:
        found.append("the page itself")
    return found


@contextmanager
def open_file(browser: Any, file: Path, fragment: str = "", **options: Any) -> Iterator[Any]:
    """A page that asks for nothing, and says nothing on the console."""
    faults: list[str] = []
    context = browser.new_context(**options)
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.on("console", lambda said: faults.append(f"console: {said.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("request", lambda asked: faults.extend(_outside(asked.url)))
    page.goto(file.as_uri() + fragment, timeout=60_000)  # some pages are large
    yield page
    context.close()
    assert faults == []


def _outside(url: str) -> list[str]:
    return [] if url.startswith(("file:", "data:")) else [f"request: {url}"]


def accessibility_faults(page: Any) -> list[str]:
    """What axe-core objects to, with the elements; nothing where it is not installed."""
    if not AXE.is_file():
        return []
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
