"""Training examples that explain a reply, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    pass


LeakKind = Literal["same", "near-same"]


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A training example that has a probe's prompt; `more` others have it too.

    `number` counts the records of its data set from 1. `kind` is "same" up to case, spaces and
    punctuation, or "near-same".
    """

    dataset: str
    number: int
    prompt: str
    kind: LeakKind
    more: int = 0


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A training example near to a probe in meaning.

    `number` counts the records of its data set from 1. `answer` is None where training has none
    that it should learn. `similarity` is the cosine of the two prompts' embeddings, -1 to 1.
    `leak` says whether the prompts are the same as texts.
    """

    dataset: str
    number: int
    prompt: str
    answer: str | None
    similarity: float
    leak: LeakKind | None = None


# Scores of the example that pushes most, measured on adapters that were trained well and badly
# (docs/training-data.md): 0.64 and more where the data taught the reply, 0.25 and less where it did
# not. Between these two bounds nothing is said.
NOTHING = 0.3
PUSHES = 0.5
FEW, MOST = 1 / 4, 1 / 2  # shares of the examples that push alike
ENOUGH = 8  # examples from which on a share of them says something

# Where gradients are taken: where the update of the adapter is zero, with its weights as they are,
# or at the checkpoints that the training left.
At = Literal["start", "final", "checkpoints"]
Pattern = Literal["few", "most", "none"]
AT: tuple[At, ...] = ("start", "final", "checkpoints")


@dataclass(frozen=True, kw_only=True)
class Influence:
    """How much learning a training example makes a reply likelier.

    `number` counts the records of its data set from 1. `score` is the cosine of the two loss
    gradients, -1 to 1; `dot` their product, which a long or odd example makes large whatever the
    reply is.
    """

    dataset: str
    number: int
    prompt: str
    answer: str
    score: float
    dot: float


@dataclass(frozen=True, kw_only=True)
class Influences:
    """The training examples that push most towards a reply, the highest score first.

    `judged` of the `known` examples that have an answer were looked at; `unread` could not be, for
    their length or by the template. `median` is the median score of the judged ones, and `alike` of
    them push at least half as much as the first: few where a few examples taught the reply, most
    where all data did. `at` says where the gradients were taken.
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
        """Whether `few` or `most` examples push towards the reply, or `none`; None where that is
        not clear, and for gradients that were not taken at the start."""
        if self.judged < ENOUGH or self.at != "start":
            return None
        first = self.examples[0].score
        if first < NOTHING:
            return "none"
        if first < PUSHES or FEW * self.judged < self.alike < MOST * self.judged:
            return None
        return "few" if self.alike <= FEW * self.judged else "most"
