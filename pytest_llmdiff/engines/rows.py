"""Replies and statistics as JSON, for the store and for recordings."""

from __future__ import annotations

import struct
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.tools.calls import ToolCall, as_json
from pytest_llmdiff.engines import Generated

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import TokenDivergences


# Fields of replies that were decoded from a draft; left out where they are empty.
DRAFTED = ("ties", "margin", "near_tie")


def generated_to_json(generated: Generated) -> dict[str, Any]:
    if generated.reply is None:
        return {"error": generated.error}
    row: dict[str, Any] = {
        "reply": _reply_row(generated.reply),
        "prompt_ids": packed(generated.prompt_ids),
    }
    drafted = {name: getattr(generated, name) for name in DRAFTED}
    return row | {name: value for name, value in drafted.items() if value}


def _reply_row(reply: Reply) -> dict[str, Any]:
    # `asdict` would copy every token id. Rows of replies without calls are as they always were.
    calls = [as_json(call) for call in reply.tool_calls]
    row = {name: held for name, held in vars(reply).items() if name != "tool_calls"}
    return {**row, "token_ids": packed(reply.token_ids)} | ({"tool_calls": calls} if calls else {})


def generated_from_json(row: Mapping[str, Any]) -> Generated:
    """The outcome in a row. Raises an error of some kind if the row has another shape."""
    if (error := row.get("error")) is not None:
        return Generated(error=_text(error))
    reply = {**row["reply"], "token_ids": unpacked(row["reply"]["token_ids"])}
    _text(reply["text"])
    if "tool_calls" in reply:
        reply["tool_calls"] = tuple(
            ToolCall(name=_text(call["name"]), arguments=call["arguments"])
            for call in reply["tool_calls"]
        )
    return Generated(
        reply=Reply(**reply),
        prompt_ids=unpacked(row["prompt_ids"]),
        **{name: row[name] for name in DRAFTED if name in row},
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is wanted, not {value!r}")
    return value


def packed(ids: Sequence[int]) -> str:
    """Token ids as base64 of 32-bit integers, little endian. As a JSON list, they took most of the
    time of reading a reply."""
    return b64encode(struct.pack(f"<{len(ids)}I", *ids)).decode("ascii")


def unpacked(text: str) -> tuple[int, ...]:
    data = a2b_base64(text, strict_mode=True)
    return struct.unpack(f"<{len(data) // 4}I", data)


def divergences_to_json(value: TokenDivergences) -> dict[str, Any]:
    """Tokens as lists in the order of the fields: a reply has hundreds of them."""
    row = {"tokens": [astuple(t) for t in value.tokens], "unsupported": value.unsupported}
    return row if value.at_least is None else row | {"at_least": value.at_least}


def divergences_from_json(row: Mapping[str, Any]) -> TokenDivergences:
    from pytest_llmdiff.data.tokens import TokenDivergence, TokenDivergences

    names = TokenDivergence.__dataclass_fields__
    tokens = (TokenDivergence(**dict(zip(names, t, strict=True))) for t in row["tokens"])
    return TokenDivergences(
        tokens=tuple(tokens), unsupported=row["unsupported"], at_least=row.get("at_least")
    )
