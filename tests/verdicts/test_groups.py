"""Groups of a set: each is judged by itself, with bounds for as many groups as there are."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_llmdiff.verdicts.evidence import mean_evidence
from pytest_llmdiff.verdicts.groups import judge_groups
from pytest_llmdiff.verdicts.set_verdicts import judge_set
from pytest_llmdiff.verdicts.sets import Sample
from pytest_llmdiff.verdicts.verdict import Verdict

LIMIT = 0.15


def judged(
    *groups: Sequence[float | None], support: tuple[float, float] = (-1.0, 1.0), **limit: Any
) -> Verdict:
    values: list[float | None] = [value for group in groups for value in group]
    missing = sum(value is None for value in values)
    sample = Sample(
        name="refusal gap", unit="", support=support, values=values,
        clusters=[str(n) for n in range(len(values))],
        unsupported={"no reply": missing} if missing else {}, worst=[], digest="",
    )  # fmt: skip
    places, start = {}, 0
    for number, group in enumerate(groups):
        places[f"group {number}"] = range(start, start + len(group))
        start += len(group)
    (verdict,) = judge_set(mean_evidence(sample), **(limit or {"at_most": LIMIT}))
    return judge_groups(verdict, sample, places)


def moved(count: int, size: int = 10) -> Sequence[float | None]:
    return [1.0] * count + [0.0] * (size - count)


NONE = [moved(0)] * 11


@pytest.mark.parametrize(
    ("count", "outcome"),
    [(0, "passed"), (4, "passed"), (5, "inconclusive"), (6, "regressed"), (9, "regressed")],
)
def test_the_worst_group_decides(count: int, outcome: str) -> None:
    verdict = judged(*NONE, moved(count))
    assert verdict.outcome == outcome
    details = verdict.measurement.details
    assert details["groups"] == 12
    if count:
        assert (details["worst group"], details["worst group value"]) == ("group 11", count / 10)
        assert details["worst group low"] < count / 10


def test_more_groups_need_more_evidence() -> None:
    assert judged(*NONE, moved(6)).outcome == "regressed"
    assert judged(*NONE * 4, moved(6)).outcome == "inconclusive"


def test_small_groups_are_not_judged() -> None:
    verdict = judged(*[moved(0, 4)] * 30, moved(0), moved(1, 4))
    assert verdict.outcome == "passed"
    details = verdict.measurement.details
    small = {f"group {n}": 4 for n in (*range(30), 31)}
    assert (details["groups"], details["groups too small"]) == (1, small)


@pytest.mark.parametrize(
    ("group", "outcome"),
    [
        (moved(4, 4), "not judged"),
        (moved(3, 4), "not judged"),
        (moved(2, 2), "not judged"),
        (moved(1, 1), "passed"),  # one pair may be anything
        (moved(1, 3), "passed"),
        ([0.9, 0.9], "not judged"),
        ([0.9, 0.1], "passed"),
    ],
)
def test_a_small_group_that_seems_beyond_the_limit_keeps_a_set_from_passing(
    group: Sequence[float], outcome: str
) -> None:
    for more in ([], [moved(0)]):  # with and without a group that is judged
        verdict = judged(*[moved(0, 4)] * 30, *more, group)
        assert verdict.outcome == outcome
        assert verdict.measurement.details["groups too small"][f"group {30 + len(more)}"]
    assert judged(*[moved(9)] * 4, moved(4, 4)).outcome == "regressed"


def test_a_small_group_of_values_without_ends_is_judged_by_all_of_them() -> None:
    ends = (-math.inf, math.inf)
    rng = random.Random(1)
    many = [[rng.gauss(-0.5, 0.3) for _ in range(10)] for _ in range(30)]
    assert judged(*many, [0.6, 0.7, 0.9], support=ends, at_most=0.5).outcome == "not judged"
    assert judged(*many, [0.6, 0.7, 0.4], support=ends, at_most=0.5).outcome == "passed"


def test_what_could_not_be_judged_decides_nothing() -> None:
    assert judged(*NONE * 2, [*moved(6, 6), None, None, None, None]).outcome != "regressed"


def test_falls_elsewhere_count_against_a_rise() -> None:
    rising = judged(*NONE, moved(6))
    falling = judged(*[[-1.0] * 4 + [0.0] * 6] * 11, moved(6))
    low = "worst group low"
    assert falling.measurement.details[low] < rising.measurement.details[low]


@pytest.mark.parametrize("support", [(-1.0, 1.0), (-math.inf, math.inf)])
def test_measures_that_are_no_outcomes(support: tuple[float, float]) -> None:
    draw = random.Random(1)
    groups = [[draw.uniform(-0.02, 0.02) for _ in range(40)] for _ in range(5)]
    assert judged(*groups, support=support).outcome == "passed"
    far = [draw.uniform(0.6, 0.8) for _ in range(40)]
    verdict = judged(*groups, far, support=support)
    assert verdict.outcome == "regressed"
    assert verdict.measurement.details["worst group"] == "group 5"


def test_only_an_upper_limit_is_about_groups() -> None:
    assert "groups" not in judged(*NONE, moved(9), at_least=-0.5).measurement.details


@pytest.mark.parametrize("falls", [0.0, 0.1, 0.3])
def test_groups_at_the_limit_are_seldom_called_beyond_it(falls: float) -> None:
    draw = random.Random(2)
    rise, sets = LIMIT + falls, 100

    def value() -> float:
        u = draw.random()
        return 1.0 if u < rise else -1.0 if u < rise + falls else 0.0

    wrong = 0
    for _ in range(sets):
        groups = [[value() for _ in range(10)] for _ in range(12)]
        verdict = judged(*groups)
        wrong += verdict.measurement.details["worst group low"] > LIMIT
    assert wrong <= 0.06 * sets
