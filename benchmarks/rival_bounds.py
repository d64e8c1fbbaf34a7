"""Other methods for one-sided 95 % bounds of a difference, for comparison. None handles clusters.

Each takes many sets at once and returns a lower and an upper bound per set.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats

from benchmarks.populations import Array, Sets

Bounds = tuple[Array, Array]

ERROR = 0.05
RESAMPLES = 999
# Most numbers in a batch of resamples: 100 MB.
HELD = 12_000_000


def unpaired_z(sets: Sets) -> Bounds:
    n = sets.base.shape[1]
    change = sets.tuned.mean(axis=1) - sets.base.mean(axis=1)
    error = np.sqrt((sets.tuned.var(axis=1, ddof=1) + sets.base.var(axis=1, ddof=1)) / n)
    reach = stats.norm.isf(ERROR) * error
    return change - reach, change + reach


def unpaired_bootstrap(sets: Sets) -> Bounds:
    def difference(tuned: Array, base: Array, axis: int) -> Array:
        found: Array = tuned.mean(axis=axis) - base.mean(axis=axis)
        return found

    return _resampled((sets.tuned, sets.base), difference, "percentile")


def paired_t(sets: Sets) -> Bounds:
    differences = sets.tuned - sets.base
    n = differences.shape[1]
    reach = stats.t.isf(ERROR, n - 1) * differences.std(axis=1, ddof=1) / np.sqrt(n)
    mean = differences.mean(axis=1)
    return mean - reach, mean + reach


def paired_bca(sets: Sets) -> Bounds:
    """If all differences are equal, BCa has no bounds; the value is used instead."""
    differences = sets.tuned - sets.base
    low, high = _resampled((differences,), np.mean, "BCa")
    mean = differences.mean(axis=1)
    return np.where(np.isnan(low), mean, low), np.where(np.isnan(high), mean, high)


def _resampled(samples: tuple[Array, ...], statistic: Callable[..., Array], method: str) -> Bounds:
    """Bounds from scipy.stats.bootstrap, for as many sets at a time as memory allows."""
    sets, n = samples[0].shape
    step = max(1, HELD // (n * RESAMPLES * len(samples)))
    lows, highs = [], []
    for first in range(0, sets, step):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            # For equal differences, for which BCa returns nothing.
            warnings.simplefilter("ignore")
            found = stats.bootstrap(
                tuple(sample[first : first + step] for sample in samples),
                statistic,
                n_resamples=RESAMPLES,
                confidence_level=1 - 2 * ERROR,
                method=method,
                axis=1,
                rng=np.random.default_rng(first),
            )
        lows.append(np.atleast_1d(found.confidence_interval.low))
        highs.append(np.atleast_1d(found.confidence_interval.high))
    return np.concatenate(lows), np.concatenate(highs)


RIVALS: dict[str, Callable[[Sets], Bounds]] = {
    "unpaired z": unpaired_z,
    "unpaired bootstrap": unpaired_bootstrap,
    "paired t": paired_t,
    "paired bootstrap (BCa)": paired_bca,
}
