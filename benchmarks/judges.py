"""How often a gate on a fallible judge is wrong: corrected by labels, and trusting the judge.

    python benchmarks/judges.py --repetitions 2000 --json judges.json

Each cell draws sets of replies with a true rate (or with a true change between two models), a judge
that errs at random with a sensitivity and a specificity, and labels of some more such replies. The
limit is the true value, so that every pass is a wrong one, whichever side of the limit has to be
kept: 5 % are promised for each. `coverage` is the share of 90 % intervals that hold the true value.
The judge of the change errs more often on the tuned model's replies, as one that likes its style.
`naive` gates take the judge's own rate with the same exact bounds, as tools do that trust it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pytest_llmdiff.verdicts.estimates import (  # noqa: E402
    Estimate,
    change_estimate,
    rate_estimate,
)
from pytest_llmdiff.verdicts.prediction_powered import (  # noqa: E402
    Labels,
    corrected_change,
    corrected_rate,
)

# Sensitivity and specificity: of accuracy .6 to .95, alike on both sides and not.
JUDGES = ((0.6, 0.6), (0.6, 0.95), (0.95, 0.6), (0.8, 0.8), (0.7, 0.95), (0.95, 0.95))
PROBES, LABELLED = (100, 300, 1000), (50, 100, 200)
RATES = (0.05, 0.2, 0.5, 0.8, 0.95)
CHANGES = ((0.5, 0.45), (0.8, 0.8), (0.6, 0.8), (0.9, 0.95))  # rates of base and tuned
# How much less specific the judge is on the tuned model's replies.
FAVOUR = 0.15


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One kind of set: `rates` of the model, or of base and tuned."""

    rates: tuple[float, ...]
    sensitivity: float
    specificity: float
    probes: int
    labels: int

    @property
    def true(self) -> float:
        return self.rates[-1] - (self.rates[0] if len(self.rates) == 2 else 0.0)

    def row(self) -> dict[str, Any]:
        return {"rates": list(self.rates), "sensitivity": self.sensitivity,
                "specificity": self.specificity, "probes": self.probes,
                "labels": self.labels}  # fmt: skip


def cells() -> Iterator[Cell]:
    rates: list[tuple[float, ...]] = [(rate,) for rate in RATES]
    for (sensitivity, specificity), probes, labels, own in product(
        JUDGES, PROBES, LABELLED, [*rates, *CHANGES]
    ):
        yield Cell(rates=own, sensitivity=sensitivity, specificity=specificity, probes=probes,
                   labels=labels)  # fmt: skip


@cache
def counted_rate(events: int, n: int) -> Estimate:
    return rate_estimate(_outcomes(events, n))


@cache
def counted_change(risen: int, fallen: int, n: int) -> Estimate:
    return change_estimate(*_paired(risen, fallen, n))


@cache
def labels_of(missed: int, wrong: int, n: int) -> Labels:
    """Of `n` labelled replies, how many right ones the judge missed, and wrong ones it let pass."""
    judge, people = _paired(missed, wrong, n)
    return Labels(judge=judge, people=people)


def _outcomes(events: int, n: int) -> list[bool]:
    return [True] * events + [False] * (n - events)


def _paired(up: int, down: int, n: int) -> tuple[list[bool], list[bool]]:
    rest = [False] * (n - up - down)
    return [False] * up + [True] * down + rest, [True] * up + [False] * down + rest


@dataclass(frozen=True, kw_only=True)
class Found:
    """Shares of the sets of a cell."""

    below: float  # the interval is wholly above the true value
    above: float
    naive_below: float
    naive_above: float

    @property
    def wrong_pass(self) -> float:
        return max(self.below, self.above)

    @property
    def naive_wrong_pass(self) -> float:
        return max(self.naive_below, self.naive_above)

    @property
    def coverage(self) -> float:
        return 1 - self.below - self.above


def tried(cell: Cell, repetitions: int, seed: int) -> Found:
    draw = np.random.default_rng(seed)
    sides = []
    for place, rate in enumerate(cell.rates):
        favoured = FAVOUR if place else 0.0
        sides.append((rate, cell.sensitivity, max(0.0, cell.specificity - favoured)))
    counts = np.zeros(4)
    for _ in range(repetitions):
        plain = _counted(draw, sides, cell.probes)
        held = [_labelled(draw, side, cell.labels) for side in sides]
        found = corrected_rate(plain, *held) if len(held) == 1 else corrected_change(plain, *held)
        counts += [found.low > cell.true, found.high < cell.true,
                   plain.low > cell.true, plain.high < cell.true]  # fmt: skip
    below, above, naive_below, naive_above = (counts / repetitions).tolist()
    return Found(below=below, above=above, naive_below=naive_below, naive_above=naive_above)


def _counted(
    draw: np.random.Generator, sides: Sequence[tuple[float, float, float]], n: int
) -> Estimate:
    said = []
    for rate, sensitivity, specificity in sides:
        right = draw.random(n) < rate
        said.append(np.where(right, draw.random(n) < sensitivity, draw.random(n) > specificity))
    if len(said) == 1:
        return counted_rate(int(said[0].sum()), n)
    base, tuned = said
    return counted_change(int((tuned & ~base).sum()), int((base & ~tuned).sum()), n)


def _labelled(draw: np.random.Generator, side: tuple[float, float, float], n: int) -> Labels:
    rate, sensitivity, specificity = side
    missed, wrong = rate * (1 - sensitivity), (1 - rate) * (1 - specificity)
    up, down, _ = draw.multinomial(n, [missed, wrong, 1 - missed - wrong])
    return labels_of(int(up), int(down), n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=2000, help="sets of each cell")
    parser.add_argument("--json", type=Path, help="write the worst cells to this file")
    arguments = parser.parse_args()
    found = [(cell, tried(cell, arguments.repetitions, n)) for n, cell in enumerate(cells())]
    worst = {
        name: (max if name != "coverage" else min)(found, key=lambda each: getattr(each[1], name))
        for name in ("wrong_pass", "coverage", "naive_wrong_pass")
    }
    for name, (cell, shares) in worst.items():
        print(f"{name:<17} {getattr(shares, name):.3f}  {cell}")
    for labels in LABELLED:
        own = [shares for cell, shares in found if cell.labels == labels]
        print(f"{labels} labels: wrong passes {max(s.wrong_pass for s in own):.3f} at most, "
              f"{np.mean([s.wrong_pass for s in own]):.3f} in the mean; trusting the judge "
              f"{max(s.naive_wrong_pass for s in own):.3f}, "
              f"{np.mean([s.naive_wrong_pass for s in own]):.3f}")  # fmt: skip
    if arguments.json:
        rows = {
            name: {"value": getattr(shares, name), "cell": cell.row()}
            for name, (cell, shares) in worst.items()
        }
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
