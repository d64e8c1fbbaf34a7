"""The pairs of a set, and the groups that they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.subject import members_of

Member = tuple[str, object]


def member_of(comparison: Comparison) -> Member:
    """Identifies a member of a set in which a probe may have several samples."""
    return comparison.probe.id, comparison.probe.generation.get("seed")


def groups_of(
    others: Sequence[Comparison], partners: Mapping[Member, Comparison]
) -> dict[str, list[int]]:
    """The positions of the pairs in `others` by group: a tag that only one member of the pair has.

    Tags with the same pairs, such as "women" and "men", are one group. If the members of all pairs
    have the same tags, as sentences with a stereotype do, each tag is a group.
    """
    both = [(set(partners[member_of(o)].probe.tags), set(o.probe.tags)) for o in others]
    named = [first ^ other for first, other in both]
    if not any(named):
        named = [first & other for first, other in both]
    places: dict[str, list[int]] = {}
    for number, (tags, other) in enumerate(zip(named, others, strict=True)):
        first = partners[member_of(other)].probe.tags
        for tag in (*(t for t in first if t in tags), *(t for t in other.probe.tags if t in tags)):
            found = places.setdefault(tag, [])
            if found[-1:] != [number]:
                found.append(number)
    by_pairs: dict[tuple[int, ...], list[str]] = {}
    for tag, numbers in places.items():
        by_pairs.setdefault(tuple(numbers), []).append(tag)
    return {
        " / ".join(tags): list(numbers)
        for numbers, tags in by_pairs.items()
        if len(numbers) < len(others)
    }


def paired(subject: object) -> tuple[Sequence[Comparison], dict[Member, Comparison]]:
    """All members except the first of each cluster, and the first one as the partner of each.

    Raises:
        ConfigError: a probe has no cluster, is alone in it, or the set is empty.
    """
    firsts: dict[tuple[str, object], Comparison] = {}
    others: list[Comparison] = []
    partners: dict[Member, Comparison] = {}
    for comparison in members_of(subject):
        probe = comparison.probe
        if probe.cluster is None:
            raise ConfigError(
                f"the probe {probe.id} belongs to no pair: give both members the same cluster"
            )
        pair = (probe.cluster, probe.generation.get("seed"))
        first = firsts.setdefault(pair, comparison)
        if first is not comparison:
            others.append(comparison)
            partners[member_of(comparison)] = first
    alone = {name for name, _ in firsts} - {other.probe.cluster for other in others}
    if alone:
        raise ConfigError(
            f"{len(alone)} probe(s) have no partner, such as that of the cluster {min(alone)}: "
            "give both members of a pair the same cluster"
        )
    if not others:
        raise ConfigError("the set is empty: there is no pair to judge")
    return others, partners
