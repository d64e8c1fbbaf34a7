"""Splits the reasoning of a thinking model from its reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_llmdiff.data.comparison import FinishReason, Reply

# (opening, closing) as the templates of Qwen3, DeepSeek-R1 and many others, Magistral and
# gpt-oss write them.
MARKERS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
# Between gpt-oss' two channels; its "assistant" is an ordinary word of the vocabulary.
CHANNEL_END = "<|end|><|start|>assistant"


def split_reasoning(
    raw: str, *, prompt_tail: str, special_tokens: Sequence[str]
) -> tuple[str, str | None]:
    """Reply text and reasoning (None where there is none) of a raw decoded reply.

    `prompt_tail` is the end of the rendered prompt: templates of models that always think open the
    reasoning there, so that the reply holds the closing marker only. A reasoning that was cut by
    the length limit leaves an empty reply: reading it as an answer would judge the wrong text.
    """
    for opening, closing in MARKERS:
        opened = prompt_tail.rstrip().endswith(opening)
        head, found, tail = raw.partition(closing) if opened else ("", "", raw)
        if not opened and opening in raw:
            before, _, rest = raw.partition(opening)
            if before.strip():
                continue  # the marker is quoted in the middle of an answer
            head, found, tail = rest.partition(closing)
            opened = True
        elif not opened and closing in raw:
            head, found, tail = raw.partition(closing)
            opened = True
        if opened:
            head = head.removesuffix(CHANNEL_END)
            text = tail if found else ""
            return _clean(text, special_tokens), _clean(head, special_tokens) or None
    return _clean(raw, special_tokens), None


def _clean(text: str, special_tokens: Sequence[str]) -> str:
    for token in sorted(special_tokens, key=len, reverse=True):
        if token:
            text = text.replace(token, "")
    return text.strip()


TAIL = 16  # tokens at a prompt's end in which its template may have opened a thought


def reply_of_tokens(
    tokenizer: Any, prompt: Sequence[int], said: Sequence[int], *, stopped: bool
) -> Reply:
    """The reply whose tokens are known, a stop token at the end included. `stopped` says that it
    came to an end by itself."""
    text, reasoning = split_reasoning(
        tokenizer.decode(list(said), skip_special_tokens=False),
        prompt_tail=_tail(tokenizer, prompt),
        special_tokens=tokenizer.all_special_tokens,
    )
    if reasoning is None:
        text = tokenizer.decode(list(said), skip_special_tokens=True).strip()
    return Reply(
        text=text,
        reasoning=reasoning,
        token_ids=tuple(said),
        finish_reason="stop" if stopped else "length",
        prompt_tokens=len(prompt),
    )


def reply_of_text(
    tokenizer: Any, prompt: Sequence[int], said: str, finish_reason: FinishReason
) -> Reply:
    """The reply that is known as text only, up to its end."""
    text, reasoning = split_reasoning(
        said, prompt_tail=_tail(tokenizer, prompt), special_tokens=tokenizer.all_special_tokens
    )
    return Reply(
        text=text, reasoning=reasoning, finish_reason=finish_reason, prompt_tokens=len(prompt)
    )


def _tail(tokenizer: Any, prompt: Sequence[int]) -> str:
    return str(tokenizer.decode(list(prompt[-TAIL:]), skip_special_tokens=False))
