"""What a run writes at its end, besides the store: the files that were asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import pytest

from pytest_llmdiff.config.given import runs_tests
from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.errors import LLMDiffError, StoreError
from pytest_llmdiff.plugin.closing.commit import commit_of
from pytest_llmdiff.plugin.session import Session
from pytest_llmdiff.plugin.workers import WorkerNotes
from pytest_llmdiff.reports.run_facts import RunFacts
from pytest_llmdiff.verdicts.multiple_testing import adjust, chance_of

NARROWING = {"-k": "keyword", "-m": "markexpr", "--lf": "lf", "--deselect": "deselect"}
REPORTS = frozenset(["json", "html", "markdown"])  # the files that say what the run comes to


def write_outputs(
    session: Session, specs: tuple[Spec, Spec], *, only: frozenset[str] | None = None
) -> list[str]:
    """Write the files, or `only` some. Returns lines for the summary; `session.unwritten` has the
    names of those that could not be written.

    A file that cannot be written does not keep the others from being written. A run that only
    lists its tests writes none.
    """
    lines = list[str]()
    if not runs_tests(session.config):
        return lines
    for name, write in _files(session, specs):
        if only is not None and name not in only:
            continue
        try:
            lines += write() or ()
        except (LLMDiffError, OSError) as error:  # a full disk, say
            lines.append(f"{name}: nothing was written: {error}")
            session.unwritten.add(name)
    return lines


def _files(
    session: Session, specs: tuple[Spec, Spec]
) -> Iterator[tuple[str, Callable[[], Iterable[str] | None]]]:
    """The name of each file, and a function that writes it and may return lines for the summary."""
    settings, rows = session.settings, session.rows
    if settings.calibrate is not None:
        from pytest_llmdiff.plugin.closing.calibration import write_calibration

        yield "baseline", partial(write_calibration, session, settings.calibrate)
    if settings.accept:
        from pytest_llmdiff.verdicts.accepted import entries_of, write_accepted

        yield "accepted", partial(write_accepted, settings.accepted, entries_of(rows.values()))
    if settings.record is not None:
        from pytest_llmdiff.reports.files.recording import write_recording

        yield (
            "record",
            partial(write_recording, session.store, session.run_id, specs, settings.record),
        )
    if (json := settings.json) is not None:
        from pytest_llmdiff.reports.files.json_report import write_json

        yield "json", lambda: write_json(facts_of(session), json)
    if (html := settings.html) is not None:
        from pytest_llmdiff.reports.html import write_html

        yield "html", lambda: write_html(facts_of(session), html)
    if settings.export is not None:
        from pytest_llmdiff.reports.files.export import write_export

        yield "export", partial(write_export, rows, settings.export)
    if settings.label is not None:
        from pytest_llmdiff.reports.files.unlabelled import write_unlabelled

        yield "label", partial(write_unlabelled, rows.values(), settings.label)
    if (markdown := settings.markdown) is not None:
        from pytest_llmdiff.reports.files.markdown import write_markdown

        yield "markdown", lambda: write_markdown(facts_of(session), markdown)


def tell_reviewers(session: Session) -> None:
    """Summary and annotations of a GitHub workflow."""
    if not runs_tests(session.config):
        return
    terminal: Any = session.config.pluginmanager.getplugin("terminalreporter")
    for line in _for_reviewers(session):
        if terminal is not None:
            terminal.write_line(line)


def tell_tracker(session: Session) -> None:
    """Send the run to an experiment tracker, once all else is written."""
    name = session.settings.track
    if name is None or not session.rows or not runs_tests(session.config):
        return
    from pytest_llmdiff.reports.trackers import track

    terminal: Any = session.config.pluginmanager.getplugin("terminalreporter")
    line = track(name, facts_of(session))
    if terminal is not None:
        terminal.write_line(line)


def _for_reviewers(session: Session) -> Iterator[str]:
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and session.rows:
        from pytest_llmdiff.reports.files.markdown import append_markdown

        try:
            append_markdown(facts_of(session), Path(summary))
        except OSError as error:  # nothing that the author of a test could fix
            yield f"markdown: GITHUB_STEP_SUMMARY cannot be written to ({error})"
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from pytest_llmdiff.reports.files.annotations import annotation_lines

        root = session.config.rootpath
        workspace = Path(os.environ.get("GITHUB_WORKSPACE") or root)
        yield from annotation_lines(facts_of(session), root, workspace)


def write_answer(session: Session) -> None:
    """Print what the run comes to, after all else."""
    terminal: Any = session.config.pluginmanager.getplugin("terminalreporter")
    if terminal is None or not (session.rows or session.specs is not None):
        return
    from pytest_llmdiff.reports.answer import answer_of
    from pytest_llmdiff.reports.terminal.answer import answer_lines

    answer = answer_of(facts_of(session))
    for line in () if answer is None else answer_lines(answer, get_terminal_size().columns):
        line.write(terminal)


def facts_of(session: Session) -> RunFacts:
    """What the reports are made of."""
    adjust(session.rows.values())
    notes = _worker_notes(session)
    with_models = session.rows or session.specs is not None
    own = [*session.store.warnings, *session.warnings] if with_models else []
    return RunFacts(
        settings=session.settings,
        rows=session.rows,
        resolved={} if notes is None else notes.resolved,
        notes=[] if notes is None else notes.notes,
        warnings=list(dict.fromkeys([*own, *(() if notes is None else notes.warnings)])),
        skipped=session.skipped,
        chance=chance_of(session.rows.values()),
        options=session.rerun_options,
        exit_code=session.exit_code,
        part=_part_of(session.config),
        failed_besides=tuple(session.failed_besides),
        stopped=session.stopped,
        uncollected=tuple(session.uncollected),
        unwritten=frozenset(session.unwritten),
        started=session.started,
        seconds=time.time() - session.started,
        commit=commit_of(session.config.rootpath),
        models={model.name: str(model.settings.tuned) for model in session.models},
    )


def _part_of(config: pytest.Config) -> str:
    """What was given on the command line to run only some of the tests."""
    given = {flag: config.getoption(name, None) for flag, name in NARROWING.items()}
    parts = [
        f"{flag} {value!r}" if isinstance(value, str) else flag
        for flag, value in given.items()
        if value
    ]
    named = [argument for argument in config.args if "::" in argument]
    return ", ".join([*parts, *named[:1]])


def _worker_notes(session: Session) -> WorkerNotes | None:
    """What the processes of the run left for the reports; None if there is nothing to report."""
    if not session.rows or session.specs is None:
        return None
    try:
        _ = session.worker_notes.notes
    except StoreError as error:  # tests that needed the store have failed; the others are reported
        session.warnings.append(str(error))
        return None
    return session.worker_notes
