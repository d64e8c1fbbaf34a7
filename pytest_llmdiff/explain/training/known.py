"""What is known of the tuned model's training, for failures and for what measures ask of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmdiff.config.settings import Settings
    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.data.training.template_source import TemplateSource
    from pytest_llmdiff.data.training.training import TrainData, Training
    from pytest_llmdiff.explain.training.influence import Learnt
    from pytest_llmdiff.explain.training.neighbours import Neighbours
    from pytest_llmdiff.explain.training.recitation import Recitation
    from pytest_llmdiff.generation.scoring import Scoring
    from pytest_llmdiff.generation.windows import Progress
    from pytest_llmdiff.store import Store


class KnownTraining:
    """The traces that a training left, as far as they are there. Nothing is read before it is
    asked for."""

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
        self._learnt: Learnt | None = None

    @cached_property
    def training(self) -> Training:
        """What the tuned model was trained with, as far as that is known."""
        from pytest_llmdiff.data.training.training import find_training

        return find_training(self._specs[1], self._settings)

    @cached_property
    def train_data(self) -> TrainData:
        """What the tuned model was trained on, as far as that is known."""
        from pytest_llmdiff.data.training.training import find_train_data

        return find_train_data(self.training, self._settings)

    @cached_property
    def known_data(self) -> TrainData | None:
        """The training data, unless there is none or it could only be guessed and is broken."""
        from pytest_llmdiff.errors import LLMDiffError

        if not self._settings.tells_of_training(self._specs[1].kind):
            return None
        try:
            data = self.train_data
        except (LLMDiffError, OSError, ValueError):
            # Broken traces of a training are no reason to fail a test that asks nothing of them.
            if self._settings.train_data is not None:
                raise
            return None
        return data if data.datasets else None

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """Where probes are looked for in the training data, if that is known."""
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

    def learnt(self, store: Store) -> Learnt:
        """The training data as gradients are taken of it.

        Raises:
            ConfigError: there is none that is known.
        """
        from pytest_llmdiff.errors import ConfigError
        from pytest_llmdiff.explain.training.influence import Learnt

        if self.known_data is None or self.neighbours is None:
            raise ConfigError(
                "where a reply was learnt is looked for in the training data, and none is known: "
                "give it with --llmdiff-train-data"
            )
        if self._learnt is None:
            self._learnt = Learnt(
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
        """Of each (messages, reply, what may stand in it) the training answer that it recites."""
        if self._recitation is None:
            return [None] * len(asked)
        found = [
            self._recitation.recited(messages, text, beside=beside)
            for messages, text, beside in asked
        ]
        return [None if recital is None else vars(recital) for recital in found]

    def template_source(self, text: str) -> TemplateSource:
        """A template that a test names."""
        from pytest_llmdiff.data.training.template_source import read_template

        return read_template(
            text, option=f"template={text!r}", folder=self._settings.folder,
            llamafactory=self._settings.llamafactory,
        )  # fmt: skip
