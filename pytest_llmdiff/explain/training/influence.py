"""Training examples ranked by how much learning them makes a reply likelier."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pytest_llmdiff.data.comparison import Comparison, Side
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.prompts import asked as last_asked
from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.engines.files.rendering import AnyRenderer, with_template
from pytest_llmdiff.engines.pair.first_differences import about, asked, reply_tokens
from pytest_llmdiff.engines.transformers.adapters.health import require_adapter
from pytest_llmdiff.errors import LLMDiffError, ProbeError
from pytest_llmdiff.explain.training.examples import Place, TrainingExamples
from pytest_llmdiff.explain.training.gradients import Gradient, Gradients
from pytest_llmdiff.explain.training.values import At, Influence, Influences
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.store import content_key

KEPT = 50  # examples of a result
# Tokens of an example, or of prompt and reply: the memory of a pass forward and backward grows with
# them.
LONGEST = 1024
BATCH = 32  # examples whose gradients are written together: a killed run loses no more


def influences(
    generation: ReplyGenerator,
    comparison: Comparison,
    learnt: Callable[[], TrainingExamples],
    *,
    reply: Side,
    examples: int | None,
    at: At,
) -> Influences:
    """The training examples that push most towards one of the replies.

    Raises:
        CapabilityError: the tuned model gives no gradients, or a recording lacks the result.
        ConfigError: no training data is known, or there is no checkpoint.
        ProbeError: the reply has no tokens.
        ScorerError: the nearest examples were asked for, and are unavailable.
    """
    asked_for = [*about(comparison), {"reply": reply, "examples": examples, "at": at}]
    engine = generation.pair.tuned
    ranking: _Ranking | None = None
    if capability(engine, "recorded_check") is None:
        require_adapter(engine, "influences are gradients")
        ranking = _Ranking(learnt(), comparison.probe.messages, examples, at)

    def compute(engine: Any, todo: list[Any]) -> list[dict[str, Any]]:
        # A recording needs no ranking: it has the results.
        return [] if ranking is None else [ranking.ranked(engine, each) for each in todo]

    also = None if ranking is None else ranking.content
    (result,) = generation.memo.get_all("influences", "tuned", [asked_for], compute, also=also)
    return Influences(
        examples=tuple(Influence(**each) for each in result["examples"]),
        **{name: result[name] for name in ("judged", "known", "unread", "median", "alike")},
        at=at,
    )


class _Ranking:
    """Ranks the examples that were chosen for a prompt, at some weights."""

    def __init__(
        self, examples: TrainingExamples, messages: Sequence[Message], count: int | None, at: At
    ) -> None:
        self._examples = examples
        self._weights, self._key = examples.weights(at)
        self._chosen = examples.chosen(messages, count)
        self.content = content_key([examples.content, self._key, self._chosen])

    def ranked(self, engine: Any, asked_for: list[Any]) -> dict[str, Any]:
        """`Influences` as plain JSON."""
        *compared, options = asked_for
        gradients = Gradients(engine, self._examples.store, self._weights, self._key)
        (own,) = gradients.of([_asked_reply(engine, compared, options["reply"])])
        rendered = dict(_rendered(engine, self._examples, self._chosen))
        scores, dots = [], []
        for other in self._each(gradients, list(rendered.values())):
            scores.append(float(own.unit @ other.unit))
            dots.append(scores[-1] * own.norm * other.norm)
        places = list(rendered)
        order = sorted(range(len(scores)), key=lambda n: -scores[n])
        first = max(scores, default=0.0)
        return {
            "examples": [self._row(places[n], scores[n], dots[n]) for n in order[:KEPT]],
            "judged": len(scores),
            "known": len(self._examples.known),
            "unread": len(self._chosen) - len(scores),
            "median": statistics.median(scores) if scores else 0.0,
            "alike": sum(score >= first / 2 for score in scores) if first > 0 else 0,
        }

    def _each(self, gradients: Gradients, items: Sequence[Continuation]) -> Iterator[Gradient]:
        """The gradients, by batches, so that memory does not grow with the number of examples."""
        if not items:
            return
        progress = self._examples.progress
        progress.start("gradients of training examples", len(items))
        for start in range(0, len(items), BATCH):
            batch = gradients.of(items[start : start + BATCH])
            yield from batch
            progress.advance(len(batch))
        progress.finish()

    def _row(self, place: Place, score: float, dot: float) -> dict[str, Any]:
        dataset, example = self._examples.example(place)
        return {
            "dataset": dataset,
            "number": example.number,
            "prompt": last_asked(example.messages),
            "answer": example.answer,
            "score": score,
            "dot": dot,
        }


def _asked_reply(engine: Any, compared: list[Any], reply: Side) -> Continuation:
    messages, base, tuned = asked(compared)
    ours, theirs = reply_tokens(engine, base, tuned)
    prompt = engine.render(messages)
    ids = (ours if reply == "base" else theirs)[: max(0, LONGEST - len(prompt))]
    if not ids:
        raise ProbeError(
            f"the {reply} reply has no tokens among the first {LONGEST} of prompt and reply"
        )
    return Continuation(prompt_ids=tuple(prompt), reply_ids=tuple(ids))


def _rendered(
    engine: Any, examples: TrainingExamples, chosen: Sequence[Place]
) -> Iterator[tuple[Place, Continuation]]:
    """The examples as the training read them, without those that it cannot have read."""
    template = examples.training.template
    renderer: AnyRenderer = engine.renderer
    if template is not None:
        renderer = with_template(renderer, template)
    rows = engine.embedding_rows()
    for place in chosen:
        _, example = examples.example(place)
        answer = Message(role="assistant", content=str(example.answer))
        try:
            prompt, ids = renderer.answered((*example.messages, answer))
        except LLMDiffError:
            continue
        if prompt and ids and len(prompt) + len(ids) <= LONGEST and max(*prompt, *ids) < rows:
            yield place, Continuation(prompt_ids=tuple(prompt), reply_ids=tuple(ids))
