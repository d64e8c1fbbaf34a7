"""The HTML report in a real browser. Needs Playwright (in the `dev` extra) and a Chromium of the
system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.reports.html import write_html
from tests.support.browser import CHROMIUM, Open
from tests.support.reports import facts_of, hostile_rows, regressed, row_of, rows_of, set_of


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium (chromium, chromium-browser, google-chrome) on the PATH")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


def outside(url: str) -> list[str]:
    return [] if url.startswith(("file:", "data:", "about:")) else [f"request: {url}"]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a file; afterwards nothing was asked for, and nothing was said on the console."""
    faults: list[str] = []
    contexts = []

    def start(file: Path, fragment: str = "", **options: Any) -> Any:
        contexts.append(browser.new_context(**{"reduced_motion": "reduce"} | options))
        contexts[-1].set_default_timeout(20_000)
        opened = contexts[-1].new_page()
        opened.on("console", lambda said: faults.append(f"console: {said.text}"))
        opened.on("pageerror", lambda error: faults.append(f"error: {error}"))
        opened.on("request", lambda asked: faults.extend(outside(asked.url)))
        opened.goto(file.as_uri() + fragment)
        return opened

    yield start
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven tests, of two tags, languages and files: two that regressed, an error, a set."""
    target = tmp_path_factory.mktemp("html") / "report.html"
    broken = row_of("b.py::broken", value=0.1, limit=0.2, prompt="Is it open?")
    broken |= {
        "phases": {"setup": "failed"}, "verdicts": [],
        "message": "RuntimeError: no database\n  at line 7",
    }  # fmt: skip
    rows = [
        regressed("a.py::rude[1]", value=0.9, tags=["in_domain"], language="en"),
        regressed("a.py::rude[2]", value=0.7, tags=["retained"], language="zh", prompt="如何退款？",
                  base="您可以在三十天内退款。", tuned="您不能在三十天内退款。"),
        broken,
        set_of("a.py::general", members=30, value=0.3, limit=0.5, low=0.2, high=0.4),
        *(row_of(f"b.py::kind[{n}]", value=n / 100, limit=0.2, tags=["retained"],
                 prompt=f"question {n}", tuned=f"answer {n} unique{n}") for n in range(6)),
        row_of("b.py::arabic", value=0.1, limit=0.2, prompt="كيف أستعيد أموالي؟", language="ar",
               base="مرحبا", tuned="مرحبا بك"),
    ]  # fmt: skip
    facts = facts_of(
        rows_of(rows), notes=["ran one after the other"], started=1_800_000_000.0, seconds=61.0,
        commit="c0ffee" * 7,
    )  # fmt: skip
    write_html(facts, target)
    return target


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("html") / "hostile.html"
    write_html(facts_of(hostile_rows()), target)
    return target
