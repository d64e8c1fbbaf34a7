"""Parity: does the served model reply as the tuned one, apart from rounding?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from pytest_llmdiff.data.comparison import Comparison, Measurement, Run
from pytest_llmdiff.engines.pair import first_differences as pair_differences
from pytest_llmdiff.engines.pair.first_differences import FirstDifference, about, asked
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.models import Given, Model, probes_of
from pytest_llmdiff.measures.parity.causes import problems_of
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.raising import report
from pytest_llmdiff.measures.settle import settle, settle_problems
from pytest_llmdiff.measures.wiring.findings import Findings, findings_measurement
from pytest_llmdiff.verdicts.verdict import OWN, judge
from pytest_llmdiff.verdicts.views import View

if TYPE_CHECKING:
    from pytest_llmdiff.engines.pair.pair import Pair


class ParityRun(Run, Protocol):
    """A run whose base is the tuned model, and whose tuned model is the served one."""

    @property
    def generation(self) -> ReplyGenerator: ...


@dataclass(frozen=True, kw_only=True)
class Parity:
    """1 if the served reply differs from the tuned model's by more than rounding, else 0.

    `details`: `kind` is "same", "numeric" (at the first token that differs, the tuned model rated
    both within `tolerance` nats), "end" (one reply ends where the other goes on) or "real"; `at` is
    that token, from 0, and `margin` (nats) by how much the tuned model preferred its own.
    """

    tolerance: float | None = None

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if not comparisons:
            return []
        if comparisons[0].run is None:
            raise ConfigError("parity takes comparisons of llm_tuned and llm_served")
        generation = cast("ParityRun", comparisons[0].run).generation
        tolerance = rounding(generation.pair) if self.tolerance is None else self.tolerance
        return [
            _measurement(difference, tolerance)
            for difference in first_differences(generation, comparisons)
        ]


def rounding(pair: Pair) -> float:
    """The difference of two logits (nats) that rounding alone makes, on the noisier side."""
    checks = (s.loop_check for s in (pair.base, pair.tuned) if hasattr(s, "loop_check"))
    return max((check.tolerance for check in checks), default=0.0)


def _measurement(difference: FirstDifference, tolerance: float) -> Measurement:
    kind, problems = "same", []
    if difference.at is not None:
        kind = "end" if difference.end else "real"
        if difference.margin <= tolerance:
            kind = "numeric"
        else:
            problems = [
                f'token {difference.at + 1} is "{difference.other}" where the tuned model says '
                f'"{difference.own}", which it prefers by {difference.margin:.2g} nats; '
                f"rounding explains up to {tolerance:.2g}"
            ]
    return Measurement(
        name="parity",
        value=float(bool(problems)),
        unit="replies that differ",
        details={"kind": kind, "tolerance": tolerance, "problems": problems, **asdict(difference)},
    )


def kinds_note(measurements: Sequence[Measurement]) -> str:
    """How many served replies are the same, and how the others differ, in one line."""
    counts = Counter(m.details["kind"] for m in measurements)
    parts = [f"{counts['same']} of {len(measurements)} served replies are the same"]
    parts += [
        f"{counts[kind]} {text}"
        for kind, text in (
            ("numeric", "differ by rounding alone"),
            ("end", "end elsewhere"),
            ("real", "differ"),
        )
        if counts[kind]
    ]
    return ", ".join(parts)


DIFFERENT = View(support=(0.0, 1.0))


def assert_parity(
    llm_tuned: Model,
    llm_served: Model,
    prompts: Iterable[Given],
    *,
    at_most: float | None = None,
    tolerance: float | None = None,
) -> None:
    """The served model replies as the tuned one does, apart from rounding.

    Causes that explain differing replies are checked first: prompts that render to other tokens, an
    adapter that is not applied, and replies that end differently. Then the replies are compared.

    Args:
        llm_tuned: the tuned model, in an engine with logits.
        llm_served: the same model as it is served.
        prompts: texts, chat messages or probes that both models are asked.
        at_most: the largest share (0 to 1) of replies that may differ by more than rounding. By
            default none of the given prompts may.
        tolerance: logits that differ by no more than this (nats) count as equal. By default, the
            rounding noise that was measured for the models of this run.

    Raises:
        AssertionError: replies differ, or the set is too small to bound the share.
        CapabilityError: the tuned model's engine has no logits.
        ConfigError: the models are not llm_tuned and llm_served, or there is no prompt.
    """
    __tracebackhide__ = True
    question = None if at_most is None else Question(view=DIFFERENT, at_most=at_most, over=0)
    hold_parity(llm_tuned, llm_served, prompts, Parity(tolerance=tolerance), question)


def hold_parity(
    tuned: Model,
    served: Model,
    prompts: Iterable[Given],
    metric: Parity,
    question: Question | None,
) -> None:
    """Judges the replies by the question; without one, no reply may differ."""
    __tracebackhide__ = True
    comparisons = compared(tuned, served, prompts)
    measured = metric.measure(comparisons)
    findings = Findings(
        problems=tuple(problems_of(tuned, served, comparisons, measured)),
        notes=(kinds_note(measured),),
    )
    m = findings_measurement("serving", findings)
    report(served.run, None, judge(m, at_most=0, source=OWN))
    if question is None:
        settle_problems(comparisons, metric)
    else:
        settle(comparisons, metric, [question])


def parity(
    llm_tuned: Model,
    llm_served: Model,
    prompts: Iterable[Given],
    *,
    tolerance: float | None = None,
) -> list[Measurement]:
    """For each prompt, 1 if the served reply differs from the tuned model's by more than rounding,
    else 0.

    `details` has the kind of the difference, the token, and the margin in nats. The arguments are
    those of `assert_parity`.
    """
    return Parity(tolerance=tolerance).measure(compared(llm_tuned, llm_served, prompts))


def compared(tuned: Model, served: Model, prompts: Iterable[Given]) -> list[Comparison]:
    """The replies of both models, the tuned model's as `base`.

    Raises:
        ConfigError: the models are not llm_tuned and llm_served, or there is no prompt.
    """
    names = [getattr(model, "name", None) for model in (tuned, served)]
    if names != ["llm_tuned", "llm_served"]:
        raise ConfigError("parity takes the fixtures llm_tuned and llm_served")
    comparisons = served.run.comparer.compare(probes_of(prompts))
    if not comparisons:
        raise ConfigError("parity: give at least one prompt")
    return comparisons


def first_differences(
    generation: ReplyGenerator, comparisons: Sequence[Comparison]
) -> list[FirstDifference]:
    """Where the second reply of each comparison first differs from the first, by one pass of the
    first model.

    Raises:
        CapabilityError: its engine has no logits.
    """
    keys = [about(c) for c in comparisons]
    if not keys:
        return []
    device = generation.pair.resolved.get("device", "cpu")

    def compute(engine: Any, todo: list[Any]) -> list[dict[str, Any]]:
        differences = pair_differences.first_differences(engine, list(map(asked, todo)), device)
        return [asdict(difference) for difference in differences]

    # "parting" is what stores and recordings call it.
    values = generation.memo.get_all("parting", "base", keys, compute)
    return [FirstDifference(**value) for value in values]
