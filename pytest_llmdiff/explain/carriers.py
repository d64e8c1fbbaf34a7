"""Which parts of an adapter carry a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.engines.pair.divergence import rows_for
from pytest_llmdiff.engines.pair.first_differences import about, asked, reply_tokens
from pytest_llmdiff.engines.transformers.adapter import require_adapter
from pytest_llmdiff.errors import ProbeError
from pytest_llmdiff.generation.generator import ReplyGenerator


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of an adapter: a layer ("18"), a kind of module ("q_proj"), or a module by itself.

    `alone` is the share of the change that is there where this part alone is switched on: 1 where
    that is all of it, below 0 where the part leads elsewhere. Parts work together, so that their
    shares need not add up to 1.
    """

    name: str
    alone: float


@dataclass(frozen=True, kw_only=True)
class Carriers:
    """Which parts of an adapter carry the change of some replies.

    `change` is KL(tuned‖base) in nats, the mean over the `tokens` of the tuned replies; what is
    left of it with some parts on is KL(tuned‖those parts). Parts are in the order of their shares;
    there are none where nothing changed. `fewest` are the first layers that have at least four
    fifths of the change together, and `kept` is the share that they have.
    """

    change: float
    tokens: int
    layers: tuple[Part, ...]
    kinds: tuple[Part, ...]
    fewest: tuple[str, ...]
    kept: float


TOKENS = 64  # of each reply: where it began, it was decided


def carriers(generation: ReplyGenerator, comparisons: Sequence[Comparison]) -> Carriers:
    """The parts of the tuned model's adapter, by the share of the change of the tuned replies that
    they bring about.

    Raises:
        CapabilityError: the tuned model is no adapter over weights that are loaded here, or a
            recording has not recorded this.
        ProbeError: none of the replies has tokens.
    """

    def compute(engine: Any, todo: list[Any]) -> list[dict[str, Any]]:
        rows = rows_for(generation.pair.resolved.get("device", "cpu"), len(engine.tokenizer))
        return [engine.carried(_replies(engine, each), rows) for each in todo]

    engine = generation.pair.tuned
    if capability(engine, "recorded_check") is None:
        require_adapter(engine, "carriers are parts")
    told = [about(comparison) for comparison in comparisons]
    (found,) = generation.memo.get_all("carriers", "tuned", [told], compute)
    parts = {
        name: tuple(Part(name=part, alone=alone) for part, alone in found[name])
        for name in ("layers", "kinds")
    }
    return Carriers(
        change=found["change"],
        tokens=found["tokens"],
        layers=parts["layers"],
        kinds=parts["kinds"],
        fewest=tuple(found["fewest"]),
        kept=found["kept"],
    )


def _replies(engine: Any, told: Sequence[list[Any]]) -> list[Continuation]:
    items = []
    for messages, base, tuned in map(asked, told):
        _, ids = reply_tokens(engine, base, tuned)
        if ids:
            prompt = tuple(engine.render(messages))
            items.append(Continuation(prompt_ids=prompt, reply_ids=tuple(ids[:TOKENS])))
    if not items:
        raise ProbeError("none of the tuned replies has tokens: there is no change to carry")
    return items
