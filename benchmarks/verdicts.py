"""How often verdicts on sets are wrong, and how often they find what is there, by simulation.

  wrong pass   the true value is exactly the limit, and the set passes
  false fail   nothing changed, and the set fails; the limit is 5 points, or 0.2 deviations
  power        a rate falls from .80 to .70 with 70 % of the outcomes shared, or a mean shifts by
               0.3 standard deviations, and a limit of no change is found broken
  coverage     the 90 % interval has the true value in it

Beside them, on the same data, what is usual: an unpaired z-test, and a percentile bootstrap of the
two means, unpaired, where "not significant" is taken for "not worse".
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from pytest_llmdiff.estimates import Estimate, change_estimate, decide, mean_estimate

SIZES = (10, 20, 50, 100, 200)
MEANS = ("normal", "log-normal")
RATES = (0.8, 0.95)
CLUSTER = 5  # paraphrases of a question
WITHIN = 0.5  # of the variance of a clustered mean that is common to a question
SHARED = 0.7  # of the outcomes of both models
POINTS, SHIFT = 0.05, 0.2  # the limits
RESAMPLES = 400  # of the rivals' bootstrap, which runs on fewer sets
BOOTSTRAPPED = 500
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What kind of data a set has: `kind` is a distribution, or the base's rate of good replies."""

    kind: str | float
    n: int
    clustered: bool

    @property
    def is_rate(self) -> bool:
        return not isinstance(self.kind, str)

    @property
    def limit(self) -> float:
        return POINTS if self.is_rate else SHIFT


@dataclass(frozen=True, kw_only=True)
class Sets:
    """Simulated sets `[repetitions, n]`: of both models, the larger the worse."""

    base: Array
    tuned: Array
    clusters: list[str] | None

    def estimates(self) -> Iterator[Estimate]:
        for base, tuned in zip(self.base, self.tuned, strict=True):
            if base.dtype == bool:
                yield change_estimate(base.tolist(), tuned.tolist(), self.clusters)
            else:
                yield mean_estimate((tuned - base).tolist(), self.clusters)


def simulate(cell: Cell, change: float, repetitions: int, rng: np.random.Generator) -> Sets:
    """Sets whose true change is `change`: of a rate, or of a mean in standard deviations."""
    clusters = [f"q{n // CLUSTER}" for n in range(cell.n)] if cell.clustered else None
    shape = (repetitions, cell.n)
    if not cell.is_rate:
        common = _standard(cell.kind, (repetitions, math.ceil(cell.n / CLUSTER)), rng)
        moved = _standard(cell.kind, shape, rng)
        if cell.clustered:
            by_question = np.repeat(common, CLUSTER, axis=1)[:, : cell.n]
            moved = math.sqrt(WITHIN) * by_question + math.sqrt(1 - WITHIN) * moved
        # What the replies to one probe have in common is most of what single scores vary by.
        own = rng.standard_normal(shape)
        return Sets(base=own, tuned=own + moved + change, clusters=clusters)
    bad = 1 - float(cell.kind)
    rates = np.full(shape, bad)
    if cell.clustered:  # beta-binomial, of the same correlation
        spread = (1 - WITHIN) / WITHIN
        of_questions = rng.beta(
            bad * spread, (1 - bad) * spread, (repetitions, math.ceil(cell.n / CLUSTER))
        )
        rates = np.repeat(of_questions, CLUSTER, axis=1)[:, : cell.n]
    base = rng.random(shape) < rates
    # The others are drawn so that the tuned model's rate comes out right.
    other = (bad + change - SHARED * bad) / (1 - SHARED)
    tuned = np.where(rng.random(shape) < SHARED, base, rng.random(shape) < other)
    return Sets(base=base, tuned=tuned, clusters=clusters)


def _standard(kind: str | float, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Of mean 0 and standard deviation 1."""
    if kind == "normal":
        return rng.standard_normal(shape)
    drawn = np.exp(rng.standard_normal(shape))
    return np.asarray((drawn - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e))


def share(estimates: Sequence[Estimate], outcome: str, limit: float) -> float:
    return sum(decide(e, at_most=limit) == outcome for e in estimates) / len(estimates)


def measure(cell: Cell, repetitions: int, seed: int) -> dict[str, Any]:
    """The figures of one kind of data."""
    rng = np.random.default_rng([seed, cell.n, cell.clustered, hash_of(cell)])
    at_limit = simulate(cell, cell.limit, repetitions, rng)
    unchanged = simulate(cell, 0.0, repetitions, rng)
    worse = simulate(cell, 0.1 if cell.is_rate else 0.3, repetitions, rng)
    there, none, real = (list(sets.estimates()) for sets in (at_limit, unchanged, worse))
    found: dict[str, Any] = {
        "wrong_pass": share(there, "passed", cell.limit),
        "false_fail": share(none, "regressed", cell.limit),
        "power": share(real, "regressed", 0.0),
        "coverage": sum(e.low <= cell.limit <= e.high for e in there) / len(there),
        "inconclusive": share(there, "inconclusive", cell.limit),
    }
    for name, worse_of in (("z", z_test), ("bootstrap", bootstrap)):
        found[name] = {
            "wrong_pass": 1 - worse_of(at_limit, rng),
            "false_fail": worse_of(unchanged, rng),
            "power": worse_of(worse, rng),
        }
    return found


def hash_of(cell: Cell) -> int:
    return [*MEANS, *RATES].index(cell.kind)


def z_test(sets: Sets, _: np.random.Generator) -> float:
    """How often an unpaired one-sided z-test finds the tuned model worse."""
    n = sets.base.shape[1]
    a, b = sets.base.astype(float), sets.tuned.astype(float)
    error = np.sqrt((a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1)) / n)
    with np.errstate(all="ignore"):
        z = (b.mean(axis=1) - a.mean(axis=1)) / error
    return float(np.mean(np.nan_to_num(z) > stats.norm.ppf(0.95)))


def bootstrap(sets: Sets, rng: np.random.Generator) -> float:
    """How often the 5 % percentile of the resampled, unpaired difference is above 0."""
    n = sets.base.shape[1]
    places = rng.integers(0, n, (2, RESAMPLES, n))
    found = [
        np.quantile(b[places[1]].mean(axis=1) - a[places[0]].mean(axis=1), 0.05) > 0
        for a, b in zip(sets.base[:BOOTSTRAPPED], sets.tuned[:BOOTSTRAPPED], strict=True)
    ]
    return float(np.mean(found))


def cells(sizes: Sequence[int] = SIZES) -> Iterator[Cell]:
    for clustered in (False, True):
        for kind in (*MEANS, *RATES):
            for n in sizes:
                yield Cell(kind=kind, n=n, clustered=clustered)


def worst(
    found: Sequence[tuple[Cell, dict[str, Any]]], name: str, pick: Callable[..., Any] = max
) -> dict[str, Any]:
    cell, figures = pick(found, key=lambda entry: entry[1][name])
    return {"value": figures[name], "cell": asdict(cell)}


def run(sizes: Sequence[int], repetitions: int, seed: int) -> dict[str, Any]:
    """All cells, as a table on the way, and the worst of each figure."""
    print(
        "| differences | n | wrong pass | false fail | power | coverage | inconclusive "
        "| z-test: wrong pass, false fail, power | bootstrap: the same |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    found = []
    for cell in cells(sizes):
        figures = measure(cell, repetitions, seed)
        found.append((cell, figures))
        kind = f"rate {cell.kind}" if cell.is_rate else cell.kind
        own = ("wrong_pass", "false_fail", "power", "coverage", "inconclusive")
        columns = [f"{figures[name]:.3f}" for name in own]
        columns += [
            ", ".join(f"{figures[rival][name]:.2f}" for name in own[:3])
            for rival in ("z", "bootstrap")
        ]
        several = f", {CLUSTER} a question" if cell.clustered else ""
        print(f"| {kind}{several} | {cell.n} | {' | '.join(columns)} |", flush=True)
    independent = [
        entry for entry in found
        if entry[0].kind == 0.8 and entry[0].n == 100 and not entry[0].clustered
    ]  # fmt: skip
    figures = {
        "repetitions": repetitions,
        "wrong_pass": worst(found, "wrong_pass"),
        "false_fail": worst(found, "false_fail"),
        "coverage": worst(found, "coverage", min),
    }
    if independent:
        figures["power_100"] = worst(independent, "power", min)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--repetitions", type=int, default=20_000, help="sets in each cell")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    figures = run(options.sizes, options.repetitions, options.seed)
    print(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
