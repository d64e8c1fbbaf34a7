"""Log-probabilities of given replies, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.tokens import Passage
from pytest_llmdiff.engines import Continuation, capability, lacks_logits
from pytest_llmdiff.engines.pair.divergence import rows_for
from pytest_llmdiff.errors import CapabilityError, ProbeError


def passage_logprobs(
    engine: Any, passages: Sequence[Passage], device: str
) -> list[list[float] | str]:
    """Log-probabilities (nats) of each passage's tokens, or why it has none: no tokens, more than
    the context takes, or a prompt with a token that the model lacks.

    An answer follows the prompt as the engine renders it. A text by itself follows the tokenizer's
    BOS; where there is none, its first token is not scored and serves as the context of the others.

    Raises:
        CapabilityError: the engine has no logits.
    """
    known = capability(engine, "logprobs")
    if known is None:
        require_logits(engine)
    items: dict[int, Continuation] = {}
    found: dict[int, list[float] | str] = {}
    for index, passage in enumerate(passages):
        try:
            if known is not None:
                found[index] = list(known(passage))
            else:
                items[index] = _continuation(engine, passage)
        except ProbeError as error:
            found[index] = str(error)
    if items:
        rows = rows_for(device, len(engine.tokenizer))
        for part in _parts(items):
            for position, logprobs in reply_logprobs(engine, [items[i] for i in part], rows):
                found[part[position]] = logprobs
    return [found[index] for index in range(len(passages))]


def _parts(items: Mapping[int, Continuation]) -> list[list[int]]:
    """What runs together: several answers to one prompt, whose prompt then runs once, and all the
    rest."""
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for index, item in items.items():
        by_prompt.setdefault(item.prompt_ids, []).append(index)
    several = [part for ids, part in by_prompt.items() if len(part) > 1 and len(ids) > 1]
    alone = [part[0] for part in by_prompt.values() if len(part) == 1]
    texts = [i for ids, part in by_prompt.items() if len(ids) == 1 < len(part) for i in part]
    return [part for part in (*several, [*alone, *texts]) if part]


def _continuation(engine: Any, passage: Passage) -> Continuation:
    ids = tuple(engine.encode(passage.text))
    if passage.after:
        prompt = tuple(engine.render(passage.after))
        if (require := capability(engine, "require_rows")) is not None:
            require(prompt, engine.embedding_rows())
    elif engine.tokenizer.bos_token_id is not None:
        prompt = (int(engine.tokenizer.bos_token_id),)
    else:
        prompt, ids = ids[:1], ids[1:]
    if not ids:
        raise ProbeError(f"a text without tokens to score cannot be scored: {passage.text!r}")
    if (readable := capability(engine, "require_readable")) is not None:
        # The last token too: its likelihood is asked for.
        readable(Continuation(prompt_ids=ids, reply_ids=()), engine.embedding_rows())
    context = capability(engine, "context_length")
    if context is not None and len(prompt) + len(ids) > context():
        raise ProbeError(
            f"a text of {len(ids)} tokens after a prompt of {len(prompt)} cannot be scored: the "
            f"context of the model is {context()}"
        )
    return Continuation(prompt_ids=prompt, reply_ids=ids)


def reply_logprobs(
    engine: Any, items: Sequence[Continuation], rows: int
) -> Iterator[tuple[int, list[float]]]:
    """Index and log-probabilities (nats) of each reply token, in batches of similar length.

    `rows` bounds the reply tokens whose logits `[rows, vocabulary]` are held at once.

    Raises:
        CapabilityError: the engine has no logits.
    """
    require_logits(engine)
    token_logprobs = capability(engine, "token_logprobs")
    if token_logprobs is not None:
        yield from token_logprobs(items, rows)
        return
    likeliest = capability(engine, "likely_tokens")
    if likeliest is not None:
        for position, found in likeliest(items):
            reply_ids = items[position].reply_ids
            yield position, [row[token] for token, row in zip(reply_ids, found, strict=True)]
        return
    order = sorted(
        range(len(items)),
        key=lambda i: len(items[i].prompt_ids) + len(items[i].reply_ids),
        reverse=True,
    )
    for position, logits in engine.token_logits([items[i] for i in order], rows):
        item = items[order[position]]
        scores = logits.float()
        reply = scores.new_tensor(item.reply_ids).long()[:, None]
        logprobs = scores.gather(-1, reply)[:, 0] - scores.logsumexp(-1)
        yield order[position], logprobs.tolist()


def require_logits(engine: Any) -> None:
    """Raises CapabilityError if the engine cannot score given replies."""
    if all(capability(engine, name) is None for name in ("token_logits", "likely_tokens")):
        raise CapabilityError(f"a given reply needs logits, and {lacks_logits(engine)}")
