"""Gradients of given replies' loss with respect to an adapter, as sketches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.devices import empty_cache
from pytest_llmdiff.engines.transformers.adapters.health import promised_tensors
from pytest_llmdiff.engines.transformers.decoding.batch_size import is_out_of_memory
from pytest_llmdiff.engines.transformers.decoding.padded import reply_logits
from pytest_llmdiff.engines.transformers.weights import Weights
from pytest_llmdiff.errors import CapabilityError

if TYPE_CHECKING:
    import torch

# Size of a sketch. A gradient with no more numbers is kept whole; for larger ones, cosines have an
# error of about 1/sqrt(SKETCH), 0.008.
SKETCH = 1 << 14
SEED = 20
# An adapter's weights: the loaded ones ("final"), those with a zero update ("start"), or a file's.
Place = Literal["start", "final"] | Path
# Places, each with the weight of its gradients in the sum.
Places = Sequence[tuple[Place, float]]
# What LoRA initialises with zeros. If it is zero, so is the update.
ZERO_AT_START = ("lora_B", "lora_embedding_B")


class Sketch:
    """Reduces gradients (a tensor for each of the parameters, of `sizes` numbers) to `size` numbers
    that preserve dot products.

    It is a count sketch (Charikar, Chen & Farach-Colton 2002), which preserves dot products
    (Weinberger et al. 2009, arXiv 0902.2206): each number is added, with a random sign, to a random
    place. Each of the `parts` has its own places and signs, as if the gradients of several places
    were one longer gradient.
    """

    def __init__(self, sizes: Sequence[int], *, parts: int) -> None:
        self._sizes = sizes
        self._exact = parts * sum(sizes) <= SKETCH
        self.size = parts * sum(sizes) if self._exact else SKETCH
        self._drawn: dict[tuple[int, int], torch.Tensor] = {}

    def add(self, sketch: torch.Tensor, gradients: Sequence[torch.Tensor], part: int) -> None:
        """Add the gradients of a part, in float32, to the sketch, in place."""
        start = part * sum(self._sizes)
        for number, gradient in enumerate(gradients):
            flat = gradient.detach().flatten().to(sketch.device)
            if self._exact:
                sketch[start : start + len(flat)] += flat
                start += len(flat)
                continue
            drawn = self._places(part, number, sketch.device)
            sketch.index_add_(0, (drawn >> 1).long(), (1.0 - 2.0 * (drawn & 1)) * flat)

    def _places(self, part: int, number: int, device: torch.device) -> torch.Tensor:
        """Places times two, plus the sign as the lowest bit: two bytes for each parameter."""
        import torch

        if (part, number) not in self._drawn:
            draw = torch.Generator().manual_seed(SEED + part * len(self._sizes) + number)
            found = torch.randint(
                2 * SKETCH, (self._sizes[number],), generator=draw, dtype=torch.int16
            )
            self._drawn[part, number] = found.to(device)
        return self._drawn[part, number]


def reply_gradients(
    weights: Weights, items: Sequence[Continuation], places: Places, *, pad_id: int
) -> list[torch.Tensor]:
    """The gradient of each reply's loss with respect to the adapter's parameters, as a sketch in
    float32 on the CPU. The loss is the mean negative log-likelihood (nats) of the reply's tokens.

    Replies are run one at a time. Gradients of several places are concatenated, each times the
    square root of its weight: with checkpoints and their learning rates, the dot product of two is
    TracInCP's influence (Pruthi et al. 2020, arXiv 2002.08484).

    Raises:
        CapabilityError: the adapter's parameters are in no module, a place does not fit it, or the
            gradients are not finite.
    """
    import torch

    found: list[torch.Tensor] = []
    sketch: Sketch | None = None
    for part, (place, weight) in enumerate(places):
        with learning(weights, place) as (model, parameters):
            sketch = sketch or Sketch([p.numel() for p in parameters], parts=len(places))
            for index, item in enumerate(items):
                own = _gradient(model, parameters, item, pad_id)
                if not part:
                    found.append(torch.zeros(sketch.size, device=own[0].device))
                sketch.add(found[index], [g.float() * weight**0.5 for g in own], part)
    if not all(bool(each.isfinite().all()) for each in found):
        raise CapabilityError(
            "the gradients are not finite: look at the adapter's own weights first "
            "(assert_adapter_effective)"
        )
    return [each.cpu() for each in found]


@contextmanager
def learning(weights: Weights, place: Place) -> Iterator[tuple[Any, list[torch.nn.Parameter]]]:
    """The tuned model with the weights of a place, and its adapter's parameters, which require
    gradients only in this context.

    Raises:
        CapabilityError: as `reply_gradients`.
    """
    with weights.model(adapted=True, gradients=True) as model:
        if place == "start" and weights.alteration is not None:
            raise CapabilityError(
                "the initial weights of this adapter are unknown, since it changes its base even "
                "when it is switched off: take gradients of the final weights (at='final')"
            )
        try:
            model.set_requires_grad(model.active_adapters, requires_grad=True)
        except TypeError as error:
            raise CapabilityError(f"gradients need an adapter in the modules: {error}") from error
        try:
            with _values_of(model, place):
                yield model, [p for p in model.parameters() if p.requires_grad]
        finally:
            model.requires_grad_(False)


@contextmanager
def _values_of(model: Any, place: Place) -> Iterator[None]:
    """Give the adapter the values of a place, and restore its own at the end."""
    import torch

    if place == "final":
        yield
        return
    own, values = _values(model, place)
    kept = {name: own[name].detach().clone() for name in values}

    def put(values: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, value in values.items():
                own[name].copy_(value)

    try:
        put(values)
        yield
    finally:
        put(kept)


def _values(
    model: Any, place: Path | Literal["start"]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The adapter's tensors by their names in its file, and the new values of those that differ."""
    if place == "start":
        own = promised_tensors(model, ())
        zeros = {
            n: t.new_zeros(t.shape)
            for n, t in own.items()
            if any(part in n for part in ZERO_AT_START)
        }
        if not zeros:
            raise CapabilityError(
                "the initial weights of this adapter are unknown, since it is no LoRA: take "
                "gradients of the final weights (at='final')"
            )
        return own, zeros
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        values: dict[str, torch.Tensor] = load_file(place)
    except (OSError, SafetensorError) as error:
        raise CapabilityError(f"{place} cannot be read: {error}") from error
    own = promised_tensors(model, values)
    if any(n not in own or own[n].shape != t.shape for n, t in values.items()):
        raise CapabilityError(
            f"{place} does not fit the adapter: its tensors or their shapes differ"
        )
    return own, values


def _gradient(
    model: Any, parameters: Sequence[torch.nn.Parameter], item: Continuation, pad_id: int
) -> Sequence[torch.Tensor]:
    import torch

    try:
        (logits,) = reply_logits(model, [item.prompt_ids], [item.reply_ids], pad_id=pad_id)
        target = torch.tensor(item.reply_ids, device=logits.device)
        loss = torch.nn.functional.cross_entropy(logits.float(), target)
        return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    except (RuntimeError, MemoryError, NotImplementedError) as error:
        why = f"{error}".partition("\n")[0]
        if is_out_of_memory(error):
            count = len(item.prompt_ids) + len(item.reply_ids)
            why = f"memory runs out at {count} tokens ({why})"
    # Not inside the handler, where the exception keeps frames and so tensors alive.
    empty_cache()
    raise CapabilityError(f"this model gives no gradients here: {why}")
