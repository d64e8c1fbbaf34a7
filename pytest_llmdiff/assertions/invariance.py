"""The helper of robustness: two forms of a prompt, and how differently each model takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, overload

from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.judgement import Question, members_of, settle
from pytest_llmdiff.metrics.invariance import Invariance, flip_gained, flip_lost
from pytest_llmdiff.sets import Comparisons
from pytest_llmdiff.views import View

# The difference of two distances, each about 1 for unrelated replies.
LOSS = View(support=(-2.0, 2.0), unseen=(-1.0, 1.0))
FLIP_GAINED = View(support=(0.0, 1.0), of=flip_gained)
FLIP_LOST = View(support=(0.0, 1.0), of=flip_lost)

Pair = tuple[Comparison, Comparison]
Subject = Comparison | Iterable[Comparison] | Iterable[Pair]


def assert_invariant(
    original: Subject,
    perturbed: Comparison | None = None,
    *,
    at_most: float | None = None,
    flips_at_most: float | None = None,
    scorer: object | None = None,
) -> None:
    """A changed form of a prompt changes the tuned reply no more than the base's, up to a limit.

    Args:
        original: the comparison of the prompt as it was; or a set: pairs (original, perturbed), or
            comparisons of which those with one `cluster` stand together, the original first.
        perturbed: the comparison of the changed form, unless a set is given.
        at_most: by how much the cosine distance of the tuned model's two replies may exceed that of
            the base's, -2 to 2; of a set, by how much on average.
        flips_at_most: of a set, the largest share of pairs of which the tuned model refuses one
            form only while the base treats both alike; of a pair, 0 for none.
        scorer: another embedder than the run's, as in `--llmdiff-embedder` or an object.

    Raises:
        AssertionError: a limit is broken, none is given, a reply cannot be judged, or the set is
            too small to tell.
        ConfigError: a prompt has no original, or an original no changed form.
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
    """The question for pairs of which the tuned model alone refuses one form only."""
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
    original: Subject, perturbed: Comparison | None = None, *, scorer: object | None = None
) -> Measurement | list[Measurement]:
    """By how much farther apart (cosine distance) the tuned replies to two forms of a prompt are
    than the base's, -2 to 2; `details` has both distances, and whether refusals flip."""
    subject, metric = paired(original, perturbed), Invariance(scorer=scorer)
    if isinstance(subject, Comparison):
        return metric.measure([subject])[0]
    return metric.measure(list(subject))


def paired(
    original: Subject, perturbed: Comparison | None = None
) -> Comparison | Iterable[Comparison]:
    """The comparison of the changed prompt, knowing its original; or a set of such.

    Raises:
        ConfigError: a set is given beside a comparison, or pairs cannot be told.
    """
    if isinstance(original, Comparison):
        return original if perturbed is None else _with_original(perturbed, original)
    if perturbed is not None:
        raise ConfigError(
            "the invariance helpers take two comparisons, or one set of pairs: (original, "
            "perturbed), or probes of one cluster, the original first"
        )
    if isinstance(original, Comparisons):
        return PairedComparisons(probes=original.probes, run=original.run, scope=original.scope)
    return _pairs_of(members_of(original))


@dataclass(frozen=True, kw_only=True)
class PairedComparisons(Comparisons):
    """The changed prompts of a test's probes, each knowing the first one of its cluster."""

    def __iter__(self) -> Iterator[Comparison]:
        return _pairs_of(super().__iter__())


def _with_original(perturbed: Comparison, original: Comparison) -> Comparison:
    # All changed forms of one prompt are one question.
    probe = replace(perturbed.probe, cluster=original.probe.question)
    return replace(perturbed, probe=probe, original=original)


def _pairs_of(members: Iterable[Any]) -> Iterator[Comparison]:
    """The changed prompts of a set with their originals, one cluster in memory at a time."""
    cluster, originals, forms = None, dict[Any, Comparison](), 0
    seen: set[str] = set()
    for member in members:
        if not isinstance(member, Comparison):
            yield _with_original(*_pair(member))
            continue
        if member.original is not None:
            yield member
            continue
        name = member.probe.cluster
        if name is None:
            raise ConfigError(
                f"{member.probe.id}: invariance is judged of prompts and their changed forms; give "
                "both the same cluster, the original first, or give pairs of comparisons"
            )
        # Repeats of a probe differ in their seed; each goes with that of the original.
        seed = member.probe.generation.get("seed")
        if name != cluster:
            _check_forms(cluster, forms)
            if name in seen:
                raise ConfigError(
                    f"{member.probe.id}: the prompts of cluster {name!r} do not stand together"
                )
            seen.add(name)
            cluster, originals, forms = name, {seed: member}, 0
        elif member.probe.messages == next(iter(originals.values())).probe.messages:
            originals[seed] = member
        else:
            forms += 1
            first = next(iter(originals.values()))
            yield _with_original(member, originals.get(seed, first))
    _check_forms(cluster, forms)


def _pair(member: object) -> Pair:
    if isinstance(member, (tuple, list)) and len(member) == 2:
        original, perturbed = member
        if isinstance(original, Comparison) and isinstance(perturbed, Comparison):
            return perturbed, original
    raise ConfigError(
        "a set of the invariance helpers has pairs of comparisons, (original, perturbed), or "
        f"comparisons, not {type(member).__name__}"
    )


def _check_forms(cluster: str | None, forms: int) -> None:
    if cluster is not None and not forms:
        raise ConfigError(f"cluster {cluster!r} has one prompt: there is no changed form of it")
