"""Ends a run: frees the models, writes the files, shows the summary."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmdiff.config.given import runs_tests
from pytest_llmdiff.errors import StoreError
from pytest_llmdiff.plugin.session import CONTROLLER, SESSION, Session


def finish_run(ended: pytest.Session) -> None:
    """Free the models; in the controller, write the files that the options name.

    A run that cannot write one of them fails, whatever its tests did. One that ends early is never
    green.
    """
    from pytest_llmdiff.plugin.closing.signals import held_back

    with held_back() as signals:
        _finish(ended)
    if signals:
        ended.exitstatus = pytest.ExitCode.INTERRUPTED


def _finish(ended: pytest.Session) -> None:
    config = ended.config
    session = config.stash[SESSION]
    specs = None if hasattr(config, "workerinput") else session.specs
    try:
        session.finish()
        if specs is not None and config.pluginmanager.hasplugin("dsession"):
            session.stop.clear()
    except StoreError as error:
        session.warnings.append(str(error))
    if specs is None:
        return
    good = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    controller: Any = config.pluginmanager.getplugin(CONTROLLER)
    session.stopped = controller is not None and controller.interrupted(ended)
    if ended.exitstatus in good and session.stopped:
        ended.exitstatus = pytest.ExitCode.INTERRUPTED
    session.exit_code = int(ended.exitstatus)
    if ended.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and runs_tests(config):
        from pytest_llmdiff.reports.rerun import tuned_options

        session.closing.append(
            "llmdiff: no test was run. Ready-made ones need no file: "
            f"pytest --pyargs pytest_llmdiff.suites.quick {tuned_options(session.settings.several)}"
            f"{session.rerun_options}"
        )
    if ended.exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
        from pytest_llmdiff.reports.outcomes import end_unfinished

        session.warnings.append("the run ended before all of its tests had run")
        end_unfinished(session.rows)
    from pytest_llmdiff.plugin.closing.outputs import write_outputs

    session.closing += write_outputs(session, specs)
    if (session.unwritten or session.uncalibrated) and ended.exitstatus in good:
        ended.exitstatus = pytest.ExitCode.TESTS_FAILED


def close_run(session: Session, exit_code: int) -> None:
    """Say what the run comes to, once nothing changes its exit code any more."""
    from pytest_llmdiff.plugin.closing.outputs import (
        REPORTS,
        tell_reviewers,
        tell_tracker,
        write_answer,
        write_outputs,
    )
    from pytest_llmdiff.plugin.closing.signals import held_back

    with held_back():
        if exit_code != session.exit_code and session.specs is not None:
            session.exit_code = exit_code
            write_outputs(session, session.specs, only=REPORTS)  # they said another
        tell_reviewers(session)
        tell_tracker(session)
        write_answer(session)


def show_summary(terminalreporter: Any, session: Session) -> None:
    from pytest_llmdiff.plugin.closing.outputs import facts_of
    from pytest_llmdiff.reports.terminal.summary import write_summary

    write_summary(terminalreporter, facts_of(session))
    for line in session.closing:
        terminalreporter.write_line(line)
