"""The training examples nearest to a probe, and whether the probe is one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pytest_llmdiff.data.llamafactory.examples import Example
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.prompts import asked, likeness, normalised
from pytest_llmdiff.data.training.training import TrainData
from pytest_llmdiff.errors import LLMDiffError, ScorerError
from pytest_llmdiff.explain.training.values import Leak, Nearest, Neighbour
from pytest_llmdiff.generation.embeddings import Vectors
from pytest_llmdiff.generation.windows import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN = 3  # examples of one failure
CANDIDATES = 20  # examples nearest in meaning, whose texts are compared with the probe's
BLOCK = 4096  # rows that are converted from float16 at a time


class _Place(NamedTuple):
    """An example by the index of its data set, and its index in it."""

    dataset: int
    example: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """The distinct prompts of each data set that the embedder could read, with their vectors."""

    places: Sequence[_Place]
    rows: NDArray[Any]
    unread: str


class Embeds(Protocol):
    """Embeds texts: the `Scoring` of the run."""

    def vectors(self, texts: Sequence[str], *, progress: Progress | None = None) -> Vectors: ...


class Neighbours:
    """Searches the training data for probes, by the last user turn. `same` needs no embedder."""

    def __init__(self, data: TrainData, embeds: Embeds, progress: Progress | None = None) -> None:
        self._datasets = data.datasets
        self._embeds = embeds
        self._progress = progress
        self._table: _Table | str | None = None  # a text says why there is none

    def same(self, messages: Sequence[Message]) -> Leak | None:
        """The first example with the prompt of a conversation."""
        places = self._by_text.get(normalised(asked(messages)))
        if places is None:
            return None
        dataset, example = self._example(places[0])
        return Leak(
            dataset=dataset,
            number=example.number,
            prompt=asked(example.messages),
            kind="same",
            more=len(places) - 1,
        )

    def explain(self, messages: Sequence[Message]) -> Nearest:
        """The nearest examples, the leak, and what could not be read. Never raises."""
        leak = self.same(messages)
        try:
            return self._nearest(asked(messages), leak)
        except Exception as error:
            # The embedder may be the user's own and raise anything. The failure that is being
            # explained must not be lost over it.
            return Nearest(leak=leak, unavailable=_reason(error))

    def nearest(self, messages: Sequence[Message], count: int) -> list[tuple[int, int]]:
        """The examples with the nearest prompts, the nearest first; one for each prompt.

        Raises:
            LLMDiffError: the embedder fails, or it could read none of the prompts.
        """
        table = self._table_once()
        if not len(table.places):
            raise ScorerError(table.unread)
        order, _ = self._order(table, asked(messages), count)
        return [table.places[at] for at in order]

    def _order(self, table: _Table, prompt: str, count: int) -> tuple[list[int], list[float]]:
        """Rows of the nearest prompts, and their similarities. Raises ScorerError."""
        import numpy as np

        own = self._embeds.vectors([prompt])
        if (reason := own.unsupported[0]) is not None:
            raise ScorerError(f"the probe's prompt: {reason}")
        vector = own.rows[0].astype(np.float32)
        blocks = [
            table.rows[start : start + BLOCK].astype(np.float32) @ vector
            for start in range(0, len(table.rows), BLOCK)
        ]
        # Only the rounding of float16 takes them beyond 1.
        similarities = np.concatenate(blocks).clip(-1, 1)
        order = np.argsort(-similarities, kind="stable")[:count]
        return order.tolist(), similarities[order].tolist()

    def _nearest(self, prompt: str, leak: Leak | None) -> Nearest:
        table = self._table_once()
        if not len(table.places):
            return Nearest(leak=leak, unavailable=table.unread)
        order, similarities = self._order(table, prompt, CANDIDATES)
        text = normalised(prompt)
        examples = [
            self._neighbour(table.places[at], similarity, text)
            for at, similarity in zip(order, similarities, strict=True)
        ]
        # The same words come before the same meaning.
        examples.sort(key=lambda n: (n.leak is None, n.leak == "near-same"))
        first = examples[0]
        if leak is None and first.leak is not None:
            leak = Leak(
                dataset=first.dataset,
                number=first.number,
                prompt=first.prompt,
                kind=first.leak,
                more=sum(n.leak is not None for n in examples) - 1,
            )
        return Nearest(examples=tuple(examples[:SHOWN]), leak=leak, unavailable=table.unread)

    def _table_once(self) -> _Table:
        if isinstance(self._table, str):
            raise ScorerError(self._table)
        if self._table is None:
            try:
                self._table = self._make_table()
            except Exception as error:
                # Other failing tests must not try again: it may have taken minutes to fail.
                self._table = _reason(error)
                raise
        return self._table

    def _make_table(self) -> _Table:
        import numpy as np

        places: list[_Place] = []
        parts: list[NDArray[Any]] = []
        reasons: Counter[str] = Counter()
        # One data set at a time: if one grows, the prompts of the others keep their rows in the
        # store.
        for d, dataset in enumerate(self._datasets):
            prompts: dict[str, _Place] = {}
            for e, example in enumerate(dataset.examples):
                prompts.setdefault(asked(example.messages), _Place(d, e))
            vectors = self._embeds.vectors(list(prompts), progress=self._progress)
            read = [reason is None for reason in vectors.unsupported]
            if any(read):
                places += compress(prompts.values(), read)
                parts.append(vectors.rows[read])
            reasons.update(reason for reason in vectors.unsupported if reason is not None)
        unread = ""
        if count := sum(reasons.values()):
            unread = (
                f"the embedder cannot read {count} of {count + len(places)} training prompts: "
                f"{reasons.most_common(1)[0][0]}"
            )
        rows = np.concatenate(parts) if parts else np.zeros((0, 0))
        return _Table(places=places, rows=rows, unread=unread)

    @cached_property
    def _by_text(self) -> dict[str, list[_Place]]:
        places: dict[str, list[_Place]] = {}
        for d, dataset in enumerate(self._datasets):
            for e, example in enumerate(dataset.examples):
                if text := normalised(asked(example.messages)):
                    places.setdefault(text, []).append(_Place(d, e))
        return places

    def _example(self, place: _Place) -> tuple[str, Example]:
        dataset = self._datasets[place.dataset]
        return dataset.name, dataset.examples[place.example]

    def _neighbour(self, place: _Place, similarity: float, text: str) -> Neighbour:
        dataset, example = self._example(place)
        prompt = asked(example.messages)
        return Neighbour(
            dataset=dataset,
            number=example.number,
            prompt=prompt,
            answer=example.answer,
            similarity=similarity,
            leak=likeness(text, normalised(prompt)),
        )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, LLMDiffError) else f"{type(error).__name__}: {error}"
