"""The likely reason why two chat templates render a conversation differently."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.text.differences import common_length

THINKING = re.compile(r"think|THINK|channel")
PUNCTUATION = ".。!！?？,，;；: \n\t"
OURS, THEIRS = "the template in use", "the other template"


def likely_cause(
    conversation: Sequence[Message], ours: str, theirs: str, *, bos: str | None = None
) -> str:
    """The likely cause of a difference between two renderings of one conversation.

    Args:
        conversation: the messages that were rendered.
        ours: the text under the template in use.
        theirs: the text under the template that it is compared with.
        bos: the text of the BOS token.
    """
    if bos and (cause := _bos(ours, theirs, bos)):
        return cause
    start = common_length(ours, theirs)
    end = common_length(ours[start:][::-1], theirs[start:][::-1])
    a, b = ours[start : len(ours) - end], theirs[start : len(theirs) - end]
    who = OURS if len(a) > len(b) else THEIRS
    if not (a.strip() or b.strip()):
        return "white space"
    if start == min(len(ours), len(theirs)):
        who = THEIRS if len(ours) > len(theirs) else OURS
        return f"the generation prompt is missing or shorter in {who}" + _thinking(a or b)
    user = conversation[-1]["content"].strip()
    at = ours.rfind(user)
    if at >= 0 and start >= at + len(user):
        thinking = _thinking(a + b)
        return (
            thinking.lstrip("; ")
            if thinking
            else "the end of the question or the generation prompt differs"
        )
    if conversation[0]["role"] != "system" and start < max(at, 0):
        return _default_system(a, b, who)
    return "the markup differs: these are two different templates"


def _bos(ours: str, theirs: str, bos: str) -> str | None:
    counts = [len(re.match(f"(?:{re.escape(bos)})*", text)[0]) for text in (ours, theirs)]  # type: ignore[index]
    a, b = (count // len(bos) for count in counts)
    who = OURS if a > b else THEIRS
    if a != b and max(a, b) > 1:
        return f"a second BOS token ({bos!r}) in {who}"
    # A BOS that opens every turn (<|im_start|>) is markup, not the beginning of the text.
    if a != b and max(ours.count(bos), theirs.count(bos)) == 1:
        return f"only {who} begins with the BOS token {bos!r}"
    return None


def _default_system(a: str, b: str, who: str) -> str:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    if not longer.strip(PUNCTUATION) and not shorter.strip(PUNCTUATION):
        if longer.strip() in (".", "。") and not shorter.strip():
            return f"a full stop at the end of the default system prompt, in {who} only"
        return "punctuation of the default system prompt"
    if len(longer.split()) >= 3 and not re.search(r"\w{3}", shorter):
        return f"a default system prompt that only {who} writes"
    if len(longer.split()) >= 3 and len(shorter.split()) >= 3:
        return "a different default system prompt, or two different templates"
    return "the markup differs: these are two different templates"


def _thinking(text: str) -> str:
    if THINKING.search(text):
        return "; an (empty) think block that only one of them writes: see enable_thinking"
    return ""
