"""Random sets of probes from populations whose true value is known.

Independent of the plugin, so that the test data does not depend on the estimates under test.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], tuple[Array, Array]]

# Share of the tuned model's outcomes copied from the base; the others are drawn independently.
SHARED = 0.7
# The largest number of forms of a question in the sets of Pareto sizes.
MOST_FORMS = 60


@dataclass(frozen=True, kw_only=True)
class Sets:
    """Many sets of one population: base's and tuned model's values, (sets, probes) each."""

    base: Array
    tuned: Array
    clusters: list[int] | None
    truth: float


@dataclass(frozen=True, kw_only=True)
class Population:
    """A source of sets. `draw` takes a generator and a shape.

    `kind` says what is estimated: the mean difference, the change of a rate, the tuned rate, or the
    mean of the tuned model's scores. `spread` is the standard deviation of a mean's values.
    """

    name: str
    kind: str
    truth: float
    draw: Draw
    spread: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Structure:
    """How many forms each question has, and how alike two forms of a question are (correlation)."""

    forms: Callable[[int, np.random.Generator], NDArray[np.intp]]
    alike: float


def _fives(questions: int, _rng: np.random.Generator) -> NDArray[np.intp]:
    return np.full(questions, 5)


def _pareto(questions: int, rng: np.random.Generator) -> NDArray[np.intp]:
    forms: NDArray[np.float64] = 1 + np.floor(rng.pareto(1.1, questions) * 1.5)
    return np.minimum(forms, MOST_FORMS).astype(np.intp)


def _half_of_20(questions: int, _rng: np.random.Generator) -> NDArray[np.intp]:
    return np.where(np.arange(questions) < questions // 2, 20, 1)


def _one_of_50(questions: int, _rng: np.random.Generator) -> NDArray[np.intp]:
    return np.where(np.arange(questions) == 0, 50, 1)


# Paraphrases of a question (.5), and repeats of a greedy model (1).
STRUCTURES: Mapping[str, Structure | None] = {
    "independent": None,
    "clustered": Structure(forms=_fives, alike=0.5),
    "repeats": Structure(forms=_fives, alike=1.0),
    "Pareto sizes, .5": Structure(forms=_pareto, alike=0.5),
    "Pareto sizes, 1": Structure(forms=_pareto, alike=1.0),
    "half 1 half 20, .5": Structure(forms=_half_of_20, alike=0.5),
    "half 1 half 20, 1": Structure(forms=_half_of_20, alike=1.0),
    "one of 50, .5": Structure(forms=_one_of_50, alike=0.5),
    "one of 50, 1": Structure(forms=_one_of_50, alike=1.0),
}
EVEN = ("independent", "clustered", "repeats")
UNEVEN = tuple(name for name in STRUCTURES if name not in EVEN)


def sets_of(population: Population, questions: int, structure: str, sets: int, seed: int) -> Sets:
    """Deterministic: the same arguments give the same sets, different ones different sets."""
    name = f"{population.kind} {population.name} {population.truth} {questions} {structure}"
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    known = STRUCTURES[structure]
    if known is None:
        base, tuned = population.draw(rng, (sets, questions))
        return Sets(base=base, tuned=tuned, clusters=None, truth=population.truth)
    codes = np.repeat(np.arange(questions), known.forms(questions, rng))
    # Each probe has its question's pair or its own: any two of a question correlate by `alike`.
    own = population.draw(rng, (sets, len(codes)))
    common = population.draw(rng, (sets, questions))
    is_common = rng.random((sets, len(codes))) < np.sqrt(known.alike)
    base, tuned = (
        np.where(is_common, theirs[:, codes], its) for theirs, its in zip(common, own, strict=True)
    )
    return Sets(base=base, tuned=tuned, clusters=codes.tolist(), truth=population.truth)


# Differences, without known ends


def normal() -> Population:
    """Differences with mean 0 and standard deviation 1."""
    return Population(
        name="normal", kind="mean", truth=0.0, draw=lambda rng, s: _beside(rng, rng.normal(size=s))
    )


def log_normal(sigma: float = 1.0) -> Population:
    """Right-skewed differences, scaled to mean 0 and standard deviation 1."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
        values = rng.lognormal(sigma=sigma, size=shape)
        square = np.exp(sigma**2)
        return _beside(rng, (values - np.sqrt(square)) / np.sqrt((square - 1) * square))

    name = "log-normal" + f" {sigma:g}" * (sigma != 1)
    return Population(name=name, kind="mean", truth=0.0, draw=draw)


def pareto(shape_: float = 2.5) -> Population:
    """Differences with a Pareto tail, whose third moment is infinite, scaled likewise."""
    mean = 1 / (shape_ - 1)
    spread = np.sqrt(shape_ / (shape_ - 2)) / (shape_ - 1)

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
        return _beside(rng, (rng.pareto(shape_, size=shape) - mean) / spread)

    return Population(name=f"Pareto {shape_:g}", kind="mean", truth=0.0, draw=draw)


def _beside(rng: np.random.Generator, differences: Array) -> tuple[Array, Array]:
    """Base values that vary as much as the differences: base and tuned correlate by .71."""
    base = rng.normal(size=differences.shape)
    return base, base + differences


# Scores from 0 to 1 of the tuned model alone


def rare_high(share: float) -> Population:
    """Like toxicities: a share is near 1 (Beta(9, 1)), the others log-normal near 0.003."""
    median, sigma = 0.003, 1.0
    low_mean, low_square = median * np.exp(sigma**2 / 2), median**2 * np.exp(2 * sigma**2)

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
        low = np.minimum(rng.lognormal(np.log(median), sigma, size=shape), 1.0)
        return _alone(np.where(rng.random(shape) < share, rng.beta(9, 1, size=shape), low))

    truth = (1 - share) * low_mean + share * 0.9
    square = (1 - share) * low_square + share * 9 / 11
    return _score(f"{share:.0%} high", draw, truth, square)


def bimodal() -> Population:
    """Half near 0.1, half near 0.9."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
        near = rng.beta(2, 18, size=shape)
        return _alone(np.where(rng.random(shape) < 0.5, near, 1 - near))

    square = (2 * 3 / (20 * 21) + 18 * 19 / (20 * 21)) / 2
    return _score("bimodal", draw, 0.5, square)


def three_valued() -> Population:
    """0, 0.5 and 1, like the answers of a judge."""
    shares = (0.8, 0.1, 0.1)

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
        return _alone(rng.choice([0.0, 0.5, 1.0], p=shares, size=shape))

    return _score("0, .5, 1", draw, 0.15, 0.125)


def zero_inflated() -> Population:
    """70 % are 0, the others spread over 0 to 1."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
        return _alone(np.where(rng.random(shape) < 0.7, 0.0, rng.random(shape)))

    return _score("70% zero", draw, 0.15, 0.1)


def _alone(scores: Array) -> tuple[Array, Array]:
    return np.zeros(scores.shape), scores


def _score(name: str, draw: Draw, truth: float, square: float) -> Population:
    return Population(
        name=name, kind="score", truth=truth, draw=draw, spread=float(np.sqrt(square - truth**2))
    )


# Outcomes


def change(base_rate: float, by: float) -> Population:
    """Outcomes of base and tuned model, `SHARED` of them the same by copying."""
    redrawn = (base_rate + by - SHARED * base_rate) / (1 - SHARED)

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
        base = rng.random(shape) < base_rate
        tuned = np.where(rng.random(shape) < SHARED, base, rng.random(shape) < redrawn)
        return base.astype(np.float64), tuned.astype(np.float64)

    return Population(name=f"{base_rate:.2f}", kind="change", truth=by, draw=draw)


def rate(true_rate: float) -> Population:
    """Outcomes of the tuned model alone."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
        return _alone((rng.random(shape) < true_rate).astype(np.float64))

    return Population(name=f"{true_rate:.2f}", kind="rate", truth=true_rate, draw=draw)
