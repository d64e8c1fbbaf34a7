"""Perturbations that ask the same question in different words, in English and Chinese."""

from __future__ import annotations

import random
import re

LONGEST = 2000  # characters; longer texts are not matched against the patterns
_HAN = re.compile(r"[一-鿿]")
_POLITE = (
    ("", " Thanks!"), ("Please help me: ", ""), ("Hi, I have a question. ", ""),
    ("Hello! ", " Thank you in advance."),
)  # fmt: skip
_POLITE_ZH = (("请问，", ""), ("", "谢谢！"), ("您好，", ""), ("你好，想请教一下：", "多谢！"))
# Forms of questions, and other forms that ask the same.
_OTHERWISE = (
    (r"How do I (.+)\?", (r"How can I \1?", r"What is the best way to \1?")),
    (r"How can I (.+)\?", (r"How do I \1?", r"What is the best way to \1?")),
    (r"How do you (.+)\?", (r"How does one \1?",)),
    (r"What is (.+)\?", (r"Tell me what \1 is.", r"Can you tell me what \1 is?")),
    (r"What are (.+)\?", (r"Tell me what \1 are.", r"Can you tell me what \1 are?")),
    (r"Why (is|are|do|does) (.+)\?", (r"For what reason \1 \2?", r"How come: why \1 \2?")),
    (r"Can I (.+)\?", (r"Is it possible for me to \1?", r"Am I able to \1?")),
    (r"Where can I (.+)\?", (r"In what place can I \1?", r"Tell me where I can \1.")),
    (r"Explain (.+)\.", (r"Give me an explanation of \1.", r"Could you explain \1?")),
    (r"Describe (.+)\.", (r"Give a description of \1.", r"Could you describe \1?")),
    (r"Name (.+)\.", (r"Tell me \1.", r"Could you name \1?")),
    (r"Write (.+)\.", (r"Compose \1.", r"Could you write \1?")),
    (r"Give me (.+)\.", (r"I would like \1.", r"Could you give me \1?")),
)
_OTHERWISE_ZH = (
    (r"怎么(.+)？", (r"如何\1？", r"怎样\1？")),
    (r"如何(.+)？", (r"怎么\1？", r"怎样\1？")),
    (r"什么是(.+)？", (r"\1是什么？", r"请说说\1是什么。")),
    (r"(.+)是什么？", (r"什么是\1？", r"请告诉我，\1是什么？")),
    (r"为什么(.+)？", (r"\1，这是为什么？", r"\1的原因是什么？")),
    (r"请?介绍一下(.+)。", (r"请讲讲\1。", r"请对\1做个介绍。")),
    (r"请?解释一下(.+)。", (r"请说明\1。", r"请对\1做个解释。")),
    (r"请?列举(.+)。", (r"请举出\1。", r"请说出\1。")),
    (r"请?给我(.+)。", (r"我想要\1。", r"能给我\1吗？")),
    (r"(.+)有哪些(.*)？", (r"都有哪些\2\1？", r"请列举\1有哪些\2。")),
    (r"(.+)吗？", (r"\1吗，请告诉我。", r"我想知道，\1吗？")),
)
# Ends of sentences or lines.
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=\S)|(?<=[。！？])(?=\S)|\n+")


def politeness(text: str, rng: random.Random) -> list[str]:  # noqa: ARG001
    """The prompt with thanks, a greeting, or both around it."""
    around = _POLITE_ZH if _HAN.search(text) else _POLITE
    return [f"{before}{text}{after}" for before, after in around]


def paraphrase(text: str, rng: random.Random) -> list[str]:  # noqa: ARG001
    """Other forms of the same question, if its form is known."""
    known = _OTHERWISE_ZH if _HAN.search(text) else _OTHERWISE
    if len(text) > LONGEST:
        return []
    for pattern, others in known:
        if (match := re.fullmatch(pattern, text)) is not None:
            return [match.expand(other) for other in others]
    return []


def reordered(text: str, rng: random.Random) -> list[str]:
    """The sentences or lines before the last one in a different order, if there are several."""
    ends = [match.span() for match in _SENTENCE.finditer(text)]
    starts = [0, *(end for _, end in ends)]
    stops = [*(start for start, _ in ends), len(text)]
    parts = [text[start:stop] for start, stop in zip(starts, stops, strict=True)]
    gaps = [text[start:end] for start, end in ends]
    if len(parts) < 3:
        return []
    context = parts[:-1]
    swapped = [context[1], context[0], *context[2:]]
    shuffled = list(context)
    rng.shuffle(shuffled)
    return [_joined([*order, parts[-1]], gaps) for order in (swapped, shuffled)]


def _joined(parts: list[str], gaps: list[str]) -> str:
    return "".join(part + gap for part, gap in zip(parts, [*gaps, ""], strict=True))
