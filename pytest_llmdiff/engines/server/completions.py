"""Parses a server's completions: a reply, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from pytest_llmdiff.data.comparison import FinishReason, Reply
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.engines.files.replies import split_reasoning
from pytest_llmdiff.engines.server.tools import calls_of_message

SHOWN = 80  # characters of an invalid answer in a message
# What some servers send in place of a text, and then leave the text out.
INSTEAD = ("tool_calls", "function_call", "reasoning_content", "reasoning")
# How a reply ends that is whole (also after a call of a tool) or cut at the limit: in the words of
# OpenAI's API, TGI, Mistral, and proxies to Anthropic and Google.
WHOLE = (
    "stop", "tool_calls", "function_call", "eos", "eos_token", "stop_sequence", "end_turn",
    "tool_use",
)  # fmt: skip
CUT = ("length", "max_tokens", "model_length")


def generated_of(answer: Any) -> Generated:
    """The outcome from the body of a chat completion.

    Raises:
        ValueError: it is not a chat completion, or was broken off; the message says which.
    """
    try:
        (choice,) = answer["choices"]
        message, reason = choice["message"], choice.get("finish_reason")
        if reason == "content_filter":
            return Generated(error="the server's content filter cut the reply")
        content, thoughts = _parts(message.get("content"))
        refusal = message.get("refusal")
        elsewhere = any(message.get(name) for name in INSTEAD)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no chat completion with one choice: {str(answer)[:SHOWN]!r}") from error
    finish = _finish(reason)
    if content is None and not (elsewhere or refusal or finish == "length"):
        if "content" not in message:
            raise ValueError(f"a chat completion without text: {str(answer)[:SHOWN]!r}")
        if not reason:  # an empty reply is one that the server says has ended
            raise ValueError("a chat completion without text: content and finish_reason are null")
    if not isinstance(content, (str, NoneType)) or not isinstance(refusal, (str, NoneType)):
        raise ValueError(f"a chat completion without text: {str(content)[:SHOWN]!r}")
    reasoning = message.get("reasoning_content") or message.get("reasoning") or thoughts
    text = content or refusal or ""
    if not isinstance(reasoning, (str, NoneType)):
        raise ValueError(f"a reasoning that is not text: {str(reasoning)[:SHOWN]!r}")
    if not reasoning:
        text, reasoning = split_reasoning(text, prompt_tail="", special_tokens=())
    reply = Reply(
        text=text,
        reasoning=reasoning,
        token_ids=ids_of(choice.get("token_ids")),
        finish_reason=finish,
        prompt_tokens=_count(answer.get("usage"), "prompt_tokens"),
        tool_calls=calls_of_message(message),
    )
    return Generated(reply=reply, prompt_ids=ids_of(answer.get("prompt_token_ids")))


def _finish(reason: Any) -> FinishReason:
    """How a reply ended; a server that does not say so has sent all of it.

    Raises:
        ValueError: it was broken off, or ended in a way that is not known.
    """
    word = reason.lower() if isinstance(reason, str) else reason
    if word in CUT:
        return "length"
    if word in WHOLE or word is None or word == "":
        return "stop"
    raise ValueError(f"a reply that may not be whole: its finish_reason is {reason!r:.{SHOWN}}")


def _parts(content: Any) -> tuple[Any, str | None]:
    """The text and the thoughts of a content that comes in parts; any other content as it is."""
    if not isinstance(content, list):
        return content, None
    texts, thoughts = list[str](), list[str]()
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif part.get("type") in ("text", "output_text"):
            texts.append(part["text"])
        elif part.get("type") in ("thinking", "reasoning"):
            inner, _ = _parts(part.get("thinking") or part.get("text") or "")
            thoughts.append(inner)
        else:
            raise ValueError(f"a part of another type than text: {part.get('type')}")
    return "".join(texts), "".join(thoughts) or None


@dataclass(frozen=True, kw_only=True)
class RawCompletion:
    """The completion of a prompt that was rendered here. Where the server does not return them,
    `token_ids` is empty and `prompt_tokens` is 0."""

    text: str
    finish_reason: FinishReason
    token_ids: tuple[int, ...]
    prompt_tokens: int


def raw_completion_of(answer: Any) -> RawCompletion:
    """The completion from the body of an answer.

    Raises:
        ValueError: it is not a completion, or was broken off; the message says which.
    """
    try:
        (choice,) = answer["choices"]
        text, reason = choice["text"], choice["finish_reason"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no completion with one choice: {str(answer)[:SHOWN]!r}") from error
    if not isinstance(text, str):
        raise ValueError(f"a completion without text: {str(text)[:SHOWN]!r}")
    return RawCompletion(
        text=text,
        finish_reason=_finish(reason),
        token_ids=ids_of(choice.get("token_ids")) or _ids_beside(choice.get("logprobs")),
        prompt_tokens=_count(answer.get("usage"), "prompt_tokens"),
    )


def _ids_beside(logprobs: Any) -> tuple[int, ...]:
    """Token ids of a reply from its log-probabilities (llama.cpp)."""
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, Sequence):
        return ()
    return ids_of([each.get("id") if isinstance(each, Mapping) else None for each in content])


def ids_of(given: Any) -> tuple[int, ...]:
    """Token ids if the server returns them (vLLM's `return_token_ids`), else nothing."""
    known = isinstance(given, Sequence) and all(
        type(each) is int and 0 <= each < 2**32 for each in given
    )
    return tuple(given) if known else ()


def _count(usage: Any, name: str) -> int:
    count = usage.get(name) if isinstance(usage, Mapping) else None
    return count if isinstance(count, int) else 0
