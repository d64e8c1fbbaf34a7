"""The HTML report: one file that works offline."""

from __future__ import annotations

from pathlib import Path

from pytest_llmdiff.data.files.whole_files import write_whole
from pytest_llmdiff.reports.run_facts import RunFacts


def write_html(facts: RunFacts, path: Path) -> None:
    from pytest_llmdiff.reports.html.page import page

    write_whole(path, page(facts))
