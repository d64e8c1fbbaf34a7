"""`--llmdiff-plan`: what a run would ask the models, and which effects its sets could detect."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from pytest_llmdiff.data.comparison import Side
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.data.text.printing import counted, duration
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.plugin.session import Session
from pytest_llmdiff.verdicts.baseline import Baseline
from pytest_llmdiff.verdicts.decisions import smallest_effect


def preview_lines(session: Session, sets: Mapping[str, Sequence[Probe]]) -> list[str]:
    """Lines for the summary; `sets` has the probes of each test over a whole set."""
    return [*_requests(session), *_effects(sets, session.allowed.baseline)]


def _requests(session: Session) -> Iterator[str]:
    yield f"plan: {counted(session.pair_run.generation.planned, 'request')} to each model"
    yield from _side(session, "base")
    for model in session.models:
        session.use(model)
        yield from _side(session, "tuned", f" ({model.name})")
    if not session.models:
        yield from _side(session, "tuned")


def _side(session: Session, side: Side, which: str = "") -> Iterator[str]:
    generation = session.pair_run.generation
    total, fresh = generation.planned, generation.windows.missing(side)
    text = f"  {side:<6}{which} {total - fresh} from the store, {fresh} to answer"
    yield text + (f", {_time(generation, side, fresh)}" if fresh else "")


def _time(generation: ReplyGenerator, side: Side, fresh: int) -> str:
    """How long the replies take, by the speed of an earlier run of this model or of the other."""
    other: Side = "tuned" if side == "base" else "base"
    for model, of in ((side, ""), (other, f" at the speed of the {other} model")):
        if (speed := generation.windows.speed(model)) is not None:
            return f"about {duration(speed * fresh)}{of}"
    return "in an unknown time: neither model has run with this store"


def _effects(sets: Mapping[str, Sequence[Probe]], baseline: Baseline | None) -> Iterator[str]:
    for test, probes in sets.items():
        questions = len({probe.question for probe in probes})
        yield f"  {test}: {counted(len(probes), 'probe')}, {counted(questions, 'question')}"
        measured = {} if baseline is None else baseline.tests.get(test, {})
        known = False
        for name, noise in measured.items():
            if noise.spread is None or not noise.questions:
                continue
            known = True
            yield f"    {name}: {_detects(noise.spread, noise.questions)}"
        if not known:
            yield "    what it can detect is unknown without a baseline that has this test"


def _detects(spread: float, questions: int) -> str:
    if spread == 0:
        return "what it can detect is unknown: all values in the baseline are equal"
    effect = smallest_effect(spread, questions)
    if math.isinf(effect):
        few = "1 question is" if questions == 1 else f"{questions} questions are"
        return f"{few} too few to detect any rise"
    return f"detects a rise of {effect:.2g} (with a power of 80 %)"
