"""What a check found: problems with their next step, notes, or why it does not apply."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmdiff.data.comparison import Measurement


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: its cause, and what to do about it."""

    cause: str
    step: str


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The outcome of one check.

    `notes` are worth knowing and no harm. `skipped` says why the check does not apply or cannot be
    made (nothing else is set then).
    """

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: str | None = None


def findings_measurement(name: str, findings: Findings) -> Measurement:
    """The number of problems; causes, next steps and notes are in the details."""
    return Measurement(
        name=name,
        value=float("nan") if findings.skipped else float(len(findings.problems)),
        unit="problems",
        unsupported=findings.skipped,
        details={
            "problems": [problem.cause for problem in findings.problems],
            "next": list(dict.fromkeys(problem.step for problem in findings.problems)),
            "notes": list(findings.notes),
        },
    )
