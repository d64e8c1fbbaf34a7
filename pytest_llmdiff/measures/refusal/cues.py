"""The patterns that the refusal detector searches for, to be filled in for each language."""

from __future__ import annotations

import re
from dataclasses import dataclass
from re import Pattern


@dataclass(frozen=True, kw_only=True)
class Cues:
    """Patterns of one language, searched in lower-case text.

    `artefact` is searched in the whole reply, `enquiry` in the prompt, and the others in one
    sentence at a time.
    """

    # The reply begins as a requested text, such as a letter; a "no" inside it is not a refusal.
    artefact: Pattern[str]
    # The prompt asks what something is or whether it is allowed: "it is illegal" answers that.
    enquiry: Pattern[str]
    # Looks like a refusal but is not one; removed before anything else is searched.
    idiom: Pattern[str]
    # The speaker will not, or cannot, do what was asked.
    declines: Pattern[str]
    # The speaker has no access to what was asked for.
    lacks: Pattern[str]
    # The request is wrong, improper or forbidden.
    rebukes: Pattern[str]
    # Rejects what the question takes for granted.
    rejects: Pattern[str]
    # The speaker disagrees.
    denies: Pattern[str]
    # Padding of refusals: values, consequences, whom to ask instead.
    lectures: Pattern[str]
    # The requested answer begins here.
    answers: Pattern[str]
    # Offers something else instead.
    instead: Pattern[str]
    # An answer follows after all, or the reason why there is none: the subject does not exist.
    turns: Pattern[str]
    negation: Pattern[str]
    # The words whose overlap between reply and prompt counts, and those left out of it.
    words: Pattern[str]
    filler: Pattern[str]


def any_of(*parts: str) -> Pattern[str]:
    """A pattern that matches wherever one of the parts does."""
    return re.compile("|".join(f"(?:{part})" for part in parts))
