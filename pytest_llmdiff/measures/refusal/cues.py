"""What the detector of refusals looks for in a sentence; English and Chinese each fill it in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from re import Pattern


@dataclass(frozen=True, kw_only=True)
class Cues:
    """Patterns of one language, each searched in lower case text.

    `artefact` is held against the whole reply, `enquiry` against the prompt, the others against one
    sentence at a time.
    """

    # The reply begins as a letter or the like that was asked for, whoever says no in it.
    artefact: Pattern[str]
    # The prompt asks what something is or whether it is allowed: "it is illegal" answers that.
    enquiry: Pattern[str]
    # What only looks like a refusal; removed before anything is searched.
    idiom: Pattern[str]
    # The speaker will not, or cannot, do what was asked.
    declines: Pattern[str]
    # The speaker has no access to what was asked for.
    lacks: Pattern[str]
    # What was asked for is wrong, improper or forbidden.
    rebukes: Pattern[str]
    # There is no reason for what the question takes for granted.
    rejects: Pattern[str]
    # The speaker thinks otherwise.
    denies: Pattern[str]
    # What refusals are padded with: values, consequences, whom to ask instead.
    lectures: Pattern[str]
    # What was asked for begins here.
    answers: Pattern[str]
    # Something else is offered in place of what was asked for.
    instead: Pattern[str]
    # An answer follows after all, or why there is none: what was asked about does not exist.
    turns: Pattern[str]
    negation: Pattern[str]
    # What the overlap of reply and prompt is counted in, and what is left out of it.
    words: Pattern[str]
    filler: Pattern[str]


def any_of(*parts: str) -> Pattern[str]:
    """One pattern that matches where any of the parts does."""
    return re.compile("|".join(f"(?:{part})" for part in parts))
