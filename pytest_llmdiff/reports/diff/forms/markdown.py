"""Sections in GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_llmdiff.data.text.printing import shortened
from pytest_llmdiff.reports.diff.forms.sections import Cell, Section
from pytest_llmdiff.reports.files.markup import escaped

WIDEST = 400  # columns of a cell
ROWS = 50


def markdown_of(sections: Iterable[Section]) -> str:
    return "".join(line + "\n" for section in sections for line in _lines(section))


def _lines(section: Section) -> Iterator[str]:
    yield f"## {escaped(section.title)}"
    yield ""
    for line in section.lines:
        yield f"- {escaped(line)}"
    if section.rows:
        yield f"| {' | '.join(map(escaped, section.head))} |"
        yield "|---" * len(section.head) + "|"
    for row in section.rows[:ROWS]:
        yield f"| {' | '.join(map(_cell, row))} |"
    yield ""
    if hidden := section.hidden + len(section.rows[ROWS:]):
        yield f"and {hidden} more"
        yield ""


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return escaped(shortened(cell, WIDEST))
    tag, left, parts = "del" if cell.old else "ins", WIDEST, []
    for text, same in cell.pieces:
        shown = escaped(shortened(text, left))
        parts.append(shown if same else f"<{tag}>{shown}</{tag}>")
        left -= len(text)
        if left <= 0:
            break
    return "".join(parts)
