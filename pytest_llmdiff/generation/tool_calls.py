"""The calls of tools in a reply to a prompt that offers some."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.data.tools.calls import ToolCall, text_of
from pytest_llmdiff.data.tools.definitions import name_of, tools_of
from pytest_llmdiff.data.tools.text_forms import calls_in, marked_calls
from pytest_llmdiff.engines import Engine, Generated, capability
from pytest_llmdiff.engines.files.replies import MARKERS
from pytest_llmdiff.errors import ProbeError


def with_calls(generated: Generated, request: Request, engine: Engine) -> Generated:
    """The outcome with the calls that its reply makes; the same where no tools are offered.

    Where a server returns calls beside an empty text, they become the text as well, so that every
    measure and report sees what the model answered.
    """
    tools, reply = tools_of(request.messages), generated.reply
    if not tools or reply is None:
        return generated
    if reply.tool_calls:
        text = reply.text or text_of(reply.tool_calls)
        return replace(generated, reply=replace(reply, text=text))
    calls = _of_tokens(generated, reply, tools, engine)
    calls = calls or calls_in(reply.text, [name_of(tool) for tool in tools])
    return replace(generated, reply=replace(reply, tool_calls=calls)) if calls else generated


def _of_tokens(
    generated: Generated, reply: Reply, tools: list[dict[str, Any]], engine: Engine
) -> tuple[ToolCall, ...]:
    """The calls by the marks among the special tokens, which the text of a reply lacks: as the
    tokenizer itself says that they are read, or as known families write them."""
    tokenizer = capability(engine, "tokenizer") if reply.token_ids else None
    if tokenizer is None or not hasattr(tokenizer, "decode"):
        return ()
    raw = str(tokenizer.decode(list(reply.token_ids), skip_special_tokens=False))
    template = getattr(tokenizer, "response_template", None)
    if template is not None:
        from pytest_llmdiff.engines.files.template_process import chat_templates

        prompt = str(tokenizer.decode(list(generated.prompt_ids), skip_special_tokens=False))
        try:
            return chat_templates().calls(raw, template, prefix=prompt, tools=tools)
        except ProbeError:
            pass  # it is not for this reply, such as one that was cut
    if reply.reasoning is not None:  # what is only considered there is no call
        ends = [raw.rfind(closing) + len(closing) for _, closing in MARKERS if closing in raw]
        raw = raw[max(ends) :] if ends else ""
    return marked_calls(raw)
