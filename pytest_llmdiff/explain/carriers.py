"""Which parts of an adapter carry a change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.plain_json import plain
from pytest_llmdiff.data.text.printing import counted, percent, printable
from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.engines.pair.divergence import rows_for
from pytest_llmdiff.engines.pair.first_differences import about, asked, reply_tokens
from pytest_llmdiff.engines.transformers.adapters.health import require_adapter
from pytest_llmdiff.errors import ProbeError
from pytest_llmdiff.explain.blocks import Block, bars
from pytest_llmdiff.explain.kind import Budget, Kind, Sources
from pytest_llmdiff.generation.generator import ReplyGenerator

TOKENS = 64  # the first ones of each reply, which decide where it goes
MODULES = 3  # kinds of modules in a line of a failure
LAYERS = 6


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of an adapter: a layer ("18"), a kind of module ("q_proj"), or a single module.

    `alone` is the share of the change that remains with only this part switched on: 1 for all of
    it, below 0 where the part moves the model away from the tuned one. Parts interact, so their
    shares need not add up to 1.
    """

    name: str
    alone: float


@dataclass(frozen=True, kw_only=True)
class Carriers:
    """Which parts of an adapter carry the change of some replies.

    `change` is KL(tuned‖base) in nats, the mean over the `tokens` of the tuned replies. The share
    of some parts is 1 − KL(tuned‖only those parts on) / KL(tuned‖base). `layers` and `kinds` are
    sorted by their shares, and empty where nothing changed. `fewest` are the first layers that
    together have at least four fifths of the change, and `kept` is their share.
    """

    change: float
    tokens: int
    layers: tuple[Part, ...]
    kinds: tuple[Part, ...]
    fewest: tuple[str, ...]
    kept: float


def carriers(generation: ReplyGenerator, comparisons: Sequence[Comparison]) -> Carriers:
    """The parts of the tuned model's adapter, by their share of the change of the tuned replies.

    Raises:
        CapabilityError: the tuned model is not an adapter over weights that are loaded here, or a
            recording lacks the result.
        ProbeError: none of the replies has tokens.
    """

    def compute(engine: Any, todo: list[Any]) -> list[dict[str, Any]]:
        rows = rows_for(generation.pair.resolved.get("device", "cpu"), len(engine.tokenizer))
        return [engine.carried(_replies(engine, each), rows) for each in todo]

    engine = generation.pair.tuned
    if capability(engine, "recorded_check") is None:
        require_adapter(engine, "carriers are parts")
    key = [about(comparison) for comparison in comparisons]
    (result,) = generation.memo.get_all("carriers", "tuned", [key], compute)
    parts = {
        name: tuple(Part(name=part, alone=alone) for part, alone in result[name])
        for name in ("layers", "kinds")
    }
    return Carriers(
        change=result["change"],
        tokens=result["tokens"],
        layers=parts["layers"],
        kinds=parts["kinds"],
        fewest=tuple(result["fewest"]),
        kept=result["kept"],
    )


def _replies(engine: Any, asked_for: Sequence[list[Any]]) -> list[Continuation]:
    items = []
    for messages, base, tuned in map(asked, asked_for):
        _, ids = reply_tokens(engine, base, tuned)
        if ids:
            prompt = tuple(engine.render(messages))
            items.append(Continuation(prompt_ids=prompt, reply_ids=tuple(ids[:TOKENS])))
    if not items:
        raise ProbeError("none of the tuned replies has tokens: there is no change to carry")
    return items


# As an explanation of a failure


def _compute(sources: Sources, comparison: Comparison) -> Carriers | None:
    return None if sources.examples is None else carriers(sources.generation, [comparison])


def _lines(found: Carriers, _: Comparison) -> list[str]:
    if not found.fewest:
        return []
    kinds = ", ".join(f"{part.name} {percent(part.alone)}" for part in found.kinds[:MODULES])
    layers = _layers(found.fewest, len(found.layers))
    return [f"  carried  {percent(found.kept)} of the change by {layers}; alone {kinds}"]


def _layers(names: Sequence[str], of: int) -> str:
    """How many layers out of how many, and their names, the strongest first."""
    shown = ", ".join(printable(name) for name in names[:LAYERS])
    more = f" and {len(names) - LAYERS} more" if len(names) > LAYERS else ""
    return f"{len(names)} of {counted(of, 'layer')}: {shown}{more}"


def _row(found: Carriers) -> dict[str, Any]:
    """Parts as pairs of name and share."""
    pairs = {
        name: [[part.name, round(part.alone, 4)] for part in parts]
        for name, parts in (("layers", found.layers), ("kinds", found.kinds))
    }
    return {"carried": plain({**vars(found), **pairs})}


def _page(comparison: Mapping[str, Any]) -> Iterator[Block]:
    carried = comparison["carried"]
    if not carried["layers"]:
        return
    layers = _layers(carried["fewest"], len(carried["layers"]))
    for title, key, text in (
        (
            "Layers of the adapter that make the change",
            "layers",
            "How much of the change remains when only this layer of the adapter is on. Layers work "
            f"together, so the shares need not add up: {percent(carried['kept'])} of the change is "
            f"made by {layers}.",
        ),
        (
            "Kinds of modules that make the change",
            "kinds",
            "The same for each kind of module, in all layers.",
        ),
    ):
        shares = [(share, (name,)) for name, share in carried[key]]
        yield bars(title, text, ("share of the change", key.removesuffix("s")), shares)


CARRIERS = Kind(
    title="by layers", tab="origin", budget=Budget(least=1, per=40, most=1), of_training=True,
    compute=_compute, lines=_lines, row=_row, page=_page,
)  # fmt: skip
