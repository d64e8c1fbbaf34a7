"""Which parts of an adapter carry the change of replies: computed once, kept in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_llmdiff.comparison import Comparison
from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.engines.adapter import require_adapter
from pytest_llmdiff.engines.divergence import rows_for
from pytest_llmdiff.engines.partings import about, asked, reply_tokens
from pytest_llmdiff.errors import ProbeError
from pytest_llmdiff.generation import Generation
from pytest_llmdiff.origins import Carriers, Part

TOKENS = 64  # of each reply: where it began, it was decided


def carriers(generation: Generation, comparisons: Sequence[Comparison]) -> Carriers:
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
    (found,) = generation.facts.get_all("carriers", "tuned", [told], compute)
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
