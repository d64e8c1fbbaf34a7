"""Strategies for hypothesis: prompts from templates, and pairs of a prompt and a changed form.

Examples are drawn from a finite pool, which is chosen with a seed before the first example. When a
test compares the first prompt, the whole pool is answered in batches; later examples use those
answers. A pool lists smaller examples first, so that hypothesis shrinks to the smallest failure.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.files.checklist import checklist_pairs, checklist_prompts
from pytest_llmdiff.data.pools import Pool, PooledPrompt
from pytest_llmdiff.data.text.perturbations import (
    CHINESE,
    ENGLISH,
    Perturbation,
    case,
    forms,
    full_width,
    half_width,
    homoglyphs,
    paraphrase,
    politeness,
    punctuation,
    reordered,
    spacing,
    traditional,
    typos,
)
from pytest_llmdiff.errors import ConfigError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

SIZE = 100  # examples that hypothesis runs by default


def fill(
    *templates: str, size: int | None = None, seed: int = 0, **slots: Sequence[str]
) -> list[str]:
    """Prompts from templates with slots: `fill("Where is my {thing}?", thing=["order", "parcel"])`.

    Returns all prompts, shortest first; if there are more than `size`, a sample chosen with the
    seed. Without slots, templates are used unchanged.

    Raises:
        ConfigError: there is no template, a slot has no values, a template names an unknown slot,
            or no template names one of the slots.
    """
    if not templates:
        raise ConfigError("strategies: give a template, such as 'Where is my {thing}?'")
    names = [_names(template, slots) if slots else () for template in templates]
    if unused := sorted(set(slots).difference(*names)):
        raise ConfigError(f"strategies: no template has the slot {', '.join(unused)}")
    counts = [prod(len(slots[name]) for name in own) for own in names]
    total = sum(counts)
    numbers: Iterable[int] = range(total)
    if size is not None and size < total:
        numbers = random.Random(seed).sample(range(total), size)
    made = {
        _filled(number, templates, names, counts, slots) if slots else templates[number]
        for number in numbers
    }
    return sorted(made, key=_smallest_first)


def prompts(
    *templates: str, size: int = SIZE, seed: int = 0, **slots: Sequence[str]
) -> SearchStrategy[str]:
    """Prompts from templates with slots, as in `fill`; shrinks to the shortest.

    `llm_pair.compare(prompt)` answers the whole pool of the prompt, in batches.

    Raises:
        ConfigError: as `fill`.
    """
    from hypothesis.strategies import sampled_from

    pool = Pool(map(PooledPrompt, fill(*templates, size=size, seed=seed, **slots)))
    return sampled_from(pool.prompts)


def pairs(
    *templates: str,
    by: Sequence[Perturbation] = ENGLISH,
    size: int = SIZE,
    seed: int = 0,
    **slots: Sequence[str],
) -> SearchStrategy[tuple[str, str]]:
    """Pairs of a prompt and a changed form of it; shrinks to the shortest prompt, then to the
    smallest change.

    Args:
        templates: texts, with slots if any are given, as in `fill`.
        by: functions that return changed forms (`forms`), of this module or your own.
        size: number of pairs in the pool. A prompt comes with all of its forms if there is room, so
            that fewer prompts need answers.
        seed: chooses the pairs if there are more than `size`.
        slots: the values of each slot.

    Raises:
        ConfigError: as `fill`, or no prompt has a changed form.
    """
    from hypothesis.strategies import sampled_from

    texts = fill(*templates, size=size, seed=seed, **slots)
    random.Random(seed).shuffle(texts)
    chosen = islice(_pairs_of(texts, by, seed), size)
    by_original: dict[PooledPrompt, list[PooledPrompt]] = {}
    for form in chosen:
        if form.original is not None:
            by_original.setdefault(form.original, []).append(form)
    if not by_original:
        raise ConfigError("strategies: no function in by= changes any of these prompts")
    ordered = sorted(by_original, key=_smallest_first)
    Pool(prompt for original in ordered for prompt in (original, *by_original[original]))
    grid = [[(original, form) for form in by_original[original]] for original in ordered]
    return sampled_from(grid).flatmap(sampled_from)


def _pairs_of(
    texts: Iterable[str], by: Sequence[Perturbation], seed: int
) -> Iterator[PooledPrompt]:
    for text in texts:
        original = PooledPrompt(text)
        for name, form in forms(text, by, seed=seed):
            yield PooledPrompt(form, original=original, change=name)


def _smallest_first(text: str) -> tuple[int, str]:
    return len(text), text


def _names(template: str, slots: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The slots of a template, in order."""
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ConfigError(f"strategies: {template!r} is not a valid template: {error}") from error
    for name in fields:
        if name not in slots:
            raise ConfigError(
                f"strategies: {template!r} has the slot {name!r}, but the given slots are "
                f"{', '.join(slots)}; write a literal brace as {{{{ or }}}}"
            )
        if isinstance(slots[name], str) or not slots[name]:
            raise ConfigError(f"strategies: give the slot {name!r} a list of texts")
    return tuple(dict.fromkeys(fields))


def _filled(
    number: int,
    templates: Sequence[str],
    names: Sequence[tuple[str, ...]],
    counts: Sequence[int],
    slots: Mapping[str, Sequence[str]],
) -> str:
    """The prompt with a number: counts through the templates in order, and in each one through its
    slots, the last slot fastest."""
    place = 0
    while number >= counts[place]:
        number, place = number - counts[place], place + 1
    values: dict[str, Any] = {}
    for name in reversed(names[place]):
        number, at = divmod(number, len(slots[name]))
        values[name] = slots[name][at]
    return templates[place].format(**values)


__all__ = [
    "CHINESE",
    "ENGLISH",
    "Perturbation",
    "case",
    "checklist_pairs",
    "checklist_prompts",
    "fill",
    "forms",
    "full_width",
    "half_width",
    "homoglyphs",
    "pairs",
    "paraphrase",
    "politeness",
    "prompts",
    "punctuation",
    "reordered",
    "spacing",
    "traditional",
    "typos",
]
