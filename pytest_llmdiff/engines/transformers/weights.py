"""A model in memory: loading, placement, and one adapter that is switched on and off."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import quiet
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.engines.devices import (
    BYTES,
    ROOM,
    Placement,
    empty_cache,
    free_memory,
    limit_threads,
)
from pytest_llmdiff.engines.files.artifacts import parameter_count
from pytest_llmdiff.engines.files.conversion import Conversions, size_text, weights_form
from pytest_llmdiff.engines.files.gguf_header import check_gguf
from pytest_llmdiff.engines.files.quantization import check_loadable, quantization_of, require
from pytest_llmdiff.engines.transformers.adapter_off import Alteration, BaseBefore
from pytest_llmdiff.engines.transformers.packing import pack
from pytest_llmdiff.errors import ModelError

if TYPE_CHECKING:
    import torch


# Bytes per parameter, including scales and the layers that are not quantised.
QUANTIZED_BYTES = {"8bit": 1.1, "4bit": 0.65}
SEED = 0


class Weights:
    """One model in memory, with at most one PEFT adapter.

    If the tuned model is an adapter, both sides share one instance, so that the base's weights are
    in memory once. Where loading shows that the base is not the same any more with the adapter
    switched off (`alteration`), the base runs on weights of its own (`alone`). If memory has no
    room for both (`together`), entering one side closes the other. Nothing is loaded before
    `model()` is entered.
    """

    def __init__(
        self,
        path: Path,
        *,
        adapter: Path | None,
        settings: Settings,
        place: Callable[[], Placement],
        device: str,
        dtype: str,
        conversions: Conversions,
    ) -> None:
        self.path = path
        self.adapter = adapter
        self.device = device
        self._place = place
        self.dtype = dtype
        self._settings = settings
        self._conversions = conversions
        self._model: Any = None
        self.stop_ids: tuple[int, ...] = ()
        self.alteration: Alteration | None = None
        self.alone: Weights | None = None
        self.together = True

    @property
    def trust_remote_code(self) -> bool:
        return self._settings.trust_remote_code

    @property
    def bytes(self) -> float:
        """Memory that the weights need, in bytes, estimated from the headers of their files."""
        if quantization_of(self.path) is not None:
            return float(sum(file.stat().st_size for file in self.path.glob("*.safetensors")))
        per_parameter = QUANTIZED_BYTES.get(self._settings.quantization, BYTES[self.dtype])
        return parameter_count(self.path) * per_parameter

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
            model = self._load_base()
            if self.adapter is not None:
                before = BaseBefore(model, self.adapter)
                model = self._load_adapter(model)
                model.eval()
                self._keep_base(before.alteration(model))
            # transformers takes parameters that a call leaves out from the model's own generation
            # config, which would differ between the sides. Only the stop ids are kept.
            from transformers import GenerationConfig

            self.stop_ids = _stop_ids(model)
            for part in (model, model.get_base_model()) if self.adapter else (model,):
                part.generation_config = GenerationConfig()
            model.eval()
            # Quantised weights are not plain tensors, and their products differ.
            if self.device == "cpu" and self.dtype == "float32" and not _is_quantized(model):
                pack(model)
            self._model = model
        return self._model

    def close(self) -> None:
        if self.alone is not None:
            self.alone.close()
        self._release()

    def _release(self) -> None:
        if self._model is None:
            return
        self._model = None
        gc.collect()
        empty_cache()

    def _keep_base(self, alteration: Alteration | None) -> None:
        """Provide for the base where its weights, the adapter switched off, are not the base's."""
        if alteration is None or self.alone is not None:
            return
        self.alteration = alteration
        self.alone = Weights(
            self.path, adapter=None, settings=self._settings, place=self._place,
            device=self.device, dtype=self.dtype, conversions=self._conversions,
        )  # fmt: skip
        # A fifth is left for activations and the KV cache of a batch, as for two models.
        self.together = self.bytes <= 0.8 * free_memory(self._place().name)
        how = "beside it" if self.together else "in turn with it, since memory has no room for both"
        self._conversions.notes.append(
            f"the adapter {Path(str(self.adapter)).name} changes its base even when it is switched "
            f"off ({alteration}): the base is loaded a second time by itself, {how}, which takes "
            f"{size_text(self.bytes)}"
        )

    def _keep_to_device(self) -> None:
        index = self._place().index
        if index is not None:
            import torch

            # So that code which uses "cuda" does not use another worker's device.
            torch.cuda.set_device(index)

    def _load_base(self) -> Any:
        if self.path.is_dir():
            check_loadable(self.path, self.device)
            return self._read(self.path, use_safetensors=True)
        require("gguf", self.path.name)
        return self._conversions.load(
            self.path,
            weights_form(
                self.dtype, self._expand, lambda folder: self._read(folder, use_safetensors=True)
            ),
        )

    def _expand(self) -> Any:
        import transformers

        check_gguf(self.path)
        options: dict[str, Any] = {"gguf_file": self.path.name}
        # Newer transformers can compute on packed weights, but adapters need plain ones.
        packed = getattr(transformers, "GgufConfig", None)
        if packed is not None:
            options["quantization_config"] = packed(dequantize=True)
        return self._read(self.path.parent, **options)

    def _read(self, folder: Path, **more: Any) -> Any:
        options = dict(self._load_options())
        try:
            with quiet():
                model, info = self._auto_class(folder).from_pretrained(
                    folder, output_loading_info=True, **options, **more
                )
        except ModelError:
            raise
        except Exception as error:  # the libraries below may raise anything
            raise ModelError(f"{self.path} cannot be loaded: {error}") from error
        # transformers only warns of these, and initialises missing weights at random.
        if missing := info["missing_keys"]:
            raise ModelError(
                f"{self.path} lacks weights that its configuration requires, and random ones would "
                f"replace them: {_some(missing)}"
            )
        if surplus := info["unexpected_keys"]:
            self._conversions.notes.append(
                f"{self.path.name}: weights that do not belong to its configuration are not used: "
                f"{_some(surplus)}"
            )
        return model

    def _auto_class(self, folder: Path) -> Any:
        """The class of transformers to load with; a GGUF file has text models only."""
        from transformers import AutoConfig, AutoModelForCausalLM

        from pytest_llmdiff.engines.transformers.adapters.model_class import model_class

        if not self.path.is_dir():
            return AutoModelForCausalLM
        trust = self._settings.trust_remote_code
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust)
        return model_class(config, self.adapter, trust_remote_code=trust)

    def _load_adapter(self, model: Any) -> Any:
        from pytest_llmdiff.engines.transformers.adapters.loading import load_adapter

        return load_adapter(model, Path(str(self.adapter)), self.path, self._place().name)

    def _load_options(self) -> Iterator[tuple[str, Any]]:
        import torch

        yield "dtype", getattr(torch, self.dtype)
        yield "trust_remote_code", self._settings.trust_remote_code
        if self.device != "cpu":
            yield "device_map", self._device_map()
        if self._settings.quantization != "none":
            yield "quantization_config", self._quantization_config()

    def _device_map(self) -> Any:
        """One device if the model fits there, else accelerate spreads it."""
        place = self._place()
        if place.device == "cuda" and place.index is None:
            return {"": 0} if self.bytes * ROOM <= free_memory("cuda:0") else "auto"
        return {"": place.name}

    def _quantization_config(self) -> Any:
        import torch
        from transformers import BitsAndBytesConfig

        if self.path.is_file() or quantization_of(self.path) is not None:
            raise ModelError(f"{self.path} is already quantised: leave --llmdiff-quantization out")
        require("bitsandbytes", f"--llmdiff-quantization {self._settings.quantization}")
        if self._settings.quantization == "8bit":
            return BitsAndBytesConfig(load_in_8bit=True)
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=getattr(torch, self.dtype),
        )


def input_device(model: Any) -> torch.device:
    """The device for token ids; with a device map, that of the first layer."""
    device: torch.device = model.get_input_embeddings().weight.device
    return device


def _is_quantized(model: Any) -> bool:
    return bool(getattr(model, "is_quantized", False))


def _stop_ids(model: Any) -> tuple[int, ...]:
    found = model.generation_config.eos_token_id
    if found is None:
        return ()
    return tuple(int(i) for i in found) if isinstance(found, (list, tuple)) else (int(found),)


def _some(names: Iterable[str]) -> str:
    """How many names there are, and the first two."""
    ordered = sorted(names)
    return f"{len(ordered)}, such as {', '.join(ordered[:2])}"
