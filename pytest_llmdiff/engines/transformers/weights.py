"""A model in memory: loading, placement, and one adapter that is switched on and off."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.hub import size_text
from pytest_llmdiff.engines.devices import Placement, empty_cache, free_memory, limit_threads
from pytest_llmdiff.engines.transformers.adapter_off import Alteration, BaseBefore
from pytest_llmdiff.engines.transformers.adapters.removal import BaseState, state_of, without
from pytest_llmdiff.engines.transformers.base_files import BaseFiles
from pytest_llmdiff.engines.transformers.packing import pack
from pytest_llmdiff.engines.transformers.rounding import round_outputs, round_weights

if TYPE_CHECKING:
    import torch


@dataclass(kw_only=True)
class KeptBase:
    """A base that stays in memory, without any adapter, from one pair of models to the next.

    `content` is that of its `BaseFiles`, `auto_class` what it was loaded with.
    """

    content: str
    place: Placement
    auto_class: Any
    stop_ids: tuple[int, ...]
    model: Any

    def take(self, files: BaseFiles, adapter: Path) -> Any | None:
        """The model, once, where it is what these files would be loaded as for that adapter."""
        model, self.model = self.model, None
        if model is None or self.place != files.place():
            return None
        return model if files.auto_class(files.path, adapter) is self.auto_class else None

    def close(self) -> None:
        if self.model is not None:
            self.model = None
            _free()


class Weights:
    """One model in memory, with at most one PEFT adapter.

    If the tuned model is an adapter, both sides share one instance, so that the base's weights are
    in memory once. Where loading shows that the base is not the same any more with the adapter
    switched off (`alteration`), the base runs on weights of its own (`alone`). If memory has no
    room for both (`together`), entering one side closes the other. Nothing is loaded before
    `model()` is entered. With `rounded`, float32 weights give about what bfloat16 would.
    """

    def __init__(
        self,
        files: BaseFiles,
        *,
        adapter: Path | None,
        kept: KeptBase | None = None,
        rounded: bool = False,
    ) -> None:
        self.files = files
        self._rounded = rounded
        self.path, self.device, self.dtype = files.path, files.device, files.dtype
        self.adapter = adapter
        self._kept = kept
        self._model: Any = None
        self._unpack: Callable[[], None] = _nothing
        self._before: BaseState | None = None  # the base without the adapter
        self.stop_ids: tuple[int, ...] = ()
        self.alteration: Alteration | None = None
        self.alone: Weights | None = None
        self.together = True

    @property
    def trust_remote_code(self) -> bool:
        return self.files.settings.trust_remote_code

    @property
    def bytes(self) -> float:
        """Memory that the weights need, in bytes, estimated from the headers of their files."""
        return self.files.bytes

    @contextmanager
    def model(self, *, adapted: bool, gradients: bool = False) -> Iterator[Any]:
        """The model for inference, with the adapter switched on or off.

        With `gradients` autograd is on. No parameter requires gradients until the caller sets it.
        """
        import torch

        own = self.side(adapted=adapted)
        model = own.load()
        switch = (
            nullcontext() if adapted or own.adapter is None else model.disable_adapter()
        )  # fmt: skip
        with torch.enable_grad() if gradients else torch.inference_mode(), switch:
            if gradients:
                # PEFT makes an adapter trainable again whenever it is switched on.
                model.requires_grad_(False)
            yield model

    def side(self, *, adapted: bool) -> Weights:
        """The weights that a side runs on: these, or `alone` for the base of an adapter that
        alters it. Whether it does is known once they have been loaded."""
        if not adapted and self.adapter is not None and self.alone is None:
            self.load()
        if self.alone is None:
            return self
        own, other = (self, self.alone) if adapted else (self.alone, self)
        if not self.together:
            other._release()
        return own

    def prove(self) -> None:
        """Find out whether the base can run on these weights too."""
        if self.adapter is not None and self.alone is None:
            self.load()

    def load(self) -> Any:
        """Load once. Raises ModelError with the message of transformers or PEFT."""
        if self._model is None:
            limit_threads()
            self._keep_to_device()
            model = self._base()
            if self._rounded:
                round_weights(model)
            if self.adapter is not None:
                before = BaseBefore(model, self.adapter)
                self._before = state_of(model, before.logits)
                model = self._load_adapter(model)
                model.eval()
                self._keep_base(before.alteration(model))
            # transformers takes parameters that a call leaves out from the model's own generation
            # config, which would differ between the sides. Only the stop ids are kept.
            from transformers import GenerationConfig

            for part in (model, model.get_base_model()) if self.adapter else (model,):
                part.generation_config = GenerationConfig()
            model.eval()
            # Quantised weights are not plain tensors, and their products differ.
            if self.device == "cpu" and self.dtype == "float32" and not _is_quantized(model):
                self._unpack = pack(model)
            if self._rounded:
                round_outputs(model)
            self._model = model
        return self._model

    def keep_base(self) -> KeptBase | None:
        """Give the base up to the next pair, without the adapter; None where nothing is loaded, or
        where something of the adapter would stay. These weights can be loaded again."""
        if self.alone is not None:
            kept = self.alone.keep_base()
            self.close()
            return kept
        model, stop_ids = self._model, self.stop_ids
        if model is None:
            kept, self._kept = self._kept, None  # was not needed
            return kept
        self._unpack()
        if self._before is not None:
            model = without(model, self._before)
        self._release()
        if model is None:
            return None
        return KeptBase(
            content=self.files.content, place=self.files.place(),
            auto_class=self.files.auto_class(self.path, self.adapter),
            stop_ids=stop_ids, model=model,
        )  # fmt: skip

    def close(self) -> None:
        if self.alone is not None:
            self.alone.close()
        if self._kept is not None:
            self._kept.close()
        self._release()

    def _release(self) -> None:
        if self._model is None:
            return
        self._model, self._unpack = None, _nothing
        _free()

    def _base(self) -> Any:
        """The base by itself: the one that was kept in memory, or loaded."""
        kept, self._kept = self._kept, None
        if kept is not None and self.adapter is not None:
            model = kept.take(self.files, self.adapter)
            if model is not None:
                self.stop_ids = kept.stop_ids
                return model
            kept = None
            _free()
        model = self.files.load(self.adapter)
        self.stop_ids = _stop_ids(model)
        return model

    def _keep_base(self, alteration: Alteration | None) -> None:
        """Provide for the base where its weights, the adapter switched off, are not the base's."""
        if alteration is None or self.alone is not None:
            return
        self.alteration = alteration
        self.alone = Weights(self.files, adapter=None)
        # A fifth is left for activations and the KV cache of a batch, as for two models.
        self.together = self.bytes <= 0.8 * free_memory(self.files.place().name)
        how = "beside it" if self.together else "in turn with it, since memory has no room for both"
        self.files.conversions.notes.append(
            f"the adapter {Path(str(self.adapter)).name} changes its base even when it is switched "
            f"off ({alteration}): the base is loaded a second time by itself, {how}, which takes "
            f"{size_text(self.bytes)}"
        )

    def _keep_to_device(self) -> None:
        index = self.files.place().index
        if index is not None:
            import torch

            # So that code which uses "cuda" does not use another worker's device.
            torch.cuda.set_device(index)

    def _load_adapter(self, model: Any) -> Any:
        from pytest_llmdiff.engines.transformers.adapters.loading import load_adapter

        return load_adapter(model, Path(str(self.adapter)), self.path, self.files.place().name)


def input_device(model: Any) -> torch.device:
    """The device for token ids; with a device map, that of the first layer."""
    device: torch.device = model.get_input_embeddings().weight.device
    return device


def _free() -> None:
    gc.collect()
    empty_cache()


def _nothing() -> None:
    pass


def _is_quantized(model: Any) -> bool:
    return bool(getattr(model, "is_quantized", False))


def _stop_ids(model: Any) -> tuple[int, ...]:
    found = model.generation_config.eos_token_id
    if found is None:
        return ()
    return tuple(int(i) for i in found) if isinstance(found, (list, tuple)) else (int(found),)
