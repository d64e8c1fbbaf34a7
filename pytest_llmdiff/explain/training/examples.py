"""The examples of a training, and the weights at which their gradients are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmdiff.data.files.hashes import file_hash
from pytest_llmdiff.data.llamafactory.examples import Example
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.prompts import asked as last_asked
from pytest_llmdiff.data.training.log import read_checkpoints
from pytest_llmdiff.data.training.training import TrainData, Training
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.explain.training.values import At
from pytest_llmdiff.generation.windows import Progress
from pytest_llmdiff.store import Store, content_key

if TYPE_CHECKING:
    from pytest_llmdiff.engines.transformers.gradients import Places

Place = tuple[int, int]  # of an example: its data set, and its index in it


class Near(Protocol):
    """Finds the examples with the nearest prompts: `Neighbours`."""

    def nearest(self, messages: Sequence[Message], count: int) -> list[Place]: ...


@dataclass(frozen=True, kw_only=True)
class TrainingExamples:
    """The examples of a training, and all else that their gradients depend on but the models."""

    data: TrainData
    training: Training
    store: Store
    near: Near
    progress: Progress

    @cached_property
    def content(self) -> list[Any]:
        """Data and template as plain JSON, for a key."""
        template = self.training.template
        return [
            None if template is None else template.content(),
            # One by one, so that memory does not hold the text of a large data set twice.
            [
                [dataset.name, content_key([content_key(vars(e)) for e in dataset.examples])]
                for dataset in self.data.datasets
            ],
        ]

    @cached_property
    def known(self) -> list[Place]:
        """All examples that have an answer."""
        return [
            (d, e)
            for d, dataset in enumerate(self.data.datasets)
            for e, example in enumerate(dataset.examples)
            if example.answer and example.answer.strip()
        ]

    @cached_property
    def _by_prompt(self) -> dict[str, list[Place]]:
        places: dict[str, list[Place]] = {}
        for place in self.known:
            places.setdefault(self._prompt(place), []).append(place)
        return places

    def chosen(self, messages: Sequence[Message], count: int | None) -> list[Place]:
        """The `count` examples with the nearest prompts, or all of them.

        Raises:
            LLMDiffError: the nearest ones are unavailable.
        """
        if count is None or count >= len(self.known):
            return self.known
        near = self.near.nearest(messages, count)
        places = [same for place in near for same in self._by_prompt.get(self._prompt(place), ())]
        return places[:count]

    def _prompt(self, place: Place) -> str:
        return last_asked(self.example(place)[1].messages)

    def example(self, place: Place) -> tuple[str, Example]:
        """An example, with the name of its data set."""
        dataset = self.data.datasets[place[0]]
        return dataset.name, dataset.examples[place[1]]

    def weights(self, at: At) -> tuple[Places, Any]:
        """The weights at which gradients are computed, and plain JSON of them, for a key.

        Raises:
            ConfigError: the training left no checkpoints.
        """
        if at != "checkpoints":
            return [(at, 1.0)], at
        folder = self.training.folder
        checkpoints = [] if folder is None else read_checkpoints(folder)
        # A rate of 0 learns nothing. Rates that were not logged count as equal.
        rated = [(file, 1.0 if rate is None else rate) for file, rate in checkpoints if rate != 0]
        if not rated:
            raise ConfigError(
                "at='checkpoints': the training left no checkpoints beside its adapter (expected "
                "checkpoint-*/adapter_model.safetensors); at='start' needs none"
            )
        return rated, [[file_hash(self.store, file), rate] for file, rate in rated]
