"""Attributions as plain JSON, and as the block that draws them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.comparison import SIDES
from pytest_llmdiff.data.plain_json import plain, rounded
from pytest_llmdiff.data.text.printing import number, printable, shortened
from pytest_llmdiff.explain.attribution.values import Attribution, SideAttribution
from pytest_llmdiff.explain.blocks import Block, words

SHORT = 60  # columns of what replaces a word


def attribution_row(found: Attribution) -> dict[str, Any]:
    return {
        "of": found.of,
        "unit": found.unit,
        "left_out": found.left_out,
        "segmented_by": found.segmented_by,
        "text": found.text,
        "words": [[word.text, word.start, word.end] for word in found.words],
        "methods": [
            {"method": each.method, "base": _side_row(each.base), "tuned": _side_row(each.tuned)}
            for each in found.methods
        ],
        "agreement": [
            {
                "methods": list(each.methods),
                "scores": each.scores,
                "rank_correlation": plain(each.rank_correlation),
                "top": each.top,
                "top_overlap": each.top_overlap,
            }
            for each in found.agreement
        ],
    }


def _side_row(side: SideAttribution) -> dict[str, Any]:
    errors = None if side.errors is None else [rounded(error) for error in side.errors]
    return {
        "scores": [rounded(score) for score in side.scores],
        "whole": rounded(side.whole),
        "without": rounded(side.without),
        "errors": errors,
    }


def words_block(row: Mapping[str, Any], names: Sequence[str]) -> Block:
    """The words of a prompt with their scores, from plain JSON."""
    unit = f", in {row['unit']}" if row["unit"] else ""
    about = (
        f"How much each word adds to the {_meant(row['of'], names)}{unit}. To find out, a word is "
        f"{shortened(printable(row['left_out']), SHORT)}."
    )
    # Scores that are not finite are null in JSON.
    rows = [
        {"method": each["method"], **{side: list(each[side]["scores"]) for side in SIDES}}
        for each in row["methods"]
    ]
    texts = [word[0] for word in row["words"]]
    agreement = list(_agreement(row["agreement"]))
    return words("Which words of the prompt matter", names, about, texts, rows, agreement)


def _meant(of: str, names: Sequence[str]) -> str:
    """What is measured, with the models under the names that they have in this comparison."""
    for side, name in zip(SIDES, names, strict=True):
        if of == f"log-likelihood of the {side} reply":
            return f"log-likelihood of {name}'s reply"
    return of


def _agreement(found: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """For each two methods, on the scores under either model and on the change: the rank
    correlation, and how many of the strongest words both have."""
    by_pair: dict[tuple[str, ...], dict[str, str]] = {}
    for each in found:
        rank = each["rank_correlation"]
        shared = round(each["top"] * each["top_overlap"])
        by_pair.setdefault(tuple(each["methods"]), {})[each["scores"]] = (
            f"{'undefined' if rank is None else number(rank)}, {shared} of {each['top']}"
        )
    for pair, texts in by_pair.items():
        yield [" and ".join(pair), *(texts.get(scores, "") for scores in (*SIDES, "change"))]
