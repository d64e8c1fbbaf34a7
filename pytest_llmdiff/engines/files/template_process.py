"""Renders chat templates, and reads replies by them, in a process of their own, with bounds of time
and memory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.template_process import Render, TemplateProcess, short
from pytest_llmdiff.data.tools.calls import ToolCall, readable_calls
from pytest_llmdiff.errors import ProbeError


class ChatTemplates(TemplateProcess):
    renderer = "pytest_llmdiff.engines.files.template_process:chat_renderer"
    named = "the chat template"
    refuses = "this conversation"
    hint = ". Is it the one that the model was trained with?"

    def render(self, messages: Sequence[Message], template: str, **variables: Any) -> str:
        """The conversation as text, as `apply_chat_template` of transformers makes it.

        Raises:
            ProbeError: the template refuses it, or is beyond a bound.
        """
        return self.rendered(template, messages=messages, variables=variables)

    def calls(
        self, text: str, template: Any, *, prefix: str, tools: Sequence[Mapping[str, Any]]
    ) -> tuple[ToolCall, ...]:
        """The calls of tools in a raw reply after the prompt `prefix`, by a tokenizer's
        `response_template`, as `parse_response` of transformers reads them.

        Raises:
            ProbeError: the template does not fit the reply, or is beyond a bound.
        """
        asked = {"reply": text, "template": template, "prefix": prefix, "tools": tools}
        answer = self.answered(json.dumps(template, sort_keys=True, default=str), asked)
        if "error" in answer:
            raise ProbeError(f"the response template does not fit this reply: {answer['error']}")
        return readable_calls(answer["calls"])


def chat_templates() -> ChatTemplates:
    """The one of this process; a fork has its own."""
    return _of_process(os.getpid())


@cache
def _of_process(_: int) -> ChatTemplates:
    return ChatTemplates()


def chat_renderer() -> Render:
    """What renders a conversation, within the process."""
    from transformers.tokenization_utils_base import PreTrainedTokenizerBase

    class Told(PreTrainedTokenizerBase):  # type: ignore[misc]
        """A tokenizer of which nothing is known but what a template is told."""

        special_tokens_map: Mapping[str, Any] = {}
        chat_template = None

        def __init__(self) -> None:
            pass

    tokenizer = Told()

    def render(asked: Mapping[str, Any]) -> dict[str, Any]:
        if "reply" in asked:
            found = tokenizer.parse_response(
                short(asked["reply"]), schema=asked["template"], prefix=asked["prefix"],
                tools=asked["tools"],
            )  # fmt: skip
            return {"calls": list(found.get("tool_calls") or ())}
        text = tokenizer.apply_chat_template(
            asked["messages"], chat_template=asked["template"], tokenize=False,
            **asked["variables"],
        )  # fmt: skip
        return {"text": short(str(text))}

    return render
