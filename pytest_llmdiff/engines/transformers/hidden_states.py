"""A cache of the base's last hidden states, which saves the next adapter's run a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.store import Store, store_key

if TYPE_CHECKING:
    import torch

# Bytes for the states of all models. A token takes the hidden width times the size of a number, so
# this is some 400,000 tokens of a small model, and 130,000 of a 7-billion one in bfloat16.
LIMIT = 1 << 30
KIND = "states"


@dataclass(frozen=True)
class HiddenStateCache:
    """Last hidden states `[tokens, hidden]` of replies, in the store, of the engine `identity`.

    The key has the engine, the token ids of prompt and reply, and the processor that kernels are
    chosen by: where rounding is coarse, another processor's states would look like a divergence.
    When `limit` is reached, states of other models are removed first; then no more are stored.
    """

    store: Store
    identity: str
    dtype: str
    place: Callable[[], str]  # the device's name, called on use
    limit: int = LIMIT

    def get(self, items: Mapping[str, Continuation]) -> dict[str, torch.Tensor]:
        """The states that are stored and have the right size, by the names of the items."""
        import torch

        keys = {name: self._key(item) for name, item in items.items()}
        dtype = getattr(torch, self.dtype)
        rows = self.store.blobs(self._kind, keys.values())
        found = {}
        for name, key in keys.items():
            row, tokens = rows.get(key, b""), len(items[name].reply_ids)
            if row and len(row) % (tokens * dtype.itemsize) == 0:
                flat = torch.frombuffer(bytearray(row), dtype=dtype)
                found[name] = flat.view(tokens, -1).to(self.place())
        return found

    def put(self, states: Iterable[tuple[Continuation, torch.Tensor]]) -> None:
        """Store states, as far as there is room, if they have this dtype."""
        import torch

        dtype = getattr(torch, self.dtype)
        rows = {self._key(item): _bytes(found) for item, found in states if found.dtype is dtype}
        self.store.put_blobs(self._kind, rows, limit=self.limit)

    @property
    def _kind(self) -> str:
        return f"{KIND} {self.identity}"

    @cached_property
    def _kernels(self) -> list[object]:
        import torch

        if self.place().startswith("cuda"):
            return [torch.cuda.get_device_name(self.place())]
        return [torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]

    def _key(self, item: Continuation) -> str:
        about = [self._kernels, list(item.prompt_ids), list(item.reply_ids)]
        return store_key(KIND, self.identity, *about)


def _bytes(states: torch.Tensor) -> bytes:
    import torch

    return states.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
