"""Replies from tokens or text, with a model's reasoning split from its answer."""

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
    """The answer and the reasoning (None where there is none) of a raw decoded reply.

    `prompt_tail` is the end of the rendered prompt. Templates of models that always think open the
    reasoning there, so that the reply has the closing marker only. If the length limit cuts the
    reasoning, the answer is empty: the reasoning must not be judged as an answer.
    """
    for opening, closing in MARKERS:
        opened = prompt_tail.rstrip().endswith(opening)
        head, found, tail = raw.partition(closing) if opened else ("", "", raw)
        if not opened and opening in raw:
            before, _, rest = raw.partition(opening)
            if before.strip():
                continue  # an answer that quotes the marker
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


TAIL = 16  # tokens at the prompt's end where the template may have opened the reasoning


def reply_of_tokens(
    tokenizer: Any, prompt: Sequence[int], said: Sequence[int], *, stopped: bool
) -> Reply:
    """A reply from its tokens, including a stop token at the end. `stopped` says that it ended by
    itself, not at the length limit."""
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
    """A reply that is known as text only."""
    text, reasoning = split_reasoning(
        said, prompt_tail=_tail(tokenizer, prompt), special_tokens=tokenizer.all_special_tokens
    )
    return Reply(
        text=text, reasoning=reasoning, finish_reason=finish_reason, prompt_tokens=len(prompt)
    )


def _tail(tokenizer: Any, prompt: Sequence[int]) -> str:
    return str(tokenizer.decode(list(prompt[-TAIL:]), skip_special_tokens=False))
