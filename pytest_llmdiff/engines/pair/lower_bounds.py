"""A lower bound of the divergence, for engines that return the likeliest tokens only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.tokens import TokenDivergences
from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.errors import CapabilityError

Row = Mapping[int, float]
Rows = Mapping[int, Sequence[Row]]  # by item: a row for each token of the reply
TOGETHER = 64  # pairs that are requested at once
SLACK = 1e-6  # probability that rounding may hide among the other tokens
# log p, in nats, of a token that a model has not: that of the smallest normal float32, since an
# infinite divergence could not be compared with any limit.
NOTHING = -87.3365
WHY = (
    "a server returns the likeliest tokens only, so that only a lower bound is known; for the "
    "divergence itself it has to return the whole vocabulary (vLLM: --max-logprobs -1)"
)
SCORES = ("token_logits", "likely_tokens")


def lower_bounds(
    base: Any, tuned: Any, pairs: Sequence[tuple[Continuation, Continuation]], rows: int
) -> Iterator[tuple[int, TokenDivergences]]:
    """Index and a lower bound of each pair's divergence.

    Raises:
        CapabilityError: neither side returns the likeliest tokens.
    """
    for start in range(0, len(pairs), TOGETHER):
        part = pairs[start : start + TOGETHER]
        before, after = [pair[0] for pair in part], [pair[1] for pair in part]
        ours, theirs = _likely(base, before), _likely(tuned, after)
        # A side with logits gives the tokens that the other side returns.
        if ours is None and theirs is not None:
            ours = _gathered(base, before, theirs, rows, missing=-math.inf)
        elif theirs is None and ours is not None:
            theirs = _gathered(tuned, after, ours, rows, missing=NOTHING)
        if ours is None or theirs is None:
            raise CapabilityError("neither engine returns the likeliest tokens of a reply")
        for index in range(len(part)):
            least = [
                least_divergence(p, q) for p, q in zip(ours[index], theirs[index], strict=True)
            ]
            at_least = math.fsum(least) / len(least) if least else None
            found = TokenDivergences(tokens=(), unsupported=WHY, at_least=at_least)
            yield start + index, found


def _likely(engine: Any, items: Sequence[Continuation]) -> Rows | None:
    likeliest = capability(engine, "likely_tokens")
    return None if likeliest is None else dict(likeliest(items))


def _gathered(
    engine: Any, items: Sequence[Continuation], like: Rows, rows: int, *, missing: float
) -> Rows:
    """Log-probabilities of the tokens of `like`; `missing` for those that this model has not."""
    found = {}
    for index, logits in engine.token_logits(items, rows):
        logprobs = logits.float().log_softmax(-1)
        width = logprobs.shape[-1]
        found[index] = [
            {token: float(row[token]) if token < width else missing for token in likely}
            for row, likely in zip(logprobs, like[index], strict=True)
        ]
    return found


def least_divergence(base: Row, tuned: Row) -> float:
    """A lower bound of KL(base‖tuned) in nats, from log-probabilities of some tokens.

    A row has the likeliest tokens, and at most one more. Missing values are filled in so that the
    divergence is smallest: a token that only the base's row has is no likelier to the tuned model
    than the least likely token of its own row, and all further tokens are merged into one, which
    can only reduce the divergence (log sum inequality, Cover & Thomas 2006, theorem 2.7.1).
    """
    shared = base.keys() & tuned.keys()
    terms = [
        math.exp(p) * (p - tuned[token])
        for token, p in ((token, base[token]) for token in shared)
        if p > -math.inf
    ]
    # The smallest of a row may be the reply's own token, far below the likeliest ones.
    most = sorted(tuned.values())[min(1, len(tuned) - 1)]
    alone = sorted((p for token, p in base.items() if token not in shared), reverse=True)
    mass = [math.exp(p) for p in alone]
    left = max(1.0 - math.fsum(map(math.exp, base.values())), 0.0) + math.fsum(mass)
    beside = max(1.0 - math.fsum(math.exp(tuned[token]) for token in shared), 0.0) + SLACK
    # The sum is smallest where the probabilities are proportional to the base's, up to the cap.
    for p, each in zip(alone, mass, strict=True):
        if left <= SLACK or each * beside <= math.exp(most) * left:
            break
        terms.append(each * (p - most))
        left, beside = left - each, max(beside - math.exp(most), SLACK)
    # x log(x / beside) is smallest at beside / e: take the nearest x that rounding allows.
    rest = sorted((left - SLACK, beside / math.e, left + SLACK))[1]
    terms.append(rest * math.log(rest / beside))
    return max(math.fsum(terms), 0.0)
