"""What a run comes to: whether to merge, why, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_llmdiff.data.text.printing import counted, printable, shortened
from pytest_llmdiff.reports.advice import DIAGNOSES, advice, all_same, diagnosis_of, remedy_of
from pytest_llmdiff.reports.order import Broken, broken_verdicts, worst_first
from pytest_llmdiff.reports.outcomes import counts, kind_of
from pytest_llmdiff.reports.run_facts import RunFacts, rerun_of
from pytest_llmdiff.reports.verdict_cells import brief_of

Decision = Literal["merge", "do not merge", "undecided"]
Row = Mapping[str, Any]

CAUSES = 5  # that are named
WIDTH = 160  # columns of a cause
WIRING = "wiring ("
# Measures of change, of which a test may want some.
CHANGES = ("semantic drift", "divergence", "attention shift")
PASSED = 0  # pytest's exit code
RED = ("regressed", "failed", "error")  # outcomes with which pytest alone never exits with 0
ENDS: Mapping[int, str] = {
    2: "the run was interrupted, so that some tests have no result",
    3: "pytest failed with an internal error",
    4: "pytest was called wrongly",
}


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One reason for the decision, and the number of tests that it explains (0: of the run).

    `of` are the ids of those tests, `measure` the name of the measure whose limit is broken, and
    `remedy` is what to do about it; each empty where there is none.
    """

    text: str
    tests: int
    of: tuple[str, ...] = ()
    measure: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a run comes to.

    `causes` are the reasons, the most important first; to merge, they are what should be known
    about it. `more` counts those that are left out. `report` is the first of the run's reports.
    """

    decision: Decision
    causes: tuple[Cause, ...]
    more: int
    next: tuple[str, ...]
    rerun: str | None
    report: str | None

    @property
    def heading(self) -> str:
        return self.decision.capitalize()

    def lines(self) -> Iterator[str]:
        """The causes, each with its number of tests."""
        for cause in self.causes:
            yield cause.text + (f" ({counted(cause.tests, 'test')})" if cause.tests else "")
        if self.more:
            yield f"and {counted(self.more, 'other cause')}"

    def row(self) -> dict[str, Any]:
        return {
            "decision": self.decision.replace(" ", "_"),
            "causes": [{"text": cause.text, "tests": cause.tests} for cause in self.causes],
            "more": self.more,
            "next": list(self.next),
            "rerun": self.rerun,
            "report": self.report,
        }


def answer_of(facts: RunFacts) -> Answer | None:
    """The answer of a run; None if it used no models, or judged nothing on purpose.

    It never contradicts the exit code: "merge" only if that is 0, and then never "do not merge".
    """
    if facts.settings.calibrating or not (facts.rows or facts.cut_off):
        return None
    rows = list(facts.rows.values())
    numbers = counts(facts.rows)
    causes = list(_causes(rows, facts))
    worst = worst_first(rows)[0] if _any_failed(rows) else None
    failed = worst is not None and "failed" in worst["phases"].values()
    return Answer(
        decision=_decision(facts, rows, numbers),
        causes=tuple(causes[:CAUSES]),
        more=len(causes[CAUSES:]),
        next=tuple(advice(rows, numbers)),
        # What the settings let through failed nobody, and is no reason to run it again.
        rerun=rerun_of(worst, facts) if worst is not None and failed else None,
        report=_report(facts),
    )


def _decision(facts: RunFacts, rows: Sequence[Row], numbers: Mapping[str, int]) -> Decision:
    if facts.exit_code == PASSED:
        judged = numbers["passed"] or numbers["inconclusive"]
        # What a suite skips as not judged is no pass where its language was asked for.
        lacking = numbers["not judged"] and facts.settings.languages is not None
        red = any(numbers[kind] for kind in RED)
        unlike = bool(_unlike(facts))
        return "merge" if judged and not (lacking or red or unlike) else "undecided"
    if numbers["regressed"] or numbers["failed"]:
        return "do not merge"
    return "do not merge" if facts.failed_besides and not _any_failed(rows) else "undecided"


def _any_failed(rows: Iterable[Row]) -> bool:
    return any("failed" in row["phases"].values() for row in rows)


def _causes(rows: Sequence[dict[str, Any]], facts: RunFacts) -> Iterator[Cause]:
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(kind_of(row), []).append(row)
    green = facts.exit_code == PASSED
    yield from _broken(kinds.get("regressed", ()))
    for kind, text in (
        ("failed", "an assertion of the test's own failed"),
        ("error", "there is no result because of an error"),
    ):
        if found := kinds.get(kind):
            yield _of(found, _because(text, (found[0]["message"] or "").partition("\n")[0]))
    if all_same(rows):
        yield Cause(text="every reply equals the base's: the tuned model changes nothing", tests=0)
    if found := kinds.get("inconclusive"):
        let = ""
        if green:
            let = f", let through by llmdiff_inconclusive = {facts.settings.inconclusive}"
        yield _of(found, f"inconclusive: too few probes to decide{let}")
    if found := kinds.get("not judged"):
        yield _of(found, _because("not judged", _unjudged(found)))
    for name, unlike in _unlike(facts).items() if green else ():
        yield _of(unlike, _short(f"{name} has no result where another model has one"))
    unchecked = [row for row in kinds.get("skipped", ()) if "--llm" in (row["skipped"] or "")]
    if green and unchecked:  # an option would let them be checked
        yield _of(unchecked, _because("not checked", unchecked[0]["skipped"]))
    if green and facts.part:
        yield Cause(text=_short(f"only some of the tests ran: {facts.part}"), tests=0)
    broken = [row for kind in ("passed", "skipped") for row in kinds.get(kind, ())
              if any(v["outcome"] == "regressed" for v in row["verdicts"])]  # fmt: skip
    if broken:
        yield _of(broken, "a limit is broken, and the test passes or may fail")
    yield from _besides(facts)
    if facts.exit_code in ENDS:
        yield Cause(text=ENDS[facts.exit_code], tests=0)
    elif not green and not (_any_failed(rows) or [*_besides(facts)]):
        end = f"exit code {facts.exit_code}, and no test with models is the reason"
        yield Cause(text=end, tests=0)
    if green and kinds.keys() & set(RED):
        yield Cause(text="exit code 0, although tests failed", tests=0)
    if green and not kinds.keys() - {"skipped", "not judged"}:
        yield Cause(text="nothing was judged", tests=0)


def _unlike(facts: RunFacts) -> dict[str, list[Row]]:
    """By name, what one of several models skipped, or could not be judged in, and another did."""
    if not facts.models:
        return {}
    from pytest_llmdiff.reports.diff.models import unlike_others

    return unlike_others(facts)


def _of(rows: Sequence[Row], text: str, **about: str) -> Cause:
    tests = tuple(dict.fromkeys(row["test"] for row in rows))
    return Cause(text=text, tests=len(tests), of=tests, **about)


def _besides(facts: RunFacts) -> Iterator[Cause]:
    """What made the run fail besides the tests with models."""
    for names, what in (
        (facts.failed_besides, ", which uses no models, failed"),
        (facts.uncollected, " could not be collected"),
    ):
        if names:
            more = f", and {len(names) - 1} more" if names[1:] else ""
            yield Cause(text=_short(f"{names[0]}{what}{more}"), tests=0)
    if facts.unwritten:
        yield Cause(text=f"not written: {', '.join(sorted(facts.unwritten))}", tests=0)


def _broken(broken_rows: Iterable[dict[str, Any]]) -> Iterator[Cause]:
    """The limits that were broken, by what is wrong, in the order of the advice on them.

    What is wrong with the wiring comes first.
    """
    found: dict[str, list[Broken]] = {}
    for broken in broken_verdicts(broken_rows):
        found.setdefault(_wrong(broken.verdict), []).append(broken)
    for wrong, held in sorted(found.items(), key=lambda item: _place(item[0])):
        verdicts = [broken.verdict for broken in held]
        verdict = verdicts[0]
        problems = verdict["details"].get("problems") or [brief_of(verdict)]
        text = problems[0] if wrong == WIRING else f"{wrong}: {problems[0]}"
        rows, remedy = [broken.row for broken in held], remedy_of(verdicts)
        yield _of(rows, _short(text), measure=verdict["name"], remedy=remedy)


def _place(wrong: str) -> int:
    if wrong == WIRING:
        return -1
    return DIAGNOSES.index(wrong) if wrong in DIAGNOSES else len(DIAGNOSES)


def _wrong(verdict: Row) -> str:
    if verdict["name"].startswith(WIRING):
        return WIRING
    if verdict["bound"] == "at_least" and verdict["name"].startswith(CHANGES):
        return "less changed than was wanted"
    if verdict["bound"] == "at_least":
        return f"{printable(verdict['name'])} is too low"
    return diagnosis_of(verdict["name"]) or f"{printable(verdict['name'])} broke its limit"


def _because(text: str, reason: str | None) -> str:
    return _short(f"{text}: {reason}" if reason else text)


def _short(text: str) -> str:
    return shortened(printable(text), WIDTH)


def _unjudged(rows: Iterable[Row]) -> str | None:
    """Why the first of the tests could not be judged."""
    reasons = (v["unsupported"] for row in rows for v in row["verdicts"])
    first = next(filter(None, reasons), None)
    return None if first is None else str(first).removeprefix("not judged: ")


def _report(facts: RunFacts) -> str | None:
    """The first report that the run writes, from the folder in which it was started."""
    settings = facts.settings
    paths = (getattr(settings, n) for n in ("html", "markdown", "json") if n not in facts.unwritten)
    path = next(filter(None, paths), None)
    if path is None:
        return None
    inside = path.is_relative_to(settings.folder)
    return str(path.relative_to(settings.folder) if inside else path)
