"""Where a change was learnt: in which training examples, and in which parts of an adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of an adapter: a layer ("18"), a kind of module ("q_proj"), or a module by itself.

    `alone` is the share of the change that is there where this part alone is switched on: 1 where
    that is all of it, below 0 where the part leads elsewhere. Parts work together, so that their
    shares need not add up to 1.
    """

    name: str
    alone: float


@dataclass(frozen=True, kw_only=True)
class Carriers:
    """Which parts of an adapter carry the change of some replies.

    `change` is KL(tuned‖base) in nats, the mean over the `tokens` of the tuned replies; what is
    left of it with some parts on is KL(tuned‖those parts). Parts are in the order of their shares;
    there are none where nothing changed. `fewest` are the first layers that have at least four
    fifths of the change together, and `kept` is the share that they have.
    """

    change: float
    tokens: int
    layers: tuple[Part, ...]
    kinds: tuple[Part, ...]
    fewest: tuple[str, ...]
    kept: float
