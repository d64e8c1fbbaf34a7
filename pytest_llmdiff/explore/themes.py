"""Themes: prompts on which something changed in the same way, and whether each is real."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.explore.marks import Marks, measure_of
from pytest_llmdiff.explore.prompts import FORMED
from pytest_llmdiff.explore.values import Example, Noise, Observed, Theme
from pytest_llmdiff.explore.words import bag, cosine, distinctive, weights
from pytest_llmdiff.verdicts.multiple_testing import adjusted

# Prompts are grouped while their average likeness is above this (1 is equal).
ALIKE = 0.22
SAME = 0.4  # likeness of what two groups have in common, from which they are one
FEWEST = 4  # prompts of a theme
MOST = 8  # themes
ERROR = 0.05  # share of themes that may be due to noise (false discovery rate)
# Share of a theme's prompts that have its most common change.
COMMON = 0.4
# Share of all changed prompts, from which a theme is about no prompts in particular.
EVERYWHERE = 0.6
NAMED = 4  # words of a name
EXAMPLES = 3
MARKED = 2.0  # weight of a mark, in words that are as rare as most


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A prompt at which the replies differ by more than noise, with whole replies and marks."""

    seen: Observed
    comparison: Comparison
    marks: Marks

    @property
    def gained(self) -> frozenset[str]:
        """Words and marks that only the tuned reply has. A word of the prompt tells nothing."""
        asked = bag(self.seen.probe.prompt)
        return bag(self.comparison.tuned.text) - bag(self.comparison.base.text) - asked

    @property
    def lost(self) -> frozenset[str]:
        return bag(self.comparison.base.text) - bag(self.comparison.tuned.text)

    @property
    def turned(self) -> frozenset[str]:
        """Marks that only the tuned reply has, and "no longer" those that only the base's has."""
        base, tuned = self.marks
        gone = {f"no longer {mark}" for mark in base - tuned if not mark.startswith("is in ")}
        return frozenset(tuned - base) | frozenset(gone)


def themes_of(
    changed: Sequence[Changed], observed: Sequence[Observed], noise: Noise, vectors: Any | None
) -> list[Theme]:
    """The themes that stand above the noise, the strongest first.

    `vectors` `[2 · changed, dimensions]` are of the prompts and of the differences of replies,
    where an embedder has made them.
    """
    if len(changed) < FEWEST:
        return []
    groups = [g for g in _merged(_groups(changed, vectors), changed) if len(g) >= FEWEST]
    found = []
    differing = sum(one.score > noise.limit for one in observed)
    # Where few prompts differ at all, the theme is about those, however many of them it has.
    most = len(changed) if differing > EVERYWHERE * len(observed) else len(observed)
    for group in groups:
        members = [changed[index] for index in group]
        theme = _theme(members, observed, noise, everywhere=len(group) > EVERYWHERE * most)
        if theme is not None:
            found.append(theme)
    values = adjusted([theme.p for theme in found])
    kept = [replace(t, p=p) for t, p in zip(found, values, strict=True) if p <= ERROR]
    kept.sort(key=lambda theme: (-_strength(theme), theme.name))
    return _named_apart(kept[:MOST])


def _strength(theme: Theme) -> float:
    """How much the replies of a theme change in the same way: divergence times the share of its
    prompts that have the most common change, on as many prompts as the root of their number says,
    so that a large theme does not hide a strong one."""
    return float(theme.score * max(theme.marks.values(), default=0.0) * theme.size**0.5)


def _groups(changed: Sequence[Changed], vectors: Any | None) -> list[list[int]]:
    """Groups of indices, by average linkage over the likeness of what changed and of prompts."""
    import numpy as np
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    base = weights([bag(c.comparison.base.text) for c in changed])
    most = max(base.values(), default=1.0)
    gained = [
        {**{w: base.get(w, most) for w in c.gained}, **dict.fromkeys(c.turned, MARKED * most)}
        for c in changed
    ]
    tokens = [dict(c.seen.gained) for c in changed]
    asked = weights([bag(c.seen.probe.prompt) for c in changed])
    prompts = [{w: asked[w] for w in bag(c.seen.probe.prompt)} for c in changed]
    size = len(changed)
    alike = np.zeros((size, size))
    for i in range(size):
        for j in range(i):
            change = max(cosine(gained[i], gained[j]), 0.7 * cosine(tokens[i], tokens[j]))
            alike[i, j] = alike[j, i] = 0.6 * change + 0.4 * cosine(prompts[i], prompts[j])
    if vectors is not None:
        own, moved = (np.asarray(part, dtype=np.float64) for part in vectors)
        near = 0.6 * (moved @ moved.T) + 0.4 * (own @ own.T)
        alike = (alike + near.clip(0, 1)) / 2
    distances = (1 - alike).clip(min=0)  # by rounding, two alike ones may be nearer than alike
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), method="average")
    labels = fcluster(tree, t=1 - ALIKE, criterion="distance")
    return [[int(i) for i in np.flatnonzero(labels == label)] for label in sorted(set(labels))]


def _merged(groups: Sequence[Sequence[int]], changed: Sequence[Changed]) -> list[list[int]]:
    """The groups, where those whose replies changed in the same way are one, the largest first:
    one change on prompts of many kinds is one theme."""
    found: list[list[int]] = []
    for group in sorted(groups, key=len, reverse=True):
        own = _profile([changed[i] for i in group])
        for other in found:
            if cosine(own, _profile([changed[i] for i in other])) >= SAME:
                other += group
                break
        else:
            found.append(list(group))
    return found


def _profile(members: Sequence[Changed]) -> dict[str, float]:
    """The shares of prompts of what many of the members' replies have gained."""
    shares = _shares(m.gained | m.turned for m in members)
    return {name: share for name, share in shares.items() if share >= COMMON / 2}


def _theme(
    members: Sequence[Changed], observed: Sequence[Observed],
    noise: Noise, *, everywhere: bool,
) -> Theme | None:  # fmt: skip
    bases = [bag(m.comparison.base.text) for m in members]
    tuneds = [bag(m.comparison.tuned.text) for m in members]
    gained = tuple(distinctive([m.gained for m in members], bases, NAMED + 2))
    lost = tuple(distinctive([m.lost for m in members], tuneds, NAMED))
    marks = _shares(m.turned for m in members)
    words = _shares(m.gained for m in members)
    common = {mark: share for mark, share in marks.items() if share >= COMMON}
    strongest = max((words[word] for word in gained), default=0.0)
    if max((*common.values(), strongest)) < COMMON:
        return None  # they differ, each in its own way
    # Typing errors and letters of other scripts are no words to know a theme by.
    asked = [m for m in members if m.seen.source != FORMED] or members
    texts = [bag(m.seen.probe.prompt) for m in asked]
    own = {m.seen.probe.question for m in members}
    others = [bag(o.probe.prompt) for o in observed if o.probe.question not in own]
    about = () if everywhere else tuple(distinctive(texts, others, NAMED))
    differing, near = _around(members, about, observed, noise)
    ordered = sorted(members, key=lambda m: (-_typical(m, gained, common), -m.seen.score))
    shown = _unlike(sorted(ordered, key=lambda m: m.seen.source == FORMED))
    return Theme(
        name=_slug((*about[:1], *(*sorted(common), *gained)[:2])),
        title="",
        gained=gained, lost=lost, about=about,
        marks={**common, **({"has new words": strongest} if strongest >= COMMON else {})},
        size=len(members), share=len(members) / len(observed),
        differing=differing, near=near,
        p=_chance(differing, near, noise.chance),
        score=fmean(m.seen.score for m in members),
        probes=tuple(m.seen.probe for m in ordered),
        scores=tuple(m.seen.score for m in ordered),
        examples=tuple(_example(m, gained) for m in shown),
        measure=measure_of(max(common, key=lambda mark: common[mark])) if common
        else "assert_divergence",
        everywhere=everywhere,
    )  # fmt: skip


def _shares(held: Any) -> dict[str, float]:
    each = [set(one) for one in held]
    return {
        name: sum(name in one for one in each) / len(each)
        for name in sorted(set().union(*each))
    }  # fmt: skip


def _around(
    members: Sequence[Changed], about: Sequence[str], observed: Sequence[Observed], noise: Noise
) -> tuple[int, int]:
    """How many of the prompts about the same exceed the noise: the members, and all others that
    were tried and have one of the theme's words; without such words, all prompts."""
    own, words = {m.seen.probe.question for m in members}, set(about)
    near = [
        one
        for one in observed
        if not words or one.probe.question in own or bag(one.probe.prompt) & words
    ]
    return sum(o.score > noise.limit for o in near), len(near)


def _chance(differing: int, near: int, chance: float) -> float:
    """How likely at least so many prompts exceed the noise by chance: a binomial tail."""
    from scipy.stats import binom

    return float(binom.sf(differing - 1, near, chance))


def _typical(member: Changed, gained: Sequence[str], marks: Mapping[str, float]) -> float:
    return len(member.gained & set(gained)) + 2 * len(member.turned & marks.keys())


def _unlike(ordered: Sequence[Changed]) -> list[Changed]:
    """The first examples, without forms of a prompt that is among them; with those if need be."""
    found: list[Changed] = []
    for member in ordered:
        own = bag(member.seen.probe.prompt)
        others = (bag(other.seen.probe.prompt) for other in found)
        if all(2 * len(own & other) <= len(own | other) for other in others):
            found.append(member)
    rest = [member for member in ordered if member not in found]
    return [*found, *rest][:EXAMPLES]


def _example(member: Changed, gained: Sequence[str]) -> Example:
    return Example(
        prompt=member.seen.probe.prompt,
        base=member.comparison.base.text,
        tuned=member.comparison.tuned.text,
        score=member.seen.score,
        words=tuple(word for word in gained if word in member.gained),
    )


def _slug(words: Sequence[str]) -> str:
    text = "-".join(re.sub(r"\W+", "-", word.lower()).strip("-") for word in words if word)
    return re.sub(r"-{2,}", "-", text)[:48].strip("-") or "changed"


def _named_apart(themes: Sequence[Theme]) -> list[Theme]:
    found, taken = [], set[str]()
    for theme in themes:
        name, number = theme.name, 2
        while name in taken:
            name, number = f"{theme.name}-{number}", number + 1
        taken.add(name)
        found.append(replace(theme, name=name, title=_title(theme)))
    return found


def _title(theme: Theme) -> str:
    where = (
        "everywhere"
        if theme.everywhere or not theme.about
        else f"on prompts with {', '.join(theme.about)}"
    )
    marks = [mark for mark in theme.marks if mark != "has new words"]
    said = f"says {', '.join(theme.gained[:NAMED])}" if theme.gained else ""
    return f"{'; '.join(filter(None, [*marks, said]))}, {where}"
