"""Pairs of prompts, each a prompt and a changed form of it: as two comparisons, or in a set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pytest_llmdiff.data.comparison import Comparison, Unanswered
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.subject import members_of
from pytest_llmdiff.verdicts.sets import Comparisons

Pair = tuple[Comparison, Comparison]
PairSubject = Comparison | Iterable[Comparison] | Iterable[Pair]


def paired(
    original: PairSubject, perturbed: Comparison | None = None
) -> Comparison | Iterable[Comparison]:
    """The comparison of the changed prompt with its `original` set; or a set of those.

    Raises:
        ConfigError: both a set and a comparison are given, or the pairs of a set are unclear.
    """
    if isinstance(original, Comparison):
        return original if perturbed is None else _with_original(original, perturbed)
    if perturbed is not None:
        raise ConfigError(
            "the invariance helpers take two comparisons, or one set of pairs: (original, "
            "perturbed), or probes of one cluster, the original first"
        )
    if isinstance(original, Comparisons):
        return PairedComparisons(probes=original.probes, run=original.run, scope=original.scope)
    return _pairs_of(members_of(original))


def original_of(comparison: Comparison) -> Comparison:
    """The comparison of the original prompt.

    Raises:
        ConfigError: it is not known.
    """
    if comparison.original is None:
        raise ConfigError(
            f"{comparison.probe.id}: the original of this prompt is not known; give both "
            "comparisons, the original's first"
        )
    return comparison.original


@dataclass(frozen=True, kw_only=True)
class PairedComparisons(Comparisons):
    """The changed prompts among a test's probes; the first probe of a cluster is its original."""

    def __iter__(self) -> Iterator[Comparison]:
        return _pairs_of(super().__iter__())

    def members(self) -> Iterator[Comparison | Unanswered]:
        # Without its original, a changed form cannot be judged: a missing one is an error.
        return iter(self)


def _with_original(original: Comparison, perturbed: Comparison) -> Comparison:
    # All changed forms of a prompt share a cluster, since they are not independent evidence.
    probe = replace(perturbed.probe, cluster=original.probe.question)
    return replace(perturbed, probe=probe, original=original)


def _pairs_of(members: Iterable[Any]) -> Iterator[Comparison]:
    """The changed prompts of a set with their originals; holds one cluster in memory at a time."""
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
                f"{member.probe.id}: invariance compares prompts with changed forms of them; give "
                "both the same cluster, the original first, or give pairs of comparisons"
            )
        # Repeats of a probe differ in their seed; each goes with that of the original.
        seed = member.probe.generation.get("seed")
        if name != cluster:
            _check_forms(cluster, forms)
            if name in seen:
                raise ConfigError(
                    f"{member.probe.id}: the prompts of cluster {name!r} are not consecutive"
                )
            seen.add(name)
            cluster, originals, forms = name, {seed: member}, 0
        elif member.probe.messages == next(iter(originals.values())).probe.messages:
            originals[seed] = member
        else:
            forms += 1
            first = next(iter(originals.values()))
            yield _with_original(originals.get(seed, first), member)
    _check_forms(cluster, forms)


def _pair(member: object) -> Pair:
    if isinstance(member, (tuple, list)) and len(member) == 2:
        original, perturbed = member
        if isinstance(original, Comparison) and isinstance(perturbed, Comparison):
            return original, perturbed
    raise ConfigError(
        "a set of the invariance helpers has pairs of comparisons, (original, perturbed), or "
        f"comparisons, not {type(member).__name__}"
    )


def _check_forms(cluster: str | None, forms: int) -> None:
    if cluster is not None and not forms:
        raise ConfigError(f"cluster {cluster!r} has only one prompt, and no changed form of it")
