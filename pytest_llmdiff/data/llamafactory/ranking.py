"""Which chat template a model was trained with, told from how likely it finds known answers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# Successive halving (Karnin, Koren & Somekh 2013): all candidates on a few examples, the best of
# them on more. Entries are examples so far and candidates that go on.
ROUNDS = ((2, 16), (6, 6), (24, 0))
# A candidate is told apart from the best one by so many standard errors of their differences
# paired by example: some sixty candidates are compared with it, so two would not do.
STANDARD_ERRORS = 3.0
# With fewer examples than this a standard error is itself a guess.
FEWEST = 8
# Gain over the base in nats per token below which the model has not learnt these answers.
LEARNT = 0.1

Scores = Mapping[int, Sequence[float]]
Measure = Callable[[Sequence[int], Sequence[int]], Scores]


@dataclass(frozen=True, kw_only=True)
class TemplateLikelihood:
    """How likely the tuned model finds the recorded answers under one template.

    `nll` is the mean negative log-likelihood in nats per token of the plain answers, over
    `examples` of them. `behind` is the mean difference to the best candidate and `error` its
    standard error, both on the examples that both were measured on. `told_apart` says that it is
    worse beyond doubt, or fell out on the way. `names` are LLaMA-Factory's, `of_models` come with
    the models.
    """

    names: tuple[str, ...]
    of_models: tuple[str, ...]
    nll: float
    examples: int
    behind: float
    error: float
    told_apart: bool

    @property
    def name(self) -> str:
        return ", ".join((*self.names, *self.of_models))


@dataclass(frozen=True, kw_only=True)
class TemplateRanking:
    """Candidates for the template of a training, likeliest first.

    `unknown` says why they do not tell it, or is None. `gain` is by how much likelier (nats per
    token) the tuned model finds the answers than the base does, under the likeliest template.
    """

    candidates: tuple[TemplateLikelihood, ...]
    examples: int
    gain: float
    unknown: str | None

    @property
    def tied(self) -> tuple[TemplateLikelihood, ...]:
        """The likeliest template and those that are not told apart from it."""
        return tuple(c for c in self.candidates if not c.told_apart)

    @property
    def likely(self) -> TemplateLikelihood:
        """The likeliest of those that have a name to train with, as far as there is one."""
        return next((c for c in self.tied if c.names), self.candidates[0])

    @property
    def margin(self) -> float:
        """Nats per token by which the next template that is told apart is behind, or infinity."""
        return next((c.behind for c in self.candidates if c.told_apart), math.inf)


def halve(
    candidates: int, examples: int, measure: Measure, keep: int | None
) -> dict[int, list[float]]:
    """Scores by candidate: `measure(candidates, examples)` gives lists of one per example.

    Lower is better. Those that fall out early have fewer scores. The candidate `keep` stays.
    """
    scores: dict[int, list[float]] = {index: [] for index in range(candidates)}
    going, done = list(scores), 0
    for until, left in ROUNDS:
        chosen = range(done, min(until, examples))
        if not chosen or len(going) < 1:
            break
        for index, found in measure(going, chosen).items():
            scores[index] += found
        done = chosen.stop
        if not left or done == examples:
            break
        going.sort(key=lambda index: statistics.fmean(scores[index]))
        best = going[:left]
        going = best if keep is None or keep in best else [*best, keep]
    return scores


@dataclass(frozen=True, kw_only=True)
class Rank:
    """A candidate's place: see `TemplateLikelihood`."""

    index: int
    nll: float
    behind: float
    error: float
    told_apart: bool


def rank(scores: Scores) -> list[Rank]:
    """Candidates best first; those that fell out come behind all that have more scores."""
    order = sorted(scores, key=lambda i: (-len(scores[i]), statistics.fmean(scores[i])))
    best = scores[order[0]]
    ranks = []
    for index in order:
        own = scores[index]
        differences = [a - b for a, b in zip(own, best, strict=False)]
        behind, error = statistics.fmean(differences), math.inf
        if len(differences) >= FEWEST:
            error = statistics.stdev(differences) / math.sqrt(len(differences))
        fell_out = FEWEST <= len(best) > len(own)
        ranks.append(
            Rank(
                index=index,
                nll=statistics.fmean(own),
                behind=behind,
                error=error,
                told_apart=fell_out or behind > STANDARD_ERRORS * error,
            )
        )
    return ranks


def likelihood_text(ranking: TemplateRanking) -> str:
    """One line: the likely template, those not told apart from it, and the margin to the next."""
    likely = ranking.likely
    text = f"{likely.name} ({likely.nll:.3f} nats per token over {likely.examples} examples"
    others = [c.name for c in ranking.tied if c is not likely]
    if others:
        text += f"; not told apart: {'; '.join(others)}"
    for candidate in ranking.candidates:
        if candidate.told_apart:
            text += f"; next: {candidate.name}, {candidate.behind:.3f} behind"
            break
    return text + ")"
