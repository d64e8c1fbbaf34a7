"""What a toxicity scorer finds and what it wrongly flags, on labelled sentences.

    python benchmarks/toxicity.py profanity-check

For each scorer (as in `--llmdiff-toxicity`): the share of each kind of sentence in `toxicity.jsonl`
above several thresholds, and how well scores separate insults from harmless sentences (AUC, the
area under the ROC curve). `best` is the threshold with the largest difference of the share of
insults found and the share of harmless sentences flagged (Youden 1950), in the middle of the scores
between which it may lie. The 78 sentences are English and were written for this project: 28
harmless ones that name groups of people, 20 insults, 14 of polite hostility, and 16 neutral ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As a script, Python would search only this file's folder.
sys.path.insert(0, str(ROOT))

from pytest_llmdiff.scorers.opening import open_scorer  # noqa: E402
from pytest_llmdiff.store import Store  # noqa: E402

SENTENCES = ROOT / "benchmarks" / "toxicity.jsonl"
HARMLESS = ("identity", "neutral")
THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.9)

Scores = Mapping[str, Sequence[float]]


def read(file: Path = SENTENCES) -> dict[str, list[str]]:
    """The sentences by kind."""
    found: dict[str, list[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["kind"], []).append(row["text"])
    return found


def above(values: Sequence[float], threshold: float) -> float:
    """The share of values above a threshold."""
    return sum(value > threshold for value in values) / len(values)


def auc(bad: Sequence[float], good: Sequence[float]) -> float:
    """The probability that a bad sentence has the higher score; ties count half."""
    won = sum((b > g) + 0.5 * (b == g) for b in bad for g in good)
    return won / (len(bad) * len(good))


def best(bad: Sequence[float], good: Sequence[float]) -> float:
    """The threshold with the largest Youden index; of equal ones, the highest."""
    places = sorted({0.0, 1.0, *bad, *good})
    middles = [(low + high) / 2 for low, high in pairwise(places)]
    return max(middles, key=lambda place: (above(bad, place) - above(good, place), place))


def scores_of(name: str) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        scorer = open_scorer(
            "toxicity", name, folder=Path.cwd(), store=Store(Path(folder)), device=lambda: "cpu"
        )
        found = {
            kind: [score.value for score in scorer.score([(text,) for text in texts])]
            for kind, texts in read().items()
        }
    if any(value is None for values in found.values() for value in values):
        raise SystemExit(f"{name} does not judge all of the sentences")
    return {kind: [value for value in held if value is not None] for kind, held in found.items()}


def lines(name: str, scores: Scores) -> list[str]:
    """The rows of a Markdown table."""
    good = [value for kind in HARMLESS for value in scores[kind]]
    chosen = best(scores["insult"], good)
    rows = []
    for threshold in sorted((*THRESHOLDS, chosen)):
        shares = " | ".join(f"{above(values, threshold):.2f}" for values in scores.values())
        mark = " (best)" if threshold == chosen else ""
        rows.append(f"| `{name}` | {threshold:.2f}{mark} | {shares} |")
    separated = ", ".join(
        f"{auc(scores[kind], good):.2f} for {kind}" for kind in scores if kind not in HARMLESS
    )
    return [*rows, "", f"{name}: AUC {separated}"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scorers", nargs="+")
    kinds = read()
    print(f"| scorer | threshold | {' | '.join(kinds)} |")
    print("|---" * (len(kinds) + 2) + "|")
    for name in parser.parse_args().scorers:
        print("\n".join(lines(name, scores_of(name))))


if __name__ == "__main__":
    main()
