"""Replies of the run that people are to label, so that its judge can be measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.comparison import SIDES
from pytest_llmdiff.data.files.whole_files import write_whole
from pytest_llmdiff.reports.order import short
from pytest_llmdiff.store import content_key

SAMPLE = 100  # replies of each model, for each rubric


def write_unlabelled(rows: Iterable[Mapping[str, Any]], path: Path) -> list[str]:
    """Write a random sample of the judged replies, without labels. Returns lines that say so."""
    judged, partial = _judged(rows)
    chosen = [row for held in judged.values() for row in held[:SAMPLE]]
    lines = [
        f"labels: {test} is left out: the reports hold some of its replies only, and those are no "
        "random sample"
        for test in partial
    ]
    if not chosen:
        return [*lines, "labels: no reply was judged by a rubric, so there is nothing to label"]
    write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen))
    return [
        *lines,
        f"labels: {path} has {len(chosen)} replies: write yes or no into the column label of each, "
        "and give the file as --llmdiff-labels",
    ]


def _judged(
    rows: Iterable[Mapping[str, Any]],
) -> tuple[dict[tuple[str, str], list[dict[str, str]]], list[str]]:
    """The judged replies by rubric and model in random order, and the tests that lack some."""
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    partial = []
    for row in rows:
        rubrics = dict.fromkeys(v["details"]["rubric"] for v in row["verdicts"]
                                if "rubric" in v["details"])  # fmt: skip
        if rubrics and row["compared"] > len(row["comparisons"]):
            partial.append(short(row["test"]))
            continue
        for rubric in rubrics:
            for label in _replies(rubric, row["comparisons"]):
                # The order of a hash is random, and the same in every run.
                key = content_key([label[name] for name in ("rubric", "prompt", "side", "reply")])
                found.setdefault((rubric, label["side"]), {})[key] = label
    ordered = {place: [held[key] for key in sorted(held)] for place, held in found.items()}
    return ordered, partial


def _replies(rubric: str, comparisons: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for comparison in comparisons:
        for side in SIDES:
            yield {
                "rubric": rubric,
                "prompt": comparison["prompt"],
                "side": side,
                "reply": comparison[side]["text"],
                "label": "",
            }
