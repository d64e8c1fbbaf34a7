"""Scores of words from the values of coalitions: subsets of the words that the prompt keeps.

The caller computes a coalition's value. Leave-one-out and exact Shapley values are plain
arithmetic; captum does the sampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import require_packages, third_party_warnings_ignored

if TYPE_CHECKING:
    import torch

LEAVE_ONE_OUT = "leave-one-out"
SAMPLED = ("shapley", "kernel-shap", "lime")
# The kernel and the penalty of the authors' own package for texts: exp(-d²/2w²) of the cosine
# distance to the whole text, and ridge regression (Ribeiro et al. 2016, arXiv 1602.04938).
LIME_WIDTH = 0.25
LIME_PENALTY = 1.0
ENDS = 1e6  # weight of all words and of none in the regression of KernelSHAP, as in captum

Mask = tuple[bool, ...]  # for each word whether it is kept
Value = Callable[[Mask], float]


@dataclass(frozen=True, kw_only=True)
class Shares:
    """A score for each word, and its standard error if the method draws coalitions."""

    scores: tuple[float, ...]
    errors: tuple[float, ...] | None = None


def coalitions(method: str, count: int, samples: int, seed: int) -> list[Mask]:
    """The coalitions of `count` words whose value a method needs, each once.

    Raises:
        MissingPackageError: the method samples, and captum is not installed.
    """
    asked: dict[Mask, None] = {}

    def value(mask: Mask) -> float:
        asked[mask] = None
        return 0.0

    shares(method, value, count, samples, seed)
    return list(asked)


def shares(method: str, value: Value, count: int, samples: int, seed: int) -> Shares:
    """Scores of `count` words by a method of this module, from about `samples` coalitions.

    Which coalitions it needs depends only on the other arguments, not on values. Shapley values and
    KernelSHAP are exact if there are no more coalitions than samples. For a single word all methods
    agree.

    Raises:
        MissingPackageError: the method samples, and captum is not installed.
    """
    if method == LEAVE_ONE_OUT or count == 1:
        return _left_out(value, count)
    every = 2**count <= samples
    if method == "shapley" and every:
        return _exact(value, count)
    require_captum(f"the method {method}")
    with third_party_warnings_ignored():
        if method == "shapley":
            with _seeded(seed):
                return _permuted(value, count, max(2, samples // count))
        if method == "kernel-shap" and every:
            return Shares(scores=_enumerated(value, count), errors=(0.0,) * count)
        return _drawn(_lime if method == "lime" else _kernel, value, count, samples, seed)


def _left_out(value: Value, count: int) -> Shares:
    whole = value((True,) * count)
    others = [value(tuple(n != left for n in range(count))) for left in range(count)]
    return Shares(scores=tuple(whole - other for other in others))


def _exact(value: Value, count: int) -> Shares:
    """The mean over all orders of what a word adds (Shapley 1953)."""
    worth = {mask: value(mask) for mask in _all(count)}
    orders = [
        math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
        for size in range(count)
    ]
    scores = [
        math.fsum(
            orders[sum(mask)] * (worth[(*mask[:word], True, *mask[word + 1 :])] - worth[mask])
            for mask in worth
            if not mask[word]
        )
        for word in range(count)
    ]
    return Shares(scores=tuple(scores), errors=(0.0,) * count)


def _permuted(value: Value, count: int, permutations: int) -> Shares:
    """Shapley value sampling (Castro et al. 2009), one permutation at a time for the errors."""
    import torch
    from captum.attr import ShapleyValueSampling

    method = ShapleyValueSampling(_forward(value, count))
    rows = [
        method.attribute(torch.ones(1, count), n_samples=1, perturbations_per_eval=count)[0]
        for _ in range(permutations)
    ]
    columns = list(zip(*(row.tolist() for row in rows), strict=True))
    return Shares(
        scores=tuple(map(fmean, columns)),
        errors=tuple(stdev(column) / math.sqrt(permutations) for column in columns),
    )


def _drawn(
    regression: Callable[[Value, int, int], tuple[float, ...]],
    value: Value,
    count: int,
    samples: int,
    seed: int,
) -> Shares:
    """Scores of a regression over drawn coalitions.

    The same seed draws the same first half again. The scores from all coalitions are about the mean
    of those from both halves, so they differ from the first half's by as much as from the truth: a
    standard error, which is taken over all words.
    """
    with _seeded(seed):
        scores = regression(value, count, samples)
    with _seeded(seed):
        half = regression(value, count, samples // 2)
    error = math.sqrt(fmean((a - b) ** 2 for a, b in zip(scores, half, strict=True)))
    return Shares(scores=scores, errors=(error,) * count)


def _kernel(value: Value, count: int, samples: int) -> tuple[float, ...]:
    """KernelSHAP over drawn coalitions (Lundberg & Lee 2017, arXiv 1705.07874)."""
    from captum.attr import KernelShap

    return _attributed(KernelShap(_forward(value, count)), count, samples)


def _enumerated(value: Value, count: int) -> tuple[float, ...]:
    """KernelSHAP over all coalitions, each once with its weight: there is no sampling error."""
    import torch
    from captum._utils.models.linear_model import SkLearnLinearRegression
    from captum.attr import Lime

    def drawn(_: Any, **__: Any) -> Iterator[torch.Tensor]:
        for mask in _all(count):
            yield torch.tensor([mask], dtype=torch.long)

    def weight(_: Any, __: Any, mask: torch.Tensor, **___: Any) -> float:
        size = int(mask.sum())
        if size in (0, count):
            return ENDS
        return (count - 1) / (math.comb(count, size) * size * (count - size))

    method = Lime(
        _forward(value, count),
        interpretable_model=SkLearnLinearRegression(),
        similarity_func=weight,
        perturb_func=drawn,
    )
    return _attributed(method, count, 2**count)


def _lime(value: Value, count: int, samples: int) -> tuple[float, ...]:
    """LIME: a linear model of drawn coalitions, with more weight on those near the whole text."""
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import Lime
    from captum.attr._core.lime import get_exp_kernel_similarity_function

    method = Lime(
        _forward(value, count),
        interpretable_model=SkLearnRidge(alpha=LIME_PENALTY),
        similarity_func=get_exp_kernel_similarity_function("cosine", LIME_WIDTH),
    )
    return _attributed(method, count, samples)


def _attributed(method: Any, count: int, samples: int) -> tuple[float, ...]:
    import torch

    scores = method.attribute(
        torch.ones(1, count), n_samples=samples, perturbations_per_eval=samples
    )
    return tuple(scores[0].tolist())


def _forward(value: Value, count: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The value as a function of rows of 0 and 1. captum computes in single precision, so it gets
    the difference to the value of no words."""
    import torch

    nothing = value((False,) * count)

    def forward(rows: torch.Tensor) -> torch.Tensor:
        masks = [tuple(map(bool, row)) for row in rows.tolist()]
        return torch.tensor([value(mask) - nothing for mask in masks], dtype=torch.float64)

    return forward


def _all(count: int) -> Iterator[Mask]:
    return product((False, True), repeat=count)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds torch's global generator, from which captum draws, and restores it afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def require_captum(needed_for: str) -> None:
    """Raises MissingPackageError, with the command that installs captum, if it is missing."""
    require_packages("captum", needed_for)
