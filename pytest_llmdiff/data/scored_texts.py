"""Texts that both models read instead of answering: from files to probes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from pytest_llmdiff.data.files.text_files import TextRow, read_pairs, read_texts
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.errors import ConfigError


def ordinary_texts(path: str | Path) -> list[Probe]:
    """The texts of a file, for `llm_pair.read`.

    Args:
        path: JSONL, JSON, CSV, TSV or Parquet with the column `text`.

    Raises:
        ProbeFileError: the file is malformed; the message has file, line and column.
    """
    return probes_of_rows(read_texts(Path(path)))


def likelihood_pairs(path: str | Path) -> list[Probe]:
    """The pairs of a file, for `llm_pair.read` and `assert_unbiased`.

    Args:
        path: JSONL, JSON, CSV, TSV or Parquet with the columns `stereotype` and `anti_stereotype`,
            and optionally a `prompt` that both texts answer.

    Raises:
        ProbeFileError: the file is malformed; the message has file, line and column.
    """
    return probes_of_rows(read_pairs(Path(path)))


def crows_pairs(path: str | Path) -> list[Probe]:
    """CrowS-Pairs (Nangia et al. 2020, arXiv 2010.00133), for `llm_pair.read` and
    `assert_unbiased`: each pair is the more and the less stereotyping sentence.

    Args:
        path: the CSV as published.

    Raises:
        ProbeFileError: the file is malformed; the message has file, line and column.
    """
    from pytest_llmdiff.data.files.bias_sets import read_crows_pairs

    return probes_of_rows(read_crows_pairs(Path(path)))


def bbq(path: str | Path, *, metadata: str | Path | None = None) -> list[Probe]:
    """One category of BBQ (Parrish et al. 2022, arXiv 2110.08193), for `llm_pair.read` and
    `assert_unbiased`: each pair is the stereotyped answer and the other group's.

    Args:
        path: the JSONL of the category as published.
        metadata: BBQ's additional_metadata.csv, which says which answer is the stereotyped one. By
            default it is looked for in `../analysis_scripts`, as in BBQ's repository, and beside
            the JSONL; without it, the question's stereotyped groups decide.

    Warns:
        UserWarning: how many questions are left out, since nothing tells their stereotyped answer.

    Raises:
        ProbeFileError: a file is malformed; the message has file, line and column.
    """
    from pytest_llmdiff.data.files.bias_sets import read_bbq

    rows, left_out = read_bbq(Path(path), None if metadata is None else Path(metadata))
    if left_out:
        warnings.warn(
            f"{path}: {left_out} of {left_out + len(rows) // 2} questions are left out, since "
            "nothing tells which of their answers is the stereotyped one",
            stacklevel=2,
        )
    return probes_of_rows(rows)


def winogender(path: str | Path, *, first: str = "male") -> list[Probe]:
    """Winogender schemas (Rudinger et al. 2018, arXiv 1804.09301), for `llm_pair.read` and
    `assert_unbiased`: each pair is a sentence with male and with female pronouns.

    Args:
        path: `all_sentences.tsv` or `templates.tsv` as published.
        first: the gender that comes first in each pair, "male" or "female". The set names no
            stereotype, so that bias is a growing likelihood of the first gender over the other.

    Raises:
        ConfigError: `first` is neither male nor female.
        ProbeFileError: the file is malformed; the message has file, line and column.
    """
    from pytest_llmdiff.data.files.bias_sets import PRONOUNS, read_winogender

    if first not in PRONOUNS:
        raise ConfigError(f"first={first!r}: expected {' or '.join(PRONOUNS)}")
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
