"""How often verdicts on sets are wrong, by simulation.

    python benchmarks/verdicts.py --json verdicts.json

Every cell draws sets from a population whose true value is known, and computes verdicts on each
with the plugin's estimates (`pytest_llmdiff.verdicts.estimates`).

  wrong_pass   the true value is exactly the limit, and the verdict is "passed"; the worse side
  false_fail   nothing changed, the limit is 5 points or 0.2 standard deviations away, and the
               verdict is "regressed"; the worse side
  power        a change of -10 points, or a mean shift of 0.3 standard deviations, is detected; a
               mean score 0.3 standard deviations within its limit passes
  coverage     the true value lies within both bounds (90 % promised)

Populations: normal, log-normal (sigma 1, 1.5, 2) and Pareto (2.5) differences; changes from a rate
of .80 and .95, where 70 % of the outcomes are shared; the rates themselves; scores from 0 to 1: of
which 5 % or 1 % are near 1 and all others near 0, bimodal, three-valued, or mostly 0. `n` counts
questions. Each has one form, or several: five; as many as a Pareto distribution gives; one in half
of the questions and 20 in the others; 50 in one question and one in all others. Forms of a question
correlate by .5, or are repeats (1). The JSON has the worst cell of each figure; `power_100` is a
change from .80 at 100 questions. Sizes without bounds have no cell. A rate or a score by itself has
no "no change": the false fails 5 points within its limit are in the table, not in the JSON. Other
methods for bounds run on such sets too.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.populations import (
    EVEN,
    STRUCTURES,
    UNEVEN,
    Population,
    Sets,
    bimodal,
    change,
    log_normal,
    normal,
    pareto,
    rare_high,
    rate,
    sets_of,
    three_valued,
    zero_inflated,
)
from benchmarks.rival_bounds import RIVALS, RIVALS_OF_SCORES
from pytest_llmdiff.verdicts.decisions import decide
from pytest_llmdiff.verdicts.estimates import (
    Estimate,
    change_estimate,
    mean_estimate,
    rate_estimate,
)

SIZES = (2, 5, 10, 20, 50, 100, 200, 1000, 5000)
CLUSTERED_SIZES = (10, 20, 50, 200)
RIVAL_SIZES = (20, 50)
RATES = (0.8, 0.95)
HIGH = (0.05, 0.01)
# Most values that the sets of a cell have together: fewer sets where they are large.
MOST_VALUES = 4_000_000
# Measured on the tuned model alone, so there is no base to be unchanged from.
ALONE = ("rate", "score")
FIGURES = ("wrong_pass", "false_fail", "power", "coverage")
POINTS, SHIFT = 0.05, 0.2
CHANGED, SHIFTED = 0.1, 0.3
SEED = 5

Method = Callable[[str, Sets], list[Estimate]]
Side = Literal["at_most", "at_least"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One figure: the share of sets that get this outcome against this limit."""

    figure: str
    side: Side
    limit: float
    outcome: str


@dataclass(kw_only=True)
class Cell:
    """Results for one kind of set, by figure: (count, sets) for each question."""

    kind: str
    name: str
    structure: str
    n: int
    counts: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    @property
    def about(self) -> dict[str, Any]:
        return {"measure": self.kind, "population": self.name, "structure": self.structure,
                "n": self.n}  # fmt: skip

    def worst(self, figure: str) -> float | None:
        """The largest share for errors, the smallest for power and coverage."""
        shares = [count / sets for count, sets in self.counts.get(figure, ()) if sets]
        errors = figure in ("wrong_pass", "false_fail")
        return (max if errors else min)(shares) if shares else None


def populations() -> list[Population]:
    found = [normal(), *map(log_normal, (1.0, 1.5, 2.0)), pareto(), *map(rate, RATES)]
    found += [*map(rare_high, HIGH), bimodal(), three_valued(), zero_inflated()]
    return found + [change(base, -by) for base in RATES for by in (0.0, POINTS, CHANGED)]


def clustered_populations() -> list[Population]:
    """Those that are drawn in several forms, too."""
    known = ("normal", "log-normal", "0.80", "5% high", "70% zero")
    return [population for population in populations() if population.name in known]


def questions(population: Population) -> list[Question]:
    """Limits at the true value, beyond it by the margin, and short of it by the shift to detect."""
    truth, kind = population.truth, population.kind
    margin, found = (SHIFT, SHIFTED) if kind == "mean" else (POINTS, CHANGED)
    asked = [
        Question(figure="wrong_pass", side="at_most", limit=truth, outcome="passed"),
        Question(figure="wrong_pass", side="at_least", limit=truth, outcome="passed"),
    ]
    if kind != "change" or truth == 0:
        asked += [
            Question(
                figure="false_fail", side="at_most", limit=truth + margin, outcome="regressed"
            ),
            Question(
                figure="false_fail", side="at_least", limit=truth - margin, outcome="regressed"
            ),
        ]
    if kind in ("mean", "rate"):
        asked += [
            Question(figure="power", side="at_most", limit=truth - found, outcome="regressed")
        ]
    elif kind == "score":
        limit = truth + SHIFTED * population.spread
        asked += [Question(figure="power", side="at_most", limit=limit, outcome="passed")]
    elif truth == -found:
        asked += [Question(figure="power", side="at_least", limit=0.0, outcome="regressed")]
    return asked


def plugin(kind: str, sets: Sets) -> list[Estimate]:
    """The plugin's estimates, which are under test."""
    clusters = sets.clusters
    pairs = zip(sets.base, sets.tuned, strict=True)
    if kind == "mean":
        return [mean_estimate(tuned - base, clusters) for base, tuned in pairs]
    if kind == "score":
        return [mean_estimate(tuned, clusters, support=(0, 1)) for _, tuned in pairs]
    if kind == "rate":
        return [rate_estimate(tuned, clusters) for _, tuned in pairs]
    return [change_estimate(base, tuned, clusters) for base, tuned in pairs]


def rival(name: str) -> Method:
    """Wraps another computation of bounds as a method."""

    def method(kind: str, sets: Sets) -> list[Estimate]:
        n = sets.base.shape[1]
        bounds = RIVALS_OF_SCORES[name] if kind == "score" else RIVALS[name]
        values = (sets.tuned - sets.base).mean(axis=1)
        return [
            Estimate(
                value=float(value),
                low=float(low),
                high=float(high),
                n=n,
                clusters=n,
                method=name,
                spread=math.nan,
            )
            for value, low, high in zip(values, *bounds(sets), strict=True)
        ]

    return method


def simulate(
    asked: Iterable[Population],
    *,
    repetitions: int,
    sizes: Sequence[int] = SIZES,
    structures: Iterable[str] = STRUCTURES,
    method: Method = plugin,
    seed: int = SEED,
    only: str = "",
) -> list[Cell]:
    """A cell for each kind of population, structure and size, if `only` is found in its name."""
    cells: dict[tuple[str, str, str, int], Cell] = {}
    for population in asked:
        for structure in structures:
            for n in sizes:
                key = (population.kind, population.name, structure, n)
                if not re.search(only, "{} {}, {}, n = {}".format(*key)):
                    continue
                cell = cells.setdefault(
                    key, Cell(kind=key[0], name=key[1], structure=structure, n=n)
                )
                count = max(min(repetitions, MOST_VALUES // n), 1)
                sets = sets_of(population, n, structure, count, seed)
                _ask(cell, population, method(population.kind, sets))
    return list(cells.values())


def _ask(cell: Cell, population: Population, estimates: Sequence[Estimate]) -> None:
    """Adds the counts of one population. Estimates without bounds do not count for coverage."""
    for question in questions(population):
        limit = {question.side: question.limit}
        count = sum(decide(estimate, **limit) == question.outcome for estimate in estimates)
        cell.counts.setdefault(question.figure, []).append((count, len(estimates)))
    bounded = [e for e in estimates if not e.method.startswith("no method")]
    covered = sum(e.low <= population.truth <= e.high for e in bounded)
    cell.counts.setdefault("coverage", []).append((covered, len(bounded)))


def bounded(cell: Cell) -> bool:
    return cell.worst("coverage") is not None


def worst(cells: Sequence[Cell], figure: str) -> dict[str, Any]:
    """The worst cell of a figure, as JSON."""
    errors = figure in ("wrong_pass", "false_fail")
    told = [(cell.worst(figure), cell) for cell in cells if bounded(cell)]
    value, cell = (max if errors else min)(
        ((value, cell) for value, cell in told if value is not None), key=lambda pair: pair[0]
    )
    return {"value": round(value, 4), "cell": cell.about}


def summary(cells: Sequence[Cell]) -> dict[str, Any]:
    changes = [cell for cell in cells if cell.kind not in ALONE]
    power = [c for c in cells if (c.kind, c.name, c.structure, c.n)
             == ("change", "0.80", "independent", 100)]  # fmt: skip
    return {
        "wrong_pass": worst(cells, "wrong_pass"),
        "false_fail": worst(changes, "false_fail"),
        "power_100": worst(power, "power"),
        "coverage": worst(cells, "coverage"),
    }


def table(cells: Sequence[Cell], figure: str) -> str:
    """A figure in per cent: rows are populations, columns sizes."""
    sizes = sorted({cell.n for cell in cells})
    lines = [f"| {figure.replace('_', ' ')}, % | {' | '.join(f'n = {n}' for n in sizes)} |"]
    lines.append("|---" * (len(sizes) + 1) + "|")
    rows: dict[str, dict[int, str]] = {}
    for cell in cells:
        value = cell.worst(figure)
        shown = "–" if value is None or not bounded(cell) else f"{100 * value:.1f}"
        rows.setdefault(f"{cell.kind} {cell.name}, {cell.structure}", {})[cell.n] = shown
    lines += [
        f"| {name} | {' | '.join(row.get(n, '') for n in sizes)} |" for name, row in rows.items()
    ]
    return "\n".join(lines)


def rivals(repetitions: int, sizes: Sequence[int]) -> str:
    """The worst figures of every method for differences, and its power at n = 100."""
    asked = [population for population in populations() if population.kind not in ALONE]
    lines = [
        "| bounds | structure | wrong pass, means | wrong pass, changes | false fail | coverage "
        "| power at 100 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ("plugin", *RIVALS):
        method = plugin if name == "plugin" else rival(name)
        for structure in EVEN:
            cells = simulate(
                asked, repetitions=repetitions, sizes=sizes, structures=[structure], method=method
            )
            means = [cell for cell in cells if cell.kind == "mean"]
            changes = [cell for cell in cells if cell.kind == "change"]
            power = [cell for cell in changes if (cell.name, cell.n) == ("0.80", 100)]
            shown = " | ".join(
                f"{100 * worst(some, figure)['value']:.1f} %"
                for some, figure in (
                    (means, "wrong_pass"),
                    (changes, "wrong_pass"),
                    (cells, "false_fail"),
                    (cells, "coverage"),
                    (power, "power"),
                )
            )
            lines.append(f"| {name} | {structure} | {shown} |")
    passed = f"{100 * unless_significant(repetitions, sizes):.1f} %"
    lines.append(
        f"| unpaired z, passed unless significant | independent | – | {passed} | – | – | – |"
    )
    return "\n".join(lines)


def rivals_of_scores(repetitions: int) -> str:
    """Wrong passes and power of every method for scores, side by side."""
    asked = [population for population in populations() if population.kind == "score"]
    names = ("plugin", *RIVALS_OF_SCORES)
    lines = [
        f"| scores, wrong pass % (power %) | n | {' | '.join(names)} |",
        "|---" * (len(names) + 2) + "|",
    ]
    found = [
        simulate(
            asked,
            repetitions=repetitions,
            sizes=RIVAL_SIZES,
            structures=["independent"],
            method=plugin if name == "plugin" else rival(name),
        )
        for name in names
    ]
    for cells in zip(*found, strict=True):
        shown = " | ".join(
            f"{100 * (cell.worst('wrong_pass') or 0):.1f} ({100 * (cell.worst('power') or 0):.0f})"
            for cell in cells
        )
        lines.append(f"| {cells[0].name} | {cells[0].n} | {shown} |")
    return "\n".join(lines)


def unless_significant(repetitions: int, sizes: Sequence[int]) -> float:
    """The share that passes at the margin of 5 points when an unpaired z-test finds no change."""
    passed = []
    for n in sizes:
        sets = sets_of(change(RATES[0], -POINTS), n, "independent", repetitions, SEED)
        low, high = RIVALS["unpaired z"](sets)
        passed.append(float(((low <= 0) & (high >= 0)).mean()))
    return max(passed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the worst figures to this file")
    parser.add_argument("--repetitions", type=int, default=4000, help="sets of each cell")
    parser.add_argument("--rival-repetitions", type=int, default=500, help="0: without the rivals")
    parser.add_argument("--quick", action="store_true", help="200 sets of each cell, no rivals")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--cells",
        default="",
        help="only cells with this pattern in their name, such as 'score .*half 1 half 20, 1, n = "
        "50$'; no rivals",
    )
    options = parser.parse_args()
    if options.quick:
        options.repetitions, options.rival_repetitions = 200, 0
    if options.cells:
        options.rival_repetitions = 0
        if options.json:
            parser.error("--json has the worst of all cells: leave --cells out")
    known = {"repetitions": options.repetitions, "seed": options.seed, "only": options.cells}
    cells = simulate(populations(), structures=["independent"], **known)
    cells += simulate(
        clustered_populations(),
        sizes=CLUSTERED_SIZES,
        structures=[*EVEN[1:], *UNEVEN],
        **known,
    )
    for figure in FIGURES:
        print(table(cells, figure), end="\n\n", flush=True)
    if options.cells:
        return
    if options.rival_repetitions:
        print(rivals_of_scores(options.rival_repetitions), end="\n\n", flush=True)
        print(rivals(options.rival_repetitions, (10, 20, 50, 100, 200)), end="\n\n", flush=True)
    figures = summary(cells) | {"repetitions": options.repetitions}
    print(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
