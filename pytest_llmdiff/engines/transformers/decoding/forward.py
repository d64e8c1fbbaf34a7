"""Forward passes of a model over a `KVCache`, and its output layer by itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines.transformers.decoding.kv_cache import KVCache
from pytest_llmdiff.engines.transformers.weights import input_device

if TYPE_CHECKING:
    import torch

# A row of a pass, and a token's index in it.
Place = tuple[int, int]


class Forward:
    """One model for inference, with its adapter switched on or off by the caller.

    `plain` says that the logits are the output layer's result, without scaling or capping.
    """

    def __init__(self, model: Any, *, plain: bool = True) -> None:
        self.plain = plain
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        accepted = inspect.signature(base.forward).parameters
        self._model = model
        self._head = base.get_output_embeddings()
        self._takes_positions = "position_ids" in accepted
        # transformers is renaming this argument.
        self._cache_argument = "cache" if "cache" in accepted else "past_key_values"
        self.device = input_device(model)
        self.dtype = model.dtype

    def __call__(
        self,
        cache: KVCache,
        start: int,
        feeds: Sequence[Sequence[int]],
        offsets: Sequence[int],
        wanted: Sequence[Place],
        *,
        logits: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the tokens of `feeds` in the rows from `start` on, each row from its offset on.

        A token attends to the columns of its row up to its own. Returns the last hidden states at
        the wanted places, `[n, hidden]`, and the logits there, `[n, vocabulary]`; without `logits`
        only those of the first place.
        """
        import torch

        longest = max(map(len, feeds))
        ids = torch.tensor([[*f, *[0] * (longest - len(f))] for f in feeds], device=self.device)
        first = torch.tensor(offsets, device=self.device)[:, None]
        last = first + torch.tensor([[len(f) - 1] for f in feeds], device=self.device)
        columns = first + torch.arange(longest, device=self.device)  # [rows, longest]
        cache.place(start, columns, max(offsets) + longest)
        unseen = torch.arange(cache.width, device=self.device) > columns[..., None]
        mask = torch.zeros(unseen.shape, dtype=self.dtype, device=self.device)
        mask.masked_fill_(unseen, torch.finfo(self.dtype).min)
        options: dict[str, Any] = {self._cache_argument: cache.past}
        if self._takes_positions:
            # The padding after a row must not have a position beyond the context.
            options["position_ids"] = columns.minimum(last)
        with self._selected(wanted, logits) as states:
            output = self._model(
                input_ids=ids, attention_mask=mask[:, None], use_cache=True, **options
            )
        return states[0], output.logits[0]

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits `[n, vocabulary]` of states `[n, hidden]` that a pass returned."""
        found: torch.Tensor = self._head(states)
        return found

    @contextmanager
    def _selected(self, wanted: Sequence[Place], logits: bool) -> Iterator[list[torch.Tensor]]:
        """Run the output layer on the wanted places only, and yield the hidden states there.

        What the architecture does to the logits afterwards (scaling, capping) still happens.
        """
        states: list[torch.Tensor] = []

        def select(_: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            rows, tokens = zip(*wanted, strict=True)
            states.append(given[0][list(rows), list(tokens)])
            return (states[0][None] if logits else states[0][None, :1], *given[1:])

        handle = self._head.register_forward_pre_hook(select)
        try:
            yield states
        finally:
            handle.remove()
