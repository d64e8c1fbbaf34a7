"""What is known of the tuned model's training, for explanations and for measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmdiff.config.settings import Settings
    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.data.training.template_source import TemplateSource
    from pytest_llmdiff.data.training.training import TrainData, Training
    from pytest_llmdiff.explain.training.examples import TrainingExamples
    from pytest_llmdiff.explain.training.neighbours import Neighbours
    from pytest_llmdiff.explain.training.recitation import Recitation
    from pytest_llmdiff.generation.scoring import Scoring
    from pytest_llmdiff.generation.windows import Progress
    from pytest_llmdiff.store import Store


class KnownTraining:
    """The traces that a training left, as far as there are any. Each is read on first use."""

    def __init__(
        self,
        settings: Settings,
        specs: tuple[Spec, Spec],
        scoring: Callable[[], Scoring],
        progress: Callable[[], Progress],
    ) -> None:
        self._settings = settings
        self._specs = specs
        self._scoring = scoring
        self._progress = progress
        self._learnt: TrainingExamples | None = None

    @cached_property
    def training(self) -> Training:
        """The settings and template of the tuned model's training, as far as they are known."""
        from pytest_llmdiff.data.training.training import find_training

        return find_training(self._specs[1], self._settings)

    @cached_property
    def train_data(self) -> TrainData:
        """The tuned model's training data, as far as it is known."""
        from pytest_llmdiff.data.training.training import find_train_data

        return find_train_data(self.training, self._settings)

    @cached_property
    def known_data(self) -> TrainData | None:
        """The training data; None if there is none, or if it was only guessed and is broken."""
        from pytest_llmdiff.errors import LLMDiffError

        if not self._settings.tells_of_training(self._specs[1].kind):
            return None
        try:
            data = self.train_data
        except (LLMDiffError, OSError, ValueError):
            # Broken traces of a training must not fail a test that does not need them.
            if self._settings.train_data is not None:
                raise
            return None
        return data if data.datasets else None

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """Searches the training data for probes, where it is known."""
        if self.known_data is None:
            return None
        from pytest_llmdiff.explain.training.neighbours import Neighbours

        return Neighbours(self.known_data, self._scoring(), self._progress())

    @cached_property
    def _recitation(self) -> Recitation | None:
        if self.known_data is None:
            return None
        from pytest_llmdiff.explain.training.recitation import Recitation

        return Recitation(self.known_data)

    def learnt(self, store: Store) -> TrainingExamples:
        """The training examples, for their gradients.

        Raises:
            ConfigError: no training data is known.
        """
        from pytest_llmdiff.errors import ConfigError
        from pytest_llmdiff.explain.training.examples import TrainingExamples

        if self.known_data is None or self.neighbours is None:
            raise ConfigError(
                "influence needs the training data, and none is known: give it with "
                "--llmdiff-train-data"
            )
        if self._learnt is None:
            self._learnt = TrainingExamples(
                data=self.known_data,
                training=self.training,
                store=store,
                near=self.neighbours,
                progress=self._progress(),
            )
        return self._learnt

    def markers(self) -> list[str]:
        """Special tokens and template marks in the files of both models."""
        from pytest_llmdiff.config.specs import fetch
        from pytest_llmdiff.data.training.markers import markers_of

        folders = [fetch(s) for s in self._specs if s.kind in ("adapter", "weights")]
        return sorted(set().union(*map(markers_of, folders)))

    def recited(self, asked: Sequence[Any]) -> list[dict[str, Any] | None]:
        """For each (messages, reply, text that it may repeat) the training answer it recites."""
        if self._recitation is None:
            return [None] * len(asked)
        found = [
            self._recitation.recited(messages, text, beside=beside)
            for messages, text, beside in asked
        ]
        return [None if recital is None else vars(recital) for recital in found]

    def template_source(self, text: str) -> TemplateSource:
        """The template that a test names."""
        from pytest_llmdiff.data.training.template_source import read_template

        return read_template(
            text, option=f"template={text!r}", folder=self._settings.folder,
            llamafactory=self._settings.llamafactory,
        )  # fmt: skip
