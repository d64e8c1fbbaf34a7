"""Views of attention, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_llmdiff.explain.attention.values import (
    AttentionView,
)
from tests.support.engines import folder as folder


def view_of(pieces: Sequence[str], base: Sequence[float], tuned: Sequence[float]) -> AttentionView:
    return AttentionView(
        shift=0.1, plain=0.1, noise=0.0, layers=(0,), by_head=((0.1,),), by_token=(0.1,),
        entropy=(1.0, 1.0), sink=(0.5, 0.5), pieces=tuple(pieces),
        mass=(tuple(base), tuple(tuned)),
    )  # fmt: skip
