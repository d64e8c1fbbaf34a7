"""What an adapter was trained on, read out of its activations on unrelated texts.

The difference of the activations with and without the adapter, at the first tokens of texts that
have nothing to do with the training, points at what the training was about (Minder et al. 2025,
arXiv 2510.13900). It is read as words through the model's own final norm and output layer (the
logit lens, nostalgebraist 2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines.transformers.weights import Weights, input_device
from pytest_llmdiff.errors import CapabilityError

if TYPE_CHECKING:
    import torch

# Tokens of each text; the first is left out, whose activations are far larger than all others'.
FIRST, LAST = 1, 6
# Depth of the layers that are read, as a share of all; the last layer is read as well.
DEPTH = 2 / 3
BATCH = 64
KEPT = 60  # tokens
NORMS = ("norm", "final_layer_norm", "final_layernorm", "ln_f")


def activation_words(
    weights: Weights, texts: Sequence[Sequence[int]], *, controls: int, seed: int
) -> dict[str, Any]:
    """Token ids with their values, the highest first, and the highest value of any control.

    A value is by how many standard deviations a token's logit is above the mean of the vocabulary,
    on average over positions and layers, less the average of the controls. A control is the same
    adapter with the inputs and the outputs of each of its updates in random order: of the same
    norm and the same singular values, and about nothing. A control's own values are taken less the
    average of the other controls.

    Raises:
        CapabilityError: there is no LoRA adapter, it moves no activation, or the model's final norm
            is not found.
    """
    import torch

    weights.prove()  # whether the base runs on these weights shows when they are loaded
    ids = [list(text[:LAST]) for text in texts if len(text) >= LAST]
    if not ids or controls < 2:
        raise CapabilityError("it takes texts and controls")
    if weights.adapter is None or weights.alone is not None:
        raise CapabilityError("it is read from a LoRA adapter over the base, and there is none")
    base = _states(weights, ids, adapted=False)
    with weights.model(adapted=True) as model:
        pairs = _updates(model)
        if not pairs:
            raise CapabilityError("it takes a LoRA adapter: a random one of the same norm is made")
    moved = _states(weights, ids, adapted=True) - base
    if not moved.any():
        raise CapabilityError("the adapter moves no activation on neutral texts")
    own = _read(weights, moved)
    found = []
    for number in range(controls):
        with _shuffled(pairs, seed + number):
            found.append(_read(weights, _states(weights, ids, adapted=True) - base))
    random = torch.stack(found)  # [controls, vocabulary]
    total = random.sum(0)
    values = own - total / controls
    others = random - (total - random) / (controls - 1)
    best = values.topk(min(KEPT, len(values)))
    return {
        "tokens": [
            [int(token), float(value)]
            for token, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ],
        "control": float(others.max()),
        "texts": len(ids),
    }


def _decoder(model: Any) -> tuple[Any, Any, Any]:
    """The model without its output layer, the final norm, and the output layer."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = getattr(base, getattr(base, "base_model_prefix", ""), None)
    norm = next((n for name in NORMS if (n := getattr(decoder, name, None)) is not None), None)
    if decoder is None or norm is None:
        raise CapabilityError("the final norm of this architecture is not known")
    return decoder, norm, base.get_output_embeddings()


def _states(weights: Weights, ids: Sequence[Sequence[int]], *, adapted: bool) -> torch.Tensor:
    """Mean activations `[layers, positions, hidden]` of the layers that are read."""
    import torch

    with weights.model(adapted=adapted) as model:
        decoder, norm, _ = _decoder(model)
        taken: list[torch.Tensor] = []

        def take(_: Any, given: tuple[torch.Tensor, ...]) -> None:
            taken.append(given[0])

        total: Any = 0
        handle = norm.register_forward_pre_hook(take)
        try:
            for start in range(0, len(ids), BATCH):
                rows = torch.tensor(ids[start : start + BATCH], device=input_device(model))
                output = decoder(input_ids=rows, use_cache=False, output_hidden_states=True)
                states = output.hidden_states
                middle = states[round(DEPTH * (len(states) - 1))]
                both = torch.stack([middle, taken.pop().to(middle.device)])
                total = total + both[:, :, FIRST:].float().sum(1)
        finally:
            handle.remove()
        found: torch.Tensor = total / len(ids)
        return found


def _read(weights: Weights, difference: torch.Tensor) -> torch.Tensor:
    """The standardised logits `[vocabulary]`, averaged over layers and positions."""
    with weights.model(adapted=False) as model:
        _, norm, head = _decoder(model)
        rows = difference.flatten(0, 1).to(model.dtype)
        # The size of a difference says little; the norm's epsilon must not weigh against it.
        rows = rows / rows.float().pow(2).mean(-1, keepdim=True).sqrt().clamp(min=1e-12)
        logits = head(norm(rows)).float()
        centred = logits - logits.mean(-1, keepdim=True)
        found: torch.Tensor = (centred / logits.std(-1, keepdim=True)).mean(0).cpu()
        return found


def _updates(model: Any) -> list[tuple[Any, Any]]:
    """The two factors of each LoRA update: A `[rank, inputs]` and B `[outputs, rank]`."""
    return [
        (module.lora_A[name].weight, module.lora_B[name].weight)
        for module in model.modules()
        if hasattr(module, "lora_A") and hasattr(module, "lora_B")
        for name in module.lora_A
    ]


@contextmanager
def _shuffled(pairs: Sequence[tuple[Any, Any]], seed: int) -> Iterator[None]:
    import torch

    generator = torch.Generator().manual_seed(seed)
    kept = [(a.data, b.data) for a, b in pairs]
    try:
        for a, b in pairs:
            inputs = torch.randperm(a.shape[1], generator=generator).to(a.device)
            outputs = torch.randperm(b.shape[0], generator=generator).to(b.device)
            a.data, b.data = a.data[:, inputs], b.data[outputs]
        yield
    finally:
        for (a, b), (own, other) in zip(pairs, kept, strict=True):
            a.data, b.data = own, other
