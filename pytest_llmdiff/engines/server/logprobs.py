"""Log-probabilities of tokens, from servers that return them.

vLLM returns, at each token of a prompt, that token and the likeliest ones (`prompt_logprobs`, up to
its `--max-logprobs`), and the likeliest next tokens after a prompt (`logprobs`). llama.cpp returns
the latter only, but as many as are requested.
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

# How many likely tokens to request: vLLM's default maximum, then fewer for servers with a lower
# one. -1 is the whole vocabulary.
WHOLE = -1
TOPS = (20, 5, 1)
MANY = 1 << 20  # more than any vocabulary has; llama.cpp then returns all
MASKED = -9999.0  # vLLM's value for a probability of 0, whose logarithm JSON lacks
LOOSE = 1e-2  # allowed difference from 1 of the sum of probabilities in single precision
# Allowed difference (nats) of the likeliest tokens between both ways of asking; bfloat16 makes a
# tenth of it.
ALIKE = 0.5
LIKELIEST = 5

Row = Mapping[int, float]  # log-probabilities (nats) by token id


class NoLogprobs(ModelError):
    """The server does not return log-probabilities, or what it returns is invalid."""


@dataclass(frozen=True, kw_only=True)
class Logprobs:
    """What the server returns: the `top` likeliest tokens at each token of a prompt, and the
    `width` of the vocabulary if it returns whole rows; 0 where it does not. `unlike` says that it
    returns prompt_logprobs, but not those that the model generates with."""

    top: int = 0
    width: int = 0
    unlike: bool = False


async def find_logprobs(
    connection: Connection, client: AsyncOpenAI, prompt: Sequence[int]
) -> Logprobs:
    """Find out what a server returns, with the shortest prompt possible."""
    found = await _found(connection, client, prompt)
    if not found.top or await _agree(connection, client, prompt, min(found.top, LIKELIEST)):
        return found
    return Logprobs(width=found.width, unlike=True)


async def _agree(
    connection: Connection, client: AsyncOpenAI, prompt: Sequence[int], top: int
) -> bool:
    """Whether the token after a prompt is as likely when it is scored as when it is generated.

    vLLM's `prompt_logprobs` ignore what an adapter changes at the output layer.
    """
    try:
        generated = await next_row(connection, client, prompt, top)
    except (Refused, NoLogprobs, Absent):
        return True  # nothing to compare with
    said = _likeliest(generated)
    read = (await prompt_rows(connection, client, [*prompt, said], top))[-1]
    expected = _likeliest(read)
    # A token that is not among the likeliest is less likely than these.
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
        except (NoLogprobs, Absent):
            break
        if top != WHOLE:
            return Logprobs(top=top)
        width = len(rows[-1])
        if _whole(rows[-1], width):
            return Logprobs(top=TOPS[0], width=width)
    try:
        row = await next_row(connection, client, prompt[:2], MANY)
    except (Refused, NoLogprobs, Absent):
        return Logprobs()
    return Logprobs(width=len(row) if _whole(row, len(row)) else 0)


async def prompt_rows(
    connection: Connection, client: AsyncOpenAI, prompt: Sequence[int], top: int
) -> list[Row]:
    """Log-probabilities at each token of a prompt but the first: of that token and the `top`
    likeliest.

    Raises:
        Refused: the server does not return that many, or the prompt is too long.
        NoLogprobs: it returns none.
    """
    choice = await _choice(connection, client, prompt, prompt_logprobs=top)
    given = choice.get("prompt_logprobs")
    if not isinstance(given, list) or len(given) != len(prompt):
        raise NoLogprobs(f"{connection.endpoint} returns no prompt_logprobs")
    rows = [_row_of(connection, entries.items(), _of_entry) for entries in given[1:]]
    for token, row in zip(prompt[1:], rows, strict=True):
        if token not in row:
            raise NoLogprobs(f"{connection.endpoint} returns prompt_logprobs of other tokens")
    return rows


async def next_row(
    connection: Connection, client: AsyncOpenAI, prompt: Sequence[int], top: int
) -> Row:
    """Log-probabilities of the `top` likeliest tokens after a prompt.

    Raises:
        Refused: the server does not return that many, or the prompt is too long.
        NoLogprobs: it returns none.
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
        raise NoLogprobs(f"{connection.endpoint} returns no logprobs by token id") from error


ID = "token_id:"  # vLLM's prefix of ids, if they are requested instead of texts


async def whole_row(
    connection: Connection, client: AsyncOpenAI, prompt: Sequence[int], width: int
) -> list[float]:
    """Log-probabilities (nats) of all tokens after a prompt, by id.

    Raises:
        Refused: the prompt is too long.
        NoLogprobs: some tokens are missing.
    """
    row = await next_row(connection, client, prompt, width)
    if not _whole(row, width):
        raise NoLogprobs(
            f"{connection.endpoint} returns {len(row)} probabilities for a vocabulary of {width}"
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
        raise NoLogprobs(f"{connection.endpoint} answered without a completion") from error
    return choice if isinstance(choice, Mapping) else {}


def _of_entry(entry: Mapping[str, Any]) -> float:
    return float(entry["logprob"])


def _row_of(connection: Connection, given: Iterable[tuple[Any, Any]], read: Any) -> Row:
    try:
        row = {int(token): read(value) for token, value in given}
    except (KeyError, TypeError, ValueError) as error:
        raise NoLogprobs(
            f"{connection.endpoint} returns no log-probabilities by token id"
        ) from error
    row = {token: value if value > MASKED else -math.inf for token, value in row.items()}
    # With vLLM's --logprobs-mode, they may be logits.
    if not row or max(row.values()) > LOOSE or not _mass(row) <= 1 + LOOSE:
        raise NoLogprobs(f"{connection.endpoint}: its log-probabilities are invalid")
    return row


def _whole(row: Row, width: int) -> bool:
    """Whether a row has all tokens, with probabilities that sum to 1."""
    complete = len(row) == width and max(row) == width - 1 and min(row) == 0
    return complete and _mass(row) > 1 - LOOSE


def _mass(row: Row) -> float:
    return math.fsum(map(math.exp, row.values()))
