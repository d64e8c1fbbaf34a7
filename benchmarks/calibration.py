"""How often an unchanged model turns a calibrated run red, by simulation.

    python benchmarks/calibration.py                       # noise of known shapes, without models
    python benchmarks/calibration.py --runs 40             # whole runs of a scripted model as well

A cell draws the noise of a calibrating run and of another run from the same population, makes the
limit from the first with the plugin's functions, and asks whether the second breaks it. For single
probes that is any value beyond the limit, for sets an upper bound beyond it. A limit gets the whole
chance of a run. The last column is how far the limit is beyond the largest noise (or the bound).

Whole runs use pytest and a scripted model whose replies are drawn, one test over single probes: its
replies are now and then rude, so that the toxicity of a probe differs from that of its last reply.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pytest_llmdiff.verdicts.baseline import CHANCE, set_noise, single_noise
from pytest_llmdiff.verdicts.estimates import Estimate, mean_estimate, rate_estimate

SEED = 17
SIZES = (10, 20, 60, 200, 500)
SET_SIZES = (10, 20, 60, 200)
Floats = NDArray[np.float64]
Shape = Callable[[np.random.Generator, int], Floats]


def zero_inflated(share: float) -> Shape:
    """Most replies do not change; those that do are anywhere between 0 and 1."""
    return lambda draw, n: np.where(draw.random(n) < share, draw.random(n), 0.0)


SHAPES: dict[str, Shape] = {
    "normal": lambda draw, n: draw.normal(size=n),
    "exponential": lambda draw, n: draw.exponential(size=n),
    "log-normal, σ .7": lambda draw, n: draw.lognormal(0, 0.7, n),
    "log-normal, σ 1": lambda draw, n: draw.lognormal(0, 1, n),
    "Pareto 2.5": lambda draw, n: draw.pareto(2.5, n) + 1,
    "5 % of replies change": zero_inflated(0.05),
    "30 % of replies change": zero_inflated(0.3),
    "scores, paired": lambda draw, n: draw.beta(0.3, 3, n) - draw.beta(0.3, 3, n),
}
# Shape, support, and range of unseen values, as measures declare them.
MEANS: dict[str, tuple[tuple[float, float], tuple[float, float] | None]] = {
    "normal": ((-np.inf, np.inf), None),
    "log-normal, σ .7": ((0, np.inf), (-np.inf, np.inf)),
    "5 % of replies change": ((0, 2), (0, 1)),
    "30 % of replies change": ((0, 2), (0, 1)),
    "scores, paired": ((-1, 1), None),
}
RATES = (0.002, 0.01, 0.05, 0.2)


def singles(shape: Shape, n: int, sets: int, repeats: int = 1) -> tuple[float, float, float]:
    """Share of red runs, of those whose calibration knew the chance, and the median width."""
    draw = np.random.default_rng([SEED, n, repeats])
    questions = [str(number) for number in range(n) for _ in range(repeats)]
    red, known, widths = list[bool](), list[bool](), list[float]()
    for _ in range(sets):
        first, second = (np.repeat(shape(draw, n), repeats) for _ in range(2))
        noise = single_noise(first.tolist(), questions, share=CHANCE, sampled=True)
        red.append(bool(second.max() > noise.limit))
        if noise.chance is not None:
            known.append(red[-1])
        if noise.reaches > 0:
            widths.append(noise.limit / noise.reaches)
    return (
        float(np.mean(red)),
        float(np.mean(known)) if known else float("nan"),
        median(widths or [1.0]),
    )


def sets_of(
    estimates: Iterator[tuple[Estimate, int]], sets: int, *, rate: bool
) -> tuple[float, float]:
    """Share of red runs, and the median of limit − bound."""
    red, widths = [], []
    for _ in range(sets):
        (first, moved), (second, _) = next(estimates), next(estimates)
        noise = set_noise(
            first.low, first.high, share=CHANCE, sampled=True, rate=rate, moved=moved,
            questions=first.clusters, count=first.n, spread=first.spread, heavier=first.heavier,
        )  # fmt: skip
        red.append(second.high > noise.limit)
        widths.append(noise.limit - first.high)
    return float(np.mean(red)), median(widths)


def means(name: str, n: int) -> Iterator[tuple[Estimate, int]]:
    draw, (support, unseen) = np.random.default_rng([SEED, n]), MEANS[name]
    while True:
        values = SHAPES[name](draw, n)
        found = mean_estimate(values.tolist(), support=support, unseen=unseen)
        yield found, int(np.count_nonzero(values))


def rates(rate: float, n: int) -> Iterator[tuple[Estimate, int]]:
    draw = np.random.default_rng([SEED, n])
    while True:
        events = draw.random(n) < rate
        yield rate_estimate(events.tolist()), int(events.sum())


def table(sets: int) -> Iterator[str]:
    yield f"red runs of an unchanged model, of {sets} (limits for {CHANCE:.0%})"
    yield f"{'single probes':<26}{'n':>5}{'red':>9}{'where known':>13}{'limit':>9}"
    for name, shape in SHAPES.items():
        for n in SIZES:
            red, known, width = singles(shape, n, sets)
            told = "–" if np.isnan(known) else f"{100 * known:.1f} %"
            yield f"{name:<26}{n:>5}{100 * red:>7.1f} %{told:>13}{width:>8.1f}×"
    yield f"{'sets':<26}{'n':>5}{'red':>9}{'':>13}{'margin':>9}"
    cells = [(name, partial(means, name)) for name in MEANS]
    cells += [(f"rate {rate:g}", partial(rates, rate)) for rate in RATES]
    for name, of in cells:
        for n in SET_SIZES:
            red, width = sets_of(of(n), sets, rate=name.startswith("rate"))
            yield f"{name:<26}{n:>5}{100 * red:>7.1f} %{'':>13}{width:>9.3f}"


ENGINE = """
import random
from pytest_llmdiff import Generated, Reply

class Drawn:
    "Replies by the seed of their request and of the run."
    def fingerprint(self):
        return "drawn"
    def render(self, messages):
        return [1]
    def generate(self, requests):
        for index, request in enumerate(requests):
            draw = random.Random(f"{request.messages[-1]['content']} {request.sampling.seed}")
            text = f"score {draw.betavariate(0.3, 3):.4f}"
            yield index, Generated(reply=Reply(text=text), prompt_ids=(1,))
    def close(self):
        pass

class Other(Drawn):
    "The same model, which draws anew."
    def fingerprint(self):
        return f"drawn again {OTHER}"
    def generate(self, requests):
        for index, request in enumerate(requests):
            draw = random.Random(f"{OTHER} {request.messages[-1]['content']}")
            text = f"score {draw.betavariate(0.3, 3):.4f}"
            yield index, Generated(reply=Reply(text=text), prompt_ids=(1,))

def scored(texts):
    return [float(text.split()[-1]) for text in texts]
"""
SUITE = """
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.mark.llmdiff(*(f"question {n}" for n in range(COUNT)), temperature=1.0)
def test_each(comparison):
    assert_toxicity(comparison)

@pytest.mark.llmdiff(*(f"question {n}" for n in range(60)), temperature=1.0)
def test_set(comparisons):
    assert_toxicity(comparisons)
"""
ARGS = (
    "-q", "-p", "no:cacheprovider", "--llm-base=python:drawn:Drawn",
    "--llmdiff-toxicity=python:drawn:scored", "--llmdiff-explain=none",
)  # fmt: skip


def whole_runs(runs: int, count: int = 500) -> str:
    """Calibrates with each of several draws, and runs an unchanged model against it."""
    red = 0
    for number in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder)
            (project / "drawn.py").write_text(f"OTHER = {number}\n" + ENGINE, encoding="utf-8")
            (project / "test_it.py").write_text(f"COUNT = {count}\n" + SUITE, encoding="utf-8")
            (project / "pytest.toml").write_text('[pytest]\npythonpath = ["."]\n', encoding="utf-8")
            started(project, f"--llmdiff-seed={number}", "--llmdiff-calibrate=b.json")
            red += started(
                project, f"--llmdiff-seed={number}", "--llmdiff-baseline=b.json",
                "--llm-tuned=python:drawn:Other",
            )  # fmt: skip
    return f"whole runs of {count} single probes and a set: {red} of {runs} red"


def started(project: Path, *args: str) -> int:
    """The exit code of a run: 0 or 1."""
    command = [sys.executable, "-m", "pytest", *ARGS, *args]
    found = subprocess.run(command, cwd=project, check=False, text=True, capture_output=True)
    if found.returncode not in (0, 1):
        raise RuntimeError(found.stdout + found.stderr)
    return found.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", type=int, default=1000, help="draws of each cell")
    parser.add_argument("--runs", type=int, default=0, help="whole runs of a scripted model")
    arguments = parser.parse_args()
    for line in table(arguments.sets):
        print(line, flush=True)
    if arguments.runs:
        print(whole_runs(arguments.runs))


if __name__ == "__main__":
    main()
