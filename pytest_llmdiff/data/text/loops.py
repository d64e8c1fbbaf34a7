"""Detects a reply that repeats itself instead of coming to an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llmdiff.data.comparison import Reply

# A reply ends in a loop when its last characters are at least this many repetitions of one unit …
REPETITIONS = 4
# … and at least this many characters long ("hahaha" and "----" are no loops).
LOOP_CHARACTERS = 32
# Share of repeated 4-grams of tokens (seq-rep-4, Welleck et al. 2019, arXiv 1908.04319) above which
# a reply of some length repeats itself; ordinary text is far below.
REPEATED_4_GRAMS = 0.5
REPEATED_FROM = 40  # tokens; shorter replies are not checked for repeated 4-grams


def loop_of(reply: Reply) -> str | None:
    """Describes what a reply repeats: a unit at its end, or most of its 4-grams of tokens.

    None if it does not repeat itself.
    """
    unit = looping_suffix(reply.text.rstrip())
    if unit is not None:
        return f"it ends in repetitions of {unit.strip()[:40]!r}"
    ids = reply.token_ids
    if len(ids) >= REPEATED_FROM:
        grams = [ids[i : i + 4] for i in range(len(ids) - 3)]
        share = 1 - len(set(grams)) / len(grams)
        if share > REPEATED_4_GRAMS:
            return f"{share:.0%} of its runs of four tokens are repetitions"
    return None


def looping_suffix(text: str) -> str | None:
    """The unit that the end of the text repeats, or None.

    An incomplete last repetition counts.
    """
    for period in range(1, len(text) // REPETITIONS + 1):
        matched = 0
        limit = len(text) - period
        while matched < limit and text[-1 - matched] == text[-1 - matched - period]:
            matched += 1
        if matched + period >= max(REPETITIONS * period, LOOP_CHARACTERS):
            return text[len(text) - period :]
    return None
