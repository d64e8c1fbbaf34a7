"""Training examples that explain a reply, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pytest_llmdiff.data.notebook import Displayed

LeakKind = Literal["same", "near-same"]


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A training example with a probe's prompt; `more` other examples have it too.

    `number` counts the records of its data set from 1. `kind` is "same" if the prompts are equal
    apart from case, spaces and punctuation, else "near-same".
    """

    dataset: str
    number: int
    prompt: str
    kind: LeakKind
    more: int = 0

    @property
    def row(self) -> dict[str, Any]:
        """Its part of the JSON report."""
        return {"dataset": self.dataset, "number": self.number, "kind": self.kind}


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A training example whose prompt is close in meaning to a probe's.

    `number` counts the records of its data set from 1. `answer` is None for an example without an
    answer to learn. `similarity` is the cosine of the two prompts' embeddings, -1 to 1. `leak` says
    whether the prompts are also the same as texts.
    """

    dataset: str
    number: int
    prompt: str
    answer: str | None
    similarity: float
    leak: LeakKind | None = None


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The training examples nearest to a probe, and the example with its prompt, if there is one.

    `unavailable` says why there are no examples, or which ones could not be read.
    """

    examples: tuple[Neighbour, ...] = ()
    leak: Leak | None = None
    unavailable: str = ""


# Scores of the example that pushes most, measured on adapters that were trained well and badly
# (docs/training-data.md): 0.64 and more where the data taught the reply, 0.25 and less where it did
# not. Between these two bounds no pattern is reported.
NOTHING = 0.3
PUSHES = 0.5
FEW, MOST = 1 / 4, 1 / 2  # shares of the examples that push alike
ENOUGH = 8  # examples from which on such a share means something

# The weights at which gradients are computed: with the adapter's update at zero, with its final
# weights, or at the checkpoints that the training left.
At = Literal["start", "final", "checkpoints"]
Pattern = Literal["few", "most", "none"]
AT: tuple[At, ...] = ("start", "final", "checkpoints")


@dataclass(frozen=True, kw_only=True)
class Influence:
    """How much learning a training example makes a reply likelier.

    `number` counts the records of its data set from 1. `score` is the cosine of the two loss
    gradients, -1 to 1; `dot` is their product, which a long or unusual example makes large whatever
    the reply is.
    """

    dataset: str
    number: int
    prompt: str
    answer: str
    score: float
    dot: float


@dataclass(frozen=True, kw_only=True)
class Influences(Displayed):
    """The training examples that push most towards a reply, the highest score first.

    Of the `known` examples with an answer, `judged` were scored; `unread` were too long, or the
    template could not render them. `median` is the median score. `alike` examples push at least
    half as much as the first: few where a few examples taught the reply, most where all data did.
    `at` says at which weights the gradients were computed.
    """

    examples: tuple[Influence, ...]
    judged: int
    known: int
    unread: int
    median: float
    alike: int
    at: At

    @property
    def pattern(self) -> Pattern | None:
        """Whether `few`, `most` or `none` of the examples push towards the reply; None where that
        is unclear, or the gradients were not computed at the start."""
        if self.judged < ENOUGH or self.at != "start":
            return None
        first = self.examples[0].score
        if first < NOTHING:
            return "none"
        if first < PUSHES or FEW * self.judged < self.alike < MOST * self.judged:
            return None
        return "few" if self.alike <= FEW * self.judged else "most"
