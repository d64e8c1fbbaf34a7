"""From what a model said, tokens or text, to a reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_llmdiff.comparison import FinishReason, Reply
from pytest_llmdiff.engines.reasoning import split_reasoning

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
