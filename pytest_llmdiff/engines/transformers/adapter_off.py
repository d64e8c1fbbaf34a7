"""Whether a model whose adapter is switched off is still the base, and what differs where not.

Some adapters take a part out of the base's weights when they are loaded (PiSSA, OLoRA), leave
trained biases in place, or replicate layers. The base is therefore looked at before and after the
adapter is put on, whatever its kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines.files.artifacts import initialisation, safetensors_header
from pytest_llmdiff.engines.transformers.packing import ALIKE, fixed_logits

if TYPE_CHECKING:
    import torch

# Of a large tensor, this many blocks of numbers are read, spread evenly; small ones are read whole.
BLOCKS, BLOCK = 16, 256
PART = 1 << 22  # numbers that are read at once
SHOWN = 2


@dataclass(frozen=True, kw_only=True)
class Alteration:
    """What an adapter leaves behind when it is switched off.

    `tensors` are the names of the base's tensors that differ. If there are none, it shows in the
    logits only.
    """

    tensors: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.tensors:
            return "its logits differ"
        shown = ", ".join(self.tensors[:SHOWN])
        if len(self.tensors) == 1:
            return f"the tensor {shown} differs"
        return f"{len(self.tensors)} tensors differ, such as {shown}"


@dataclass(frozen=True, kw_only=True)
class Held:
    """A tensor of the base, and what it was: where it lay, how often it had been written to, and a
    digest of its bytes, of all (`whole`) or of some. The numbers themselves are not kept."""

    name: str
    tensor: torch.Tensor
    place: int
    version: int
    digest: bytes | None
    whole: bool

    @property
    def differs(self) -> bool:
        if digest(self.tensor, whole=self.whole) != self.digest:
            return True
        if self.whole and self.digest is not None:
            return False
        return (self.tensor.data_ptr(), self.tensor._version) != (self.place, self.version)


class BaseBefore:
    """A base before an adapter is put on: its logits on fixed token ids, and its tensors.

    Some adapters' files hold tensors of the base, mostly embeddings. These are read in full.
    """

    def __init__(self, model: Any, adapter: Path) -> None:
        import torch

        with torch.no_grad():
            # First, since quantised layers may rearrange their weights in their first pass.
            self.logits = fixed_logits(model)
            in_file = set(_base_names(adapter))
            self._held = [_held(n, tensor, whole=n in in_file) for n, tensor in tensors(model)]

    def alteration(self, adapted: Any) -> Alteration | None:
        """What differs when the adapter of a PEFT model over that base is switched off, or None.

        A tensor that was replaced counts as different, and so does a large one that was written to,
        unless it was read in full. The logits show what is in no tensor.
        """
        import torch

        with torch.no_grad():
            present = {id(tensor) for _, tensor in tensors(adapted)}
            changed = tuple(
                held.name for held in self._held if id(held.tensor) not in present or held.differs
            )
            if changed:
                return Alteration(tensors=changed)
            try:
                with adapted.disable_adapter():
                    after = fixed_logits(adapted)
            except Exception:  # a model that cannot run says so itself when it is asked
                return Alteration()
        return None if alike(self.logits, after) else Alteration()


def differs_at_each_load(adapter: Path) -> str | None:
    """The setting by which an adapter's loading draws random numbers and takes another part out of
    the base each time (PEFT's fast PiSSA), or None."""
    found = initialisation(adapter)
    return found if isinstance(found, str) and found.startswith("pissa_niter_") else None


def tensors(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and persistent buffers. Other buffers hold no weights, and rotary embeddings
    replace theirs as sequences grow."""
    yield from model.named_parameters()
    for prefix, module in model.named_modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name not in module._non_persistent_buffers_set:
                yield f"{prefix}.{name}" if prefix else name, buffer


def _base_names(adapter: Path) -> Iterator[str]:
    """The names that an adapter's tensors would have in the base. For a wrapped layer, PEFT adds
    "base_layer"; names of tensors that only adapters have are of no use here."""
    file = adapter / "adapter_model.safetensors"
    for name in safetensors_header(file) if file.is_file() else ():
        yield name.removeprefix("base_model.model.").replace(".base_layer.", ".")


def _held(name: str, tensor: torch.Tensor, *, whole: bool) -> Held:
    whole = whole or tensor.numel() <= BLOCKS * BLOCK
    return Held(
        name=name, tensor=tensor, place=tensor.data_ptr(), version=tensor._version,
        digest=digest(tensor, whole=whole), whole=whole,
    )  # fmt: skip


def digest(tensor: torch.Tensor, *, whole: bool) -> bytes | None:
    """A digest of a tensor's bytes, of all or of some blocks; None where they cannot be read, such
    as weights that accelerate keeps on disk, or a quantised type of its own."""
    import torch

    if tensor.is_meta:
        return None
    hashed = hashlib.sha256()
    try:
        flat = tensor.detach().reshape(-1)
        if not whole and len(flat) > BLOCKS * BLOCK:
            flat = flat.unfold(0, BLOCK, (len(flat) - BLOCK) // (BLOCKS - 1)).reshape(-1)
        for part in flat.split(PART):  # type: ignore[no-untyped-call]
            hashed.update(part.contiguous().view(torch.uint8).cpu().numpy())
    except (RuntimeError, NotImplementedError, TypeError):
        return None
    return hashed.digest()


def alike(before: torch.Tensor, after: torch.Tensor) -> bool:
    """Whether logits are equal up to rounding; those of a broken base, not finite, say nothing."""
    import torch

    if before.shape != after.shape:
        return False
    if not bool(before.isfinite().all()):
        return True
    allowed = max(ALIKE, torch.finfo(before.dtype).eps)
    change = (after.float() - before.float()).abs().max()
    return bool(change <= allowed * before.float().abs().max())
