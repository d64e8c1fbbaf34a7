"""Cuts given replies into batches: a bounded number of tokens, and little padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_llmdiff.data.text.differences import common_length
from pytest_llmdiff.engines import Continuation

# Tokens of one pass over prompts. Larger matrix products are not faster on a CPU, and their
# activations no longer fit its caches.
PASS_TOKENS = 1024

Batch = list[int]


def batches(
    items: Sequence[Continuation], *, rows: int | None = None, alone: bool = False
) -> list[Batch]:
    """Batches of indices, each with a bounded number of tokens and of reply tokens (`rows`).

    With `alone` each item is a batch, so that its shapes do not depend on the others. Otherwise
    items are ordered by length, which pads little, or by prompt, which shares longer prefixes:
    whichever runs fewer tokens.
    """
    lengths = [len(item.prompt_ids) + len(item.reply_ids) for item in items]
    by_length = sorted(range(len(items)), key=lambda i: -lengths[i])
    by_prompt = sorted(range(len(items)), key=lambda i: items[i].prompt_ids)
    tokens = 0 if alone else PASS_TOKENS
    costs = [list(_cut(items, order, tokens, rows)) for order in (by_length, by_prompt)]
    cheapest = min(costs, key=lambda cut: sum(cost for _, cost in cut))
    return [batch for batch, _ in cheapest]


def _cut(
    items: Sequence[Continuation], order: Sequence[int], tokens: int, rows: int | None
) -> Iterator[tuple[Batch, int]]:
    """Batches in this order, with the tokens that each runs: the shared prefix once, then all rows
    padded to the longest."""
    batch: Batch = []
    shared = longest = replies = cost = 0
    for index in order:
        item = items[index]
        own, length = len(item.reply_ids), len(item.prompt_ids) + len(item.reply_ids)
        if batch:
            alike = common_length(items[batch[0]].prompt_ids, item.prompt_ids)
            alike = min(shared, alike, len(item.prompt_ids) - 1)
            more = alike + (len(batch) + 1) * (max(longest, length) - alike)
            if (rows is None or replies + own <= rows) and more <= tokens:
                batch.append(index)
                shared, longest, replies, cost = alike, max(longest, length), replies + own, more
                continue
            yield batch, cost
        batch, shared = [index], len(item.prompt_ids) - 1
        longest, replies, cost = length, own, length
    if batch:
        yield batch, cost


def grouped(lengths: Sequence[int], rows: int) -> Iterator[Batch]:
    """Groups of consecutive replies with at most `rows` tokens together; a longer one is alone."""
    group: Batch = []
    for number, length in enumerate(lengths):
        if group and sum(lengths[n] for n in group) + length > rows:
            yield group
            group = []
        group.append(number)
    if group:
        yield group
