"""Makes a baseline from the rows of a calibrating run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.plugin.allowed import conditions_of
from pytest_llmdiff.plugin.session import Session
from pytest_llmdiff.verdicts.baseline import (
    Baseline,
    Noise,
    role_of,
    single_noise,
    write_baseline,
)
from pytest_llmdiff.verdicts.intervals import MIN_UNITS
from pytest_llmdiff.verdicts.sides import NO_METHOD
from pytest_llmdiff.verdicts.verdict import label


def write_calibration(session: Session, path: Path) -> list[str]:
    """Write the noise that the run measured. Returns lines for the summary.

    Writes nothing if a test failed: limits that its failure left out, or distorted, would look
    measured.
    """
    failed = [row["test"] for row in session.rows.values() if "failed" in row["phases"].values()]
    if failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return [f"baseline: nothing was written, since {failed[0]}{more} failed"]
    noises, notes = measured_noise(session.rows.values(), session.settings.margin)
    tests: dict[str, dict[str, Noise]] = {}
    for (case, measure), noise in noises.items():
        tests.setdefault(case, {})[measure] = noise
    if not tests:
        return ["baseline: nothing was written, since no test measured anything", *notes]
    try:
        conditions: dict[str, Any] = {}
        for role in {role_of(measure) for measures in tests.values() for measure in measures}:
            conditions |= conditions_of(session.pair_run, role)
    except LLMDiffError as error:
        return [f"baseline: nothing was written: {error}"]
    lines = write_baseline(Baseline(conditions=conditions, tests=tests), path)
    measured = {measure.partition(" [")[0] for measures in tests.values() for measure in measures}
    notes += [
        f"  a margin for {name!r} was given, but no test measures that"
        for name in session.settings.margin
        if name not in measured
    ]
    return lines + notes


def measured_noise(
    rows: Any, margins: Mapping[str, float]
) -> tuple[dict[tuple[str, str], Noise], list[str]]:
    """The noise by test and measure, and a note on each measure without a limit."""
    found: dict[tuple[str, str], Noise] = {}
    without: dict[tuple[str, str], str] = {}
    for case, measure, noise in _noises(rows, margins):
        if isinstance(noise, str):
            without[case, measure] = noise
        elif found.setdefault((case, measure), noise) != noise:
            # In two formats, say, or with different probes: one limit cannot hold for both.
            without[case, measure] = "the test measures it in several ways; give the limit there"
    found = {key: noise for key, noise in found.items() if key not in without}
    notes = [
        f"  no limit for {measure} of {case}: {why}" for (case, measure), why in without.items()
    ]
    return found, notes


def _noises(rows: Any, margins: Mapping[str, float]) -> Iterator[tuple[str, str, Noise | str]]:
    """Test, measure, and the noise, or the reason why there is no limit."""
    singles: dict[tuple[str, str], tuple[list[float], list[str]]] = {}
    for row in rows:
        for measure, found in row["values"].items():
            values, probes = singles.setdefault((row["case"], measure), ([], []))
            values += (value for value in found["values"] if math.isfinite(value))
            probes += found["probes"]
        for verdict in row["verdicts"]:
            if verdict["set"] is not None:
                yield row["case"], *_of_set(verdict, margins)
    for (case, measure), (values, probes) in singles.items():
        if values:
            yield case, measure, single_noise(values, margins.get(measure, 0.0), probes)
        else:
            yield case, measure, "the scorer could not judge any of its probes"


def _of_set(verdict: Mapping[str, Any], margins: Mapping[str, float]) -> tuple[str, Noise | str]:
    found = verdict["set"]
    measure = label(verdict["name"], found["scope"])
    high = found["high"]
    few = found["clusters"] < MIN_UNITS or found["method"].startswith(NO_METHOD)
    if high is None or few or found["unsupported"] or found["not_finite"]:
        why = f"a set of {found['judged']} judged probes is too small for a bound"
        if found["unsupported"]:
            why = f"the scorer could not judge {found['unsupported']} of its probes"
        return measure, why
    margin = margins.get(verdict["name"], 0.0)
    return measure, Noise(
        limit=high + margin,
        reaches=high,
        margin=margin,
        count=found["judged"],
        spread=found["spread"],
        questions=found["clusters"],
        probes=(found["probes"],),
    )
