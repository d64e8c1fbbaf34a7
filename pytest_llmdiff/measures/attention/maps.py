"""What attention measures need of a run, and the attention of one head of both models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

from pytest_llmdiff.data.comparison import Comparison, Run
from pytest_llmdiff.errors import ConfigError, ModelError
from pytest_llmdiff.explain.attention import views
from pytest_llmdiff.explain.attention.values import AttentionMap, AttentionView

if TYPE_CHECKING:
    from pytest_llmdiff.generation.comparisons import Comparer
    from pytest_llmdiff.generation.generator import ReplyGenerator


class AttentionRun(Run, Protocol):
    """A run that reports where both models look."""

    @property
    def generation(self) -> ReplyGenerator: ...
    @property
    def comparer(self) -> Comparer: ...


def run_of(comparisons: Sequence[Comparison]) -> AttentionRun:
    """The run of the comparisons.

    Raises:
        ModelError: the comparisons were made by hand and have no run.
    """
    run = comparisons[0].run
    if run is None:
        raise ModelError("attention needs both models: take comparisons from a fixture")
    return cast("AttentionRun", run)


def views_of(comparisons: Sequence[Comparison]) -> list[AttentionView | str]:
    """Where both models look while they read the base reply, or why that is unknown.

    Raises:
        CapabilityError: an engine does not report attention.
    """
    run = run_of(comparisons)
    return views.attention_views(
        run.generation, comparisons, around=lambda: list(run.comparer.near(comparisons))
    )


def attention_map(
    comparison: Comparison,
    *,
    layer: int | None = None,
    head: int | None = None,
    original: Comparison | None = None,
) -> AttentionMap:
    """The attention of one head of both models while they read the base reply.

    Weights are multiplied by the norm of what they pass on (Kobayashi et al. 2020, arXiv
    2004.10102). Each token of the reply is a row, and each row sums to 1. A notebook shows the
    result as a picture, and its `save` writes one.

    Args:
        comparison: from a fixture.
        layer: the layer, from 0; by default that of the head that moved most.
        head: the head, from 0; by default the one that moved most, of the layer if that is given.
        original: the comparison of another form of the prompt. The models then read the base reply
            to that one, so that the maps of the two forms can be compared.

    Raises:
        CapabilityError: an engine does not report attention, the models do not read the same
            tokens, or there is no such head.
        ConfigError: a head is given without its layer.
        ModelError: the comparison was made by hand.
    """
    if layer is None and head is not None:
        raise ConfigError(f"attention_map: got head={head} without its layer; give layer= as well")
    read = comparison if original is None else replace(comparison, base=original.base)
    return views.attention_map(run_of([comparison]).generation, read, layer=layer, head=head)
