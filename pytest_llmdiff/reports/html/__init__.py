"""The HTML report: one file that needs no network."""

from __future__ import annotations

from pathlib import Path

from pytest_llmdiff.reports.run_facts import Facts


def write_html(facts: Facts, path: Path) -> None:
    from pytest_llmdiff.reports.html.page import page

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(facts), encoding="utf-8")
