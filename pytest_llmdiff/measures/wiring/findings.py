"""The result of a wiring check: problems with their next steps, notes, or why it was skipped."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmdiff.data.comparison import Measurement


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: its cause, and the next step to fix it."""

    cause: str
    step: str


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The result of one check.

    `notes` are worth knowing but harmless. `skipped` says why the check does not apply or cannot be
    made; nothing else is set then.
    """

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: str | None = None


def findings_measurement(name: str, findings: Findings) -> Measurement:
    """The number of problems; `details` has causes, next steps and notes."""
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
