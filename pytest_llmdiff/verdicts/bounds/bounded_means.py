"""Bounds of the mean of values within known ends, valid for every distribution between them.

Gaffke's (2005) bound, studied by Learned-Miller & Thomas (2019, arXiv 1905.06208) and Phan et al.
(2021, ICML): add the end on the side of the bound to the values, weight all of them by a flat
Dirichlet distribution, and take the quantile of the weighted mean. For outcomes of 0 and 1 this is
the interval of Clopper and Pearson (1934).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Of more different values, each is shared out between the two nearest of so many evenly spaced
# ones. Its mean stays and its spread grows a little, so the bound widens.
DISTINCT = 512
# Step of the integral over the (transformed) contour: the error is about exp(-pi**2 / STEP).
STEP = 0.15
NODES = 20
NEGLIGIBLE = 1e-13
# Probabilities are kept between these, so that their quantiles are finite.
SMALLEST, LARGEST = 1e-300, 1 - 1e-12


def upper_bound(values: Floats, times: Floats, end: float, error: float) -> float:
    """The upper bound of a mean. Each value occurs so many `times`, which need not be whole.

    No value is above `end`. Costs a few milliseconds, whatever the number of values.
    """
    import numpy as np

    distances = end - values
    farthest = float(distances.max())
    if farthest <= 0:
        return end
    different = distances != 0
    if np.all(distances[different] == farthest):
        from scipy.special import betaincinv

        # Two places only: the weight of the farther one has a beta distribution.
        far = float(times[different].sum())
        return end - farthest * float(betaincinv(far, times.sum() + 1 - far, error))
    places, weights = _merged(np.append(distances / farthest, 0.0), np.append(times, 1.0))
    return end - farthest * _quantile(places, weights, error)


def lower_bound(values: Floats, times: Floats, end: float, error: float) -> float:
    """The lower bound; no value is below `end`."""
    return -upper_bound(-values, times, -end, error)


def _merged(places: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Different places from 0 to 1 with their weights, at most `DISTINCT`."""
    import numpy as np

    found, inverse = np.unique(places, return_inverse=True)
    if len(found) <= DISTINCT:
        return found, np.bincount(inverse, weights=weights).astype(np.float64)
    order = np.argsort(places, kind="stable")  # so that sums do not depend on the order
    scaled, weights = places[order] * (DISTINCT - 1), weights[order]
    left = np.minimum(scaled.astype(np.intp), DISTINCT - 2)
    right_part = (scaled - left) * weights
    summed = np.zeros(DISTINCT)
    np.add.at(summed, left, weights - right_part)
    np.add.at(summed, left + 1, right_part)
    used = summed > 0
    return np.linspace(0, 1, DISTINCT)[used], summed[used]


def _quantile(places: Floats, weights: Floats, error: float) -> float:
    """The quantile of the mean of places under Dirichlet weights. The first place is 0."""
    from scipy.optimize import brentq
    from scipy.special import ndtri

    aim = float(ndtri(error))

    def excess(t: float) -> float:
        return float(ndtri(min(max(_below(t, places, weights), SMALLEST), LARGEST))) - aim

    total = float(weights.sum())
    mean = float(places @ weights) / total
    spread = math.sqrt(float((places - mean) ** 2 @ weights) / total / (total + 1))
    high = mean + (aim + 0.5) * spread
    high = high if 0 < high < 1 else mean
    while excess(high) < 0:
        high = (1 + high) / 2
    low = max(high - spread, high / 2)
    while excess(low) > 0:
        low, high = low / 2, low
    return float(brentq(excess, low, high, xtol=1e-8, rtol=1e-8))


def _below(t: float, places: Floats, weights: Floats) -> float:
    """The probability that the mean of the places under Dirichlet weights is below `t`.

    It is that of a sum of gamma variables times `t - place` being positive. Integrates the moment
    generating function along a line through its saddle point (Helstrom 1996, IEEE Trans. Aerosp.
    Electron. Syst. 32, 510), where it does not oscillate.
    """
    import numpy as np

    slopes = places / t - 1  # the factors of the generating function are (1 + u * slope)
    u = _saddle(slopes, weights)
    ratios = slopes / (1 + u * slopes)
    width = 1 / math.sqrt(float(weights @ ratios**2) + 1 / u**2)
    height = -float(weights @ np.log1p(u * slopes)) - math.log(u)
    total, first = -0.5, 0  # the first node counts half, and its term is 1
    while True:
        v = STEP * np.arange(first, first + NODES)
        y = width * np.sinh(v)
        turns = np.multiply.outer(y, ratios)
        sizes = 0.5 * (np.log1p(turns**2) @ weights + np.log1p((y / u) ** 2))
        terms = np.exp(-sizes) * np.cosh(v)
        total += float(terms @ np.cos(np.arctan(turns) @ weights + np.arctan(y / u)))
        if terms[-1] < NEGLIGIBLE:
            break
        first += NODES
    return math.exp(height) * total * STEP * width / math.pi


def _saddle(slopes: Floats, weights: Floats) -> float:
    """Where the generating function divided by its argument is least, between 0 and 1."""
    first, second = float(weights @ slopes), float(weights @ slopes**2)
    u = min((first + math.sqrt(first**2 + 4 * second)) / (2 * second), 0.9)
    low, high = 0.0, 1.0
    while True:
        ratios = slopes / (1 + u * slopes)
        slope = -float(weights @ ratios) - 1 / u
        if slope > 0:
            high = u
        else:
            low = u
        step = slope / (float(weights @ ratios**2) + 1 / u**2)
        if abs(step) < 0.01 * u * (1 - u):  # any point near it serves
            return u
        u -= step
        if not low < u < high:
            u = (low + high) / 2
