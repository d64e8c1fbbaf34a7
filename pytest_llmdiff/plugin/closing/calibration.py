"""Makes a baseline from the rows of a calibrating run."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.text.printing import counted, printable
from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.plugin.allowed import conditions_of
from pytest_llmdiff.plugin.session import Session
from pytest_llmdiff.verdicts.baseline import (
    CHANCE,
    Baseline,
    Noise,
    role_of,
    set_noise,
    single_noise,
)
from pytest_llmdiff.verdicts.baseline_file import write_baseline
from pytest_llmdiff.verdicts.bounds.intervals import MIN_UNITS
from pytest_llmdiff.verdicts.bounds.sides import NO_METHOD
from pytest_llmdiff.verdicts.verdict import label

# Makes the noise of a measure, given the limit's share of the chance.
Makes = partial[Noise]


def write_calibration(session: Session, path: Path) -> list[str]:
    """Write the noise that the run measured. Returns lines for the summary.

    Writes nothing if a test failed: limits that its failure left out, or distorted, would look
    measured. `session.uncalibrated` is set if an unchanged model fails a test under this baseline.
    """
    failed = [row["test"] for row in session.rows.values() if "failed" in row["phases"].values()]
    if failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return [f"baseline: nothing was written, since {failed[0]}{more} failed"]
    settings = session.settings
    noises, notes, lacking = measured_noise(
        session.rows.values(), settings.margin, temperature=settings.temperature
    )
    tests: dict[str, dict[str, Noise]] = {}
    for (case, measure), noise in noises.items():
        tests.setdefault(case, {})[measure] = noise
    notes += lacking
    session.uncalibrated = bool(lacking) or not tests
    if not tests:
        why = "none of the limits could be measured" if notes else "no test needs a limit"
        return [f"baseline: nothing was written, since {why}", *notes]
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
        for name in settings.margin
        if name not in measured
    ]
    return lines + notes


def measured_noise(
    rows: Iterable[Mapping[str, Any]], margins: Mapping[str, float], *, temperature: float
) -> tuple[dict[tuple[str, str], Noise], list[str], list[str]]:
    """The noise by test and measure, notes on each that has no limit, or an uncertain one, and what
    an unchanged model fails although there is a baseline.

    `temperature` is that of replies whose probe has none of its own.
    """
    rows = [row for row in rows if row["noise"]]
    found: dict[tuple[str, str], Makes] = {}
    without: dict[tuple[str, str], str] = {}
    for case, measure, makes in _measured(rows, margins, temperature):
        if isinstance(makes, str):
            without[case, measure] = makes
        elif _unlike(found.setdefault((case, measure), makes), makes):
            # In two formats, say, or with different probes: one limit cannot hold for both.
            without[case, measure] = "the test measures it in several ways; give the limit there"
    found = {key: makes for key, makes in found.items() if key not in without}
    noises = {key: makes(share=CHANCE / len(found)) for key, makes in found.items()}
    notes = [
        f"  no limit for {measure} of {case}: {why}" for (case, measure), why in without.items()
    ]
    notes += [
        f"  {measure} of {case}: how often an unchanged model breaks limit {noise.limit:.4g} is "
        f"unknown; {noise.lacks}"
        for (case, measure), noise in noises.items()
        if noise.lacks
    ]
    return noises, notes, list(_lacking(rows, without))


def _lacking(
    rows: Iterable[Mapping[str, Any]], without: Container[tuple[str, str]]
) -> Iterator[str]:
    """What an unchanged model fails for want of a limit, or whatever the limit."""
    needed: dict[tuple[str, str], None] = {}
    for row in rows:
        case, noise = row["case"], row["noise"]
        for measure, kept in noise["failing"].items():
            yield (
                f"  an unchanged model fails {row['test']}: {measure}, "
                f"{counted(kept['count'], 'time')}; {printable(kept['first'])}"
            )
        keys = ((case, measure) for measure in noise["needed"] if measure not in noise["failing"])
        needed |= dict.fromkeys(key for key in keys if key in without)
    for case, measure in needed:
        yield f"  an unchanged model fails {case}, which has no limit for {measure}: give one there"


def _unlike(one: Makes, other: Makes) -> bool:
    return (one.args, one.keywords) != (other.args, other.keywords)


def _measured(
    rows: Iterable[Mapping[str, Any]], margins: Mapping[str, float], temperature: float
) -> Iterator[tuple[str, str, Makes | str]]:
    """Test, measure, and what makes its noise once the number of limits is known, or the reason why
    there is no limit."""
    singles: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        own = row["noise"]["temperatures"]
        sampled = any((temperature if t is None else t) > 0 for t in own)
        for measure, kept in row["noise"]["singles"].items():
            known = singles.setdefault(
                (row["case"], measure),
                {"values": [], "questions": [], "probes": [], "sampled": False, "why": []},
            )
            known["sampled"] |= sampled
            known["why"] = known["why"] or kept["why"]
            judged = [math.isfinite(value) for value in kept["values"]]
            for name in ("values", "questions"):
                known[name] += compress(kept[name], judged)
            known["probes"] += kept["probes"]
        for verdict in row["verdicts"]:
            if verdict["set"] is not None:
                sets = row["noise"]["sets"]
                yield row["case"], *_of_set(verdict, margins, sets, sampled=sampled)
    for (case, measure), known in singles.items():
        if why := known.pop("why"):
            yield case, measure, why[0]
        elif known["values"]:
            margin = margins.get(measure, 0.0)
            yield case, measure, partial(single_noise, **known, margin=margin)
        else:
            yield case, measure, "the scorer could not judge any of its probes"


def _of_set(
    verdict: Mapping[str, Any],
    margins: Mapping[str, float],
    sets: Mapping[str, Mapping[str, Any]],
    *,
    sampled: bool,
) -> tuple[str, Makes | str]:
    found = verdict["set"]
    measure = label(verdict["name"], found["scope"])
    held = dict(sets[measure])
    if why := held.pop("why"):
        return measure, why
    low, high = found["low"], found["high"]
    few = found["clusters"] < MIN_UNITS or found["method"].startswith(NO_METHOD)
    if low is None or high is None or few or found["not_finite"]:
        enough = found["clusters"] >= MIN_UNITS
        why = found["method"] if enough else f"it takes {MIN_UNITS} questions"
        size, questions = found["judged"], found["clusters"]
        return measure, (
            f"a set of {counted(size, 'judged probe')} ({counted(questions, 'question')}) is too "
            f"small for a limit: {why}"
        )
    return measure, partial(
        set_noise,
        low,
        high,
        sampled=sampled,
        **held,
        questions=found["clusters"],
        count=found["judged"],
        spread=found["spread"],
        margin=margins.get(verdict["name"], 0.0),
        probes=found["probes"],
    )
