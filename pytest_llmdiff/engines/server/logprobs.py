"""What a server tells of the probabilities of tokens, where it tells any.

vLLM gives the likeliest tokens at each token of a prompt, the token itself among them
(`prompt_logprobs`, as many as its `--max-logprobs` allows), and the likeliest next tokens behind a
prompt (`logprobs`). llama.cpp gives the latter alone, but as many as are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines.server.endpoint import Absent, Connection, Refused
from pytest_llmdiff.errors import ModelError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# How many likely tokens are asked for: the most that vLLM allows where nothing is said, and fewer
# where its start says so. -1 is the whole vocabulary.
WHOLE = -1
TOPS = (20, 5, 1)
MANY = 1 << 20  # more than any vocabulary has; llama.cpp gives as many as there are
MASKED = -9999.0  # vLLM's word for a probability of 0, which JSON has no other for
LOOSE = 1e-2  # by how much probabilities in single precision may miss 1 together
# By how much (nats) the likeliest tokens may differ from one way of asking to the other: bfloat16
# makes a tenth of it.
ALIKE = 0.5
LIKELIEST = 5

Row = Mapping[int, float]  # log-probabilities (nats) by token id


class Untold(ModelError):
    """The server does not tell what was asked, or what it tells is no log-probability."""


@dataclass(frozen=True, kw_only=True)
class Logprobs:
    """What can be had: the `top` likeliest tokens at each token of a prompt, and the `width` of the
    vocabulary where whole rows can be had; 0 where not. `unlike` says that the former are there,
    but are not those that the model generates by."""

    top: int = 0
    width: int = 0
    unlike: bool = False


async def find_logprobs(
    connection: Connection, client: AsyncOpenAI, prompt: Sequence[int]
) -> Logprobs:
    """Ask a server what it has, by the shortest prompt that tells."""
    found = await _found(connection, client, prompt)
    if not found.top or await _agree(connection, client, prompt, min(found.top, LIKELIEST)):
        return found
    return Logprobs(width=found.width, unlike=True)


async def _agree(
    connection: Connection, client: AsyncOpenAI, prompt: Sequence[int], top: int
) -> bool:
    """Whether what stands behind a prompt is as likely when it is read as when it is generated.

    vLLM leaves out of `prompt_logprobs` what an adapter changes at the output layer.
    """
    try:
        generated = await next_row(connection, client, prompt, top)
    except (Refused, Untold, Absent):
        return True  # nothing to hold it against
    said = _likeliest(generated)
    read = (await prompt_rows(connection, client, [*prompt, said], top))[-1]
    expected = _likeliest(read)
    # What is not among the likeliest is less likely than all of these.
    behind = generated.get(expected, min(generated.values()))
    return max(abs(generated[said] - read[said]), abs(read[expected] - behind)) <= ALIKE


def _likeliest(row: Row) -> int:
    return max(row, key=lambda token: row[token])


async def _found(connection: Connection, client: AsyncOpenAI, prompt: Sequence[int]) -> Logprobs:
    for top in (WHOLE, *TOPS):
        try:
            rows = await prompt_rows(connection, client, prompt[:2], top)
        except Refused:
            continue
        except (Untold, Absent):
            break
        if top != WHOLE:
            return Logprobs(top=top)
        width = len(rows[-1])
        if _whole(rows[-1], width):
            return Logprobs(top=TOPS[0], width=width)
    try:
        row = await next_row(connection, client, prompt[:2], MANY)
    except (Refused, Untold, Absent):
        return Logprobs()
    return Logprobs(width=len(row) if _whole(row, len(row)) else 0)


async def prompt_rows(
    connection: Connection, client: AsyncOpenAI, prompt: Sequence[int], top: int
) -> list[Row]:
    """What the model expected at each token of a prompt but the first: the token itself and the
    `top` likeliest.

    Raises:
        Refused: the server will not tell so many, or the prompt is too long.
        Untold: it tells none.
    """
    choice = await _choice(connection, client, prompt, prompt_logprobs=top)
    given = choice.get("prompt_logprobs")
    if not isinstance(given, list) or len(given) != len(prompt):
        raise Untold(f"{connection.endpoint} gives no prompt_logprobs")
    rows = [_row_of(connection, entries.items(), _of_entry) for entries in given[1:]]
    for token, row in zip(prompt[1:], rows, strict=True):
        if token not in row:
            raise Untold(f"{connection.endpoint} gives prompt_logprobs of other tokens")
    return rows


async def next_row(
    connection: Connection, client: AsyncOpenAI, prompt: Sequence[int], top: int
) -> Row:
    """The `top` likeliest tokens behind a prompt.

    Raises:
        Refused: the server will not tell so many, or the prompt is too long.
        Untold: it tells none.
    """
    choice = await _choice(
        connection, client, prompt, logprobs=top, return_tokens_as_token_ids=True
    )
    given: Any = choice.get("logprobs")
    try:
        if "content" in given:  # llama.cpp
            likely = given["content"][0]["top_logprobs"]
            return _row_of(connection, ((e["id"], e["logprob"]) for e in likely), float)
        likely = given["top_logprobs"][0]
        return _row_of(connection, ((k.removeprefix(ID), v) for k, v in likely.items()), float)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise Untold(f"{connection.endpoint} gives no logprobs by token id") from error


ID = "token_id:"  # before an id, where vLLM is asked for ids in place of texts


async def whole_row(
    connection: Connection, client: AsyncOpenAI, prompt: Sequence[int], width: int
) -> list[float]:
    """Log-probabilities (nats) of all tokens behind a prompt, by id.

    Raises:
        Refused: the prompt is too long.
        Untold: the server leaves tokens out.
    """
    row = await next_row(connection, client, prompt, width)
    if not _whole(row, width):
        raise Untold(
            f"{connection.endpoint} gives {len(row)} probabilities of a vocabulary of {width}"
        )
    return [row[token] for token in range(width)]


async def _choice(
    connection: Connection, client: AsyncOpenAI, prompt: Sequence[int], **asked: Any
) -> Mapping[str, Any]:
    body = {
        "model": connection.endpoint.model, "prompt": list(prompt), "max_tokens": 1,
        "temperature": 0, **asked,
    }  # fmt: skip
    answer = await connection.post(client, "completions", body)
    try:
        (choice,) = answer["choices"]
    except (KeyError, TypeError, ValueError) as error:
        raise Untold(f"{connection.endpoint} answered with no completion") from error
    return choice if isinstance(choice, Mapping) else {}


def _of_entry(entry: Mapping[str, Any]) -> float:
    return float(entry["logprob"])


def _row_of(connection: Connection, given: Iterable[tuple[Any, Any]], read: Any) -> Row:
    try:
        row = {int(token): read(value) for token, value in given}
    except (KeyError, TypeError, ValueError) as error:
        raise Untold(f"{connection.endpoint} gives no log-probabilities by token id") from error
    row = {token: value if value > MASKED else -math.inf for token, value in row.items()}
    # vLLM's --logprobs-mode may give logits in their place.
    if not row or max(row.values()) > LOOSE or not _mass(row) <= 1 + LOOSE:
        raise Untold(f"{connection.endpoint}: what it gives as log-probabilities are none")
    return row


def _whole(row: Row, width: int) -> bool:
    """Whether a row is of all tokens, and their probabilities are 1 together."""
    complete = len(row) == width and max(row) == width - 1 and min(row) == 0
    return complete and _mass(row) > 1 - LOOSE


def _mass(row: Row) -> float:
    return math.fsum(map(math.exp, row.values()))
