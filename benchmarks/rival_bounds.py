"""Other methods for one-sided 95 % bounds, for comparison. None handles clusters.

Each takes many sets at once and returns a lower and an upper bound per set. `RIVALS` are for
differences, `RIVALS_OF_SCORES` for the mean of scores from 0 to 1.
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


def former(sets: Sets) -> Bounds:
    """The plugin's method before Gaffke's: Hall's bound, and no nearer than a share of ends."""
    scores = sets.tuned
    n = scores.shape[1]
    mean, spread = scores.mean(axis=1), scores.std(axis=1, ddof=1)
    g = stats.skew(scores, axis=1) / np.sqrt(n)
    g = np.where(np.abs(g) < 1e-6, 1e-6, g)
    quantile = stats.t.isf(ERROR * n / (n + 150), n - 1)
    share = 1 - ERROR ** (1 / n)

    def reach(side: float) -> Array:
        found = 3 / g * (np.cbrt(1 + g * (side * quantile - g / 6)) - 1) * spread
        wide: Array = found / np.sqrt(n)
        return wide

    equal = spread < 1e-12
    low = np.where(equal, mean, mean - reach(1))
    high = np.where(equal, mean, mean - reach(-1))
    return np.minimum(low, mean * (1 - share)), np.maximum(high, mean + share * (1 - mean))


def betting(sets: Sets) -> Bounds:
    """Waudby-Smith & Ramdas (2024, J. R. Stat. Soc. B 86, 1), theorem 3, with the bets for a fixed
    number of values. Depends on their order."""
    return 1 - _betting_upper(1 - sets.tuned), _betting_upper(sets.tuned)


def _betting_upper(scores: Array) -> Array:
    """The smallest mean whose bets against it win 1 / `ERROR`, on a grid."""
    sets, n = scores.shape
    means = np.linspace(0, 1, 401)[1:]
    capital, most = np.zeros((sets, len(means))), np.zeros((sets, len(means)))
    total, squares = np.full(sets, 0.5), np.full(sets, 0.25)
    for t in range(n):
        stake = np.sqrt(2 * np.log(1 / ERROR) / (n * squares / (t + 1)))
        bet = np.minimum(stake[:, None], 0.75 / np.maximum(1 - means, 1e-9))
        capital += np.log1p(bet * (means - scores[:, t, None]))
        most = np.maximum(most, capital)
        total += scores[:, t]
        squares += (scores[:, t] - total / (t + 2)) ** 2
    won = most >= np.log(1 / ERROR)
    # The bounds are kept by an interval: beyond the first mean that loses, all do.
    return np.where(won.any(axis=1), means[won.argmax(axis=1)], 1.0)


def bootstrap_t(sets: Sets) -> Bounds:
    """Studentised bootstrap (Efron & Tibshirani 1993, chapter 12)."""
    scores = sets.tuned
    count, n = scores.shape
    rng = np.random.default_rng(0)
    mean, spread = scores.mean(axis=1), scores.std(axis=1, ddof=1)
    low, high = np.empty(count), np.empty(count)
    for row in range(count):
        drawn = scores[row][rng.integers(n, size=(RESAMPLES, n))]
        with np.errstate(all="ignore"):
            t = (drawn.mean(axis=1) - mean[row]) / drawn.std(axis=1, ddof=1)
        t = t[np.isfinite(t)]
        first, last = np.quantile(t, [ERROR, 1 - ERROR]) if len(t) else (0.0, 0.0)
        low[row], high[row] = mean[row] - last * spread[row], mean[row] - first * spread[row]
    return low, high


RIVALS: dict[str, Callable[[Sets], Bounds]] = {
    "unpaired z": unpaired_z,
    "unpaired bootstrap": unpaired_bootstrap,
    "paired t": paired_t,
    "paired bootstrap (BCa)": paired_bca,
}
RIVALS_OF_SCORES: dict[str, Callable[[Sets], Bounds]] = {
    "before": former,
    "betting": betting,
    "bootstrap-t": bootstrap_t,
}
