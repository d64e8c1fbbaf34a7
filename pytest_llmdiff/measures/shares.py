"""What all measures of right replies have in common: their views, and the questions on a set.

The value of such a measurement is how right the tuned reply is, from 0 to 1, and its details have
that of `base` and `tuned`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_llmdiff.data.comparison import Measurement
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.verdicts.paired import Named
from pytest_llmdiff.verdicts.views import View

SUPPORT = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """A share of right replies: what reports call it, of both models, and its views."""

    name: str
    unit: str
    noun: str  # of the members that are gained and lost
    right: View
    base_right: View
    wrong: View
    base_wrong: View
    lost: View

    def measurement(self, base: float, tuned: float, **details: Any) -> Measurement:
        return Measurement(
            name=self.name,
            value=tuned,
            unit=self.unit,
            details={"base": base, "tuned": tuned, **details},
        )

    def unjudged(self, reason: str) -> Measurement:
        found = self.measurement(math.nan, math.nan)
        details = dict.fromkeys(found.details)
        return replace(found, unsupported=reason, details=details)

    def level(self, at_least: float, **more: Any) -> Question:
        """Of the tuned model by itself."""
        named = Named(name=self.name, unit=self.unit)
        return Question(view=self.right, named=named, at_least=at_least, against=self.wrong, **more)

    def drop(self, at_most: float | None, **more: Any) -> Question:
        """By how much it is less than the base's, net of what was gained."""
        return Question(
            view=self.wrong, base=self.base_wrong, named=self._change("drop", "lost", "gained"),
            at_most=at_most, against=self.lost, **more,
        )  # fmt: skip

    def gain(self, at_least: float, **more: Any) -> Question:
        """By how much it is more than the base's, net of what was lost."""
        return Question(
            view=self.right, base=self.base_right, named=self._change("gain", "gained", "lost"),
            at_least=at_least, against=self.wrong, **more,
        )  # fmt: skip

    def _change(self, what: str, moved: str, opposite: str) -> Named:
        return Named(
            name=f"{self.name} {what}", unit=self.unit, moved=f"{self.noun} {moved}",
            opposite=f"{self.noun} {opposite}",
        )  # fmt: skip


def shares(
    name: str, *, unit: str, noun: str, base_right: str, wrong: str, base_wrong: str, lost: str
) -> Shares:
    """Shares whose views have these names."""
    return Shares(
        name=name,
        unit=unit,
        noun=noun,
        right=View(support=SUPPORT),
        base_right=share_view(base_right, lambda held: held["base"]),
        wrong=share_view(wrong, lambda held: 1 - held["tuned"]),
        base_wrong=share_view(base_wrong, lambda held: 1 - held["base"]),
        lost=share_view(lost, lambda held: max(0.0, held["base"] - held["tuned"])),
    )


def share_view(
    name: str, of: Callable[[Mapping[str, Any]], float], *, relative: bool = False
) -> View:
    """A quantity of a measurement's details, from 0 to 1."""

    def view(m: Measurement) -> Measurement:
        return replace(m, name=name, value=math.nan if m.unsupported else float(of(m.details)))

    return View(support=SUPPORT, of=view, relative=relative)
