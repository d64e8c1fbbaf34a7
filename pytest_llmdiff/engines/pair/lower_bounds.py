"""The least that a divergence can be where only the likeliest tokens of one side are told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.tokens import TokenDivergences
from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.errors import CapabilityError

Row = Mapping[int, float]
Told = Mapping[int, Sequence[Row]]
TOGETHER = 64  # pairs that are asked for side by side
UNTOLD = 1e-6  # probability that rounding may hide among the tokens that are not told
WHY = (
    "a server tells the likeliest tokens alone, so that only a lower bound is known; for the "
    "divergence itself it has to tell the whole vocabulary (vLLM: --max-logprobs -1)"
)
TELLS = ("token_logits", "likely_tokens")


def lower_bounds(
    base: Any, tuned: Any, pairs: Sequence[tuple[Continuation, Continuation]], rows: int
) -> Iterator[tuple[int, TokenDivergences]]:
    """What is known of each pair's divergence, with its index: that it is no less than so much.

    Raises:
        CapabilityError: neither side tells the likeliest tokens.
    """
    for start in range(0, len(pairs), TOGETHER):
        part = pairs[start : start + TOGETHER]
        before, after = [pair[0] for pair in part], [pair[1] for pair in part]
        ours, theirs = _told(base, before), _told(tuned, after)
        # A side with logits is asked for the tokens that the other one tells.
        if ours is None and theirs is not None:
            ours = _gathered(base, before, theirs, rows)
        elif theirs is None and ours is not None:
            theirs = _gathered(tuned, after, ours, rows)
        if ours is None or theirs is None:
            raise CapabilityError("neither engine tells the likeliest tokens of a reply")
        for index in range(len(part)):
            least = [
                least_divergence(p, q) for p, q in zip(ours[index], theirs[index], strict=True)
            ]
            at_least = math.fsum(least) / len(least) if least else None
            found = TokenDivergences(tokens=(), unsupported=WHY, at_least=at_least)
            yield start + index, found


def _told(engine: Any, items: Sequence[Continuation]) -> Told | None:
    likeliest = capability(engine, "likely_tokens")
    return None if likeliest is None else dict(likeliest(items))


def _gathered(engine: Any, items: Sequence[Continuation], like: Told, rows: int) -> Told:
    found = {}
    for index, logits in engine.token_logits(items, rows):
        logprobs = logits.float().log_softmax(-1)
        width = logprobs.shape[-1]
        found[index] = [
            {token: float(row[token]) for token in told if token < width}
            for row, told in zip(logprobs, like[index], strict=True)
        ]
    return found


def least_divergence(base: Row, tuned: Row) -> float:
    """A lower bound of KL(base‖tuned) in nats, from log-probabilities of some tokens.

    A row has the likeliest tokens, and one more at most. What is not told is taken for what makes
    the divergence the smallest: a token that the base tells and the tuned model does not is no
    likelier to the latter than the last one that it tells, and all further ones are taken as one,
    which can only lose divergence (the log sum inequality, Cover & Thomas 2006, theorem 2.7.1).
    """
    shared = base.keys() & tuned.keys()
    terms = [
        math.exp(p) * (p - tuned[token])
        for token, p in ((token, base[token]) for token in shared)
        if p > -math.inf
    ]
    # The smallest of a row may be the token that was asked about, far below the likeliest.
    most = sorted(tuned.values())[min(1, len(tuned) - 1)]
    alone = sorted((p for token, p in base.items() if token not in shared), reverse=True)
    mass = [math.exp(p) for p in alone]
    left = max(1.0 - math.fsum(map(math.exp, base.values())), 0.0) + math.fsum(mass)
    beside = max(1.0 - math.fsum(math.exp(tuned[token]) for token in shared), 0.0) + UNTOLD
    # The smallest sum has probabilities in one ratio to the base's, where that is not too much.
    for p, each in zip(alone, mass, strict=True):
        if left <= UNTOLD or each * beside <= math.exp(most) * left:
            break
        terms.append(each * (p - most))
        left, beside = left - each, max(beside - math.exp(most), UNTOLD)
    # x log(x / beside) is least at beside / e: what rounding allows that is nearest to it.
    rest = sorted((left - UNTOLD, beside / math.e, left + UNTOLD))[1]
    terms.append(rest * math.log(rest / beside))
    return max(math.fsum(terms), 0.0)
