"""Collects the rows of finished tests in the controller, which writes the reports."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import pytest

from pytest_llmdiff.errors import StoreError
from pytest_llmdiff.plugin.closing.finish import close_run
from pytest_llmdiff.plugin.closing.signals import end_as_ctrl_c, end_at_once
from pytest_llmdiff.plugin.session import Session
from pytest_llmdiff.reports.outcomes import DIED, add_report
from pytest_llmdiff.reports.rerun import tuned_options


class Controller:
    """Takes the test reports of all processes. Registered as a plugin in runs with models."""

    def __init__(self, session: Session) -> None:
        self.session = session
        # Node ids of all tests, also of those without models.
        self._finished, self._of_workers = set[str](), set[str]()
        self._each: dict[str, dict[str, dict[str, Any]]] = {}  # rows by worker (--dist=each)

    def pytest_sessionstart(self) -> None:
        from pytest_llmdiff.generation.windows import forget_passing

        end_as_ctrl_c()
        with suppress(StoreError):  # the tests that need it say so
            self.session.store.look_over()
            forget_passing(self.session.store)

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest's own last lines
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        try:
            return (yield)
        finally:
            close_run(self.session, int(session.exitstatus))

    def pytest_unconfigure(self) -> None:
        end_at_once()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._of_workers.update(ids)

    @pytest.hookimpl(tryfirst=True)  # before the properties go into a JUnit file
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        when = report.when
        if when in ("teardown", DIED):
            self._finished.add(report.nodeid)
        # If its process died, nobody knows whether the test used the models: it may have.
        if not hasattr(report, "llmdiff") and when != DIED:
            if report.failed:
                self.session.failed_besides.append(report.nodeid)
            return
        rows = self.session.rows
        if self._tested_by_each:
            self._add_of_each(report)
        else:
            add_report(rows, report)
            if when == DIED and self.session.models:  # nobody knows which one it was of
                every = tuned_options(self.session.settings.several).strip()
                rows[report.nodeid]["target"] += f" {every}"
        if when == "teardown" and self._in_junit:
            from pytest_llmdiff.reports.files.junit import properties

            report.user_properties += properties(rows[report.nodeid], self.session.rerun_options)

    @cached_property
    def _tested_by_each(self) -> bool:
        """Whether every worker runs all tests."""
        return bool(self.session.config.getoption("dist", "no") == "each")

    @cached_property
    def _in_junit(self) -> bool:
        return bool(self.session.config.getoption("xmlpath", None))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.session.uncollected.append(report.nodeid)

    def interrupted(self, run: pytest.Session) -> bool:
        """Whether the run ends before its tests do, though pytest may not have noted it yet.

        A second signal that comes while pytest handles the first leaves the exit status at 0, as
        does `pytest.exit(..., returncode=0)`.
        """
        cut_off = isinstance(sys.exception(), KeyboardInterrupt)
        selected = {item.nodeid for item in run.items} | self._of_workers
        return cut_off or len(self._finished) < len(selected)

    def _add_of_each(self, report: Any) -> None:
        """Keep the worst row of a test that every worker runs."""
        from pytest_llmdiff.reports.order import worst_first

        add_report(self._each.setdefault(report.node.gateway.id, {}), report)
        rows = [own[report.nodeid] for own in self._each.values() if report.nodeid in own]
        self.session.rows[report.nodeid] = worst_first(rows)[0]

    def pytest_runtest_logfinish(self) -> None:
        """Stop xdist's workers if the run ends early (`-x`): one may be generating all replies."""
        plugins = self.session.config.pluginmanager
        run: Any = plugins.getplugin("session")
        if (run.shouldfail or run.shouldstop) and plugins.hasplugin("dsession"):
            self.session.stop.send()
