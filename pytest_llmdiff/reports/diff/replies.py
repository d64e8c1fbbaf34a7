"""Replies of the tuned model that changed from one run to the next, with what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.reports.diff.reading import number_of, text_of, verdicts_of
from pytest_llmdiff.reports.diff.shifts import Shift

Tests = Mapping[str, Mapping[str, Any]]
Asked = tuple[str, ...]  # a prompt with its settings, and the names of the two models


@dataclass(frozen=True, kw_only=True)
class ReplyChange:
    """Two replies to the same prompt. `shifts` are the values that both runs, or the later one,
    have of them, the one that got worse most first; `side` names the model."""

    test: str
    probe: str
    prompt: str
    side: str
    before: str
    after: str
    shifts: tuple[Shift, ...]

    @property
    def worsening(self) -> tuple[bool, float]:
        """Whether a limit is broken that was not, and how much worse the worst value got."""
        return (
            any(shift.broken for shift in self.shifts),
            max((shift.worsening for shift in self.shifts), default=0.0),
        )


def changed_replies(old: Tests, new: Tests) -> list[ReplyChange]:
    """The replies that changed between two runs, those that got worse most first."""
    was, values = _replies(old.values()), _values(old)
    now = _values(new)
    changes: dict[Asked, ReplyChange] = {}
    for name, test in new.items():
        for comparison in test["comparisons"]:
            asked = _asked(comparison)
            text = text_of(comparison["tuned"]["text"])
            if asked in changes or asked not in was or was[asked] == text:
                continue
            shifts = _shifts(values.get(asked, {}), now.get(asked, {}))
            changes[asked] = ReplyChange(
                test=name,
                probe=text_of(comparison["probe"]),
                prompt=text_of(comparison["prompt"]),
                side=text_of(comparison["sides"][1]),
                before=was[asked],
                after=text,
                shifts=tuple(sorted(shifts, key=lambda shift: -shift.worsening)),
            )
    return sorted(changes.values(), key=lambda change: tuple(-part for part in change.worsening))


def _asked(comparison: Mapping[str, Any]) -> Asked:
    return (text_of(comparison["digest"]), *map(text_of, comparison["sides"]))


def _replies(tests: Iterable[Mapping[str, Any]]) -> dict[Asked, str]:
    return {
        _asked(comparison): text_of(comparison["tuned"]["text"])
        for test in tests
        for comparison in test["comparisons"]
    }


Values = dict[tuple[str, str | None], Mapping[str, Any]]


def _values(tests: Tests) -> dict[Asked, Values]:
    """What was measured of each comparison, by measure and side of the limit: its own verdicts, and
    its values where it is among the worst members of a set."""
    found: dict[Asked, Values] = {}
    for test in tests.values():
        probes: dict[str, Values] = {}
        for name, probe, bound, row in _member_values(test):
            probes.setdefault(probe, {}).setdefault((name, bound), row)
        for comparison in test["comparisons"]:
            held = found.setdefault(_asked(comparison), {})
            for key, row in probes.get(comparison["probe"], {}).items():
                held.setdefault(key, row)
    return found


def _member_values(
    test: Mapping[str, Any],
) -> Iterator[tuple[str, str, str | None, Mapping[str, Any]]]:
    for (name, probe, bound), verdict in verdicts_of(test):
        if probe is not None:
            yield name, text_of(probe), bound, verdict
        for member in (verdict["set"] or {}).get("worst", ()):
            # The limit is the set's, not the member's.
            row = {"unit": verdict["unit"], "value": number_of(member["value"]), "limit": None,
                   "bound": bound}  # fmt: skip
            yield name, text_of(member["probe"]), bound, row


def _shifts(was: Values, now: Values) -> Iterator[Shift]:
    unknown = {"value": None, "limit": None}
    for key, row in now.items():
        yield Shift.between(key[0], was.get(key, unknown), row)
