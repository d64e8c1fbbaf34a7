"""The refusal detector against human labels: XSTest's completions, and replies of other models.

    git clone https://github.com/paul-rottger/exaggerated-safety
    git clone https://github.com/andyrdt/refusal_direction
    git clone https://github.com/ymcui/Chinese-LLaMA-Alpaca
    python benchmarks/refusals.py exaggerated-safety --english refusal_direction \
        --chinese Chinese-LLaMA-Alpaca --json refusals.json

2,250 replies of five models to 450 prompts (Röttger et al. 2024, arXiv 2308.01263), each labelled
as full compliance, full refusal or partial refusal. The detector was tuned on one half of the
prompts, "development"; the other half, "held-out", was used only for its numbers. A prompt is in
the development half if the first byte of the SHA-256 of its id is even, so all replies to one
prompt are in the same half. Half of the harmful prompts are near-copies of harmless ones; the split
ignores that.

`refusal_replies/` has replies in many styles, half refusals and half replies that only look like
them, in English and Chinese, written for this benchmark by the author of the patterns. `en.tsv`
and `zh.tsv` are split alike. The others were written before their author read the patterns,
shuffled and halved: the patterns were then changed by the errors in the files named "development",
and the files named "held-out" were used only for their numbers. "third" are lists by a
third author, each measured first and then used to change the patterns; "unseen" were written after
the last change and never used for one.

Replies to one half of the texts, by the same rule, were looked at in the two other sources:

- `refusal_direction` (Arditi et al. 2024, arXiv 2406.11717; Apache-2.0): five models' replies to
  harmless instructions, all counted as answers, and to harmful ones, where its authors searched for
  common phrases of refusals.
- `Chinese-LLaMA-Alpaca` (Apache-2.0): its example replies to prompts that are not about ethics, all
  counted as answers, though a few decline.

Precision, recall and F1 for full refusals ("full") and for full or partial ones ("any"); the
interval is the middle 95 % of 2,000 bootstrap samples of prompts.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# As a script, Python would search only this file's folder.
sys.path.insert(0, str(ROOT))

from pytest_llmdiff.measures.refusal.detector import judge  # noqa: E402

OWN = Path(__file__).resolve().parent / "refusal_replies"
LABELS = {"1_full_compliance": "none", "2_full_refusal": "full", "3_partial_refusal": "partial"}
KINDS = {"full": ("full",), "any": ("full", "partial")}
SPLITS = ("development", "held-out", "overall")
SAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One reply: the prompt's id and split, the human label, and the detector's."""

    prompt: str
    split: str
    label: str
    found: str


def split_of(prompt_id: str) -> str:
    even = hashlib.sha256(prompt_id.encode()).digest()[0] % 2 == 0
    return "development" if even else "held-out"


def read(path: Path) -> list[Labelled]:
    """The replies from a checkout, or from a folder of its CSV files."""
    folder = path / "model_completions" if (path / "model_completions").is_dir() else path
    files = sorted(folder.glob("*completions*.csv"))
    if not files:
        raise SystemExit(f"{path}: no model_completions/*.csv here: give a checkout of XSTest")
    rows = []
    for file in files:
        with file.open(encoding="utf-8", newline="") as lines:
            rows += [
                Labelled(
                    prompt=row["id"],
                    split=split_of(row["id"]),
                    label=LABELS[row["final_label"]],
                    found=judge(row["completion"], row["prompt"]).level,
                )
                for row in csv.DictReader(lines)
            ]
    return rows


def own_replies(path: Path) -> list[Labelled]:
    """Replies in many styles, written for this benchmark: a tab-separated file of label, prompt and
    reply. Half of them were looked at while the patterns were written ("development"). A file named
    LANGUAGE-SPLIT.tsv has replies of one split."""
    named = path.stem.partition("-")[2]
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        label, prompt, reply = line.split("\t")
        reply = reply.replace("\\n", "\n")
        found = judge(reply, prompt).level
        split = named or split_of(reply)
        rows.append(Labelled(prompt=reply, split=split, label=label, found=found))
    return rows


def english_replies(path: Path) -> list[Labelled]:
    """The models' replies in a checkout of refusal_direction."""
    rows = {}
    for file in sorted(path.glob("pipeline/runs/*/completions/*_baseline_evaluations.json")):
        for one in json.loads(file.read_text(encoding="utf-8"))["completions"]:
            # The harmless instructions have no label.
            declined = one.get("is_jailbreak_substring_matching", True) in (0, False)
            refused = declined and not file.name.startswith("harmless")
            rows[one["response"]] = (one["prompt"], "full" if refused else "none")
    if not rows:
        raise SystemExit(f"{path}: no pipeline/runs here: give a checkout of refusal_direction")
    return [_labelled(reply, *row) for reply, row in rows.items()]


def chinese_replies(path: Path) -> list[Labelled]:
    """The example replies in a checkout of Chinese-LLaMA-Alpaca, but for ethics and dialogues."""
    rows = {}
    for file in sorted(path.glob("examples/*/*.md")):
        if file.stem in ("ETHICS", "DIALOGUE", "README"):
            continue
        for line in file.read_text(encoding="utf-8").splitlines():
            number, *cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            if number.strip().isdigit() and len(cells) >= 2:
                prompt, *replies = (re.sub(r"<br ?/?>", "\n", cell).strip() for cell in cells)
                rows.update(dict.fromkeys(replies, (prompt, "none")))
    if not rows:
        raise SystemExit(f"{path}: no examples here: give a checkout of Chinese-LLaMA-Alpaca")
    return [_labelled(reply, *row) for reply, row in rows.items()]


def _labelled(reply: str, prompt: str, label: str) -> Labelled:
    found = judge(reply, prompt).level
    return Labelled(prompt=reply, split=split_of(reply), label=label, found=found)


def counts(rows: Iterable[Labelled], kind: str) -> tuple[int, int, int]:
    """True positives, false positives and false negatives of the detector."""
    both = wrong = missed = 0
    for row in rows:
        label, found = row.label in KINDS[kind], row.found in KINDS[kind]
        both += label and found
        wrong += found and not label
        missed += label and not found
    return both, wrong, missed


def figures(rows: Sequence[Labelled], kind: str) -> dict[str, Any]:
    both, wrong, missed = counts(rows, kind)
    clusters: dict[str, list[Labelled]] = {}
    for row in rows:
        clusters.setdefault(row.prompt, []).append(row)
    tallies = [counts(cluster, kind) for cluster in clusters.values()]
    draw = random.Random(0)
    drawn = sorted(
        f1(*map(sum, zip(*draw.choices(tallies, k=len(tallies)), strict=True)))
        for _ in range(SAMPLES)
    )
    return {
        "precision": round(both / max(1, both + wrong), 3),
        "recall": round(both / max(1, both + missed), 3),
        "f1": round(f1(both, wrong, missed), 3),
        "f1_interval": [round(drawn[int(SAMPLES * share)], 3) for share in (0.025, 0.975)],
        "replies": len(rows),
        "unclear": sum(row.found == "unclear" for row in rows),
        # As in `LABELLED` of measures/refusal/refusal.py; unclear replies count both ways there.
        "labelled": labelled(rows, kind),
    }


def labelled(rows: Iterable[Labelled], kind: str) -> dict[str, int]:
    clear = [row for row in rows if row.found != "unclear"]
    both, wrong, missed = counts(clear, kind)
    others = len(clear) - both - missed
    return {"found": both, "events": both + missed, "left": others - wrong, "others": others}


def f1(both: int, wrong: int, missed: int) -> float:
    return 2 * both / max(1, 2 * both + wrong + missed)


def measure(rows: Sequence[Labelled]) -> Mapping[str, object]:
    found = {}
    for split in SPLITS:
        part = [row for row in rows if split in (row.split, "overall")]
        found[split] = {kind: figures(part, kind) for kind in KINDS} if part else {}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "path", type=Path, help="a checkout of XSTest, or a folder of its CSV files"
    )
    parser.add_argument("--english", type=Path, help="a checkout of refusal_direction")
    parser.add_argument("--chinese", type=Path, help="a checkout of Chinese-LLaMA-Alpaca")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args()
    found = {"XSTest": measure(read(options.path))}
    if options.english is not None:
        found["refusal_direction"] = measure(english_replies(options.english))
    if options.chinese is not None:
        found["Chinese-LLaMA-Alpaca"] = measure(chinese_replies(options.chinese))
    for file in sorted(OWN.glob("*.tsv")):
        found[f"own replies, {file.stem}"] = measure(own_replies(file))
    text = json.dumps(found, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
