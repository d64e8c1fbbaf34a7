"""Which parts of an adapter cause the change of given replies: parts are switched off in turn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.transformers.decoding.batch_size import BatchSize, in_batches
from pytest_llmdiff.engines.transformers.decoding.padded import reply_logits
from pytest_llmdiff.engines.transformers.weights import Weights
from pytest_llmdiff.errors import CapabilityError, ModelError

if TYPE_CHECKING:
    import torch

KEPT = 0.8  # share of the change that the smallest set of layers has to keep
# Below this many nats per token, the change is only rounding.
LEAST = 1e-5
PREFIX = "base_model.model."  # of the base's modules within PEFT's model

Modules = frozenset[str]


def carried(
    weights: Weights, items: Sequence[Continuation], *, rows: int, pad_id: int
) -> dict[str, Any]:
    """The fields of `Carriers` as plain JSON, from passes of the tuned model over given replies.

    `rows` bounds the reply tokens whose logits `[rows, vocabulary]` are held at once.

    Raises:
        CapabilityError: the adapter changes no module, or memory runs out.
    """
    with weights.model(adapted=True) as model:
        modules = _with_originals(weights, model)
        if not modules:
            raise CapabilityError("the adapter changes no module of the base: it has no parts")
        try:
            return _carried(_Passes(model, modules, items, rows, pad_id))
        except ModelError as error:  # out of memory; the model itself has not failed
            raise CapabilityError(str(error)) from error


def _carried(passes: _Passes) -> dict[str, Any]:
    layers = _by(passes.modules, layer_of)
    kinds = _by(passes.modules, lambda name: name.rpartition(".")[2])
    every = frozenset(passes.modules)
    parts = [*layers.values(), *kinds.values()]
    whole, *left = passes.left([every, *(every - part for part in parts)])
    facts = {"change": whole, "tokens": passes.tokens}
    if not whole > LEAST:
        return facts | {"layers": [], "kinds": [], "fewest": [], "kept": 0.0}
    shares = [1 - divergence / whole for divergence in left]
    ordered = _ordered(layers, shares)

    def kept(count: int) -> float:
        chosen = frozenset[str]().union(*(layers[name] for name, _ in ordered[:count]))
        return 1 - passes.left([every - chosen])[0] / whole

    fewest, share = _fewest(len(ordered), kept)
    return facts | {
        "layers": ordered,
        "kinds": _ordered(kinds, shares[len(layers) :]),
        "fewest": [name for name, _ in ordered[:fewest]],
        "kept": share,
    }


def _ordered(names: Iterable[str], shares: Sequence[float]) -> list[list[Any]]:
    pairs = zip(names, shares, strict=False)
    return [[name, share] for name, share in sorted(pairs, key=lambda part: -part[1])]


def _fewest(count: int, kept: Callable[[int], float]) -> tuple[int, float]:
    """The smallest number of first parts that keep `KEPT`, and the share that they keep: a binary
    search, since all parts together keep everything."""
    low, high, share = 1, count, 1.0
    while low < high:
        middle = (low + high) // 2
        if (now := kept(middle)) >= KEPT:
            high, share = middle, now
        else:
            low = middle + 1
    return high, share


def _by(modules: Mapping[str, Any], name_of: Callable[[str], str]) -> dict[str, Modules]:
    """Names of modules, by the part that they belong to."""
    found: dict[str, set[str]] = {}
    for name in modules:
        found.setdefault(name_of(name), set()).add(name)
    return {part: frozenset(names) for part, names in found.items()}


def layer_of(name: str) -> str:
    """The number of a module's layer; for a module outside the layers, its own name."""
    number = re.search(r"\.(\d+)\.", name)
    return number[1] if number else name.rpartition(".")[2]


def adapted_modules(model: Any) -> dict[str, Any]:
    """The modules that an adapter changes, by name: those that still have their original."""
    return {
        name: module
        for name, module in model.named_modules()
        if hasattr(module, "base_layer") or hasattr(module, "original_module")
    }


def _with_originals(weights: Weights, model: Any) -> dict[str, tuple[Any, Any]]:
    """The modules that the adapter changes, each with what the base has there.

    Raises:
        CapabilityError: the adapter alters its base (`Weights.alteration`), and what the base has
            is not known by module, or not in memory.
    """
    modules, alteration = adapted_modules(model), weights.alteration
    if weights.alone is None or alteration is None:
        return {name: (module, _original(module)) for name, module in modules.items()}
    if not alteration.tensors or not weights.together:
        raise CapabilityError(
            "the adapter changes its base even when it is switched off, and "
            + ("in no single module" if weights.together else "memory has no room for both models")
            + ": its parts cannot be switched off one by one"
        )
    alone = weights.alone.load()
    for name in {f"{PREFIX}{tensor.rpartition('.')[0]}" for tensor in alteration.tensors}:
        modules.setdefault(name, model.get_submodule(name))
    return {
        name: (module, alone.get_submodule(name.removeprefix(PREFIX)))
        for name, module in modules.items()
    }


def _original(module: Any) -> Any:
    return module.base_layer if hasattr(module, "base_layer") else module.original_module


class _Passes:
    """Passes of the tuned model over replies, with modules switched off. `modules` has each with
    what the base has in its place."""

    def __init__(
        self,
        model: Any,
        modules: Mapping[str, tuple[Any, Any]],
        items: Sequence[Continuation],
        rows: int,
        pad_id: int,
    ) -> None:
        self.modules = modules
        self.tokens = sum(len(item.reply_ids) for item in items)
        self._model = model
        self._items = items
        self._rows = rows
        self._pad_id = pad_id

    def left(self, off: Sequence[Modules]) -> list[float]:
        """KL(tuned‖tuned without these modules) in nats per token, for each set of modules."""
        totals = [0.0] * len(off)
        for item in self._items:
            (whole,) = self._logprobs(item, [frozenset()])

            def run(part: Sequence[int], item: Any = item, whole: Any = whole) -> list[float]:
                found = self._logprobs(item, [off[number] for number in part])
                return [_divergence(whole, logprobs) for logprobs in found]

            most = BatchSize(max(1, self._rows // (len(item.reply_ids) + 1)))
            for part, found in in_batches(range(len(off)), most, run):
                for number, divergence in zip(part, found, strict=True):
                    totals[number] += divergence
        return [total / self.tokens for total in totals]

    def _logprobs(self, item: Continuation, off: Sequence[Modules]) -> list[torch.Tensor]:
        """`[tokens, vocabulary]` for each set of modules, which are off in one row of the batch."""
        import torch

        count = len(off)
        with ExitStack() as hooks:
            for name, (module, original) in self.modules.items():
                rows = [name in names for names in off]
                if any(rows):
                    hooks.enter_context(switched_off(module, original, torch.tensor(rows)))
            logits = reply_logits(
                self._model, [item.prompt_ids] * count, [item.reply_ids] * count,
                pad_id=self._pad_id,
            )  # fmt: skip
        return [each.float().log_softmax(-1) for each in logits]


@contextmanager
def switched_off(module: Any, before: Any, rows: torch.Tensor) -> Iterator[None]:
    """Let the module `before` answer in a module's place for some rows of a batch (booleans).

    Raises:
        CapabilityError: during a pass, if the module's input is not one row per row of the batch.
    """

    def instead(_: Any, given: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        if not given or len(given[0]) != len(rows):  # an expert's input mixes tokens of all rows
            raise CapabilityError(
                "an adapted module of this model does not keep the rows of a batch apart"
            )
        chosen = rows.to(output.device)
        output = output.clone()
        output[chosen] = before(given[0][chosen]).to(output.dtype)
        return output

    handle = module.register_forward_hook(instead)
    try:
        yield
    finally:
        handle.remove()


def _divergence(p: torch.Tensor, q: torch.Tensor) -> float:
    """KL(p‖q) in nats, summed over the tokens; where p is 0, the term is 0."""
    terms = (p.exp() * (p - q)).masked_fill(p.isinf(), 0.0)
    return float(terms.sum())
