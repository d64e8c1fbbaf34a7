"""The HTML report: one file that works offline."""

from __future__ import annotations

from pathlib import Path

from pytest_llmdiff.reports.run_facts import RunFacts


def write_html(facts: RunFacts, path: Path) -> None:
    from pytest_llmdiff.reports.html.page import page

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(facts), encoding="utf-8")
