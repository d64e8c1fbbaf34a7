"""What a server makes of messages and texts: token ids, where it tells them.

vLLM and SGLang render and cut at `/tokenize`; llama.cpp renders at `/apply-template` and cuts at
`/tokenize`. Both stand at the server's root, not below the version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.engines.server.completions import ids_of
from pytest_llmdiff.engines.server.endpoint import Absent, Connection, Refused
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
        CapabilityError: the server does not show them.
        ProbeError: its template refuses the conversation.
    """
    body: dict[str, Any] = {
        "messages": [dict(message) for message in messages],
        "add_generation_prompt": add_generation_prompt,
    }
    if template_kwargs:
        body["chat_template_kwargs"] = dict(template_kwargs)
    if add_generation_prompt:  # llama.cpp takes an answer at the end for one to be continued
        answer = await _asked(connection, client, "/apply-template", body)
        prompt = answer.get("prompt")
        # As it cuts the prompt of a chat: with a BOS where the vocabulary wants one.
        ids = await text_ids(connection, client, prompt, special=True) if prompt else None
        if ids:
            return list(ids)
    answer = await _asked(
        connection, client, "/tokenize", {"model": connection.endpoint.model, **body}
    )
    found = ids_of(answer.get("tokens"))
    if not found:
        raise CapabilityError(
            f"{connection.endpoint} renders prompts by itself and does not show the tokens of this "
            "conversation: it needs /tokenize for messages (vLLM), or for prompts /apply-template "
            "(llama.cpp)"
        )
    return list(found)


async def _asked(
    connection: Connection, client: AsyncOpenAI, path: str, body: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The answer at a path, empty where the server has no such path."""
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
    """Token ids of a text, with the special tokens that the server puts around one where `special`;
    None where it does not tell them."""
    # The names of vLLM and those of llama.cpp: each leaves the other's unread.
    body = {
        "model": connection.endpoint.model, "prompt": text, "add_special_tokens": special,
        "content": text, "add_special": special, "parse_special": True,
    }  # fmt: skip
    try:
        answer = await connection.post(client, "/tokenize", body)
    except (Absent, Refused):
        return None
    return ids_of(answer.get("tokens")) or None if isinstance(answer, Mapping) else None
