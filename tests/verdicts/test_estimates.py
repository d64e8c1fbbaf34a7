"""Estimates of a set, their bounds and verdicts: by hand, by property, and by simulation."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.populations import (
    Population,
    Sets,
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
from benchmarks.verdicts import Cell, plugin, questions, rival, simulate, summary, table
from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.verdicts.bounds.changes import MIN_PAIRS, change_bounds
from pytest_llmdiff.verdicts.bounds.clusters import units_of
from pytest_llmdiff.verdicts.bounds.intervals import MIN_UNITS, TAIL_UNITS, level, moments_of
from pytest_llmdiff.verdicts.decisions import decide, deciding_size, smallest_effect
from pytest_llmdiff.verdicts.estimates import (
    Estimate,
    change_estimate,
    mean_estimate,
    rate_estimate,
)
from tests.support import ROOT
from tests.support.pages import rows

PAGE = "docs/statistics.md"

VALUES = st.floats(min_value=-100, max_value=100).map(lambda value: round(value, 6))
SETS = st.lists(VALUES, min_size=1, max_size=40)
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
# So many equal values show that fewer than 5 % of all differ.
MIN_EQUAL = 59
SKEWED = [round(math.exp(stats.norm.ppf((i + 0.5) / 20)), 6) for i in range(20)]


def outcomes(gained: int, lost: int, n: int) -> tuple[list[bool], list[bool]]:
    """Base's and tuned model's outcomes with so many changes."""
    base = [False] * gained + [True] * (n - gained)
    return base, [True] * gained + [False] * lost + [True] * (n - gained - lost)


def made(**about: Any) -> Estimate:
    known: dict[str, Any] = {
        "value": 0.2, "low": 0.1, "high": 0.3, "n": 50, "clusters": 50, "method": "by hand",
        "spread": 0.4,
    }  # fmt: skip
    return Estimate(**(known | about))


# Verdicts


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [
        ({"at_most": 0.31}, "passed"),
        ({"at_most": 0.3}, "passed"),
        ({"at_most": 0.29}, "inconclusive"),
        ({"at_most": 0.1}, "inconclusive"),
        ({"at_most": 0.09}, "regressed"),
        ({"at_least": 0.1}, "passed"),
        ({"at_least": 0.11}, "inconclusive"),
        ({"at_least": 0.3}, "inconclusive"),
        ({"at_least": 0.31}, "regressed"),
        ({"at_most": math.nan}, "inconclusive"),
        ({"at_least": math.nan}, "inconclusive"),
    ],
)
def test_only_a_bound_decides(limit: dict[str, float], outcome: str) -> None:
    assert decide(made(), **limit) == outcome


def test_nan_never_passes() -> None:
    nothing = made(value=math.nan, low=-1.0, high=-1.0)
    assert decide(nothing, at_most=0.0) == "inconclusive"
    assert deciding_size(nothing, at_most=0.0) is None


@pytest.mark.parametrize("limits", [{}, {"at_most": 1.0, "at_least": 0.0}])
def test_exactly_one_limit(limits: dict[str, float]) -> None:
    for ask in (decide, deciding_size):
        with pytest.raises(LLMDiffError, match="exactly one limit"):
            ask(made(), **limits)


# Edges of a mean


@pytest.mark.parametrize("values", [[], [math.nan] * 20, [0.1] * 19 + [math.inf], [-math.inf]])
def test_what_is_no_number_is_unknown(values: list[float]) -> None:
    found = mean_estimate(values, support=(0, 2))
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (0, 2, len(values))
    for limit in (-1.0, 0.0, 1.9):
        assert decide(found, at_most=limit) != "passed"
        assert decide(found, at_least=limit + 0.01) != "passed"


def test_the_method_says_what_was_not_finite() -> None:
    assert mean_estimate([1.0, math.nan, 2.0]).method == "1 of 3 values are not finite"
    assert mean_estimate([]).method == rate_estimate([]).method == "no values"


@pytest.mark.parametrize("values", [[0.3], [0.1, 0.2], [0.1, 0.2, 0.3, 0.4]])
def test_too_few_values_have_no_bounds(values: list[float]) -> None:
    found = mean_estimate(values)
    assert found.value == pytest.approx(np.mean(values))
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert f"fewer than {MIN_UNITS}" in found.method
    assert found.high > mean_estimate(values, support=(-1, 1)).high < 1
    assert mean_estimate([*values, *[0.15] * MIN_UNITS]).high < math.inf


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e-300, 1e300])
def test_equal_values_of_an_unbounded_measure(value: float) -> None:
    few, many = mean_estimate([value] * 10), mean_estimate([value] * MIN_EQUAL)
    assert (few.low, few.high, few.spread) == (-math.inf, math.inf, 0)
    assert (many.low, many.high) == (value, value)
    # So many show with 95 % confidence that fewer than 5 % differ; one less does not.
    assert stats.binomtest(0, MIN_EQUAL).proportion_ci(0.9).high < 0.05
    assert stats.binomtest(0, MIN_EQUAL - 1).proportion_ci(0.9).high > 0.05


def test_ten_zeros_do_not_show_that_the_mean_is_zero() -> None:
    divergence = mean_estimate([0.0] * 10, support=(0, math.inf))
    assert (divergence.low, divergence.high) == (0, math.inf)
    assert decide(divergence, at_most=0.05) == "inconclusive"
    assert deciding_size(divergence, at_most=0.05) == MIN_EQUAL


def test_equal_values_within_a_support() -> None:
    """A share of others that Clopper and Pearson leave possible, at the end of the support."""
    share = stats.binomtest(0, 30).proportion_ci(0.9).high
    found = mean_estimate([0.0] * 30, support=(0, 2))
    assert (found.low, found.high) == pytest.approx((0, 2 * share))
    found = mean_estimate([0.5] * 30, support=(-1, 1))
    assert found.low == pytest.approx(0.5 - 1.5 * share)
    assert found.high == pytest.approx(0.5 + 0.5 * share)


def test_values_near_each_other_show_no_more_than_equal_ones() -> None:
    """Twenty scores of about 0 are no reason to think that one in ten is not 1."""
    scores = [0.001 + 0.0001 * n for n in range(20)]
    found, equal = (mean_estimate(x, support=(0, 1)) for x in (scores, [scores[0]] * 20))
    assert found.high == pytest.approx(equal.high, abs=0.002)
    assert decide(found, at_most=0.05) == "inconclusive"
    size = deciding_size(found, at_most=0.05)
    assert size is not None
    assert 59 <= size <= 63  # 59 zeros leave 5 % of ones possible
    stretched = (scores * 4)[:size]
    assert decide(mean_estimate(stretched, support=(0, 1)), at_most=0.05) == "passed"
    # Without an end, values show what the others are like.
    assert mean_estimate(scores).high < 0.004
    assert mean_estimate(scores, support=(0, 1), unseen=(-math.inf, math.inf)).high < 0.004


def test_what_is_unseen_may_have_other_ends_than_the_support() -> None:
    share = stats.binomtest(0, 30).proportion_ci(0.9).high
    for values in ([0.0] * 30, [0.0, 1e-9] * 15):
        found = mean_estimate(values, support=(0, 2), unseen=(0, 1))
        assert (found.low, found.high) == pytest.approx((0, share), abs=1e-6)
    assert mean_estimate([1.5] * 30, support=(0, 2), unseen=(0, 1)).high == 1.5


@given(st.lists(st.floats(0, 1), min_size=MIN_UNITS, max_size=40))
def test_unseen_values_have_room(values: list[float]) -> None:
    found, share = mean_estimate(values, support=(0, 1)), 1 - 0.05 ** (1 / len(values))
    assert found.high >= found.value + share * (1 - found.value) - 1e-9
    assert found.low <= found.value - share * found.value + 1e-9


def test_rounding_is_no_spread() -> None:
    noisy = [0.1 + 0.2, 0.3] * 10
    assert len(set(noisy)) == 2
    assert mean_estimate(noisy).spread == 0
    assert mean_estimate([1e-9, 2e-9] * 10).spread > 0


def test_tiny_and_huge_values_are_numbers() -> None:
    plain = mean_estimate(SKEWED)
    for scale in (1e-200, 1e200):
        found = mean_estimate([value * scale for value in SKEWED])
        assert found.high / scale == pytest.approx(plain.high)
        assert found.spread / scale == pytest.approx(plain.spread)


def test_bounds_stay_within_the_support() -> None:
    found = mean_estimate([0.0] * 6 + [2.0], support=(0, 2))
    assert 0 < found.low < found.high < 2
    # Hall's bound, from values that no reply is likely to leave, but the measure may.
    found = mean_estimate([0.0] * 30 + [1.0] * 3, support=(0, 2), unseen=(-math.inf, math.inf))
    assert found.low >= 0


def test_the_bound_is_farther_on_the_side_of_the_tail() -> None:
    found = mean_estimate(SKEWED)
    assert found.high - found.value > 1.3 * (found.value - found.low)
    plain = stats.t.isf(0.05, 19) * found.spread / math.sqrt(20)
    assert found.high - found.value > plain


def test_a_symmetric_mean_has_the_bounds_of_t() -> None:
    values = [-2.0, -1.0, 0.0, 1.0, 2.0] * 400
    found = mean_estimate(values)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(1 - 2 * level(2000))
    assert found.low == pytest.approx(theirs.low)
    assert found.high == pytest.approx(theirs.high)
    assert level(2000) == pytest.approx(0.05, rel=0.1)
    assert found.spread == pytest.approx(np.std(values, ddof=1))


# Clusters


def test_repeats_are_not_samples() -> None:
    once = mean_estimate(SKEWED)
    repeated = mean_estimate(SKEWED * 5, list(range(20)) * 5)
    assert (repeated.n, repeated.clusters) == (100, 20)
    assert repeated.low == pytest.approx(once.low)
    assert repeated.high == pytest.approx(once.high)
    assert repeated.method == f"{once.method}, 20 clusters"
    base, tuned = outcomes(3, 7, 40)
    single = change_estimate(base, tuned)
    twice = change_estimate(base * 2, tuned * 2, list(range(40)) * 2)
    assert (twice.low, twice.high) == pytest.approx((single.low, single.high))
    rate_once = rate_estimate(tuned)
    rate_twice = rate_estimate(tuned * 2, list(range(40)) * 2)
    assert (rate_twice.low, rate_twice.high) == pytest.approx((rate_once.low, rate_once.high))


def test_clusters_of_one_are_no_clusters() -> None:
    base, tuned = outcomes(3, 7, 40)
    own = [f"q{i}" for i in range(40)]
    assert mean_estimate(SKEWED, own[:20]) == mean_estimate(SKEWED)
    assert mean_estimate(SKEWED, [None] * 20) == mean_estimate(SKEWED)
    assert change_estimate(base, tuned, own) == change_estimate(base, tuned)
    assert rate_estimate(tuned, own) == rate_estimate(tuned)


def test_probes_without_a_cluster_stand_alone() -> None:
    found = mean_estimate(SKEWED, ["a"] * 3 + [None] * 17)
    assert found.clusters == 18


def test_independent_paraphrases_tell_more_than_repeats() -> None:
    events = [i % 5 == 0 for i in range(100)]  # one in every cluster of five
    unlike = rate_estimate(events, [i // 5 for i in range(100)])
    alike = rate_estimate(sorted(events), [i // 5 for i in range(100)])
    assert unlike.value == alike.value == 0.2
    assert unlike.high < alike.high
    assert unlike.low > alike.low


def test_clusters_in_which_nothing_happens_count_once() -> None:
    found = rate_estimate([False] * 50, [i // 5 for i in range(50)])
    assert found.high == pytest.approx(stats.binomtest(0, 10).proportion_ci(0.9).high)
    unchanged = change_estimate([True] * 50, [True] * 50, [i // 5 for i in range(50)])
    assert unchanged.high == change_estimate([True] * 10, [True] * 10).high


def test_a_large_cluster_beside_small_ones_tells_little() -> None:
    """The true mean is 0 and the limit: each of these sets that passes does so wrongly."""
    rng = np.random.default_rng(5)

    def wrong_passes(sizes: Sequence[int], sets: int) -> int:
        clusters = [str(cluster) for cluster, size in enumerate(sizes) for _ in range(size)]
        values = (
            np.repeat(rng.normal(size=len(sizes)), sizes) + 0.3 * rng.normal(size=sum(sizes))
            for _ in range(sets)
        )
        found = (mean_estimate(list(each), clusters) for each in values)
        return sum(decide(estimate, at_most=0) == "passed" for estimate in found)

    assert wrong_passes([50] + [1] * 30, 200) <= 20
    assert wrong_passes([20] * 3 + [1] * 20, 200) <= 20
    assert wrong_passes([10] * 6 + [1] * 30, 200) <= 20


def test_a_question_counts_once() -> None:
    """However many forms it has; the share of probes stays within the interval."""
    labels = [f"long {n % 3}" for n in range(30)] + [str(n) for n in range(12)]
    found, alone = rate_estimate([True] * 30 + [False] * 12, labels), [True] * 3 + [False] * 12
    assert found.value == pytest.approx(3 / 15)
    assert found.low == rate_estimate(alone).low
    assert found.high == 30 / 42 > rate_estimate(alone).high
    assert decide(rate_estimate(alone), at_most=0.6) == "passed"
    assert decide(found, at_most=0.6) == "inconclusive"


@pytest.mark.parametrize("sizes", [[50] + [1] * 9, [40, 40] + [1] * 8, [30] + [1] * 20])
@pytest.mark.parametrize("event", [False, True])
def test_few_questions_with_nearly_all_forms_decide_nothing(
    sizes: Sequence[int], event: bool
) -> None:
    labels = [str(n) for n, size in enumerate(sizes) for _ in range(size)]
    events = [event] * sizes[0] + [False] * (len(labels) - sizes[0])
    assert units_of(np.zeros(len(labels)), labels).even < 5
    for found in (
        rate_estimate(events, labels),
        change_estimate([False] * len(events), events, labels),
        mean_estimate([float(e) for e in events], labels, support=(0, 1)),
    ):
        assert "nearly all probes" in found.method
        assert decide(found, at_most=0.99) == decide(found, at_least=0.01) == "inconclusive"
    many = [f"{label} {n}" for n in range(10) for label in labels]
    assert "Clopper" in rate_estimate(events * 10, many).method


def test_one_cluster_decides_nothing() -> None:
    found = mean_estimate(SKEWED, ["same"] * 20)
    assert (found.clusters, found.high) == (1, math.inf)
    base, tuned = outcomes(0, 20, 20)
    assert decide(change_estimate(base, tuned, ["same"] * 20), at_least=0) == "inconclusive"
    assert rate_estimate(tuned, ["same"] * 20).high == rate_estimate([False]).high == 0.95


def test_every_value_needs_a_cluster() -> None:
    with pytest.raises(LLMDiffError, match="3 values in 2 clusters"):
        mean_estimate([1.0, 2.0, 3.0], ["a", "b"])


# Rates


@pytest.mark.parametrize(("events", "n"), [(0, 1), (0, 30), (3, 30), (30, 30), (1, 2)])
def test_a_rate_has_the_exact_bounds(events: int, n: int) -> None:
    found = rate_estimate([True] * events + [False] * (n - events))
    theirs = stats.binomtest(events, n).proportion_ci(0.9, method="exact")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert found.value == events / n


def test_no_outcomes_at_all() -> None:
    for found, bounds in ((rate_estimate([]), (0.0, 1.0)), (change_estimate([], []), (-1.0, 1.0))):
        assert math.isnan(found.value)
        assert (found.low, found.high) == bounds
        assert decide(found, at_most=1.0) == "inconclusive"


def test_few_pairs_have_the_bounds_of_a_bounded_mean() -> None:
    few = MIN_PAIRS - 1
    found = change_estimate([True] * few, [False] * few)
    assert (found.value, found.low) == (-1, -1)
    assert found.high == pytest.approx(-1 + 2 * (1 - 0.05 ** (1 / few)))
    assert "Gaffke" in found.method
    assert "Tango" in change_estimate([True] * MIN_PAIRS, [False] * MIN_PAIRS).method


def test_no_flips_do_not_show_that_there_are_none() -> None:
    found = change_estimate([True] * 40, [True] * 40)
    assert found.value == 0
    assert found.low == pytest.approx(-found.high)
    # Not better than to know one side only: Clopper and Pearson's bound of 0 in 40.
    assert found.high >= stats.binomtest(0, 40).proportion_ci(0.9).high
    assert decide(found, at_least=-0.05) == "inconclusive"
    assert decide(found, at_least=-0.1) == "passed"


def test_pairs_of_unlike_length() -> None:
    with pytest.raises(LLMDiffError, match="2 outcomes of the base, but 1"):
        change_estimate([True, False], [True])


@given(st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=50))
def test_skewness_is_that_of_scipy(values: list[float]) -> None:
    found = moments_of(np.asarray(values) / 1e3)
    theirs = stats.skew(values) if found.spread else 0.0
    assert found.skewness == pytest.approx(theirs, abs=1e-6)


# Planning


def test_so_many_decide_in_four_of_five_sets() -> None:
    """Sets drawn from those at hand, of the named size and of half of it."""
    rng = np.random.default_rng(2)
    rare = [True] * 2 + [False] * 98
    base, tuned = outcomes(4, 12, 100)
    scores = np.asarray([0.02] * 40 + [0.9] * 3 + [0.3] * 7)

    def drawn(share: Sequence[bool], n: int) -> list[bool]:
        return list(rng.choice(share, n))

    def of_change(n: int) -> Estimate:
        kept = rng.integers(100, size=n)
        return change_estimate([base[i] for i in kept], [tuned[i] for i in kept])

    for found, limit, again in (
        (rate_estimate(rare), {"at_most": 0.05}, lambda n: rate_estimate(drawn(rare, n))),
        (change_estimate(base, tuned), {"at_least": -0.15}, of_change),
        (
            mean_estimate(scores.tolist(), support=(0, 1)),
            {"at_most": 0.16},
            lambda n: mean_estimate(rng.choice(scores, n).tolist(), support=(0, 1)),
        ),
        (
            mean_estimate(SKEWED),
            {"at_most": 2.2},
            lambda n: mean_estimate(rng.choice(SKEWED, n).tolist()),
        ),
    ):
        size = deciding_size(found, **limit)
        assert size is not None
        assert size > found.n
        decided = [decide(again(size), **limit) != "inconclusive" for _ in range(200)]
        # 80 % are promised, and a standard error is 3 %.
        assert 0.68 < sum(decided) / 200 < 0.92, (found, size)
        halved = [decide(again(size // 2), **limit) != "inconclusive" for _ in range(100)]
        assert sum(halved) < 65


def test_zero_events_need_59() -> None:
    assert deciding_size(rate_estimate([False] * 30), at_most=0.05) == 59


def test_sizes_that_decide() -> None:
    found = mean_estimate(SKEWED)
    assert deciding_size(found, at_most=found.value) is None
    assert deciding_size(found, at_most=100) == 20
    assert deciding_size(found, at_most=0.1) == 20
    near, far = (deciding_size(found, at_most=found.value + by) for by in (0.1, 0.3))
    assert near is not None
    assert far is not None
    assert near > 4 * far
    assert deciding_size(mean_estimate([1.0, 2.0]), at_most=2.5) is not None
    assert deciding_size(mean_estimate([0.0] * 10, support=(0, 2)), at_most=0.25) == 23
    assert decide(mean_estimate([0.0] * 23, support=(0, 2)), at_most=0.25) == "passed"
    assert decide(mean_estimate([0.0] * 22, support=(0, 2)), at_most=0.25) == "inconclusive"


def test_clusters_are_counted_whole_when_planning() -> None:
    labels = [i // 5 for i in range(50)]
    size = deciding_size(rate_estimate([False] * 50, labels), at_most=0.05)
    assert size == 59  # of 5 forms each


@pytest.mark.parametrize("n", [TAIL_UNITS, 20, 100, 10**4, 10**6, 10**9])
@pytest.mark.parametrize("power", [1e-6, 0.05, 0.1, 0.8, 0.95, 1 - 1e-7])
def test_smallest_effect_has_the_power(n: int, power: float) -> None:
    shift = smallest_effect(1.0, n, power=power) * math.sqrt(n)
    found = stats.nct.sf(stats.t.isf(level(n), n - 1), n - 1, shift)
    assert found == pytest.approx(power, abs=1e-8)


def test_few_units_detect_a_large_effect() -> None:
    """Each of their bounds allows for unseen values, so that only an effect beyond those shows."""
    n = TAIL_UNITS - 1
    effect = smallest_effect(1.0, n)
    rng = np.random.default_rng(4)
    found = [
        decide(mean_estimate(rng.normal(effect, 1, size=n).tolist()), at_most=0) for _ in range(300)
    ]
    assert 0.72 < found.count("regressed") / 300 < 0.88
    assert effect > 4 * smallest_effect(1.0, TAIL_UNITS)


def test_smallest_effect_is_found_that_often() -> None:
    effect = smallest_effect(1.0, 50)
    rng = np.random.default_rng(3)
    found = [
        decide(mean_estimate(rng.normal(effect, 1, size=50).tolist()), at_most=0)
        for _ in range(400)
    ]
    # 80 % are promised; the chance of fewer than 72 % or more than 88 % is 1 in 10,000.
    assert 0.72 < found.count("regressed") / 400 < 0.88
    assert smallest_effect(2.0, 50) == pytest.approx(2 * effect)
    assert smallest_effect(1.0, 200) < effect / 1.9
    assert smallest_effect(1.0, MIN_UNITS - 1) == math.inf
    with pytest.raises(LLMDiffError, match="power 1"):
        smallest_effect(1.0, 50, power=1)


# The page


def test_sizes_of_the_page() -> None:
    sizes = {words: int(size.split()[0]) for words, size in rows(PAGE, "## Minimum sizes")}
    assert sizes.pop("a mean without known ends") == MIN_UNITS
    unbounded = "a mean of equal values, if the measure has no maximum"
    assert sizes.pop(unbounded) == MIN_EQUAL

    def decides(words: str, n: int) -> bool:
        percent = int(re.findall(r"at most (\d+)", words)[0])
        if words.startswith("rate"):
            return decide(rate_estimate([False] * n), at_most=percent / 100) == "passed"
        moved = 0.02 if "2 % gained" in words else 0.0
        return change_bounds(n, moved, moved)[0] >= -percent / 100

    assert len(sizes) == 6
    for words, n in sizes.items():
        assert decides(words, n), words
        assert not decides(words, n - 1), words


def test_effects_of_the_page() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8").split("| smallest effect |")[1]
    found = re.findall(r"^\| (\d+) \| ([\d.]+) \|$", text.split("## Edge cases")[0], re.MULTILINE)
    assert len(found) == 6
    for n, effect in found:
        assert f"{smallest_effect(1.0, int(n)):.2f}" == effect


def test_widths_of_the_page() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    (shown,) = re.findall(r"by (\d+) %\s+at n = 20, (\d+) %\s+at 100 and (\d+) % at 1000", text)
    for n, percent in zip((20, 100, 1000), shown, strict=True):
        wider = stats.t.isf(level(n), n - 1) / stats.t.isf(0.05, n - 1)
        assert round(100 * (wider - 1)) == int(percent)


# Properties


@given(values=SETS, seed=st.integers(0, 1000), clustered=st.booleans())
def test_the_order_of_values_does_not_matter(
    values: list[float], seed: int, clustered: bool
) -> None:
    order = np.random.default_rng(seed).permutation(len(values))
    labels = [i // 3 for i in range(len(values))] if clustered else None
    shuffled = [values[i] for i in order]
    assert mean_estimate(shuffled, labels and [labels[i] for i in order]) == mean_estimate(
        values, labels
    )
    events = [value > 0 for value in values]
    assert rate_estimate([events[i] for i in order], labels and [labels[i] for i in order]) == (
        rate_estimate(events, labels)
    )


@given(values=SETS, clustered=st.booleans())
def test_bounds_enclose_the_value(values: list[float], clustered: bool) -> None:
    labels = [i // 3 for i in range(len(values))] if clustered else None
    for found in (
        mean_estimate(values, labels),
        mean_estimate(values, labels, support=(-100, 100)),
        rate_estimate([value > 0 for value in values], labels),
        change_estimate([v > 0 for v in values], [v > 20 for v in values], labels),
    ):
        assert found.low <= found.value <= found.high
        assert found.n == len(values)
        assert 1 <= found.clusters <= found.n
        assert found.spread >= 0


@given(values=SETS, by=VALUES)
def test_a_shift_shifts_the_bounds(values: list[float], by: float) -> None:
    assume(max(values) - min(values) > 1e-3)
    found, shifted = mean_estimate(values), mean_estimate([value + by for value in values])
    for name in ("value", "low", "high"):
        assert getattr(shifted, name) == pytest.approx(getattr(found, name) + by, abs=1e-5)


@given(values=SETS, by=st.floats(min_value=0.01, max_value=100))
def test_a_scale_scales_the_bounds(values: list[float], by: float) -> None:
    assume(max(values) - min(values) > 1e-3)
    found, scaled = mean_estimate(values), mean_estimate([value * by for value in values])
    for name in ("value", "low", "high", "spread"):
        assert getattr(scaled, name) == pytest.approx(getattr(found, name) * by, abs=1e-5)


@given(values=SETS)
def test_a_sign_mirrors_the_bounds(values: list[float]) -> None:
    found, mirrored = mean_estimate(values), mean_estimate([-value for value in values])
    expected = pytest.approx((-found.value, -found.high, -found.low), abs=1e-9)
    assert (mirrored.value, mirrored.low, mirrored.high) == expected


@given(pairs=PAIRS, clustered=st.booleans())
def test_swapping_base_and_tuned_mirrors_a_change(
    pairs: list[tuple[bool, bool]], clustered: bool
) -> None:
    base, tuned = ([pair[side] for pair in pairs] for side in (0, 1))
    labels = [i // 3 for i in range(len(pairs))] if clustered else None
    found, mirrored = change_estimate(base, tuned, labels), change_estimate(tuned, base, labels)
    assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx(
        (-found.value, -found.high, -found.low), abs=1e-9
    )


@given(pairs=PAIRS)
def test_one_more_loss_never_raises_a_bound(pairs: list[tuple[bool, bool]]) -> None:
    base, tuned = ([pair[side] for pair in pairs] for side in (0, 1))
    assume(any(tuned))
    worse = list(tuned)
    worse[worse.index(True)] = False
    found, lower = change_estimate(base, tuned), change_estimate(base, worse)
    assert lower.low <= found.low + 1e-9
    assert lower.high <= found.high + 1e-9
    assert rate_estimate(worse).high <= rate_estimate(tuned).high


@settings(deadline=None, max_examples=25)
@given(pairs=PAIRS, margin=st.floats(min_value=0.01, max_value=0.3))
def test_a_change_that_so_many_decide_is_decided_by_more(
    pairs: list[tuple[bool, bool]], margin: float
) -> None:
    base, tuned = ([pair[side] for pair in pairs] for side in (0, 1))
    found = change_estimate(base, tuned)
    size = deciding_size(found, at_least=-margin)
    if size is None:
        assert found.value == pytest.approx(-margin, abs=1e-4)
    else:
        assert size >= found.n


def test_a_hundred_thousand_values_stay_small() -> None:
    import tracemalloc

    values = np.random.default_rng(0).lognormal(size=100_000)
    labels = [i // 5 for i in range(100_000)]
    events = (values > 3).tolist()
    tracemalloc.start()
    found = mean_estimate(values.tolist(), labels)
    changed = change_estimate(events, events[::-1], labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.high - found.low < 0.04
    assert changed.high - changed.low < 0.01
    assert peak < 60e6


# The simulation, in small

FEW = 300


def allowed(share: float) -> int:
    """As many of `FEW` as chance exceeds in 1 of 10,000 runs, if this is the true share."""
    return int(stats.binom.isf(1e-4, FEW, share))


def small(
    population: Population, sizes: Sequence[int], structure: str, method: Any = plugin
) -> list[Cell]:
    return simulate(
        [population], repetitions=FEW, sizes=sizes, structures=[structure], method=method
    )


def most(cells: Sequence[Cell], figure: str) -> int:
    return max(count for cell in cells for count, _ in cell.counts[figure])


@pytest.mark.parametrize(
    ("population", "structure", "sizes"),
    [
        (normal(), "independent", (5, 50)),
        (log_normal(), "independent", (10, 20, 100)),
        (log_normal(1.5), "independent", (20, 100, 500)),
        (log_normal(2.0), "independent", (10, 20, 100)),
        (pareto(), "independent", (20, 500)),
        (log_normal(), "Pareto sizes, .5", (50,)),
        (log_normal(), "repeats", (20,)),
        (change(0.8, -0.05), "independent", (20, 100)),
        (change(0.95, -0.05), "Pareto sizes, .5", (50,)),
        (change(0.8, -0.1), "half 1 half 20, 1", (20, 50)),
        (rate(0.8), "half 1 half 20, .5", (20,)),
        (rate(0.8), "half 1 half 20, 1", (20, 100)),
        (rate(0.95), "one of 50, 1", (20, 100)),
        (rate(0.8), "Pareto sizes, 1", (20, 100)),
        (rare_high(0.05), "independent", (20,)),
        (three_valued(), "independent", (20,)),
        (zero_inflated(), "Pareto sizes, .5", (50,)),
    ],
    ids=lambda value: value.name if isinstance(value, Population) else str(value),
)
def test_wrong_passes_are_as_rare_as_promised(
    population: Population, structure: str, sizes: tuple[int, ...]
) -> None:
    cells = small(population, sizes, structure)
    assert most(cells, "wrong_pass") <= allowed(0.06)
    for cell in cells:
        assert all(count >= sets - allowed(0.1) for count, sets in cell.counts["coverage"])


@pytest.mark.parametrize("population", [normal(), log_normal(), change(0.8, 0), change(0.95, 0)])
@pytest.mark.parametrize("structure", ["independent", "clustered"])
def test_false_fails_are_as_rare_as_promised(population: Population, structure: str) -> None:
    sizes = (10, 20, 50) if structure == "independent" else (10, 20)
    assert most(small(population, sizes, structure), "false_fail") <= allowed(0.01)


def test_a_change_of_ten_points_is_found() -> None:
    (cell,) = small(change(0.8, -0.1), (100,), "independent")
    ((found, _),) = cell.counts["power"]
    assert found >= FEW - allowed(0.2)


def test_the_simulation_tells_bounds_that_do_not_hold() -> None:
    """t on skewed values, clusters taken for samples, no pairing: the tests above can fail."""
    assert most(small(log_normal(), (10,), "independent", rival("paired t")), "wrong_pass") > (
        allowed(0.06)
    )
    assert most(small(normal(), (50,), "repeats", rival("paired t")), "wrong_pass") > allowed(0.06)
    (cell,) = small(change(0.8, -0.1), (100,), "independent", rival("unpaired z"))
    assert cell.counts["power"][0][0] < FEW - allowed(0.2)

    def unbounded(_kind: str, sets: Sets) -> list[Estimate]:
        return [mean_estimate(tuned) for tuned in sets.tuned]

    scores = small(rare_high(0.05), (20,), "independent", unbounded)
    assert most(scores, "wrong_pass") > allowed(0.06)


@pytest.mark.parametrize("structure", ["clustered", "repeats"])
def test_the_populations_are_what_they_say(structure: str) -> None:
    drawn = sets_of(log_normal(), 50, structure, 4000, 1)
    differences = drawn.tuned - drawn.base
    assert differences.mean() == pytest.approx(0, abs=0.03)
    assert differences.std() == pytest.approx(1, abs=0.08)
    within = np.corrcoef(differences[:, 0], differences[:, 1])[0, 1]
    apart = np.corrcoef(differences[:, 0], differences[:, 5])[0, 1]
    assert within == pytest.approx(0.5 if structure == "clustered" else 1, abs=0.12)
    assert apart == pytest.approx(0, abs=0.06)
    outcomes_ = sets_of(change(0.8, -0.1), 50, structure, 4000, 1)
    assert outcomes_.base.mean() == pytest.approx(0.8, abs=0.01)
    assert outcomes_.tuned.mean() == pytest.approx(0.7, abs=0.01)
    assert (outcomes_.base == outcomes_.tuned).mean() == pytest.approx(0.844, abs=0.01)
    scores = sets_of(rare_high(0.05), 50, structure, 4000, 1).tuned
    assert scores.mean() == pytest.approx(rare_high(0.05).truth, abs=0.003)
    assert (scores > 0.5).mean() == pytest.approx(0.05, abs=0.005)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_the_summary_names_the_worst_cells() -> None:
    population = change(0.8, 0)
    assert {q.figure for q in questions(population)} == {"wrong_pass", "false_fail"}
    counts = {10: (9, 9, 0, (0, 0)), 20: (1, 0, 5, (9, 10)), 100: (0, 1, 8, (10, 10))}
    cells = [
        Cell(
            kind="change",
            name="0.80",
            structure="independent",
            n=n,
            counts={
                "wrong_pass": [(passed, 10)],
                "false_fail": [(failed, 10)],
                "power": [(told, 10)],
                "coverage": [covered],
            },
        )
        for n, (passed, failed, told, covered) in counts.items()
    ]
    found = summary(cells)
    about = {"measure": "change", "population": "0.80", "structure": "independent"}
    assert found == {
        "wrong_pass": {"value": 0.1, "cell": about | {"n": 20}},
        "false_fail": {"value": 0.1, "cell": about | {"n": 100}},
        "power_100": {"value": 0.8, "cell": about | {"n": 100}},
        "coverage": {"value": 0.9, "cell": about | {"n": 20}},
    }
    assert "| change 0.80, independent | – | 10.0 | 0.0 |" in table(cells, "wrong_pass")
