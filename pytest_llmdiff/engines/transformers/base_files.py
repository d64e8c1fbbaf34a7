"""The files of a base model, and how transformers reads them into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import quiet
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.engines.devices import BYTES, ROOM, Placement, free_memory
from pytest_llmdiff.engines.files.artifacts import parameter_count
from pytest_llmdiff.engines.files.conversion import Conversions, weights_form
from pytest_llmdiff.engines.files.gguf_header import check_gguf
from pytest_llmdiff.engines.files.quantization import check_loadable, quantization_of, require
from pytest_llmdiff.errors import ModelError

# Bytes per parameter, including scales and the layers that are not quantised.
QUANTIZED_BYTES = {"8bit": 1.1, "4bit": 0.65}


@dataclass(frozen=True, kw_only=True)
class BaseFiles:
    """A folder of weights or a GGUF file, and what it is loaded with.

    `content` stands for all that the weights in memory depend on, so that two files of the same
    content are the same model.
    """

    path: Path
    content: str
    settings: Settings
    place: Callable[[], Placement]
    device: str
    dtype: str
    conversions: Conversions

    @property
    def bytes(self) -> float:
        """Memory that the weights need, in bytes, estimated from the headers of their files."""
        if quantization_of(self.path) is not None:
            return float(sum(file.stat().st_size for file in self.path.glob("*.safetensors")))
        per_parameter = QUANTIZED_BYTES.get(self.settings.quantization, BYTES[self.dtype])
        return parameter_count(self.path) * per_parameter

    def load(self, adapter: Path | None) -> Any:
        """The model, of the class that the adapter was made for. Raises ModelError."""
        if self.path.is_dir():
            check_loadable(self.path, self.device)
            return self._read(self.path, adapter, use_safetensors=True)
        require("gguf", self.path.name)
        return self.conversions.load(
            self.path,
            weights_form(
                self.dtype,
                lambda: self._expand(adapter),
                lambda folder: self._read(folder, adapter, use_safetensors=True),
            ),
        )

    def auto_class(self, folder: Path, adapter: Path | None) -> Any:
        """The class of transformers to load with; a GGUF file has text models only."""
        from transformers import AutoConfig, AutoModelForCausalLM

        from pytest_llmdiff.engines.transformers.adapters.model_class import model_class

        if not self.path.is_dir():
            return AutoModelForCausalLM
        trust = self.settings.trust_remote_code
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust)
        return model_class(config, adapter, trust_remote_code=trust)

    def _expand(self, adapter: Path | None) -> Any:
        import transformers

        check_gguf(self.path)
        options: dict[str, Any] = {"gguf_file": self.path.name}
        # Newer transformers can compute on packed weights, but adapters need plain ones.
        packed = getattr(transformers, "GgufConfig", None)
        if packed is not None:
            options["quantization_config"] = packed(dequantize=True)
        return self._read(self.path.parent, adapter, **options)

    def _read(self, folder: Path, adapter: Path | None, **more: Any) -> Any:
        options = dict(self._load_options())
        try:
            with quiet():
                model, info = self.auto_class(folder, adapter).from_pretrained(
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
            self.conversions.notes.append(
                f"{self.path.name}: weights that do not belong to its configuration are not used: "
                f"{_some(surplus)}"
            )
        return model

    def _load_options(self) -> Iterator[tuple[str, Any]]:
        import torch

        yield "dtype", getattr(torch, self.dtype)
        yield "trust_remote_code", self.settings.trust_remote_code
        if self.device != "cpu":
            yield "device_map", self._device_map()
        if self.settings.quantization != "none":
            yield "quantization_config", self._quantization_config()

    def _device_map(self) -> Any:
        """One device if the model fits there, else accelerate spreads it."""
        place = self.place()
        if place.device == "cuda" and place.index is None:
            return {"": 0} if self.bytes * ROOM <= free_memory("cuda:0") else "auto"
        return {"": place.name}

    def _quantization_config(self) -> Any:
        import torch
        from transformers import BitsAndBytesConfig

        if self.path.is_file() or quantization_of(self.path) is not None:
            raise ModelError(f"{self.path} is already quantised: leave --llmdiff-quantization out")
        require("bitsandbytes", f"--llmdiff-quantization {self.settings.quantization}")
        if self.settings.quantization == "8bit":
            return BitsAndBytesConfig(load_in_8bit=True)
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=getattr(torch, self.dtype),
        )


def _some(names: Iterable[str]) -> str:
    """How many names there are, and the first two."""
    ordered = sorted(names)
    return f"{len(ordered)}, such as {', '.join(ordered[:2])}"
