"""Baselines: how far the base moves against itself, and the limits that follow, in a file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import ROUND_CEILING, Context
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pytest_llmdiff.data.files.strict_json import unique_keys
from pytest_llmdiff.errors import ConfigError

SCHEMA = "pytest-llmdiff-baseline/1"
# Of the noise of single probes: the limit is the value that one in a hundred exceeds.
QUANTILE = 0.99
# Values of a test's noise that the file keeps, evenly over their order.
POINTS = 100
Role = Literal["embedder", "toxicity"] | None
Conditions = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The noise of one measure in one test, and the limit: what it reaches, and the margin.

    Of single probes `points` are its values in order, or that many of them, of `count`; what it
    reaches is a quantile. Of a set there are no points: it reaches the upper bound of the mean (or
    rate), and `spread` is the standard deviation of its `questions`. `probes` are digests of the
    probes: one each, or one of the whole set.
    """

    limit: float
    reaches: float
    margin: float
    count: int
    points: tuple[float, ...] = ()
    spread: float | None = None
    questions: int | None = None
    probes: tuple[str, ...] = ()

    def exceedance(self, value: float) -> float:
        """How often the noise of a probe is as large as a value, at most.

        The conformal p-value (1 + how many are) / (1 + how many there are), which holds for
        probes that are exchangeable (Vovk, Gammerman & Shafer 2005). NaN where there are no points,
        or the value is no number.
        """
        if not self.points or math.isnan(value):
            return math.nan
        reached = sum(point >= value for point in self.points)
        return (1 + reached * self.count / len(self.points)) / (1 + self.count)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a baseline file holds: the conditions that it was measured under, and the noise by test
    and measure."""

    conditions: Conditions
    tests: Mapping[str, Mapping[str, Noise]]
    path: Path | None = field(default=None, compare=False)

    def noise(self, test: str, measure: str, probes: str) -> Noise:
        """The noise of a measure in a test.

        Raises:
            LookupError: there is none for it; the text says why.
        """
        found = self.tests.get(test, {}).get(measure)
        if found is None:
            raise LookupError(f"{self.path} has no {measure} of {test}")
        if probes not in found.probes:
            raise LookupError(f"{self.path} was measured on other probes of {test}")
        return found

    def unlike(self, conditions: Conditions) -> list[str]:
        """In which of the given conditions a run differs from the file."""
        return [
            f"{name} was {_shown(self.conditions.get(name))} and is {_shown(now)}"
            for name, now in conditions.items()
            if self.conditions.get(name) != now
        ]


class Limits:
    """The limits of a run: those of its baseline, as long as the run is like it."""

    def __init__(self, baseline: Baseline | None, conditions: Callable[[Role], Conditions]) -> None:
        self._baseline = baseline
        self._conditions = cache(conditions)

    def noise(self, test: str, measure: str, probes: str) -> Noise:
        """Like `Baseline.noise`, and refused where models, settings or scorer are others."""
        if self._baseline is None:
            raise LookupError("there is no baseline")
        found = self._baseline.noise(test, measure, probes)
        unlike = self._baseline.unlike(self._conditions(role_of(measure)))
        if unlike:
            raise LookupError(f"{self._baseline.path} is of another run: {'; '.join(unlike)}")
        return found


def role_of(measure: str) -> Role:
    """The scorer that a measure needs, if any."""
    if measure.startswith(("semantic drift", "invariance")):
        return "embedder"
    return "toxicity" if measure.startswith("toxicity") else None


def single_noise(values: Sequence[float], margin: float, probes: Sequence[str]) -> Noise:
    """The noise of single probes, from its values."""
    ordered = sorted(values)
    place = math.ceil(QUANTILE * (len(ordered) + 1)) - 1
    kept = ordered
    if len(ordered) > POINTS:
        kept = [ordered[round(n * (len(ordered) - 1) / (POINTS - 1))] for n in range(POINTS)]
    reaches = _digits(ordered[min(place, len(ordered) - 1)])
    return Noise(
        limit=reaches + margin,
        reaches=reaches,
        margin=margin,
        count=len(ordered),
        points=tuple(map(_digits, kept)),
        probes=tuple(sorted(set(probes))),
    )


def read_baseline(path: Path) -> Baseline:
    """A baseline from its file.

    Raises:
        ConfigError: there is no such file, or it is no baseline of this form.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique_keys)
    except OSError as error:
        raise ConfigError(
            f"--llmdiff-baseline: {path} cannot be read ({error.strerror}); "
            f"--llmdiff-calibrate {path} makes one"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--llmdiff-baseline: {path} is no JSON file: {error}") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ConfigError(f"--llmdiff-baseline: {path} is no baseline, of schema {SCHEMA!r}")
    try:
        tests = {
            test: {name: _noise(entry) for name, entry in measures.items()}
            for test, measures in found["tests"].items()
        }
        return Baseline(conditions=dict(found["conditions"]), tests=tests, path=path)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"--llmdiff-baseline: {path} is damaged ({error}); --llmdiff-calibrate {path} makes it "
            "anew"
        ) from error


def write_baseline(baseline: Baseline, path: Path) -> list[str]:
    """Write the file, and tell what is other than in the one that was there."""
    before = None
    if path.exists():
        try:
            before = read_baseline(path)
        except ConfigError:
            before = Baseline(conditions={}, tests={})
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "schema": SCHEMA,
        "conditions": dict(baseline.conditions),
        "tests": {
            test: {name: _entry(noise) for name, noise in measures.items()}
            for test, measures in baseline.tests.items()
        },
    }
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return [f"baseline: {path}", *changes(before, baseline)]


def changes(before: Baseline | None, after: Baseline) -> list[str]:
    """What is other in a baseline than in the one before, limit by limit."""
    if before is None:
        count = sum(map(len, after.tests.values()))
        return [f"  {count} limits, all new"]
    old, new = _flat(before), _flat(after)
    lines = [f"  {difference}" for difference in before.unlike(after.conditions)]
    lines += [f"  - {name} (limit {old[name]:.4g})" for name in old if name not in new]
    lines += [f"  + {name} (limit {new[name]:.4g})" for name in new if name not in old]
    lines += [
        f"  {name}: limit {old[name]:.4g} -> {new[name]:.4g}"
        for name in new
        if name in old and old[name] != new[name]
    ]
    return lines or ["  nothing is other than before"]


def _flat(baseline: Baseline) -> dict[str, float]:
    return {
        f"{test}, {name}": noise.limit
        for test, measures in baseline.tests.items()
        for name, noise in measures.items()
    }


def _entry(noise: Noise) -> dict[str, Any]:
    """A noise as it is written: each list in one line, so that a change of it is one line too."""
    lists = {"points": " ".join(map(repr, noise.points)), "probes": " ".join(noise.probes)}
    return {**asdict(noise), **lists}


def _noise(entry: Mapping[str, Any]) -> Noise:
    """A noise as written. A limit may be edited by hand: it is the one that counts."""
    points, probes = entry["points"].split(), entry["probes"].split()
    noise = Noise(**{**entry, "points": tuple(map(float, points)), "probes": tuple(probes)})
    for name in ("limit", "reaches", "margin", "count", "spread", "questions"):
        value = getattr(noise, name)
        missing = value is None and name in ("spread", "questions")
        if not missing and (isinstance(value, bool) or not math.isfinite(value)):
            raise ValueError(f"a {name} is {value!r}")
    if noise.count < 1 or not all(map(math.isfinite, noise.points)):
        raise ValueError("its points or their count are no measured values")
    return noise


def _digits(value: float) -> float:
    """Rounded up to four significant digits, which read well and let the value itself pass."""
    rounded = Context(prec=4, rounding=ROUND_CEILING).create_decimal_from_float(value)
    return max(float(rounded), value)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value is not None else "not recorded"
