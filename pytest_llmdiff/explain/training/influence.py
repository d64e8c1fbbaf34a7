"""Training examples by how much learning them makes a reply likelier: computed once, kept."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmdiff.data.comparison import Comparison, Side
from pytest_llmdiff.data.llamafactory.examples import Example
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.prompts import asked as last_asked
from pytest_llmdiff.data.training.log import read_checkpoints
from pytest_llmdiff.data.training.training import TrainData, Training
from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.engines.files.rendering import AnyRenderer, with_template
from pytest_llmdiff.engines.pair.first_differences import about, asked, reply_tokens
from pytest_llmdiff.engines.transformers.adapter import require_adapter
from pytest_llmdiff.errors import ConfigError, LLMDiffError, ProbeError
from pytest_llmdiff.explain.training.values import At, Influence, Influences
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.windows import Progress
from pytest_llmdiff.store import Store, content_key, store_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_llmdiff.engines.transformers.gradients import Places

Place = tuple[int, int]  # of an example: its data set, and its place in it
KEPT = 50  # examples of a result
# Tokens of an example or of prompt and reply: what a pass forward and backward holds grows with it.
LONGEST = 1024
PART = 32  # examples whose gradients are written together: what a killed run loses
KIND = "gradients"
LIMIT = 1 << 30  # bytes of all gradients that are kept, some 30,000 examples


class Near(Protocol):
    """Which examples have the nearest prompts: `Neighbours`."""

    def nearest(self, messages: Sequence[Message], count: int) -> list[Place]: ...


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """The examples of a training and what their gradients depend on besides the models."""

    data: TrainData
    training: Training
    store: Store
    near: Near
    progress: Progress

    @cached_property
    def content(self) -> list[Any]:
        """Plain JSON of data and template."""
        template = self.training.template
        return [
            None if template is None else template.content(),
            # One by one: the text of a large data set is not held in memory a second time.
            [
                [dataset.name, content_key([content_key(vars(e)) for e in dataset.examples])]
                for dataset in self.data.datasets
            ],
        ]

    @cached_property
    def known(self) -> list[Place]:
        """Data set and place in it of all examples that have an answer."""
        return [
            (d, e)
            for d, dataset in enumerate(self.data.datasets)
            for e, example in enumerate(dataset.examples)
            if example.answer and example.answer.strip()
        ]

    @cached_property
    def _by_prompt(self) -> dict[str, list[Place]]:
        found: dict[str, list[Place]] = {}
        for place in self.known:
            found.setdefault(self._prompt(place), []).append(place)
        return found

    def chosen(self, messages: Sequence[Message], count: int | None) -> list[Place]:
        """All of these, or those with the prompts that are nearest. Raises LLMDiffError where the
        nearest are not to be had."""
        if count is None or count >= len(self.known):
            return self.known
        near = self.near.nearest(messages, count)
        found = [same for place in near for same in self._by_prompt.get(self._prompt(place), ())]
        return found[:count]

    def _prompt(self, place: Place) -> str:
        return last_asked(self.example(place)[1].messages)

    def example(self, place: Place) -> tuple[str, Example]:
        dataset = self.data.datasets[place[0]]
        return dataset.name, dataset.examples[place[1]]

    def places(self, at: At) -> tuple[Places, Any]:
        """Where gradients are taken, and plain JSON of it.

        Raises:
            ConfigError: the training has left no checkpoints.
        """
        if at != "checkpoints":
            return [(at, 1.0)], at
        folder = self.training.folder
        found = [] if folder is None else read_checkpoints(folder)
        # At a rate of 0 nothing is learnt. Rates that were not logged are taken to be the same.
        rated = [(file, 1.0 if rate is None else rate) for file, rate in found if rate != 0]
        if not rated:
            raise ConfigError(
                "at='checkpoints': the training has left none beside its adapter (looked for "
                "checkpoint-*/adapter_model.safetensors); at='start' needs none"
            )
        return rated, [[self.store.file_hash(file), rate] for file, rate in rated]


def influences(
    generation: ReplyGenerator,
    comparison: Comparison,
    learnt: Callable[[], Learnt],
    *,
    reply: Side,
    examples: int | None,
    at: At,
) -> Influences:
    """The training examples that push most towards one of the replies.

    Raises:
        CapabilityError: the tuned model gives no gradients, or a recording has not recorded this.
        ConfigError: no training data is known, or no checkpoint is left.
        ProbeError: the reply has no tokens.
        ScorerError: the nearest examples were asked for, and cannot be had.
    """
    asked_for = [*about(comparison), {"reply": reply, "examples": examples, "at": at}]
    engine = generation.pair.tuned
    judging: _Judging | None = None
    if capability(engine, "recorded_check") is None:
        require_adapter(engine, "influences are gradients")
        judging = _Judging(learnt(), comparison.probe.messages, examples, at)

    def compute(engine: Any, todo: list[Any]) -> list[dict[str, Any]]:
        # A recording answers by itself.
        return [] if judging is None else [judging.judged(engine, each) for each in todo]

    also = None if judging is None else judging.content
    (found,) = generation.memo.get_all("influences", "tuned", [asked_for], compute, also=also)
    return Influences(
        examples=tuple(Influence(**each) for each in found["examples"]),
        **{name: found[name] for name in ("judged", "known", "unread", "median", "alike")},
        at=at,
    )


class _Judging:
    """The examples that are looked at for a prompt, and at which weights."""

    def __init__(
        self, learnt: Learnt, messages: Sequence[Message], examples: int | None, at: At
    ) -> None:
        self._learnt = learnt
        self._places, self._told = learnt.places(at)
        self._chosen = learnt.chosen(messages, examples)
        self.content = content_key([learnt.content, self._told, self._chosen])

    def judged(self, engine: Any, asked_for: list[Any]) -> dict[str, Any]:
        """Plain JSON of `Influences`."""
        *compared, options = asked_for
        gradients = _Gradients(engine, self._learnt.store, self._places, self._told)
        (own,) = gradients.of([_asked_reply(engine, compared, options["reply"])])
        read = dict(_rendered(engine, self._learnt, self._chosen))
        scores, dots = [], []
        for other in self._each(gradients, list(read.values())):
            scores.append(float(own.unit @ other.unit))
            dots.append(scores[-1] * own.norm * other.norm)
        places = list(read)
        order = sorted(range(len(scores)), key=lambda at: -scores[at])
        first = max(scores, default=0.0)
        return {
            "examples": [self._told_of(places[at], scores[at], dots[at]) for at in order[:KEPT]],
            "judged": len(scores),
            "known": len(self._learnt.known),
            "unread": len(self._chosen) - len(scores),
            "median": statistics.median(scores) if scores else 0.0,
            "alike": sum(score >= first / 2 for score in scores) if first > 0 else 0,
        }

    def _each(self, gradients: _Gradients, items: Sequence[Continuation]) -> Iterator[_Gradient]:
        """A part at a time, so that memory does not grow with the examples."""
        if not items:
            return
        progress = self._learnt.progress
        progress.start("gradients of training examples", len(items))
        for start in range(0, len(items), PART):
            found = gradients.of(items[start : start + PART])
            yield from found
            progress.advance(len(found))
        progress.finish()

    def _told_of(self, place: Place, score: float, dot: float) -> dict[str, Any]:
        dataset, example = self._learnt.example(place)
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
        raise ProbeError(f"the {reply} reply has no tokens within {LONGEST} of the prompt's first")
    return Continuation(prompt_ids=tuple(prompt), reply_ids=tuple(ids))


def _rendered(
    engine: Any, learnt: Learnt, chosen: Sequence[Place]
) -> Iterator[tuple[Place, Continuation]]:
    """The examples as the training read them, but for those that it cannot have read."""
    template = learnt.training.template
    renderer: AnyRenderer = engine.renderer
    if template is not None:
        renderer = with_template(renderer, template)
    rows = engine.embedding_rows()
    for place in chosen:
        _, example = learnt.example(place)
        answer = Message(role="assistant", content=str(example.answer))
        try:
            prompt, ids = renderer.answered((*example.messages, answer))
        except LLMDiffError:
            continue
        if prompt and ids and len(prompt) + len(ids) <= LONGEST and max(*prompt, *ids) < rows:
            yield place, Continuation(prompt_ids=tuple(prompt), reply_ids=tuple(ids))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Gradient:
    """A gradient as a sketch of length 1, and its norm."""

    unit: NDArray[Any]
    norm: float


class _Gradients:
    """Gradients by content, kept in the store as far as there is room: a second probe asks for
    those of the same examples."""

    def __init__(self, engine: Any, store: Store, places: Places, told: Any) -> None:
        self._engine = engine
        self._store = store
        self._places = places
        self._told = told
        self._kind = f"{KIND} {engine.fingerprint()}"

    def of(self, items: Sequence[Continuation]) -> list[_Gradient]:
        keys = [
            store_key(KIND, self._told, list(item.prompt_ids), list(item.reply_ids))
            for item in items
        ]
        rows = self._store.blobs(self._kind, keys)
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in rows}
        if missing:
            found = self._engine.reply_gradients(list(missing.values()), self._places)
            fresh = {key: _packed(each) for key, each in zip(missing, found, strict=True)}
            self._store.put_blobs(self._kind, fresh, limit=LIMIT)
            rows |= fresh
        return [_unpacked(rows[key]) for key in keys]


def _packed(sketch: Any) -> bytes:
    """The norm in four bytes, then the numbers of the unit vector in two each."""
    import numpy as np

    values = sketch.numpy()
    norm = float(np.linalg.norm(values))
    unit = values / norm if norm > 0 else values
    return bytes(np.float32(norm).tobytes() + unit.astype(np.float16).tobytes())


def _unpacked(row: bytes) -> _Gradient:
    import numpy as np

    unit = np.frombuffer(row, np.float16, offset=4).astype(np.float32)
    return _Gradient(unit=unit, norm=float(np.frombuffer(row[:4], np.float32)[0]))
