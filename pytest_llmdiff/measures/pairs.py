"""Pairs of prompts: a prompt and a changed form of it, as two comparisons or in a set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.subject import members_of
from pytest_llmdiff.verdicts.sets import Comparisons

Pair = tuple[Comparison, Comparison]
PairSubject = Comparison | Iterable[Comparison] | Iterable[Pair]


def paired(
    original: PairSubject, perturbed: Comparison | None = None
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
