"""Scores of words from the values of coalitions: against arithmetic, and against other packages."""

from __future__ import annotations

import itertools
import random
import sys
import warnings
from collections.abc import Iterator
from statistics import fmean

import pytest

from pytest_llmdiff.errors import MissingPackageError
from pytest_llmdiff.explain.attribution.coalitions import SAMPLED, Mask, coalitions, shares

METHODS = ("leave-one-out", *SAMPLED)


class Game:
    """Values of coalitions with interactions of all orders, drawn once."""

    def __init__(self, count: int, seed: int = 0) -> None:
        draw = random.Random(seed)
        self.count = count
        self.asked: list[Mask] = []
        self.worth = {
            mask: -60 + draw.gauss(0, 3) for mask in itertools.product((False, True), repeat=count)
        }
        self.whole, self.nothing = (self.worth[(end,) * count] for end in (True, False))

    def __call__(self, mask: Mask) -> float:
        self.asked.append(mask)
        return self.worth[mask]

    def exact(self) -> list[float]:
        """Shapley values by their definition: the mean over all orders of the words."""
        added: list[list[float]] = [[] for _ in range(self.count)]
        for order in itertools.permutations(range(self.count)):
            there = [False] * self.count
            for word in order:
                before = self.worth[tuple(there)]
                there[word] = True
                added[word].append(self.worth[tuple(there)] - before)
        return list(map(fmean, added))


def additive(mask: Mask) -> float:
    return 5.0 + sum(weight for weight, there in zip((3, -2, 0.5, 0, 1, 7, -4), mask, strict=True)
                     if there)  # fmt: skip


def test_leave_one_out_is_the_difference_that_a_word_makes() -> None:
    game = Game(5)
    found = shares("leave-one-out", game, 5, 200, 0)
    for word, score in enumerate(found.scores):
        rest = tuple(other != word for other in range(5))
        assert score == game.whole - game.worth[rest]
    assert len(game.asked) == 6


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_shapley_values_of_few_words_are_exact(count: int) -> None:
    game = Game(count)
    found = shares("shapley", game, count, 64, 0)
    assert found.scores == pytest.approx(game.exact())
    assert found.errors == (0.0,) * count
    assert sum(found.scores) == pytest.approx(game.whole - game.nothing)


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_kernel_shap_over_all_coalitions_is_the_same(count: int) -> None:
    game = Game(count)
    assert shares("kernel-shap", game, count, 64, 0).scores == pytest.approx(game.exact(), abs=1e-4)


def test_what_is_drawn_is_within_the_error_that_it_states() -> None:
    game = Game(6)
    found = shares("shapley", game, 6, 63, 1)
    assert found.errors is not None
    assert all(error > 0 for error in found.errors)
    # Additive for every drawn order, to within single precision.
    assert sum(found.scores) == pytest.approx(game.whole - game.nothing, abs=1e-4)
    inside = []
    for seed in range(40):
        drawn = shares("shapley", game, 6, 63, seed)
        assert drawn.errors is not None
        inside += [
            abs(score - truth) < 2.26 * error  # 95 % by Student's t of 10 orders
            for score, truth, error in zip(drawn.scores, game.exact(), drawn.errors, strict=True)
        ]
    assert 0.85 < fmean(inside) <= 1


def test_drawn_kernel_shap_comes_near() -> None:
    game = Game(7)
    found = shares("kernel-shap", game, 7, 127, 3).scores
    assert sum(found) == pytest.approx(game.whole - game.nothing, rel=1e-3)
    assert max(abs(a - b) for a, b in zip(found, game.exact(), strict=True)) < 2


@pytest.mark.parametrize("method", METHODS)
def test_of_a_sum_every_method_finds_the_terms(method: str) -> None:
    found = shares(method, additive, 7, 100, 0).scores
    if method == "lime":  # its penalty draws all scores to 0
        assert sorted(range(7), key=found.__getitem__) == [6, 1, 3, 2, 4, 0, 5]
        found = shares(method, additive, 7, 4000, 0).scores
    assert found == pytest.approx((3, -2, 0.5, 0, 1, 7, -4), abs=0.05 if method == "lime" else 1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_coalitions_do_not_depend_on_values(method: str, count: int) -> None:
    game = Game(count)
    planned = coalitions(method, count, 40, 5)
    found = shares(method, game, count, 40, 5)
    assert set(game.asked) <= set(planned)
    assert len(set(planned)) == len(planned) <= 40 + count + 2
    assert len(found.scores) == count
    assert shares(method, game, count, 40, 5) == found, "the seed decides"
    if method in SAMPLED and count == 9:
        assert coalitions(method, count, 40, 6) != planned


def test_nothing_else_is_drawn_from_the_users_randomness() -> None:
    import torch

    torch.manual_seed(0)
    expected = torch.rand(2).tolist()
    torch.manual_seed(0)
    shares("lime", Game(4), 4, 10, 3)
    assert torch.rand(2).tolist() == expected


@pytest.fixture
def quiet_shap() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.usefixtures("quiet_shap")
@pytest.mark.slow
def test_the_package_shap_says_the_same() -> None:
    import numpy as np
    import shap

    game = Game(6)

    def model(rows: np.ndarray) -> np.ndarray:
        return np.array([game.worth[tuple(bool(x) for x in row)] for row in rows])

    background, whole = np.zeros((1, 6)), np.ones((1, 6))
    exact = shap.explainers.Exact(model, background)(whole).values[0]
    assert shares("shapley", game, 6, 64, 0).scores == pytest.approx(exact)
    kernel = shap.KernelExplainer(model, background).shap_values(whole, silent=True)[0]
    assert shares("kernel-shap", game, 6, 64, 0).scores == pytest.approx(kernel, abs=1e-4)
    drawn = shares("shapley", game, 6, 60, 0)
    assert drawn.errors is not None
    for score, other, error in zip(drawn.scores, kernel, drawn.errors, strict=True):
        assert abs(score - other) < 4 * error


def test_captum_is_required_only_where_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    assert len(shares("leave-one-out", Game(3), 3, 8, 0).scores) == 3
    assert len(shares("shapley", Game(3), 3, 8, 0).scores) == 3, "plain arithmetic"
    for method in SAMPLED:
        with pytest.raises(MissingPackageError, match=r'pip install "pytest-llmdiff\[explain\]"'):
            coalitions(method, 9, 20, 0)
