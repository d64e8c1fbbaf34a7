"""The file of a baseline: written by --llmdiff-calibrate, reviewed and committed, read again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.devices import refuse_device
from pytest_llmdiff.data.files.strict_json import unique_keys
from pytest_llmdiff.data.files.whole_files import write_whole
from pytest_llmdiff.data.text.printing import counted
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.verdicts.baseline import Baseline, Noise

SCHEMA = "pytest-llmdiff-baseline/2"
EARLIER = ("pytest-llmdiff-baseline/1",)


def read_baseline(path: Path) -> Baseline:
    """A baseline from its file.

    Raises:
        ConfigError: the file is missing, or is not a baseline of this schema.
    """
    try:
        refuse_device(path)
        found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique_keys)
    except OSError as error:
        raise ConfigError(
            f"--llmdiff-baseline: {path} cannot be read ({error.strerror}); "
            f"--llmdiff-calibrate {path} makes one"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--llmdiff-baseline: {path} is not valid JSON: {error}") from error
    if isinstance(found, dict) and found.get("schema") in EARLIER:
        raise ConfigError(
            f"--llmdiff-baseline: {path} was written by an earlier version, whose limits did not "
            f"allow for the run as a whole; --llmdiff-calibrate {path} makes a new one"
        )
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
    content = {
        "schema": SCHEMA,
        "conditions": dict(baseline.conditions),
        "tests": {
            test: {name: _entry(noise) for name, noise in measures.items()}
            for test, measures in baseline.tests.items()
        },
    }
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_whole(path, text + "\n")
    return [f"baseline: {path}", *changes(before, baseline)]


def changes(before: Baseline | None, after: Baseline) -> list[str]:
    """What differs between two baselines, limit by limit."""
    if before is None:
        count = sum(map(len, after.tests.values()))
        return [f"  {counted(count, 'limit')}, all new"]
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
    """The JSON form of a noise. The probes are one line, so that a diff shows one line."""
    return {**asdict(noise), "probes": " ".join(noise.probes)}


def _noise(entry: Mapping[str, Any]) -> Noise:
    """A noise from its JSON form.

    The limit may have been edited by hand, and is used as given; of one that was lowered nobody
    knows how likely an unchanged model breaks it.
    """
    noise = Noise(**{**entry, "probes": tuple(entry["probes"].split())})
    for name in ("limit", "reaches", "margin", "count", "questions", "moved", "chance", "spread"):
        value = getattr(noise, name)
        missing = value is None and name in ("chance", "spread")
        if not missing and (isinstance(value, bool) or not math.isfinite(value)):
            raise ValueError(f"a {name} is {value!r}")
    if noise.count < 1 or noise.questions < 1 or noise.moved < 0:
        raise ValueError("its counts are invalid")
    if noise.chance is not None and not 0 <= noise.chance <= 1:
        raise ValueError(f"a chance is {noise.chance!r}")
    lowered = noise.limit < noise.reaches + noise.margin
    return replace(noise, chance=None) if lowered else noise
