"""How many maps of attention the page holds."""

from __future__ import annotations

from typing import Any

from pytest_llmdiff.reports.html.entries import entries
from pytest_llmdiff.reports.html.maps import leave_out_maps
from tests.support.reports import looked, regressed


def maps_of(budget: int) -> list[list[tuple[int, int]]]:
    rows = [regressed(f"t.py::test[{n}]", value=0.9) for n in range(3)]
    for row in rows:
        row["comparisons"][0]["attention"] = looked("refund")
    tests: list[Any] = entries(rows, {row["test"]: n for n, row in enumerate(rows)})
    leave_out_maps(tests, budget)
    blocks = [fold for test in tests for fold in test["probes"][0]["folds"] if "maps" in fold]
    return [[(each["layer"], each["head"]) for each in block["maps"]] for block in blocks]


def test_the_first_tests_keep_their_maps() -> None:
    both = [(3, 1), (0, 2)]
    size = 2 * 2 * 2  # characters of a map: two sides, of two tokens, two digits each
    assert maps_of(6 * size) == [both, both, both]
    assert maps_of(3 * size) == [both, both[:1], []]
    assert maps_of(0) == [[], [], []]
