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

PER_CLUSTER = 5
# Correlation within a cluster: paraphrases of one question, and repeats of a greedy model.
STRUCTURES: Mapping[str, float | None] = {"independent": None, "clustered": 0.5, "repeats": 1.0}
# Share of the tuned model's outcomes copied from the base; the others are drawn independently.
SHARED = 0.7


@dataclass(frozen=True, kw_only=True)
class Sets:
    """Many sets of one population: base's and tuned model's values, (sets, probes) each."""

    base: Array
    tuned: Array
    clusters: list[int] | None
    truth: float


@dataclass(frozen=True, kw_only=True)
class Population:
    """A source of sets. `draw` takes (generator, sets, clusters, probes per cluster).

    `kind` says what is estimated: the mean difference, the change of a rate, the tuned rate, or the
    mean of the tuned model's scores.
    """

    name: str
    kind: str
    truth: float
    draw: Callable[[np.random.Generator, tuple[int, int, int]], tuple[Array, Array]]


def sets_of(population: Population, n: int, structure: str, sets: int, seed: int) -> Sets:
    """Deterministic: the same arguments give the same sets, different ones different sets."""
    name = f"{population.kind} {population.name} {population.truth} {n} {structure}"
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    alike = STRUCTURES[structure]
    if alike is None:
        base, tuned = population.draw(rng, (sets, n, 1))
    else:
        base, tuned = _clustered(population, rng, (sets, n // PER_CLUSTER, PER_CLUSTER), alike)
    labels = None if alike is None else [i // PER_CLUSTER for i in range(n)]
    return Sets(
        base=base.reshape(sets, n),
        tuned=tuned.reshape(sets, n),
        clusters=labels,
        truth=population.truth,
    )


def _clustered(
    population: Population, rng: np.random.Generator, shape: tuple[int, int, int], alike: float
) -> tuple[Array, Array]:
    """Each probe has its cluster's pair or its own: any two correlate by `alike`."""
    own = population.draw(rng, shape)
    common = population.draw(rng, (*shape[:2], 1))
    is_common = rng.random(shape) < np.sqrt(alike)
    return (
        np.where(is_common, common[0], own[0]),
        np.where(is_common, common[1], own[1]),
    )


def normal() -> Population:
    """Differences with mean 0 and standard deviation 1."""
    return Population(
        name="normal", kind="mean", truth=0.0, draw=lambda rng, s: _beside(rng, rng.normal(size=s))
    )


def log_normal() -> Population:
    """Right-skewed differences (sigma 1), scaled to mean 0 and standard deviation 1."""

    def draw(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Array, Array]:
        values = rng.lognormal(size=shape)
        return _beside(rng, (values - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e))

    return Population(name="log-normal", kind="mean", truth=0.0, draw=draw)


def rare_high(share: float) -> Population:
    """Scores from 0 to 1 of the tuned model alone: mostly near 0, a share near 1."""
    median, high = 0.003, (9, 1)  # like a toxicity: log-normal (sigma 1), and Beta(9, 1)

    def draw(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Array, Array]:
        low = np.minimum(rng.lognormal(np.log(median), size=shape), 1.0)
        scores = np.where(rng.random(shape) < share, rng.beta(*high, size=shape), low)
        return np.zeros(shape), scores

    truth = (1 - share) * median * np.exp(0.5) + share * high[0] / sum(high)
    return Population(name=f"{share:.0%} high", kind="score", truth=truth, draw=draw)


def _beside(rng: np.random.Generator, differences: Array) -> tuple[Array, Array]:
    """Base values that vary as much as the differences: base and tuned correlate by .71."""
    base = rng.normal(size=differences.shape)
    return base, base + differences


def change(base_rate: float, by: float) -> Population:
    """Outcomes of base and tuned model, `SHARED` of them the same by copying."""
    redrawn = (base_rate + by - SHARED * base_rate) / (1 - SHARED)

    def draw(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Array, Array]:
        base = rng.random(shape) < base_rate
        tuned = np.where(rng.random(shape) < SHARED, base, rng.random(shape) < redrawn)
        return base.astype(np.float64), tuned.astype(np.float64)

    return Population(name=f"{base_rate:.2f}", kind="change", truth=by, draw=draw)


def rate(true_rate: float) -> Population:
    """Outcomes of the tuned model alone."""

    def draw(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Array, Array]:
        return np.zeros(shape), (rng.random(shape) < true_rate).astype(np.float64)

    return Population(name=f"{true_rate:.2f}", kind="rate", truth=true_rate, draw=draw)
