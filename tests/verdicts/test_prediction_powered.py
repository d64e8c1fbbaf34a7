"""Rates that a fallible judge counted, corrected by labels."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.verdicts.estimates import change_estimate, rate_estimate
from pytest_llmdiff.verdicts.prediction_powered import Labels, corrected_change, corrected_rate

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def labels(pairs: list[tuple[bool, bool]]) -> Labels:
    judge, people = zip(*pairs, strict=True)
    return Labels(judge=judge, people=people)


@given(pairs=PAIRS, counted=st.lists(st.booleans(), min_size=5, max_size=60))
def test_the_rate_is_corrected_by_what_the_labels_show(
    pairs: list[tuple[bool, bool]], counted: list[bool]
) -> None:
    plain = rate_estimate(counted)
    found = corrected_rate(plain, labels(pairs))
    wanted = plain.value + sum(p - j for j, p in pairs) / len(pairs)
    assert found.value == pytest.approx(min(1, max(0, wanted)))
    assert found.over_probes == pytest.approx(found.value), "each question has one form"
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    # What the labels leave open is never less than nothing.
    inside = 0 <= wanted <= 1 and found.low > 0 and found.high < 1
    assert not inside or found.high - found.low >= plain.high - plain.low - 1e-9


def test_a_perfect_judge_leaves_the_rate_and_a_blind_one_leaves_the_labels() -> None:
    chance = Random(3)
    truth = [chance.random() < 0.3 for _ in range(200)]
    counted = rate_estimate([chance.random() < 0.3 for _ in range(1000)])
    exact = corrected_rate(counted, Labels(judge=truth, people=truth))
    assert exact.value == counted.value
    assert exact.high - exact.low < 1.6 * (counted.high - counted.low)
    blind = corrected_rate(rate_estimate([True] * 1000), Labels(judge=[True] * 200, people=truth))
    alone = rate_estimate(truth)
    assert blind.value == pytest.approx(alone.value)
    assert blind.low == pytest.approx(alone.low, abs=0.02)
    assert blind.high == pytest.approx(alone.high, abs=0.02)


def test_a_judge_that_favours_one_model_makes_no_gain() -> None:
    # It calls half of the tuned model's wrong replies right, and none of the base's.
    counted = change_estimate([False] * 100, [True] * 50 + [False] * 50)
    fair = Labels(judge=[False] * 100, people=[False] * 100)
    partial = Labels(judge=[True] * 50 + [False] * 50, people=[False] * 100)
    found = corrected_change(counted, fair, partial)
    assert found.value == pytest.approx(0)
    assert found.low < 0 < found.high


def test_agreement() -> None:
    # The standard deviation of kappa in 200,000 multinomial samples of this table is .127.
    found = labels([(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10
                   + [(False, False)] * 15)  # fmt: skip
    kappa, (low, high) = found.kappa
    assert kappa == pytest.approx(0.4)
    assert (high - low) / 2 / 1.6449 == pytest.approx(0.12725, abs=1e-3)
    assert found.sensitivity.value == pytest.approx(20 / 30)
    assert found.specificity.value == pytest.approx(15 / 20)
    assert math.isnan(labels([(True, True)] * 5).kappa[0])


def test_labels_that_are_none() -> None:
    with pytest.raises(LLMDiffError, match="2 judgements for 1 labels"):
        Labels(judge=[True, False], people=[True])
    with pytest.raises(LLMDiffError, match="at least one"):
        Labels(judge=[], people=[])
