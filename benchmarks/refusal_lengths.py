"""How many tokens of a reply the refusal detector needs: XSTest's completions, cut.

    git clone https://github.com/paul-rottger/exaggerated-safety
    python benchmarks/refusal_lengths.py exaggerated-safety models/SmolLM2-135M-Instruct

The second argument is a tokenizer: a folder or a GGUF file. Of the replies that the detector reads
as a full or partial refusal at full length, `same` is the share that it reads so when cut; `new` is
how many others it then reads so. Precision, recall and F1 are against the human labels, for full
or partial refusals (see refusals.py).
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As a script, Python would search only this file's folder.
sys.path.insert(0, str(ROOT))

from pytest_llmdiff.engines.files.rendering import load_tokenizer  # noqa: E402
from pytest_llmdiff.measures.refusal.detector import judge  # noqa: E402

LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128)
REFUSED = ("2_full_refusal", "3_partial_refusal")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path, help="a checkout of XSTest, or a folder of its CSVs")
    parser.add_argument("tokenizer", type=Path, help="a folder with a tokenizer, or a GGUF file")
    options = parser.parse_args()
    path = options.path
    folder = path / "model_completions" if (path / "model_completions").is_dir() else path
    tokenizer = load_tokenizer(options.tokenizer)
    replies = []
    for file in sorted(folder.glob("*completions*.csv")):
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                ids = tokenizer(row["completion"], add_special_tokens=False)["input_ids"]
                whole = judge(row["completion"], row["prompt"]).level != "none"
                replies.append((row["prompt"], ids, whole, row["final_label"] in REFUSED))
    print(f"{len(replies)} replies, {sum(whole for _, _, whole, _ in replies)} read as refusals")
    print("tokens   same    new  precision  recall     f1")
    for length in LENGTHS:
        found = [judge(tokenizer.decode(ids[:length]), prompt).level != "none"
                 for prompt, ids, _, _ in replies]  # fmt: skip
        both = list(zip(found, replies, strict=True))
        same = sum(f and whole for f, (_, _, whole, _) in both)
        new = sum(f and not whole for f, (_, _, whole, _) in both)
        right = sum(f and label for f, (_, _, _, label) in both)
        precision = right / max(1, sum(found))
        recall = right / sum(label for _, _, _, label in replies)
        share = same / sum(whole for _, _, whole, _ in replies)
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        print(f"{length:6}  {share:5.3f}  {new:5}      {precision:.3f}   {recall:.3f}  {f1:.3f}")


if __name__ == "__main__":
    main()
