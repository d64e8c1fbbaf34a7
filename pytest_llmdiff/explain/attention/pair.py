"""The attention of both models of a pair over the same tokens."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.text.differences import common_length
from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.engines.attention import Attended, LayerAttention
from pytest_llmdiff.engines.pair.first_differences import Ending, reply_tokens
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.pair.vocabularies import readable, rows_of, unlike_tokenizers
from pytest_llmdiff.errors import CapabilityError
from pytest_llmdiff.explain.attention.distances import (
    OTHER_HEADS,
    ShiftSums,
    alike,
    divergence_bits,
    fold,
    moves_row,
    rounded,
)
from pytest_llmdiff.explain.pieces import pieces

if TYPE_CHECKING:
    import torch

# Numbers (float32) of attention that one pass holds in memory. A longer prompt or reply takes
# several passes, each for some of the layers.
HELD = 1 << 25
UNLIKE = "base and tuned model render the prompt to different tokens: attention cannot be compared"
SILENT = "the base's reply has no tokens: there is no attention to compare"
SAME = "the two prompts are the same tokens"

Prompt = Sequence[Message]
Head = tuple[int, int]  # its layer, and its number in it


def attention_views(pair: Pair, asked: Sequence[tuple[Prompt, Ending]]) -> list[dict[str, Any]]:
    """An `AttentionView` as plain JSON for each (prompt, base's reply), or why there is none.

    Raises:
        CapabilityError: an engine gives no attention.
    """
    known = capability(pair.tuned, "attention")
    if known is not None:  # by the engine itself, without weights
        return [known(messages) for messages, _ in asked]
    base = _attending(pair)
    items, results = _items(pair, asked)
    sums = {index: ShiftSums(len(item.prompt_ids)) for index, item in items.items()}
    for index, (ours, again), theirs in _passes(pair, items, again=True):
        sums[index].add(ours, theirs, again)
    for index, item in items.items():
        results[index] = sums[index].row() | {"pieces": pieces(base, item.prompt_ids)}
    return [results[index] for index in range(len(asked))]


def attention_maps(
    pair: Pair, asked: Sequence[tuple[Prompt, Ending, Sequence[Head]]]
) -> list[list[dict[str, Any]]]:
    """`AttentionMap`s as plain JSON for each (prompt, base's reply, heads), in the order of the
    heads; or why there is none. Each model reads a text once, however many heads are asked for.

    Raises:
        CapabilityError: an engine gives no attention.
    """
    known = capability(pair.tuned, "attention_map")
    if known is not None:
        return [[known(messages, reply.text)] * len(heads) for messages, reply, heads in asked]
    base = _attending(pair)
    items, reasons = _items(pair, [(messages, reply) for messages, reply, _ in asked])
    layers, heads = base.attention_size()
    size = f"{layers} layers of {heads} heads, counted from 0"
    found: dict[tuple[int, Head], dict[str, Any]] = {}
    wanted: dict[int, list[Head]] = {}
    for index, (_, _, places) in enumerate(asked):
        for layer, head in places:
            known_head = 0 <= layer < layers and 0 <= head < heads
            why = f"layer {layer} has no attention"
            if known_head:
                wanted.setdefault(index, []).append((layer, head))
            else:
                why = f"no head {head} in layer {layer}: there are {size}"
            found[index, (layer, head)] = reasons.get(index) or {"unsupported": why}
    items = {index: item for index, item in items.items() if index in wanted}
    for index, (ours,), theirs in _passes(
        pair, items, layers=lambda index: {layer for layer, _ in wanted[index]}
    ):
        item = items[index]
        texts = {
            "keys": pieces(base, [*item.prompt_ids, *item.reply_ids[:-1]]),
            "reply": pieces(base, item.reply_ids),
        }
        unlike = not alike(ours, theirs)
        by_layer = {} if unlike else {a.layer: (a, b) for a, b in zip(ours, theirs, strict=True)}
        for layer, head in wanted[index]:
            if unlike:
                found[index, (layer, head)] = {"unsupported": OTHER_HEADS}
            elif layer in by_layer:
                base_rows, tuned_rows = (rounded(s.weighted()[head]) for s in by_layer[layer])
                sides = {"base": base_rows, "tuned": tuned_rows}
                found[index, (layer, head)] = texts | sides
    return [[found[index, (layer, head)] for layer, head in places]
            for index, (_, _, places) in enumerate(asked)]  # fmt: skip


def attention_moves(
    pair: Pair, asked: Sequence[tuple[Prompt, Ending, Prompt]]
) -> list[dict[str, Any]]:
    """`Moves` as plain JSON for each (prompt, reply, changed prompt), or why there are none. The
    span where the two prompts differ counts as one token.

    Raises:
        CapabilityError: an engine gives no attention.
    """
    known = capability(pair.tuned, "attention_moves")
    if known is not None:
        return [known(changed) for _, _, changed in asked]
    _attending(pair)
    unlike, rows = unlike_tokenizers(pair.base, pair.tuned), rows_of(pair.tuned)
    reasons: dict[int, str] = {}
    moves: dict[int, list[dict[int, torch.Tensor]]] = {index: [] for index in range(len(asked))}
    for engine in (pair.base, pair.tuned):
        for index, (original, reply, changed) in enumerate(asked):
            ids = readable(reply_tokens(pair.base, reply, reply)[0], rows)
            forms = [
                Continuation(prompt_ids=tuple(engine.render(messages)), reply_ids=ids)
                for messages in (original, changed)
            ]
            reason = unlike or _silent(ids) or (SAME if forms[0] == forms[1] else None)
            if reason is None:
                moves[index].append(_move(engine, *forms))
            else:
                reasons[index] = reason
        if engine is pair.base and not pair.fits:
            engine.close()
    return [
        {"unsupported": reasons[index]} if index in reasons else moves_row(*moves[index])
        for index in range(len(asked))
    ]


def _attending(pair: Pair) -> Any:
    """The base. Raises CapabilityError unless both sides give their attention."""
    for side, engine in (("base", pair.base), ("tuned", pair.tuned)):
        if capability(engine, "attentions") is None:
            raise CapabilityError(
                f"attention needs the {side} model's weights in this process, run by transformers: "
                f"{type(engine).__name__} gives none"
            )
    return pair.base


def _items(
    pair: Pair, asked: Sequence[tuple[Prompt, Ending]]
) -> tuple[dict[int, Continuation], dict[int, dict[str, Any]]]:
    """What both models read, by index; for the others, why they cannot read the same tokens."""
    items: dict[int, Continuation] = {}
    results: dict[int, dict[str, Any]] = {}
    unlike = unlike_tokenizers(pair.base, pair.tuned)  # once: it compares two vocabularies
    rows = rows_of(pair.tuned)
    for index, (messages, reply) in enumerate(asked):
        ours, theirs = (tuple(side.render(messages)) for side in (pair.base, pair.tuned))
        ids = readable(reply_tokens(pair.base, reply, reply)[0], rows)
        reason = unlike or _silent(ids) or (UNLIKE if ours != theirs else None)
        if reason is None:
            items[index] = Continuation(prompt_ids=ours, reply_ids=ids)
        else:
            results[index] = {"unsupported": reason}
    return items, results


def _silent(reply_ids: Sequence[int]) -> str | None:
    return None if reply_ids else SILENT


def _passes(
    pair: Pair,
    items: dict[int, Continuation],
    *,
    again: bool = False,
    layers: Callable[[int], set[int]] | None = None,
) -> Iterator[tuple[int, list[Attended], Attended]]:
    """Index, the base's attention (with `again`, also from a pass of another shape) and the tuned
    model's, some layers at a time, or only certain `layers`."""
    base: Any = pair.base
    tuned: Any = pair.tuned
    shapes = (False, True) if again else (False,)

    def parts(index: int) -> Iterator[Container[int]]:
        return _parts(base, items[index]) if layers is None else iter([layers(index)])

    if pair.fits:
        for index, item in items.items():
            for part in parts(index):
                ours = [base.attentions(item, part, again=shape) for shape in shapes]
                yield index, ours, tuned.attentions(item, part)
        return
    with tempfile.TemporaryDirectory(prefix="llmdiff-") as folder:
        held: list[tuple[int, Container[int], list[Path]]] = []
        for index, item in items.items():
            for part in parts(index):
                files = [Path(folder) / f"{len(held)}-{shape}" for shape in shapes]
                for shape, file in zip(shapes, files, strict=True):
                    _save(base.attentions(item, part, again=shape), file)
                held.append((index, part, files))
        base.close()
        for index, part, files in held:
            ours = [_load(file) for file in files]
            yield index, ours, tuned.attentions(items[index], part)
            for file in files:
                file.unlink()


def _save(attended: Attended, file: Path) -> None:
    from safetensors.torch import save_file

    save_file(
        {
            f"{layer.layer} {name}": tensor.contiguous()
            for layer in attended
            for name, tensor in (("weights", layer.weights), ("norms", layer.norms))
        },
        file,
    )


def _load(file: Path) -> Attended:
    from safetensors.torch import load_file

    held = load_file(file)
    layers = sorted({int(name.split()[0]) for name in held})
    return [
        LayerAttention(layer=n, weights=held[f"{n} weights"], norms=held[f"{n} norms"])
        for n in layers
    ]


def _parts(engine: Any, item: Continuation) -> Iterator[range]:
    """Layers whose attention is held together. The last part is open, so that a model with more
    layers shows up as different."""
    layers, heads = engine.attention_size()
    size = heads * len(item.reply_ids) * (len(item.prompt_ids) + len(item.reply_ids))
    step = max(1, HELD // size)
    for start in range(0, layers, step):
        yield range(start, start + step if start + step < layers else sys.maxsize)


def _move(engine: Any, original: Continuation, changed: Continuation) -> dict[int, torch.Tensor]:
    """How far the attention of one model moves, by layer and head, mean over tokens."""
    forms = (original, changed)
    begin = common_length(original.prompt_ids, changed.prompt_ids)
    rest = min(len(form.prompt_ids) for form in forms) - begin
    backwards = [form.prompt_ids[::-1] for form in forms]
    same = min(rest, common_length(*backwards))
    results: dict[int, torch.Tensor] = {}
    longest = max(forms, key=lambda form: len(form.prompt_ids))
    for part in _parts(engine, longest):
        sides = [engine.attentions(form, part) for form in forms]
        for before, after in zip(*sides, strict=True):
            folded = [
                fold(layer.weighted(), begin, len(form.prompt_ids) - same)
                for layer, form in zip((before, after), forms, strict=True)
            ]
            results[before.layer] = divergence_bits(*folded).mean(-1)
    return results
