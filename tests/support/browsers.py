"""A browser of the system, in which pages are opened as files."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
AXE = Path(sys.prefix) / "axe" / "node_modules" / "axe-core" / "axe.min.js"


@contextmanager
def open_browser() -> Iterator[Any]:
    """Skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium (chromium, chromium-browser, google-chrome) on the PATH")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


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
