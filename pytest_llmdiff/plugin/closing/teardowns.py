"""Spares pytest a scan of all reports for each failure that it prints."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest


class SilentTeardowns:
    """For each failure, pytest looks through the reports of all tests for what the test's teardown
    printed: with thousands of failures that takes longer than the tests.

    So reports that printed nothing in a teardown are set aside while pytest prints the failures,
    and are back before any plugin's part of the summary, such as the slowest durations.
    """

    def __init__(self) -> None:
        self._stats: dict[str, list[Any]] = {}
        self._reports: list[Any] | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # pytest prints in a wrapper
    def pytest_terminal_summary(self, terminalreporter: Any) -> Generator[None, object, object]:
        self._stats = terminalreporter.stats
        self._reports = self._stats.get("")
        if self._reports is not None:
            self._stats[""] = [report for report in self._reports if _printed(report)]
        try:
            return (yield)
        finally:
            self._put_back()

    @pytest.hookimpl(specname="pytest_terminal_summary", tryfirst=True)
    def pytest_terminal_summary_begins(self) -> None:  # pytest looks at names that begin so
        self._put_back()

    def _put_back(self) -> None:
        if self._reports is not None:
            self._stats[""], self._reports = self._reports, None


def _printed(report: Any) -> bool:
    return any("teardown" in name for name, _ in getattr(report, "sections", ()))
