"""How far methods of attribution agree: scores that they cannot tell apart have no order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from pytest_llmdiff.data.text.words import words_of
from pytest_llmdiff.explain.attribution.agreement import Agreement, Ranked, rank_correlation
from pytest_llmdiff.explain.attribution.coalitions import shares
from pytest_llmdiff.explain.attribution.values import (
    Attribution,
    MethodAttribution,
    SideAttribution,
)

STRONG = (2.1, -1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def side(
    scores: Sequence[float], errors: Sequence[float] | None = None, whole: float = 0.0
) -> SideAttribution:
    return SideAttribution(
        scores=tuple(scores),
        whole=whole,
        without=whole - sum(scores),
        errors=None if errors is None else tuple(errors),
    )


def agreement(
    *tuned: tuple[str, SideAttribution], base: SideAttribution | None = None
) -> tuple[Agreement, ...]:
    """Of two methods, by their tuned scores (the second), and by the base's and the change."""
    count = len(tuned[0][1].scores)
    words = words_of(" ".join("abcdefgh"[:count]))
    flat = base or side([0.0] * count)
    return Attribution(
        text=words.text, words=words.words, of="it", unit="", left_out="removed",
        methods=tuple(MethodAttribution(method=m, base=flat, tuned=t) for m, t in tuned),
    ).agreement  # fmt: skip


def test_without_errors_ranks_are_spearmans() -> None:
    for first, second in (([1, 2, 2, 3, 9], [4, 4, 1, 0, 7]), ([0.1, -5, 3], [1, 1, 2])):
        ranked = [Ranked(scores=tuple(each), errors=(0.0,) * len(each)) for each in (first, second)]
        assert rank_correlation(*ranked) == pytest.approx(spearmanr(first, second).statistic)
    one = Ranked(scores=(1.0,), errors=(0.0,))
    assert rank_correlation(one, one) is None


@pytest.mark.parametrize("size", [1e-12, 6e-7, 1e-4])
@pytest.mark.parametrize("methods", [("shapley", "kernel-shap"), ("leave-one-out", "shapley")])
def test_rounding_has_no_order(size: float, methods: tuple[str, str]) -> None:
    draw = random.Random(1)
    for _ in range(20):
        noisy = [
            side([score + draw.uniform(-size, size) for score in STRONG]) for _ in methods
        ]  # fmt: skip
        base, tuned, change = agreement(*zip(methods, noisy, strict=True))
        assert base.rank_correlation is None
        for found in (tuned, change):
            assert found.rank_correlation == pytest.approx(1, abs=0.01)
            assert found.top_overlap == 1.0


def test_rounding_of_large_values_has_no_order() -> None:
    """Differences of log-likelihoods near -2000 nats are accurate to about a hundredth."""
    first = side([0.3, 0.004, -0.005, 0.001], whole=-2000.0)
    second = side([0.3, -0.002, 0.006, -0.004], whole=-2000.0)
    assert agreement(("shapley", first), ("leave-one-out", second))[1].rank_correlation == 1
    again = agreement(("shapley", side(first.scores)), ("leave-one-out", side(second.scores)))[1]
    assert again.rank_correlation is not None
    assert again.rank_correlation < 0.9


def test_scores_within_their_sampling_errors_have_no_order() -> None:
    exact = side([3.0, 0.2, 0.1, -0.1, -0.2])
    drawn = side([2.8, -0.1, 0.2, 0.1, -0.3], errors=[0.2] * 5)
    sure = side(drawn.scores, errors=[0.0] * 5)
    (_, unsure, _) = agreement(("leave-one-out", drawn), ("shapley", drawn))
    assert unsure.rank_correlation == pytest.approx(1)
    (_, mixed, _) = agreement(("leave-one-out", exact), ("shapley", drawn))
    (_, false, _) = agreement(("leave-one-out", exact), ("shapley", sure))
    assert mixed.rank_correlation is not None
    assert false.rank_correlation is not None
    assert mixed.rank_correlation >= false.rank_correlation
    assert mixed.top_overlap < 1, "only one word clearly matters to the drawn scores"


def test_what_integrated_gradients_miss_is_their_error() -> None:
    scores = [2.0, 0.1, -0.1, 0.05]
    whole = side(scores)
    missing = SideAttribution(scores=whole.scores, whole=0.0, without=-sum(scores) - 4.0)
    (_, exact, _) = agreement(("integrated-gradients", whole), ("leave-one-out", whole))
    (_, rough, _) = agreement(("integrated-gradients", missing), ("leave-one-out", whole))
    assert exact.rank_correlation == 1
    assert rough.rank_correlation is not None
    assert rough.rank_correlation < 1


def test_real_disagreement_is_seen() -> None:
    (_, tuned, _) = agreement(
        ("shapley", side(STRONG)), ("lime", side([0, 0, 0, 0, -1.5, 0, 0, 2.1], errors=[1e-6] * 8))
    )
    assert tuned.rank_correlation is not None
    assert tuned.rank_correlation <= 0
    assert tuned.top_overlap == 0.0


def test_words_that_share_the_third_place_are_no_disagreement() -> None:
    (_, tuned, _) = agreement(
        ("shapley", side([5, 4, 1, 1.0001, 1, 0])), ("leave-one-out", side([5, 4, 0, 1, 0, 0]))
    )
    assert tuned.top_overlap == 1.0
    (_, fewer, _) = agreement(
        ("shapley", side([5, 4, 0])), ("leave-one-out", side([5, 0, 0]))
    )  # fmt: skip
    assert fewer.top_overlap == 0.5


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8), st.floats(0, 2))
def test_ranks_of_indistinct_scores_sum_to_the_usual_total(
    scores: list[float], rounding: float
) -> None:
    count = len(scores)
    ranked = Ranked(scores=tuple(scores), errors=(0.1,) * count, rounding=rounding)
    assert sum(ranked.ranks()) == pytest.approx(count * count / 2)


@pytest.mark.parametrize("method", ["kernel-shap", "lime"])
def test_drawn_regressions_state_their_sampling_error(method: str) -> None:
    """About as much as the scores differ from seed to seed."""
    weights = (3.0, -2.0, 0.5, 0.0, 1.0, 7.0, -4.0, 0.2)

    def value(mask: tuple[bool, ...]) -> float:
        total = sum(w for w, there in zip(weights, mask, strict=True) if there)
        return total + 2.0 * (mask[0] and mask[5]) - 3.0 * (mask[1] != mask[6])

    found = [shares(method, value, 8, 60, seed) for seed in range(30)]
    means = [fmean(each.scores[word] for each in found) for word in range(8)]
    spread = fmean(
        (score - mean) ** 2
        for each in found
        for score, mean in zip(each.scores, means, strict=True)
    )
    stated = fmean(error**2 for each in found for error in each.errors or ())
    assert 0.5 < (stated / spread) ** 0.5 < 2
