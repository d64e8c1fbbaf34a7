"""The files that a run writes at its end, besides the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.session import Session
from pytest_llmdiff.specs import Spec


def write_outputs(session: Session, specs: tuple[Spec, Spec]) -> list[str]:
    """Write what was asked for; last lines of the summary: what was written where, or why not."""
    return list(_written(session, specs))


def _written(session: Session, specs: tuple[Spec, Spec]) -> Iterator[str]:
    settings, rows = session.settings, session.rows
    if settings.plan:
        return
    if settings.calibrate is not None:
        from pytest_llmdiff.calibration import write_calibration

        yield from write_calibration(session, settings.calibrate)
    if settings.accept:
        from pytest_llmdiff.accepted import entries_of, write_accepted

        yield from write_accepted(settings.accepted, entries_of(rows.values()))
    if settings.record is not None:
        from pytest_llmdiff.reports.recording import write_recording

        write_recording(session.store, session.run_id, specs, settings.record)
    if settings.json is not None:
        from pytest_llmdiff.reports.json_report import write_json

        write_json(session.facts(), settings.json)
    if settings.html is not None:
        from pytest_llmdiff.reports.html import write_html

        write_html(session.facts(), settings.html)
    if settings.export is not None:
        from pytest_llmdiff.reports.export import write_export

        try:
            yield from write_export(rows, settings.export)
        except LLMDiffError as error:
            yield f"export: nothing was written: {error}"
    yield from _for_reviewers(session)


def _for_reviewers(session: Session) -> Iterator[str]:
    """Markdown and, in a workflow of GitHub, its summary and annotations."""
    settings, summary = session.settings, os.environ.get("GITHUB_STEP_SUMMARY")
    if settings.markdown is not None:
        from pytest_llmdiff.reports.markdown import write_markdown

        write_markdown(session.facts(), settings.markdown)
    if summary and session.rows:
        from pytest_llmdiff.reports.markdown import append_markdown

        try:
            append_markdown(session.facts(), Path(summary))
        except OSError as error:  # which a workflow's author can do nothing about in this run
            yield f"markdown: GITHUB_STEP_SUMMARY cannot be written to ({error})"
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from pytest_llmdiff.reports.annotations import annotation_lines

        root = session.config.rootpath
        workspace = Path(os.environ.get("GITHUB_WORKSPACE") or root)
        yield from annotation_lines(session.facts(), root, workspace)
