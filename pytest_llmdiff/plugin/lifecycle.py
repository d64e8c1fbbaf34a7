"""What the hooks do: read the settings, plan the run, put rows into test reports, end the run."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_llmdiff.config.given import keys_given, names_modules, options_given, runs_tests
from pytest_llmdiff.plugin.fixtures import uses_models
from pytest_llmdiff.plugin.marker import case_of
from pytest_llmdiff.plugin.session import CONTROLLER, SESSION, TUNED, Session

BRIEF_ERRORS = "llmdiff-errors"


def check_spelling(parser: pytest.Parser, words: Sequence[str]) -> None:
    if not any(word.startswith("--llm") for word in words):
        return
    from pytest_llmdiff.config.spelling import check_flags
    from pytest_llmdiff.errors import ConfigError

    try:
        check_flags(parser, words)
    except ConfigError as error:
        raise pytest.UsageError(f"llmdiff: {error}") from error


def configure(config: pytest.Config) -> None:
    """Check options and SPECs here, before xdist starts its workers: usage errors still work."""
    session = Session(config)
    # Where nothing is given, the settings are the defaults, and are not read before a test asks.
    if options_given(config) or keys_given(config) or names_modules(config):
        from pytest_llmdiff.plugin.preparation.given import check_given

        check_given(session)
    config.stash[SESSION] = session
    config.pluginmanager.register(BriefErrors(), BRIEF_ERRORS)
    if hasattr(config, "workerinput") or not runs_tests(config):
        return
    if session.specs is None:
        config.pluginmanager.register(SkipCounter(session), CONTROLLER)
        return
    from pytest_llmdiff.plugin.closing.teardowns import SilentTeardowns
    from pytest_llmdiff.plugin.controller import Controller

    config.pluginmanager.register(SilentTeardowns())
    config.pluginmanager.register(Controller(session), CONTROLLER)


class SkipCounter:
    """Counts the tests that were skipped because the run has no models, in all processes."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.session.skipped += report.skipped and hasattr(report, "llmdiff")


def prepare(config: pytest.Config) -> int | None:
    """Run pytest again where it misread an option, and return the exit code of that run.

    A run that only plans stops after collection, in this process alone.
    """
    if not options_given(config) and not keys_given(config):
        return None
    from pytest_llmdiff.config.command_line import run_again
    from pytest_llmdiff.config.settings import only_plans
    from pytest_llmdiff.errors import ConfigError

    exit_code = run_again(config)
    if exit_code is not None:
        return exit_code
    try:
        if only_plans(config):
            config.option.collectonly = True
    except ConfigError as error:
        raise pytest.UsageError(f"llmdiff: {error}") from error
    return None


def parametrize_models(metafunc: pytest.Metafunc) -> None:
    """Give a test with fixtures of models one case for each of several tuned models.

    The parameter is a session's, so that pytest runs all tests of one model before those of the
    next.
    """
    names = [model.name for model in metafunc.config.stash[SESSION].models]
    if names and uses_models(metafunc.definition, metafunc.fixturenames):
        if TUNED not in metafunc.fixturenames:  # of `comparison` and `comparisons` alone
            metafunc.fixturenames.append(TUNED)
        metafunc.parametrize(TUNED, names, ids=names, indirect=True, scope="session")


@contextmanager
def without_list(config: pytest.Config) -> Iterator[None]:
    """pytest lists the tests of a run that ends with their collection. One that plans shows its
    plan instead."""
    listing = config.option.collectonly
    plans = listing and config.stash[SESSION].settings.plan
    config.option.collectonly = listing and not plans
    try:
        yield
    finally:
        config.option.collectonly = listing


def header(session: Session) -> list[str]:
    if session.unusable is not None:
        return [f"llmdiff: no models: {session.unusable}"]
    if session.specs is None:
        return []
    from pytest_llmdiff.reports.terminal.summary import header_lines

    return header_lines(session.settings, session.notes)


class BriefErrors:
    """Shows errors without this plugin's frames. A plugin of its own, since it has to be inside of
    the wrappers that look at the exception (that of `xfail(raises=…)`)."""

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, Any, Any]:
        if call.excinfo is None:
            return (yield)
        from pytest_llmdiff.plugin.failures import shown_briefly

        with shown_briefly(item, call, item.config.stash[SESSION]):
            return (yield)


def attach_row(
    report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[Any]
) -> pytest.TestReport:
    """Put the row of a test that uses the models into its last report."""
    message = None
    session = item.config.stash[SESSION]
    test = session.test
    using = uses_models(item) if test is None else test.uses_models
    if call.excinfo is not None:
        from pytest_llmdiff.plugin.failures import short_reason, silence_commands

        message = short_reason(report, call, item)
        if using:
            silence_commands(report)
    if using:
        facts: dict[str, Any] = {} if message is None else {"message": message}
        if call.excinfo is not None:
            facts["asserted"] = call.excinfo.errisinstance((AssertionError, pytest.fail.Exception))
        kept = None if test is None else test.kept
        when = report.when
        if when == "call" and report.passed and kept is not None:
            tolerate_inconclusive(report, kept.inconclusive, session.settings.inconclusive)
        if when == "teardown":
            facts |= {} if kept is None else kept.row()
            facts["case"] = case_of(item)
            facts["target"] = session.rerun_target(item)
            model = session.model_of(item)
            facts["tuned"] = None if model is None else model.settings.tuned
        # xdist serialises the attributes of a report; user_properties would all go into JUnit. As
        # JSON, since half of a surrogate pair, which a server may send, makes xdist crash.
        travels = hasattr(item.config, "workerinput")
        report.__dict__["llmdiff"] = json.dumps(facts) if travels else facts
    return report


def tolerate_inconclusive(report: pytest.TestReport, inconclusive: Sequence[str], how: str) -> None:
    """Turn a test that passed, except for inconclusive sets, into an expected failure."""
    if inconclusive and how == "xfail":
        report.outcome = "skipped"
        report.__dict__["wasxfail"] = f"inconclusive: {', '.join(dict.fromkeys(inconclusive))}"


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before anything is deselected: leave out what no scorer can judge."""
    session = config.stash[SESSION]
    if session.specs is not None:
        from pytest_llmdiff.plugin.preparation.selected import leave_out, warn_of_unmatched

        warn_of_unmatched(session, items)
        leave_out(session, items)


def plan(session: Session, items: Sequence[pytest.Item]) -> None:
    """Of the selected tests: plan the probes, and look for what else they need."""
    if session.has_models:
        from pytest_llmdiff.plugin.preparation.selected import check_needs, plan_probes

        plan_probes(session, items)
        check_needs(session, items)


def check_workers(session: Session) -> None:
    if session.has_models:
        from pytest_llmdiff.plugin.preparation.selected import check_needs_of_workers

        check_needs_of_workers(session)


def finish(ended: pytest.Session) -> None:
    if ended.config.stash[SESSION].specs is not None:
        from pytest_llmdiff.plugin.closing.finish import finish_run

        finish_run(ended)


def release(config: pytest.Config) -> None:
    """Drop the run: pytest's last garbage collections walk everything that is still alive."""
    session = config.stash.get(SESSION, None)
    if session is not None:
        for name in (CONTROLLER, BRIEF_ERRORS):
            if config.pluginmanager.hasplugin(name):
                config.pluginmanager.unregister(name=name)
        del config.stash[SESSION]
        session.release()


def summary(terminalreporter: Any, session: Session) -> None:
    # pytest calls this in workers as well, where nobody reads it.
    if hasattr(session.config, "workerinput"):
        return
    if session.rows or session.skipped or session.closing:
        from pytest_llmdiff.plugin.closing.finish import show_summary

        show_summary(terminalreporter, session)
