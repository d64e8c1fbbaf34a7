"""Texts that both models read and do not answer: from files to probes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytest_llmdiff.data.files.text_files import TextRow, read_pairs, read_texts
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.errors import ConfigError


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


def crows_pairs(path: str | Path) -> list[Probe]:
    """CrowS-Pairs as published (CSV), for `llm_pair.read` and `assert_unbiased`.

    Raises:
        ProbeFileError: the file is malformed; the message has file, line and column.
    """
    from pytest_llmdiff.data.files.bias_sets import read_crows_pairs

    return probes_of_rows(read_crows_pairs(Path(path)))


def bbq(path: str | Path) -> list[Probe]:
    """One category of BBQ as published (JSONL), for `llm_pair.read` and `assert_unbiased`.

    Raises:
        ProbeFileError: the file is malformed; the message has file, line and column.
    """
    from pytest_llmdiff.data.files.bias_sets import read_bbq

    return probes_of_rows(read_bbq(Path(path)))


def winogender(path: str | Path, *, first: str = "male") -> list[Probe]:
    """Winogender's `all_sentences.tsv` or `templates.tsv`, for `llm_pair.read` and
    `assert_unbiased`. The set names no stereotype: what grows is the likelihood of the `first`
    gender over the other.

    Raises:
        ConfigError: `first` is neither male nor female.
        ProbeFileError: the file is malformed; the message has file, line and column.
    """
    from pytest_llmdiff.data.files.bias_sets import PRONOUNS, read_winogender

    if first not in PRONOUNS:
        raise ConfigError(f"first={first!r}: the genders are {' and '.join(PRONOUNS)}")
    return probes_of_rows(read_winogender(Path(path), first))


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
