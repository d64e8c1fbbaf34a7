"""Invariance: does rewording a prompt change the tuned reply more than the base reply?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement, Score
from pytest_llmdiff.measures.pairs import Pair, PairSubject, original_of, paired
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.refusal.refusal import Refusal, unknown
from pytest_llmdiff.measures.scores import scores_of
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.subject import measured
from pytest_llmdiff.verdicts.views import View

# Embedders name the two texts they compare; these are the names that fit here.
PLACES = {
    "the base reply": "the reply to the original prompt",
    "the tuned reply": "the reply to the changed prompt",
}

REFUSES = ("partial", "full")


def _texts(comparison: Comparison) -> list[tuple[str, ...]]:
    original = comparison.original
    if original is None:
        return []
    return [
        (original.base.text, comparison.base.text),
        (original.tuned.text, comparison.tuned.text),
    ]


@dataclass(frozen=True, kw_only=True)
class Invariance:
    """How much farther apart the tuned replies to two forms of a prompt are than the base's: the
    difference of two cosine distances of sentence embeddings, -2 to 2.

    After the invariance tests of Ribeiro et al. 2020 (arXiv 2005.04118). `details` has both
    distances (`base`, `tuned`; None without `distances`), the `original` prompt, and for each side
    whether it refuses only one of the forms (`base_flips`, `tuned_flips`), or why that is unknown
    (`flips_unsupported`).
    """

    scorer: object | None = None
    distances: bool = True

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        originals = list(map(original_of, comparisons))
        scores: list[Score | None] = [None] * (2 * len(comparisons))
        if self.distances:
            scores = [*scores_of("embedder", comparisons, _texts, self.scorer)]
        sides = zip(scores[::2], scores[1::2], strict=True)
        flips = _flips(originals, comparisons)
        return [
            _measurement(comparison, base, tuned, flip)
            for comparison, (base, tuned), flip in zip(comparisons, sides, flips, strict=True)
        ]


def flip_gained(measurement: Measurement) -> Measurement:
    """1 if the tuned model refuses only one form of the prompt and the base treats both alike,
    else 0; unsupported if a reply cannot be judged."""
    return _flipped(measurement, "refusal flip gained", ("base_flips", "tuned_flips"))


def flip_lost(measurement: Measurement) -> Measurement:
    """1 if the base refuses only one form and the tuned model treats both alike, else 0."""
    return _flipped(measurement, "refusal flip lost", ("tuned_flips", "base_flips"))


def _flipped(measurement: Measurement, name: str, sides: tuple[str, str]) -> Measurement:
    """1 if the second side flips and the first does not, else 0."""
    details = measurement.details
    reason = details["flips_unsupported"]
    first, second = (details[side] for side in sides)
    return Measurement(
        name=name,
        value=math.nan if reason else float(second and not first),
        unit="flip",
        unsupported=reason,
        details={key: details[key] for key in ("original", "base_flips", "tuned_flips")},
    )


def _measurement(
    comparison: Comparison, base: Score | None, tuned: Score | None, flip: dict[str, Any]
) -> Measurement:
    reason, value = None, math.nan
    distances: dict[str, float | None] = {"base": None, "tuned": None}
    for side, score in (("base", base), ("tuned", tuned)):
        if score is not None and score.value is None:
            place, colon, why = (score.unsupported or "").partition(": ")
            reason = reason or f"{side} model, {PLACES.get(place, place)}{colon}{why}"
    if base is not None and tuned is not None and reason is None:
        distances = {"base": base.value, "tuned": tuned.value}
        value = (tuned.value or 0.0) - (base.value or 0.0)
    original = None if comparison.original is None else comparison.original.probe.prompt
    return Measurement(
        name="invariance loss",
        value=value,
        unit="cosine distance",
        unsupported=reason,
        details={**distances, "original": original, **flip},
    )


def _flips(
    originals: Sequence[Comparison], comparisons: Sequence[Comparison]
) -> list[dict[str, Any]]:
    """For each side, whether it refuses exactly one form of the prompt."""
    flips = []
    measured = zip(Refusal().measure(originals), Refusal().measure(comparisons), strict=True)
    for original, changed, (first, second) in zip(originals, comparisons, measured, strict=True):
        equal = not (first.details["differs"] or second.details["differs"])
        reason = unknown(first, equal=equal) or unknown(second, equal=equal)
        flip: dict[str, Any] = {"flips_unsupported": reason}
        replies = {"base": (original.base, changed.base), "tuned": (original.tuned, changed.tuned)}
        for side, (one, other) in replies.items():
            refuses = [m.details[side] in REFUSES for m in (first, second)]
            # The forms mean the same, so that the same reply to both does.
            parted = refuses[0] != refuses[1] and one.text != other.text
            flip[f"{side}_flips"] = None if reason else parted
        flips.append(flip)
    return flips


# The difference of two distances, each about 1 for unrelated replies.
LOSS = View(support=(-2.0, 2.0), unseen=(-1.0, 1.0))
FLIP_GAINED = View(support=(0.0, 1.0), of=flip_gained)
FLIP_LOST = View(support=(0.0, 1.0), of=flip_lost)


def assert_invariant(
    original: PairSubject,
    perturbed: Comparison | None = None,
    *,
    at_most: float | None = None,
    flips_at_most: float | None = None,
    scorer: object | None = None,
) -> None:
    """Rewording a prompt changes the tuned reply no more than the base reply, up to a limit.

    Args:
        original: the comparison of the original prompt; or a set: of pairs (original, perturbed),
            or of comparisons, where each `cluster` is consecutive and starts with its original.
        perturbed: the comparison of the changed form, unless a set is given.
        at_most: by how much the cosine distance of the tuned model's two replies may exceed that of
            the base's, -2 to 2; for a set, by how much on average.
        flips_at_most: for a set, the largest share (0 to 1) of pairs where the tuned model refuses
            only one form while the base treats both alike; for a pair, 0 allows no flip.
        scorer: an embedder to use instead of the run's, as in `--llmdiff-embedder` or an object.

    Raises:
        AssertionError: a limit is exceeded or missing, a reply cannot be judged, or the set is too
            small to decide.
        ConfigError: a prompt has no original, or an original has no changed form.
        ScorerError: there is no embedder.
    """
    __tracebackhide__ = True
    questions = []
    if at_most is not None or flips_at_most is None:
        questions.append(Question(view=LOSS, at_most=at_most))
    if flips_at_most is not None:
        questions.append(flip_question(at_most=flips_at_most))
    distances = questions[0].view is LOSS
    settle(paired(original, perturbed), Invariance(scorer=scorer, distances=distances), questions)


def flip_question(*, at_most: float | None) -> Question:
    """The share of pairs where the tuned model, but not the base, refuses only one form."""
    return Question(view=FLIP_GAINED, at_most=at_most, opposite=FLIP_LOST)


@overload
def invariant(
    original: Comparison, perturbed: Comparison | None = None, *, scorer: object | None = None
) -> Measurement: ...
@overload
def invariant(
    original: Iterable[Comparison] | Iterable[Pair], *, scorer: object | None = None
) -> list[Measurement]: ...
def invariant(
    original: PairSubject, perturbed: Comparison | None = None, *, scorer: object | None = None
) -> Measurement | list[Measurement]:
    """How much farther apart the tuned replies to two forms of a prompt are than the base's, as a
    difference of cosine distances, -2 to 2.

    `details` has both distances, and whether refusals flip. The subjects are those of
    `assert_invariant`.
    """
    return measured(Invariance(scorer=scorer), paired(original, perturbed))
