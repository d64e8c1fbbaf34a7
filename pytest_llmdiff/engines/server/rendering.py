"""Token ids of messages and texts, from servers that return them.

vLLM and SGLang render and tokenize at `/tokenize`; llama.cpp renders at `/apply-template` and
tokenizes at `/tokenize`. Both paths are at the server's root, not below the version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.engines.server.completions import ids_of
from pytest_llmdiff.engines.server.endpoint import Absent, Connection, Refused
from pytest_llmdiff.engines.server.tools import openai_form
from pytest_llmdiff.errors import CapabilityError, ProbeError

if TYPE_CHECKING:
    from openai import AsyncOpenAI


async def rendered_ids(
    connection: Connection,
    client: AsyncOpenAI,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool,
    template_kwargs: Mapping[str, Any],
) -> list[int]:
    """Token ids of a conversation by the server's own template.

    Raises:
        CapabilityError: the server does not return them.
        ProbeError: its template refuses the conversation.
    """
    body = {**openai_form(messages), "add_generation_prompt": add_generation_prompt}
    if template_kwargs:
        body["chat_template_kwargs"] = dict(template_kwargs)
    if add_generation_prompt:  # llama.cpp would continue an answer at the end
        answer = await _asked(connection, client, "/apply-template", body)
        prompt = answer.get("prompt")
        # As it tokenizes the prompt of a chat, with a BOS where the vocabulary has one.
        ids = await text_ids(connection, client, prompt, special=True) if prompt else None
        if ids:
            return list(ids)
    answer = await _asked(
        connection, client, "/tokenize", {"model": connection.endpoint.model, **body}
    )
    found = ids_of(answer.get("tokens"))
    if not found:
        raise CapabilityError(
            f"{connection.endpoint} renders prompts itself and does not return the tokens of this "
            "conversation: it needs /tokenize for messages (vLLM), or for prompts /apply-template "
            "(llama.cpp)"
        )
    return list(found)


async def _asked(
    connection: Connection, client: AsyncOpenAI, path: str, body: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The answer at a path, empty if the server has no such path."""
    try:
        answer = await connection.post(client, path, body)
    except Absent:
        return {}
    except Refused as error:
        raise ProbeError(str(error)) from error
    return answer if isinstance(answer, Mapping) else {}


async def text_ids(
    connection: Connection, client: AsyncOpenAI, text: str, *, special: bool = False
) -> tuple[int, ...] | None:
    """Token ids of a text; with `special`, including the special tokens that the server adds. None
    if it does not return them."""
    # The parameters of vLLM and of llama.cpp; each ignores the other's.
    body = {
        "model": connection.endpoint.model, "prompt": text, "add_special_tokens": special,
        "content": text, "add_special": special, "parse_special": True,
    }  # fmt: skip
    try:
        answer = await connection.post(client, "/tokenize", body)
    except (Absent, Refused):
        return None
    return ids_of(answer.get("tokens")) or None if isinstance(answer, Mapping) else None
