"""Baselines: how far the base differs from itself (noise), and the resulting limits, in a file."""

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
# The limit for single probes: the value that one in a hundred exceeds by noise.
QUANTILE = 0.99
# Values of a test's noise that the file keeps, evenly spaced in their order.
POINTS = 100
Role = Literal["embedder", "toxicity"] | None
Conditions = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The noise of one measure in one test, and the limit: what the noise reaches, plus a margin.

    For single probes, `points` are the sorted values, or `POINTS` of all `count`, and the noise
    reaches a quantile of them. A set has no points: its noise reaches the upper bound of the mean
    (or rate), and `spread` is the standard deviation over its `questions`. `probes` are digests:
    one for each probe, or one for the whole set.
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
        """An upper bound on how often the noise of a probe is at least as large as a value.

        The conformal p-value (1 + number of larger or equal values) / (1 + number of values), which
        is valid for exchangeable probes (Vovk, Gammerman & Shafer 2005). NaN if there are no points
        or the value is NaN.
        """
        if not self.points or math.isnan(value):
            return math.nan
        reached = sum(point >= value for point in self.points)
        return (1 + reached * self.count / len(self.points)) / (1 + self.count)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A baseline file: the conditions of its measurement, and the noise by test and measure."""

    conditions: Conditions
    tests: Mapping[str, Mapping[str, Noise]]
    path: Path | None = field(default=None, compare=False)

    def noise(self, test: str, measure: str, probes: str) -> Noise:
        """The noise of a measure in a test.

        Raises:
            LookupError: the baseline has none; the text says why.
        """
        found = self.tests.get(test, {}).get(measure)
        if found is None:
            raise LookupError(f"{self.path} has no {measure} of {test}")
        if probes not in found.probes:
            raise LookupError(f"{self.path} was measured on other probes of {test}")
        return found

    def unlike(self, conditions: Conditions) -> list[str]:
        """How the given conditions of a run differ from those in the file."""
        return [
            f"{name} was {_shown(self.conditions.get(name))} and is {_shown(now)}"
            for name, now in conditions.items()
            if self.conditions.get(name) != now
        ]


class Limits:
    """The limits of a run: those of its baseline, if the run has the same conditions."""

    def __init__(self, baseline: Baseline | None, conditions: Callable[[Role], Conditions]) -> None:
        self._baseline = baseline
        self._conditions = cache(conditions)

    def noise(self, test: str, measure: str, probes: str) -> Noise:
        """Like `Baseline.noise`, but raises if models, settings or scorer differ."""
        if self._baseline is None:
            raise LookupError("there is no baseline")
        found = self._baseline.noise(test, measure, probes)
        unlike = self._baseline.unlike(self._conditions(role_of(measure)))
        if unlike:
            raise LookupError(
                f"{self._baseline.path} was measured under other conditions: {'; '.join(unlike)}"
            )
        return found


def role_of(measure: str) -> Role:
    """The role of the scorer that a measure needs, if any."""
    if measure.startswith(("semantic drift", "invariance")):
        return "embedder"
    return "toxicity" if measure.startswith("toxicity") else None


def single_noise(values: Sequence[float], margin: float, probes: Sequence[str]) -> Noise:
    """The noise of single probes, from the measured values."""
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
        ConfigError: the file is missing, or is not a baseline of this schema.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique_keys)
    except OSError as error:
        raise ConfigError(
            f"--llmdiff-baseline: {path} cannot be read ({error.strerror}); "
            f"--llmdiff-calibrate {path} makes one"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--llmdiff-baseline: {path} is not valid JSON: {error}") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ConfigError(f"--llmdiff-baseline: {path} is not a baseline of schema {SCHEMA!r}")
    try:
        tests = {
            test: {name: _noise(entry) for name, entry in measures.items()}
            for test, measures in found["tests"].items()
        }
        return Baseline(conditions=dict(found["conditions"]), tests=tests, path=path)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"--llmdiff-baseline: {path} is damaged ({error}); --llmdiff-calibrate {path} makes a "
            "new one"
        ) from error


def write_baseline(baseline: Baseline, path: Path) -> list[str]:
    """Write the file. Returns what differs from the previous file, as lines."""
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
    """What differs between two baselines, limit by limit."""
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
    return lines or ["  nothing has changed"]


def _flat(baseline: Baseline) -> dict[str, float]:
    return {
        f"{test}, {name}": noise.limit
        for test, measures in baseline.tests.items()
        for name, noise in measures.items()
    }


def _entry(noise: Noise) -> dict[str, Any]:
    """The JSON form of a noise. Each list is one line, so that a diff shows one line."""
    lists = {"points": " ".join(map(repr, noise.points)), "probes": " ".join(noise.probes)}
    return {**asdict(noise), **lists}


def _noise(entry: Mapping[str, Any]) -> Noise:
    """A noise from its JSON form. The limit may have been edited by hand, and is used as given."""
    points, probes = entry["points"].split(), entry["probes"].split()
    noise = Noise(**{**entry, "points": tuple(map(float, points)), "probes": tuple(probes)})
    for name in ("limit", "reaches", "margin", "count", "spread", "questions"):
        value = getattr(noise, name)
        missing = value is None and name in ("spread", "questions")
        if not missing and (isinstance(value, bool) or not math.isfinite(value)):
            raise ValueError(f"a {name} is {value!r}")
    if noise.count < 1 or not all(map(math.isfinite, noise.points)):
        raise ValueError("its points or their count are invalid")
    return noise


def _digits(value: float) -> float:
    """Rounded up to four significant digits: short, and the value itself stays within it."""
    rounded = Context(prec=4, rounding=ROUND_CEILING).create_decimal_from_float(value)
    return max(float(rounded), value)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value is not None else "not recorded"
