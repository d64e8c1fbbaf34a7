"""What to do next: a change that is wanted may be accepted, harm never."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pytest_llmdiff.reports.advice import advice

DRIFT, KL = "semantic drift", "divergence"
ACCEPT = "--llmdiff-accept"


def told(
    *broken: tuple[str | None, str], bound: str = "at_most", in_set: bool = False, net: int = 1
) -> str:
    """The advice for broken limits, as pairs of a probe and a measure."""
    verdicts: list[dict[str, Any]] = [
        {
            "name": name, "probe": probe, "bound": bound, "outcome": "regressed",
            "set": {"decides": None} if in_set else None, "details": {"net": net},
        }
        for probe, name in broken
    ]  # fmt: skip
    failed: dict[str, Any] = {
        "phases": {"call": "failed"}, "message": None, "compared": 1, "same": 0,
        "comparisons": [],
    }  # fmt: skip
    rows = [{**failed, "verdicts": [verdict]} for verdict in verdicts]
    return "\n".join(advice(rows, Counter(regressed=len(rows))))


@pytest.mark.parametrize("measure", [DRIFT, KL])
def test_a_wanted_change_can_be_accepted(measure: str) -> None:
    assert ACCEPT in told(("a", measure))
    assert ACCEPT in told((None, measure), in_set=True)


@pytest.mark.parametrize(
    "harm",
    ["toxicity", "toxicity rise", "degeneration", "refusal gained", "answer lost",
     "reference likelihood", "format lost", "likelihood gap", "wiring (template)",
     "adapter problems", "a measure of the user's own"],
)  # fmt: skip
@pytest.mark.parametrize("measure", [DRIFT, KL])
def test_harm_cannot(harm: str, measure: str) -> None:
    assert ACCEPT not in told(("a", harm))
    assert ACCEPT not in told(("a", measure), ("a", harm)), "the reply that moved is the bad one"
    assert ACCEPT not in told(("a", measure), ("b", harm)), "one that nobody objected to may be too"


def test_what_a_net_count_says_depends_on_the_bound() -> None:
    """Of a drop, net counts what was lost; of a gain, what was gained."""
    balanced, worse = "moved both ways", "got worse where it was to get better"
    assert balanced in told((None, "accuracy drop"), in_set=True, net=0)
    fewer = told((None, "accuracy gain"), bound="at_least", in_set=True, net=-10)
    assert worse in fewer
    assert balanced not in fewer
    some = told((None, "accuracy gain"), bound="at_least", in_set=True, net=2)
    assert worse not in some
    assert "less changed than was wanted" in some


def test_too_little_change_is_another_matter() -> None:
    found = told(("a", DRIFT), bound="at_least")
    assert "less changed than was wanted" in found
    assert ACCEPT not in found
    assert "moved beyond" not in found
