"""Texts that both models read and do not answer: from files to probes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytest_llmdiff.formats.messages import Message
from pytest_llmdiff.formats.text_files import TextRow, read_pairs, read_texts
from pytest_llmdiff.probes import Probe


def ordinary_texts(path: str | Path) -> list[Probe]:
    """The texts of a file with the column `text`, for `llm_pair.read`.

    Raises:
        ProbeFileError: the file is malformed; the message has file, line and column.
    """
    return probes_of_rows(read_texts(Path(path)))


def likelihood_pairs(path: str | Path) -> list[Probe]:
    """The pairs of a file with the columns `stereotype` and `anti_stereotype`, and perhaps a
    `prompt` that both answer, for `llm_pair.read` and `assert_unbiased`.

    Raises:
        ProbeFileError: the file is malformed; the message has file, line and column.
    """
    return probes_of_rows(read_pairs(Path(path)))


def probes_of_rows(rows: Iterable[TextRow]) -> list[Probe]:
    return [
        Probe(
            id=row.id,
            messages=(*row.before, Message(role="assistant", content=row.text)),
            tags=row.tags,
            language=row.language,
            cluster=row.cluster,
        )
        for row in rows
    ]
