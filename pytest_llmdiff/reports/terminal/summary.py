"""Header lines and the terminal summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shutil import get_terminal_size
from typing import Any

from pytest_llmdiff.config.options import OPTIONS, PLACES
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.text.printing import counted, printable, shortened
from pytest_llmdiff.reports.order import OPEN, broken_verdicts
from pytest_llmdiff.reports.outcomes import counts
from pytest_llmdiff.reports.run_facts import RunFacts
from pytest_llmdiff.reports.run_notes import accepted_notes, chance_lines, run_notes
from pytest_llmdiff.reports.terminal.measures import measure_lines
from pytest_llmdiff.reports.terminal.styles import Line, Piece


def header_lines(settings: Settings, notes: Sequence[str]) -> list[str]:
    """The settings that are not defaults, and where each came from."""
    lines = [f"llmdiff: base {settings.base}, tuned {settings.tuned_text}"]
    shown = []
    for option in OPTIONS:
        source = settings.sources[option.name]
        if option.name in PLACES or (
            source == "default" and option.name not in ("device", "dtype")
        ):
            continue
        value = getattr(settings, option.name)
        text = "auto" if value is None else str(dict(value) if option.name == "template_kwargs"
                                               else value)  # fmt: skip
        shown.append(f"{option.name} {shortened(printable(text), 60)} ({source})")
    if shown:
        lines.append("llmdiff: " + ", ".join(shown))
    return lines + [f"llmdiff: {note}" for note in notes]


def write_summary(reporter: Any, facts: RunFacts) -> None:
    for warning in facts.warnings:
        reporter.write_line(f"llmdiff: warning: {warning}", yellow=True)
    if facts.skipped:
        need = "needs models and was" if facts.skipped == 1 else "need models and were"
        reporter.write_line(
            f"llmdiff: {counted(facts.skipped, 'test')} {need} skipped: "
            "give --llm-base SPEC --llm-tuned SPEC"
        )
    if facts.rows and facts.settings.has_models:
        reporter.section("llmdiff")
        for line in summary_lines(facts, get_terminal_size().columns):
            line.write(reporter)


def summary_lines(facts: RunFacts, width: int) -> Iterator[Line]:
    rows = list(facts.rows.values())
    numbers = counts(facts.rows)
    parts = [f"{count} {name}" for name, count in numbers.items() if count]
    style = "bad" if any(numbers[kind] for kind in OPEN) else "good"
    yield Line(
        pieces=(
            Piece(text=f"{counted(len(rows), 'test')} with models: "),
            Piece(text=", ".join(parts), style=style),
        )
    )
    resolved = facts.resolved
    if resolved:
        ran = ", ".join(f"{name} {value}" for name, value in resolved.items())
        yield Line.of(f"ran on {ran}")
    yield from map(Line.of, accepted_notes(facts))
    yield from map(Line.of, run_notes(facts))
    yield from map(Line.of, measure_lines(rows))
    if broken := broken_verdicts(rows):
        from pytest_llmdiff.reports.terminal.worst import worst_lines

        yield from worst_lines(broken, width)
    yield from map(Line.of, chance_lines(facts.chance))
    if facts.models:
        yield from _ranking(facts)
    for name in ("json", "html", "markdown", "record"):
        file = getattr(facts.settings, name)
        if file is not None:
            yield Line.of(f"{name}: {file}")


def _ranking(facts: RunFacts) -> Iterator[Line]:
    from pytest_llmdiff.reports.diff.forms.sections import MODEL
    from pytest_llmdiff.reports.diff.forms.text import ranking_lines
    from pytest_llmdiff.reports.diff.models import models_ranking

    if (ranking := models_ranking(facts)) is not None:
        head, *lines = ranking_lines(ranking, MODEL)
        yield Line.of(head, "head")
        yield from map(Line.of, lines)
