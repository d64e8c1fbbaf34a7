"""The plain JSON form of replies and statistics, in the store and in recordings alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple
from typing import Any

from pytest_llmdiff.comparison import Reply, Score, TokenDivergence, TokenDivergences
from pytest_llmdiff.engines import Generated

# What is known of replies that were decoded along the other side's; left out where it is nothing.
ALONG = ("ties", "margin", "near_tie")


def generated_to_json(generated: Generated) -> dict[str, Any]:
    if generated.reply is None:
        return {"error": generated.error}
    row: dict[str, Any] = {
        "reply": asdict(generated.reply),
        "prompt_ids": list(generated.prompt_ids),
    }
    along = {name: getattr(generated, name) for name in ALONG}
    return row | {name: value for name, value in along.items() if value}


def generated_from_json(row: Mapping[str, Any]) -> Generated:
    if row.get("error") is not None:
        return Generated(error=row["error"])
    reply = dict(row["reply"], token_ids=tuple(row["reply"]["token_ids"]))
    return Generated(
        reply=Reply(**reply),
        prompt_ids=tuple(row["prompt_ids"]),
        **{name: row[name] for name in ALONG if name in row},
    )


def divergences_to_json(value: TokenDivergences) -> dict[str, Any]:
    """Tokens as lists in the order of the fields: a reply has hundreds of them."""
    row = {"tokens": [astuple(t) for t in value.tokens], "unsupported": value.unsupported}
    return row if value.at_least is None else row | {"at_least": value.at_least}


def divergences_from_json(row: Mapping[str, Any]) -> TokenDivergences:
    names = TokenDivergence.__dataclass_fields__
    tokens = (TokenDivergence(**dict(zip(names, t, strict=True))) for t in row["tokens"])
    return TokenDivergences(
        tokens=tuple(tokens), unsupported=row["unsupported"], at_least=row.get("at_least")
    )


def score_to_json(score: Score) -> dict[str, Any]:
    return {
        "value": score.value,
        "unsupported": score.unsupported,
        "details": dict(score.details),
    }


def score_from_json(row: Mapping[str, Any]) -> Score:
    return Score(value=row["value"], unsupported=row["unsupported"], details=row["details"])
