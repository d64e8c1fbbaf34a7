"""Ranks chat templates by how likely they make known answers, to find that of a training."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# Successive halving (Karnin, Koren & Somekh 2013): all candidates on a few examples, the best of
# them on more. Each entry has the number of examples so far, and of the candidates that go on.
ROUNDS = ((2, 16), (6, 6), (24, 0))
# A candidate is distinguished from the best one if they differ by more standard errors than this,
# paired by example. Two would be too few, since about sixty candidates are compared with the best.
STANDARD_ERRORS = 3.0
FEWEST = 8  # examples; with fewer, the standard error itself is a guess
LEARNT = 0.1  # nats per token; with a smaller gain over the base, the answers were not learnt

Scores = Mapping[int, Sequence[float]]
Measure = Callable[[Sequence[int], Sequence[int]], Scores]


@dataclass(frozen=True, kw_only=True)
class TemplateLikelihood:
    """How likely the tuned model finds the recorded answers under one template.

    `nll` is the mean negative log-likelihood of the plain answers in nats per token, over
    `examples` of them. `behind` is the mean difference to the best candidate and `error` its
    standard error, both on the examples that the two share. `told_apart` says that the template is
    significantly worse, or was eliminated early. `names` has LLaMA-Factory's templates,
    `of_models` those that come with the models.
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

    `unknown` says why the ranking is inconclusive, or is None. `gain` is by how much likelier the
    answers are under the tuned model than under the base (nats per token), with the likeliest
    template.
    """

    candidates: tuple[TemplateLikelihood, ...]
    examples: int
    gain: float
    unknown: str | None

    @property
    def tied(self) -> tuple[TemplateLikelihood, ...]:
        """The likeliest template, and those that cannot be distinguished from it."""
        return tuple(c for c in self.candidates if not c.told_apart)

    @property
    def likely(self) -> TemplateLikelihood:
        """The likeliest template that has a name in LLaMA-Factory, or else the likeliest one."""
        return next((c for c in self.tied if c.names), self.candidates[0])

    @property
    def margin(self) -> float:
        """The distance (nats per token) to the next template that is distinguished, or infinity."""
        return next((c.behind for c in self.candidates if c.told_apart), math.inf)


def halve(
    candidates: int, examples: int, measure: Measure, keep: int | None
) -> dict[int, list[float]]:
    """Scores by candidate, lower is better; candidates that are eliminated early have fewer.

    `measure(candidates, examples)` returns for each candidate a list with a score per example. The
    candidate `keep` is never eliminated.
    """
    scores: dict[int, list[float]] = {index: [] for index in range(candidates)}
    going, done = list(scores), 0
    for until, left in ROUNDS:
        chosen = range(done, min(until, examples))
        if not chosen or len(going) < 1:
            break
        for index, values in measure(going, chosen).items():
            scores[index] += values
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
    """Candidates, best first; eliminated ones come after all that have more scores."""
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
    """One line: the likeliest template, those not distinguished from it, the margin to the next."""
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
