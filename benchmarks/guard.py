"""Guards the speed of what runs at every run: instructions, compared with the numbers kept here.

    python -m benchmarks.guard            # exit code 1 if one grew by more than 3 %
    python -m benchmarks.guard --keep     # write the numbers to benchmarks/guard.json

valgrind counts the instructions of small versions of

  rerun      100 tests with their replies and scores stored
  windows    1,000 prompts through `compare_all` with scripted models, from an empty store
  verdicts   a mean, a rate and a paired change of 10,000 values each
  page       the HTML report of 100 tests: a rerun with it minus the same without

Each is told as a ratio to 100 empty tests under pytest alone in the same interpreter, which takes
out most of what differs between builds of Python. The numbers are kept by version of Python,
pytest, numpy and scipy; where these are others, nothing is judged. Hash seeds and threads are
fixed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from benchmarks.scale import MODELS, counted, instructions, make_suite, pytest_run

KEPT = Path(__file__).with_name("guard.json")
TOLERANCE = 0.03
TESTS, PROMPTS = 100, 1000
VERDICTS = """\
import sys
import numpy
from pytest_llmdiff.verdicts.estimates import change_estimate, mean_estimate, rate_estimate

if len(sys.argv) > 1:
    drawn = numpy.random.default_rng(1)
    values = drawn.lognormal(-3, 1, 10_000)
    clusters = [str(n % 4000) for n in range(10_000)]
    base, tuned = (drawn.random((2, 10_000)) < 0.05).tolist()
    mean_estimate(values.tolist(), clusters)
    rate_estimate(tuned, clusters)
    change_estimate(base, tuned, clusters)
"""


def measured() -> dict[str, float]:
    """Instructions of each, over those of empty tests."""
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        for name, rows in (("tests", TESTS), ("warm", TESTS), ("prompts", PROMPTS)):
            make_suite(home / name, rows)
        (home / "tests" / "verdicts.py").write_text(VERDICTS, encoding="utf-8")
        suite, page = ("test_probes.py", *MODELS), "--llmdiff-html=report.html"
        compared = ("test_compared.py", *MODELS)

        def count(*command: str) -> float:
            return counted(command, home / "tests")

        # First without counting: all of it is compiled, and the store of the rerun filled.
        for folder, args in (
            ("tests", (*suite, page)), ("tests", ("test_parametrized.py",)), ("warm", compared),
        ):  # fmt: skip
            pytest_run(home / folder, *args)
        count("verdicts.py", "judge")
        empty = instructions(home / "tests", "test_parametrized.py")
        rerun = instructions(home / "tests", *suite)
        found = {
            "rerun": rerun,
            "windows": instructions(home / "prompts", *compared),
            "verdicts": count("verdicts.py", "judge") - count("verdicts.py"),
            "page": instructions(home / "tests", *suite, page) - rerun,
        }
    return {name: round(value / empty, 4) for name, value in found.items()}


def conditions() -> str:
    """What the numbers depend on besides the code."""
    packages = [f"{name} {version(name)}" for name in ("pytest", "numpy", "scipy")]
    return ", ".join([f"Python {platform.python_version()} {platform.machine()}", *packages])


def grown(found: Mapping[str, float], kept: Mapping[str, float]) -> list[str]:
    """A line for each number that is more than the tolerance above the kept one."""
    return [
        f"{name} needs {found[name]:.3f} times the instructions of empty tests, {before:.3f} "
        f"before: {found[name] / before - 1:+.1%}, allowed {TOLERANCE:+.0%}"
        for name, before in kept.items()
        if found[name] > before * (1 + TOLERANCE)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--keep", action="store_true", help="keep the numbers found")
    given = parser.parse_args()
    found = measured()
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    under = conditions()
    if given.keep:
        kept[under] = found
        KEPT.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print("| what | over empty tests | kept |\n|---|---|---|")
    for name, ratio in found.items():
        print(f"| {name} | {ratio:.3f} | {kept.get(under, {}).get(name, '')} |")
    if under not in kept:
        print(f"not judged: nothing is kept for {under}; keep these with --keep")
        return 0
    worse = grown(found, kept[under])
    print("\n".join(worse))
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main())
