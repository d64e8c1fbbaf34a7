"""The files that a run writes at its end, besides the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from pytest_llmdiff.config.settings import runs_tests
from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.plugin.session import Session


def write_outputs(session: Session, specs: tuple[Spec, Spec]) -> tuple[list[str], bool]:
    """Write what was asked for: last lines of the summary, and whether all of it is written.

    What cannot be written keeps nothing else from being written. A run that only lists its tests
    writes nothing.
    """
    lines, whole = list[str](), True
    if not runs_tests(session.config):
        return lines, whole
    for name, write in _files(session, specs):
        try:
            lines += write() or ()
        except (LLMDiffError, OSError) as error:  # a full disk, say
            lines.append(f"{name}: nothing was written: {error}")
            whole = False
    return [*lines, *_for_reviewers(session)], whole


def _files(
    session: Session, specs: tuple[Spec, Spec]
) -> Iterator[tuple[str, Callable[[], Iterable[str] | None]]]:
    """The files that were asked for: what they are, and what writes each and may tell of it."""
    settings, rows = session.settings, session.rows
    if settings.calibrate is not None:
        from pytest_llmdiff.plugin.calibration import write_calibration

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
    if (found := settings.json) is not None:
        from pytest_llmdiff.reports.files.json_report import write_json

        yield "json", lambda: write_json(session.facts(), found)
    if (html := settings.html) is not None:
        from pytest_llmdiff.reports.html import write_html

        yield "html", lambda: write_html(session.facts(), html)
    if settings.export is not None:
        from pytest_llmdiff.reports.files.export import write_export

        yield "export", partial(write_export, rows, settings.export)
    if (markdown := settings.markdown) is not None:
        from pytest_llmdiff.reports.files.markdown import write_markdown

        yield "markdown", lambda: write_markdown(session.facts(), markdown)


def _for_reviewers(session: Session) -> Iterator[str]:
    """In a workflow of GitHub, its summary and annotations."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and session.rows:
        from pytest_llmdiff.reports.files.markdown import append_markdown

        try:
            append_markdown(session.facts(), Path(summary))
        except OSError as error:  # which a workflow's author can do nothing about in this run
            yield f"markdown: GITHUB_STEP_SUMMARY cannot be written to ({error})"
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from pytest_llmdiff.reports.files.annotations import annotation_lines

        root = session.config.rootpath
        workspace = Path(os.environ.get("GITHUB_WORKSPACE") or root)
        yield from annotation_lines(session.facts(), root, workspace)
