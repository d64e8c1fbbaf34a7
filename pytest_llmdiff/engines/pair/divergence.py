"""The teacher-forced divergence of two models: exact, over the full vocabulary, in chunks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.data.tokens import TokenDivergence, TokenDivergences
from pytest_llmdiff.engines import (
    Continuation,
    Generated,
    TokenLogits,
    capability,
    lacks_logits,
)
from pytest_llmdiff.engines.batching import batches
from pytest_llmdiff.engines.pair.lower_bounds import NOTHING, SCORES, lower_bounds
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.pair.vocabularies import (
    readable,
    rows_of,
    text_of,
    unlike_tokenizers,
    used_rows,
)
from pytest_llmdiff.errors import CapabilityError, ModelError

if TYPE_CHECKING:
    import torch

# Bytes of float32 logits in one micro-batch. A token takes 600 kB with a vocabulary of 150,000, and
# the logits of two models are held at once.
LOGITS_BYTES = {"cpu": 1 << 26, "mps": 1 << 27, "cuda": 1 << 29}
ROWS = 128

NO_TOKENS = "the base's reply has no tokens, or its engine does not return them"
UNREADABLE = "the base's reply begins with a token that the tuned model has not"

Pairs = Sequence[tuple[Continuation, Continuation]]
TextOf = Callable[[int], str]


def pair_divergences(
    pair: Pair, items: Sequence[tuple[Request, Generated, Generated]]
) -> Iterator[tuple[Request, TokenDivergences]]:
    """Statistics of requests, given the outcomes of the base and of the tuned model.

    Raises:
        CapabilityError: an engine has neither logits nor recorded statistics.
    """
    known = capability(pair.tuned, "divergence")
    if known is not None:
        for request, base, _ in items:
            try:
                yield request, known(request, base.reply)
            except ModelError as error:
                yield request, TokenDivergences(tokens=(), unsupported=str(error))
        return
    for side, engine in (("base", pair.base), ("tuned", pair.tuned)):
        if all(capability(engine, name) is None for name in SCORES):
            raise CapabilityError(
                f"the divergence needs the {side} model's logits, and {lacks_logits(engine)}"
            )
    ours: Any = pair.base
    theirs: Any = pair.tuned
    why = unlike_tokenizers(ours, theirs)
    if why is not None:
        for request, _, _ in items:
            yield request, TokenDivergences(tokens=(), unsupported=why)
        return
    pairs, requests = [], []
    their_rows = rows_of(theirs)
    for request, base, tuned in items:
        reply_ids = base.reply.token_ids if base.reply else ()
        if not reply_ids:
            yield request, TokenDivergences(tokens=(), unsupported=NO_TOKENS)
            continue
        reply_ids = readable(reply_ids, their_rows)
        if not reply_ids:
            yield request, TokenDivergences(tokens=(), unsupported=UNREADABLE)
            continue
        before, after = (
            Continuation(prompt_ids=side.prompt_ids, reply_ids=reply_ids) for side in (base, tuned)
        )
        pairs.append((before, after))
        requests.append(request)
    rows = rows_for(pair.resolved.get("device", "cpu"), len(ours.tokenizer))
    if any(capability(side, "token_logits") is None for side in (ours, theirs)):
        for index, value in lower_bounds(ours, theirs, pairs, rows):
            yield requests[index], value
        return
    found = token_divergences(
        ours,
        theirs,
        pairs,
        rows=rows,
        used=used_rows(ours),
        text_of=text_of(ours, theirs),
        between=None if pair.fits else ours.close,
    )
    for index, value in found:
        yield requests[index], value


def token_divergences(
    base: TokenLogits,
    tuned: TokenLogits,
    pairs: Pairs,
    *,
    rows: int,
    used: int,
    text_of: TextOf,
    between: Callable[[], None] | None = None,
    watch: Callable[[int, torch.Tensor, torch.Tensor], None] = lambda *_: None,
) -> Iterator[tuple[int, TokenDivergences]]:
    """Index and statistics of each pair.

    A pair is the base's reply after the base's rendering of the prompt, and after the tuned
    model's. `used` is the number of the base's rows before its padding. `rows` bounds the reply
    tokens whose logits are held at once. With `between`, the two models are not in memory together:
    the base's logits go to a temporary folder, `between` is called (to free the base), and then the
    tuned model runs. `watch` gets the index and the logits of both, `[len(reply_ids), vocabulary]`.
    """
    # The engines batch in the same way, so they run each chunk as one batch.
    chunks = batches([after for _, after in pairs], rows=rows)
    if between is None:
        for chunk in chunks:
            ours = dict(base.token_logits([pairs[i][0] for i in chunk], rows))
            for position, logits in tuned.token_logits([pairs[i][1] for i in chunk], rows):
                index = chunk[position]
                reply = pairs[index][0].reply_ids
                mine = ours.pop(position)
                watch(index, mine, logits)
                yield index, statistics(mine, logits, reply, used, text_of)
        return
    from safetensors.torch import load_file, save_file

    with tempfile.TemporaryDirectory(prefix="llmdiff-") as folder:
        for chunk in chunks:
            for position, logits in base.token_logits([pairs[i][0] for i in chunk], rows):
                held = {"logits": logits.detach().cpu().contiguous()}
                save_file(held, Path(folder) / str(chunk[position]))
        between()
        for chunk in chunks:
            for position, logits in tuned.token_logits([pairs[i][1] for i in chunk], rows):
                index = chunk[position]
                file = Path(folder) / str(index)
                theirs = load_file(file)["logits"].to(logits.device)
                reply = pairs[index][0].reply_ids
                watch(index, theirs, logits)
                yield index, statistics(theirs, logits, reply, used, text_of)
                file.unlink()


def statistics(
    base: torch.Tensor, tuned: torch.Tensor, reply_ids: Sequence[int], used: int, text_of: TextOf
) -> TokenDivergences:
    """Statistics of a whole reply, from logits `[len(reply_ids), vocabulary]`."""
    tokens: list[TokenDivergence] = []
    for start in range(0, len(reply_ids), ROWS):
        part = slice(start, start + ROWS)
        tokens += token_statistics(base[part], tuned[part], reply_ids[part], used, text_of)
    return TokenDivergences(tokens=tuple(tokens))


class TokenStatistics:
    """Collects the statistics of replies while the tuned model decodes with them as drafts.

    `states` `[tokens, hidden]` are the base's last hidden states at each token of its `replies`, by
    the request's key; `base_logits` is its output layer, and `used` the number of its rows before
    padding.
    """

    def __init__(
        self,
        states: Mapping[str, torch.Tensor],
        replies: Mapping[str, Sequence[int]],
        base_logits: Callable[[torch.Tensor], torch.Tensor],
        used: int,
        text_of: TextOf,
    ) -> None:
        self._states = states
        self._replies = replies
        self._base_logits = base_logits
        self._used = used
        self._text_of = cache(text_of)
        self._found: dict[str, dict[int, TokenDivergence]] = {}

    def __call__(self, places: Sequence[tuple[str, int]], logits: torch.Tensor) -> None:
        """Take the tuned model's logits `[n, vocabulary]` at `places`: request's key and token."""
        import torch

        if not places:
            return
        states = torch.stack([self._states[key][token] for key, token in places])
        base = self._base_logits(states).to(logits.device)
        reply = [self._replies[key][token] for key, token in places]
        rows = token_statistics(base, logits, reply, self._used, self._text_of)
        for (key, token), row in zip(places, rows, strict=True):
            self._found.setdefault(key, {})[token] = row

    def of(self, key: str) -> TokenDivergences | None:
        """Remove and return the statistics of a reply; None unless all its tokens were seen."""
        found = self._found.pop(key, {})
        length = len(self._replies.get(key, ()))
        if not length or len(found) < length:
            return None
        return TokenDivergences(tokens=tuple(found[token] for token in range(length)))


def token_statistics(
    base: torch.Tensor, tuned: torch.Tensor, reply_ids: Sequence[int], used: int, text_of: TextOf
) -> list[TokenDivergence]:
    """KL(base‖tuned) in nats at each reply token, from logits `[len(reply_ids), vocabulary]`.

    KL(p‖q) = Σ p (log p − log q) (Kullback & Leibler 1951). It is computed in float32 whatever
    dtype the models have, since sums in bfloat16 are off by tens of percent.

    The vocabularies may have different widths. Tokens that only the tuned model has are part of
    its distribution: what they take is missing from q. A token that only the base has counts with
    log q = `NOTHING`; the base's rows from `used` on are padding, and those that the tuned model
    has not are left out of p.
    """
    import torch

    width = min(base.shape[-1], tuned.shape[-1])
    ours = base[:, : max(width, used)].float().log_softmax(-1)
    # With several devices, the two models may have their logits on different ones.
    theirs = tuned.to(ours.device).float().log_softmax(-1)
    best_p, best_q = ours.argmax(-1, keepdim=True), theirs.argmax(-1, keepdim=True)
    p, q, only_ours = ours[:, :width], theirs[:, :width], ours[:, width:]
    reply = torch.tensor(reply_ids, device=p.device)[:, None]
    ours_of_best_q = p.gather(-1, best_q.clamp(max=width - 1)).masked_fill(best_q >= width, NOTHING)
    columns = [
        p.gather(-1, reply)[:, 0].tolist(),
        q.gather(-1, reply)[:, 0].tolist(),
        ours_of_best_q[:, 0].tolist(),
        theirs.gather(-1, best_q)[:, 0].tolist(),
        (best_p != best_q)[:, 0].tolist(),
        best_q[:, 0].tolist(),
    ]
    # Written over q, which is not needed any more: these are the largest tensors of a run.
    terms = torch.sub(p, q, out=q).mul_(p.exp())
    # A token that the base masks (log p = −inf) adds nothing; the product would be NaN.
    terms.masked_fill_(p == -torch.inf, 0.0)
    # KL is never negative, but rounding can make a sum slightly so; NaN stays NaN.
    lost = (only_ours.exp() * (only_ours - NOTHING)).masked_fill_(only_ours == -torch.inf, 0.0)
    kl = (terms.sum(-1) + lost.sum(-1)).clamp(min=0).tolist()
    return [
        TokenDivergence(
            text=text_of(token),
            kl=divergence,
            base_logprob=row[0],
            tuned_logprob=row[1],
            tuned_text=text_of(row[5]),
            tuned_text_base_logprob=row[2],
            tuned_text_tuned_logprob=row[3],
            flipped=row[4],
        )
        for token, divergence, row in zip(reply_ids, kl, zip(*columns, strict=True), strict=True)
    ]


def rows_for(device: str, vocabulary: int) -> int:
    """Rows of logits that fit the device's budget."""
    return max(1, LOGITS_BYTES.get(device, LOGITS_BYTES["cpu"]) // (4 * vocabulary))
