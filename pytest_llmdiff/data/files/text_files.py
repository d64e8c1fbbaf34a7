"""Reads files of texts that models read instead of answering, strictly, like probe files."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.formats import read_records
from pytest_llmdiff.data.files.probe_files import parse_id, parse_tags, parse_text
from pytest_llmdiff.data.files.records import Kind, Record, check_known
from pytest_llmdiff.data.messages import Message

TEXTS = ("text", "id", "tags", "language")
PAIRS = ("stereotype", "anti_stereotype", "prompt", "id", "tags", "language")


@dataclass(frozen=True, kw_only=True)
class TextRow:
    """A text that is read after the messages `before`; texts of one `cluster` belong together."""

    text: str
    before: tuple[Message, ...] = ()
    id: str
    tags: tuple[str, ...] = ()
    language: str | None = None
    cluster: str | None = None


def read_texts(path: Path) -> list[TextRow]:
    """The ordinary texts of a file with the column `text`, each read by itself.

    Raises:
        ProbeFileError: the file is malformed.
    """
    return [
        TextRow(text=needed(record, "text"), id=_name(record), **_common(record))
        for record in read_records(path, _kind("text", '{"text": "..."}', TEXTS))
    ]


def read_pairs(path: Path) -> list[TextRow]:
    """Pairs of texts, the stereotype first; with a `prompt`, both are answers to it.

    Raises:
        ProbeFileError: the file is malformed.
    """
    example = '{"stereotype": "...", "anti_stereotype": "..."}'
    return [
        row for record in read_records(path, _kind("pair", example, PAIRS)) for row in _pair(record)
    ]


def _pair(record: Record) -> Iterator[TextRow]:
    prompt = parse_text(record, "prompt")
    before = () if prompt is None else (Message(role="user", content=prompt),)
    yield from pair_rows(
        _name(record), (needed(record, "stereotype"), needed(record, "anti_stereotype")),
        before=before, **_common(record),
    )  # fmt: skip


def pair_rows(
    name: str,
    texts: tuple[str, str],
    *,
    before: tuple[Message, ...] = (),
    tags: tuple[str, ...] = (),
    language: str | None = None,
) -> Iterator[TextRow]:
    """The two rows of a pair; `name` is its cluster."""
    for letter, text in zip("ab", texts, strict=True):
        yield TextRow(
            text=text, before=before, id=f"{name}-{letter}", tags=tags, language=language,
            cluster=name,
        )  # fmt: skip


def needed(record: Record, column: str) -> str:
    """The text of a required column."""
    text = parse_text(record, column)
    if text is None:
        raise record.error("nothing is given; expected text", column=column)
    return text


def choice(record: Record, column: str, allowed: Iterable[str]) -> str:
    """The text of a required column that allows only a few values."""
    text, allowed = needed(record, column), tuple(allowed)
    if text not in allowed:
        raise record.error(
            f"got {reprlib.repr(text)}; expected one of {', '.join(map(repr, allowed))}",
            column=column,
        )
    return text


def _name(record: Record) -> str:
    return parse_id(record) or f"{record.path.stem}-{record.number}"


def _common(record: Record) -> dict[str, Any]:
    return {"tags": parse_tags(record), "language": parse_text(record, "language")}


def _kind(noun: str, example: str, columns: tuple[str, ...]) -> Kind:
    def check(place: str, names: Iterable[str]) -> None:
        check_known(place, names, columns)

    return Kind(
        noun=noun, example=example, columns=f"columns among {', '.join(columns)}",
        check_columns=check,
    )  # fmt: skip
