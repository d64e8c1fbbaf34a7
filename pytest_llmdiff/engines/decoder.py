"""A decode loop over the model's forward pass that does no work twice.

The tokens that all prompts begin with (template head, system prompt) are run once and their keys
and values reused; a row that has ended leaves the batch at once, and a waiting prompt takes its
place; the output layer runs on last positions only. All of it goes through the public parts of
transformers: `forward` with a `DynamicCache`, an attention mask and position ids.
"""

from __future__ import annotations

import inspect
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines.decoding import RowSampling, fewer, is_out_of_memory, left_padded
from pytest_llmdiff.engines.rendering import common_length
from pytest_llmdiff.engines.weights import input_device
from pytest_llmdiff.planning import Sampling

if TYPE_CHECKING:
    import torch

# A prefix shorter than this is not worth a forward pass of its own.
SHORTEST_PREFIX = 4
# New rows come in when so large a part of the batch is free: one at a time, each would cost a
# forward pass for itself alone.
FREE_SHARE = 0.25
# How far a token's logit may be below the best one of a plain pass: rounding turns near-ties over.
TOLERANCE = {"float32": 1e-3, "float16": 3e-2, "bfloat16": 6e-2}


class Decoder:
    """Continues prompts (token ids) in up to `slots` rows at a time, in their order.

    `keys` seed the rows' sampling one by one, so that a row's draw does not depend on its
    neighbours. The model is given to each `advance` anew, in the same state (adapter on or off).
    """

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        sampling: Sampling,
        keys: Sequence[str],
        stop_ids: Sequence[int],
        slots: int,
        pad_id: int,
    ) -> None:
        self._prompts = prompts
        self._limit = sampling.max_new_tokens
        self._sampling = RowSampling(sampling, keys)
        self._stops = set(stop_ids)
        self._slots = slots
        self._pad_id = pad_id
        self._waiting = deque(range(len(prompts)))
        self._rows: list[int] = []
        self._said: dict[int, list[int]] = {}
        self._prefix = _common_prefix(prompts)
        self._prefix_cache: Any = None
        # Of the rows in the batch: keys and values of their columns; which columns are tokens,
        # `[rows, columns]`; the position of the next token, and the last one, `[rows, 1]`.
        self._cache: Any = None
        self._mask: Any = None
        self._positions: Any = None
        self._last: Any = None

    @property
    def done(self) -> bool:
        return not self._waiting and not self._rows

    def advance(self, model: Any) -> list[tuple[int, list[int]]]:
        """Decode until some rows end: their index and new tokens, the stop token included."""
        forward = _Forward(model)
        while not self.done:
            free = self._slots - len(self._rows)
            if self._waiting and (not self._rows or free >= max(1, FREE_SHARE * self._slots)):
                logits = self._admit(forward, min(free, len(self._waiting)))
            else:
                logits = self._step(forward)
            ended = self._take(logits)
            if ended:
                return ended
        return []

    def _admit(self, forward: _Forward, count: int) -> torch.Tensor:
        """Run waiting prompts up to their end and let their rows join the batch.

        Returns logits `[rows in the batch, vocabulary]`: those that were there take a step as well.
        """
        import torch

        old = self._step(forward) if self._rows else None
        new = [self._waiting.popleft() for _ in range(count)]
        size = len(self._prefix)
        if size and self._prefix_cache is None:
            ids, mask = left_padded([self._prefix], self._pad_id, forward.device)
            self._prefix_cache = forward.cache()
            forward(ids, mask, mask.cumsum(-1) - 1, self._prefix_cache)
        ids, mask = left_padded(
            [self._prompts[index][size:] for index in new], self._pad_id, forward.device
        )
        mask = torch.cat([mask.new_ones(count, size), mask], -1)
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = forward.cache(_repeated(self._prefix_cache, count) if size else ())
        logits = forward(ids, mask, places[:, size:], cache)
        positions = places[:, -1:] + 1
        if old is None:
            self._cache, self._mask, self._positions = cache, mask, positions
        else:
            width = max(self._mask.shape[-1], mask.shape[-1])
            _join(self._cache, cache, width)
            self._mask = torch.cat([_widened(self._mask, width), _widened(mask, width)])
            self._positions = torch.cat([self._positions, positions])
            logits = torch.cat([old, logits])
        self._rows = [*self._rows, *new]
        self._said |= {index: [] for index in new}
        return logits

    def _step(self, forward: _Forward) -> torch.Tensor:
        """One token further: logits `[rows, vocabulary]`."""
        import torch

        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._rows), 1)], -1)
        logits = forward(self._last, self._mask, self._positions, self._cache)
        self._positions = self._positions + 1
        return logits

    def _take(self, logits: torch.Tensor) -> list[tuple[int, list[int]]]:
        """Give every row its next token; those that end leave the batch."""
        tokens = self._sampling(logits, self._rows).argmax(-1)
        staying, ended = [], []
        for place, (index, token) in enumerate(zip(self._rows, tokens.tolist(), strict=True)):
            said = self._said[index]
            said.append(token)
            if token in self._stops or len(said) >= self._limit:
                ended.append((index, self._said.pop(index)))
            else:
                staying.append(place)
        self._last = tokens[:, None]
        if ended:
            self._rows = [self._rows[place] for place in staying]
            self._keep(staying)
        return ended

    def _keep(self, staying: Sequence[int]) -> None:
        """Drop all other rows, and the columns that are padding in all that stay."""
        import torch

        if not staying:
            self._cache = self._mask = None
            return
        places = torch.tensor(staying, device=self._mask.device)
        self._mask = self._mask[places]
        start = int(self._mask.any(0).int().argmax())
        self._mask = self._mask[:, start:]
        for layer in _filled(self._cache):
            layer.keys = layer.keys[places, :, start:]
            layer.values = layer.values[places, :, start:]
        self._positions, self._last = self._positions[places], self._last[places]


class _Forward:
    """Forward passes of a model over keys and values from before."""

    def __init__(self, model: Any) -> None:
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        accepted = inspect.signature(base.forward).parameters
        self._model = model
        self._position_ids = "position_ids" in accepted
        self._logits_to_keep = "logits_to_keep" in accepted
        self.device = input_device(model)

    def cache(self, layers: Iterable[tuple[torch.Tensor, torch.Tensor] | None] = ()) -> Any:
        """Keys and values by layer, each `[rows, heads, columns, width]`.

        All columns are kept, whatever the architecture's own cache would forget.
        """
        from transformers import DynamicCache

        cache = DynamicCache()
        for number, layer in enumerate(layers):
            if layer is not None:
                cache.update(*layer, number)
        return cache

    def __call__(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any
    ) -> torch.Tensor:
        """Logits `[rows, vocabulary]` behind the last of the ids; the cache grows by them."""
        options: dict[str, Any] = {}
        if self._position_ids:
            options["position_ids"] = positions
        if self._logits_to_keep:
            options["logits_to_keep"] = 1
        output = self._model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **options
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits


def _filled(cache: Any) -> list[Any]:
    """Layers that hold keys; those that share the keys of another layer hold none."""
    return [layer for layer in cache.layers if layer.get_seq_length()]


def _repeated(cache: Any, count: int) -> list[Any]:
    return [
        (layer.keys.expand(count, -1, -1, -1), layer.values.expand(count, -1, -1, -1))
        if layer.get_seq_length()
        else None
        for layer in cache.layers
    ]


def _join(cache: Any, other: Any, width: int) -> None:
    """Append the rows of another cache, both padded at the beginning to so many columns.

    The other one is given up layer by layer: there is no room for both and the result.
    """
    import torch

    def wide(part: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(part, (0, 0, width - part.shape[-2], 0))

    for layer, more in zip(_filled(cache), _filled(other), strict=True):
        layer.keys = torch.cat([wide(layer.keys), wide(more.keys)])
        layer.values = torch.cat([wide(layer.values), wide(more.values)])
        more.keys = more.values = None


def _widened(mask: torch.Tensor, width: int) -> torch.Tensor:
    import torch

    return torch.nn.functional.pad(mask, (width - mask.shape[-1], 0))


def _common_prefix(prompts: Sequence[Sequence[int]]) -> list[int]:
    """What all prompts begin with; each keeps at least one token behind it."""
    if len(prompts) < 2:
        return []
    # All lie between the first and the last in order, so those two have the least in common.
    first, last = min(map(list, prompts)), max(map(list, prompts))
    length = min(common_length(first, last), min(map(len, prompts)) - 1)
    return list(first[:length]) if length >= SHORTEST_PREFIX else []


def decoded(
    decoder: Callable[..., Decoder],
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    slots: int,
    opened: Callable[[], AbstractContextManager[Any]],
    remember: Callable[[int], None],
) -> Iterator[tuple[int, list[int]]]:
    """Place and new tokens of each prompt as they end; where memory runs out, with fewer slots.

    The model is `opened` for each advance, never across a `yield`. The slots that were enough
    are passed to `remember`.

    Raises:
        ModelError: memory runs out with a single prompt.
    """
    left = list(range(len(prompts)))
    while left:
        now = decoder([prompts[i] for i in left], keys=[keys[i] for i in left], slots=slots)
        places, ended = left, set[int]()
        message = ""
        while not now.done and not message:
            found = []
            try:
                with opened() as model:
                    found = now.advance(model)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                message = str(error)
            for place, row in found:
                ended.add(places[place])
                yield places[place], row
        left = [i for i in left if i not in ended]
        if message:
            # Outside the handler, whose exception holds the frames, and with them the tensors.
            del now
            slots = fewer(slots, len(left), message)
            remember(slots)


def cannot_serve(model: Any, *, pad_id: int) -> str | None:
    """Why this loop cannot serve a model, or None: tried out on a few tokens.

    Rows that begin together, wait and join say tokens that one plain forward pass finds likeliest.
    What fails here is served by `generate`: recurrent states, caches of other kinds.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    ids = [(7 * number + 3) % rows for number in range(16)]
    prompts = [ids[:9], [*ids[:6], *ids[2:4]], [*ids[:6], *ids[9:16]]]
    decoder = Decoder(
        prompts, sampling=Sampling(max_new_tokens=4), keys=["0" * 12] * 3, stop_ids=(), slots=2,
        pad_id=pad_id,
    )  # fmt: skip
    worst = 0.0
    try:
        while not decoder.done:
            for index, said in decoder.advance(model):
                worst = max(worst, _shortfall(model, prompts[index], said))
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        return f"{type(error).__name__}: {reason}"
    allowed = TOLERANCE.get(str(model.dtype).removeprefix("torch."), TOLERANCE["bfloat16"])
    return None if worst <= allowed else "its tokens are not those of a plain forward pass"


def _shortfall(model: Any, prompt: Sequence[int], said: Sequence[int]) -> float:
    """By how much the tokens' logits are below the best of a plain pass, at most, as a share of
    what the best is above the mean; infinite where logits are not finite."""
    import torch

    device = input_device(model)
    ids = torch.tensor([[*prompt, *said]], device=device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0]
    logits = logits[len(prompt) - 1 : -1].float()
    best = logits.max(-1).values
    own = logits.gather(-1, torch.tensor(said, device=logits.device)[:, None])[:, 0]
    worst = float(((best - own) / (best - logits.mean(-1)).clamp(min=1e-6)).max())
    return worst if math.isfinite(worst) else math.inf


def window_of(model: Any) -> int | None:
    """The attention window in tokens, of models that have one.

    Padding stands between the common prefix and a prompt's own tokens here, and would count as
    part of the window: it must hold the whole sequence.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None) or getattr(
        config, "attention_chunk_size", None
    )
    return int(window) if window else None
