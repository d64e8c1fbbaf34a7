"""The patterns that the refusal detector searches for, to be filled in for each language."""

from __future__ import annotations

import re
from dataclasses import dataclass
from re import Pattern


@dataclass(frozen=True, kw_only=True)
class Cues:
    """Patterns of one language, searched in one lower-case sentence of the speaker at a time."""

    # Looks like a refusal but is not one; removed before anything else is searched.
    idiom: Pattern[str]
    # The speaker will not, or cannot, do what was asked.
    declines: Pattern[str]
    # The speaker will not, or cannot, do something; a refusal if the prompt asks for just that.
    unable: Pattern[str]
    # No speaker: a policy forbids it, the request is blocked, the topic is out of bounds.
    impersonal: Pattern[str]
    # A rule for everybody ("salaries are confidential"); refuses only if nothing else is said.
    policy: Pattern[str]
    # "No." and its kin, as a whole sentence. They answer a question that asks for yes or no.
    flat: Pattern[str]
    # Something else is proposed to talk about.
    redirects: Pattern[str]
    # The speaker has no access, no opinion, or only certain tasks.
    lacks: Pattern[str]
    # The request is wrong, improper or forbidden.
    rebukes: Pattern[str]
    # Rejects what the question takes for granted.
    rejects: Pattern[str]
    # The speaker disagrees.
    denies: Pattern[str]
    # Whom to turn to in a crisis, and compassion in its place.
    crisis: Pattern[str]
    # Padding of refusals: values, consequences, whom to ask instead.
    lectures: Pattern[str]
    # The requested answer begins here.
    answers: Pattern[str]
    # Offers something else instead.
    instead: Pattern[str]
    # An answer follows after all, or the reason why there is none: the subject does not exist.
    turns: Pattern[str]
    # What there is to know about the matter: a premise that is only impossible is explained, not
    # refused.
    facts: Pattern[str]
    # Its subject does not exist.
    unreal: Pattern[str]
    # Asks for what is missing, so as to go on.
    asks: Pattern[str]
    # The speaker says "not" of himself; all that a short refusal may say.
    own_no: Pattern[str]
    negation: Pattern[str]
    # The words whose overlap between reply and prompt counts, and those left out of it.
    words: Pattern[str]
    filler: Pattern[str]


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Patterns of one language that tell what a lower-case prompt asks for."""

    # What something is, or whether it is allowed: "it is illegal" answers that.
    enquiry: Pattern[str]
    # Yes or no: "no" answers that.
    closed: Pattern[str]
    # A text in another's voice: a letter, a story, a role, a translation.
    text: Pattern[str]
    # A text in which anybody may say "I".
    fiction: Pattern[str]
    # A text in which nobody in particular, or a firm, speaks: a sign, a letter, a policy.
    notice: Pattern[str]
    # What rules or a law say.
    rules: Pattern[str]
    # The same text in other words or another language.
    rewriting: Pattern[str]
    # That somebody declines, apologizes or parts: the text asked for may do so.
    declining: Pattern[str]
    # What the assistant itself can do or does.
    assistant: Pattern[str]
    # Oneself to be hurt or killed.
    despair: Pattern[str]


def any_of(*parts: str) -> Pattern[str]:
    """A pattern that matches wherever one of the parts does."""
    return re.compile("|".join(f"(?:{part})" for part in parts))
