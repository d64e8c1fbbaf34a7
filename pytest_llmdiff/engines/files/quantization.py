"""Quantised weights: which packages load them, and on which devices they run.

It reads config.json only, so that a missing package is reported before anything is loaded. What a
method needs is taken from transformers (its `quantizers`). Anything else that is wrong is reported
by transformers when it loads the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.data.training.files import read_object
from pytest_llmdiff.errors import ConfigError, MissingPackageError, ModelError

UNQUANTIZED = "the unquantised weights"
QUANTIZATION = '"pytest-llmdiff[quantization]"'  # brings bitsandbytes and what it needs


@dataclass(frozen=True, kw_only=True)
class Method:
    """A quantisation method: the distributions that load it, with the arguments of `pip install`
    where these differ; `gpu` where it runs on GPUs only, `refused` where transformers cannot load
    it at all."""

    packages: tuple[str, ...] = ()
    install: str | None = None
    gpu: bool = False
    refused: bool = False


# By `quant_method`. Of one that is not listed, transformers decides when it loads the weights.
METHODS = {
    "aqlm": Method(packages=("aqlm", "accelerate"), install="'aqlm[gpu,cpu]' accelerate"),
    "auto-round": Method(packages=("auto-round",)),
    "awq": Method(packages=("gptqmodel", "accelerate")),
    "bitnet": Method(packages=("accelerate",)),
    "bitsandbytes": Method(packages=("bitsandbytes", "accelerate"), install=QUANTIZATION),
    "compressed-tensors": Method(packages=("compressed-tensors",)),
    "eetq": Method(packages=("kernels", "accelerate"), gpu=True),
    "fbgemm_fp8": Method(packages=("fbgemm-gpu", "accelerate"), gpu=True),
    "fouroversix": Method(packages=("fouroversix",)),
    "fp8": Method(packages=("accelerate",)),
    "fp_quant": Method(packages=("fp-quant",), gpu=True),
    "gguf": Method(packages=("gguf",), install='"pytest-llmdiff[gguf]"'),
    "gptq": Method(packages=("gptqmodel", "optimum")),
    "higgs": Method(packages=("flute-kernel", "fast-hadamard-transform", "accelerate"), gpu=True),
    "hqq": Method(packages=("hqq",)),
    "mxfp4": Method(packages=("accelerate",)),
    "mxfp8": Method(packages=("accelerate",)),
    "nvfp4": Method(refused=True),
    "quanto": Method(packages=("optimum-quanto", "accelerate")),
    "quark": Method(packages=("amd-quark",)),
    "sinq": Method(packages=("sinq",)),
    "spqr": Method(
        packages=("spqr-quant", "accelerate"), install="'spqr-quant[gpu]' accelerate", gpu=True
    ),
    "torchao": Method(packages=("torchao",)),
    "vptq": Method(packages=("vptq", "accelerate"), gpu=True),
}


def quantization_of(path: Path | None) -> str | None:
    """The quantisation method of a folder's weights, as its config.json names it."""
    file = None if path is None else path / "config.json"
    if file is None or not file.is_file():
        return None
    config = read_object(file)
    text = config.get("text_config")  # of multimodal models
    found = config.get("quantization_config") or (
        text.get("quantization_config") if isinstance(text, dict) else None
    )
    if not isinstance(found, dict):
        return None
    if found.get("load_in_4bit") or found.get("load_in_8bit"):
        return "bitsandbytes"  # its first releases did not name the method
    return str(found.get("quant_method"))


def versions_of(path: Path) -> Mapping[str, str | None]:
    """Versions of the packages that load a folder's weights, where these are quantised."""
    method = METHODS.get(quantization_of(path) or "")
    return {name: installed_version(name) for name in method.packages} if method else {}


def check_quantized(spec: Spec, option: str, settings: Settings) -> None:
    """Refuse quantised weights that cannot be loaded here, and weights that cannot be quantised.

    Raises:
        ConfigError: the message says what to install or which option to leave out.
    """
    quantization = settings.quantization
    found = "gguf" if spec.kind == "gguf" else quantization_of(_folder(spec))
    if found is None:
        if quantization != "none":
            require("bitsandbytes", f"--llmdiff-quantization {quantization}")
        return
    what = f"{option}: {spec.text} (quantised by {found})"
    if quantization != "none":
        raise ConfigError(
            f"{what}: --llmdiff-quantization {quantization} would quantise it again; leave it "
            f"out, or give {UNQUANTIZED}"
        )
    if METHODS.get(found, Method()).gpu and _without_gpu(settings.device):
        raise ConfigError(
            f"{what} runs on GPUs only, and this run has none (--llmdiff-device "
            f"{settings.device}, torch {installed_version('torch')}): start a server where there "
            f"is one, or give {UNQUANTIZED}"
        )
    require(found, what)


def require(method: str, needed_for: str) -> None:
    """Check that the packages which load weights of a method are installed.

    Raises:
        MissingPackageError: one is not; the message has the command that installs it.
        ConfigError: no package can load them.
    """
    known = METHODS.get(method, Method())
    if known.refused:
        raise ConfigError(
            f"{needed_for} cannot be loaded by transformers: start a server that can, or give "
            f"{UNQUANTIZED}"
        )
    missing = [name for name in known.packages if installed_version(name) is None]
    if missing:
        install = known.install or " ".join(missing)
        raise MissingPackageError(missing, needed_for, f"pip install {install}")


def check_loadable(path: Path, device: str) -> None:
    """The same check for a folder that is about to be loaded, with transformers at hand.

    Raises:
        ConfigError: a package is missing.
        ModelError: transformers does not know the method, or the method does not run on this
            device. transformers itself would ignore the method and fill the weights with noise.
    """
    found = quantization_of(path)
    if found is None:
        return
    what = f"{path} (quantised by {found})"
    require(found, what)
    from transformers.quantizers import AutoHfQuantizer

    config = {"quant_method": found, "load_in_4bit": found == "bitsandbytes"}
    if not AutoHfQuantizer.supports_quant_method(config):
        raise ModelError(
            f"{what}: transformers {installed_version('transformers')} does not know this method: "
            "upgrade it, or start a server that does"
        )
    if METHODS.get(found, Method()).gpu and device != "cuda":
        raise ModelError(
            f"{what} runs on GPUs only, and this run's device is {device}: start a server where "
            f"there is one, or give {UNQUANTIZED}"
        )


def _folder(spec: Spec) -> Path | None:
    """The folder of config.json; that of a hub model is in the cache since the SPEC was parsed."""
    if spec.path is not None or spec.repo is None:
        return spec.path
    from huggingface_hub import try_to_load_from_cache

    found: Any = try_to_load_from_cache(spec.repo, "config.json", revision=spec.revision)
    return Path(found).parent if isinstance(found, str) else None


def _without_gpu(device: str) -> bool:
    """Whether there certainly is no GPU. To be sure that there is one, torch has to be imported."""
    return device in ("cpu", "mps") or (installed_version("torch") or "").endswith("+cpu")
