"""How often plain English is taken for another language: XSTest's completions.

    git clone https://github.com/paul-rottger/exaggerated-safety
    python benchmarks/languages.py exaggerated-safety

Prints each of the 2,250 English replies of five models (Röttger et al. 2024, arXiv 2308.01263) that
an English scorer would not judge, with the reason, and their number. The thresholds were set on
these replies and on `tests/support/data/languages.tsv`.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

# As a script, Python would search only this file's folder.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pytest_llmdiff.data.text.language.unjudged import unjudged


def replies(path: Path) -> Iterator[str]:
    """The replies in a checkout, or in a folder of its CSV files."""
    folder = path / "model_completions" if (path / "model_completions").is_dir() else path
    files = sorted(folder.glob("*completions*.csv"))
    if not files:
        raise SystemExit(f"{path}: no model_completions/*.csv here: give a checkout of XSTest")
    for file in files:
        with file.open(encoding="utf-8", newline="") as lines:
            yield from (row["completion"] for row in csv.DictReader(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path, help="a checkout of XSTest")
    count = refused = 0
    for text in replies(parser.parse_args().path):
        count += 1
        if (reason := unjudged(text, ["en"])) is not None:
            refused += 1
            print(reason)
    print(f"{refused} of {count} replies not judged")


if __name__ == "__main__":
    main()
