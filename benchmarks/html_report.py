"""Size of the HTML report for many tests, and the time to write it.

    python -m benchmarks.html_report --rows 5000

One test case per probe, with scripted models whose replies have 90 words each and differ in a few;
everything comes from the store. The time is that of a run with `--llmdiff-html` minus that of the
same run without.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path

from benchmarks.scale import MODELS, make_suite, prompt, pytest_run

WORDS = (
    "the refund order delivery please contact our support team within thirty days of your purchase "
    "we are happy to help you with any question about shipping and returns"
)
LENGTH, CHANGED = 90, 12


def write_replies(folder: Path, rows: int) -> None:
    """Long replies in place of the suite's own."""
    drawn, known = random.Random(1), WORDS.split()
    base, tuned = {}, {}
    for number in range(rows):
        words = drawn.choices(known, k=LENGTH)
        base[prompt(number)] = " ".join(words)
        for _ in range(CHANGED):
            words[drawn.randrange(LENGTH)] = drawn.choice(known)
        tuned[prompt(number)] = " ".join(words)
    for side, replies in (("base", base), ("tuned", tuned)):
        content = {"replies": replies, "default": "?"}
        (folder / f"{side}.json").write_text(json.dumps(content), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "suite"
        make_suite(folder, given.rows)
        write_replies(folder, given.rows)
        args = ("test_probes.py", "--llmdiff-max-new-tokens=1000", *MODELS)
        pytest_run(folder, *args)  # fills the store
        without = pytest_run(folder, *args)
        with_page = pytest_run(folder, *args, "--llmdiff-html=report.html")
        size = (folder / "report.html").stat().st_size
        print(
            f"{given.rows} tests: {size / 1e6:.1f} MB, "
            f"{with_page.seconds - without.seconds:.1f} s of {with_page.seconds:.1f} s, "
            f"peak {with_page.peak_mb:.0f} MB (without: {without.peak_mb:.0f} MB)"
        )


if __name__ == "__main__":
    main()
