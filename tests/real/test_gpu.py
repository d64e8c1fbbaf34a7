"""What needs a GPU: dtype, adapter toggling, and halving when memory really runs out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from tests.support.engines import PROMPTS, generation, pair, replies, request, tokens
from tests.support.tiny_models import save_adapter, save_model


def device() -> str | None:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


@pytest.fixture(autouse=True)
def gpu() -> str:
    found = device()
    if found is None:
        pytest.skip("no CUDA or MPS device here")
    return found


pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    save_model(folder / "base")
    save_adapter(folder / "adapter", folder / "base")
    save_adapter(folder / "noop", folder / "base", scale=0.0)
    return folder


def test_auto_is_the_gpu_in_bfloat16(folder: Path, tmp_path: Path, gpu: str) -> None:
    import torch

    both = pair(folder, "base", "adapter", tmp_path)
    assert both.resolved == {"device": gpu, "dtype": "bfloat16"}
    assert isinstance(both.base, TransformersEngine)
    model = both.base.weights.load()
    parameter = next(model.get_base_model().parameters())
    assert parameter.device.type == gpu
    assert parameter.dtype == torch.bfloat16


def test_adapter_toggling(folder: Path, tmp_path: Path) -> None:
    """In float32 each side is what it is alone; the sides differ, and a no-op's do not."""
    requests = [request(prompt) for prompt in PROMPTS]
    both = pair(folder, "base", "adapter", tmp_path, dtype="float32")
    base, tuned = tokens(both.base, requests), tokens(both.tuned, requests)
    assert base != tuned
    assert tokens(both.base, requests) == base
    assert tokens(pair(folder, "base", "noop", tmp_path, dtype="float32").tuned, requests) == base


def test_divergence_on_the_gpu_is_that_of_the_cpu(folder: Path, tmp_path: Path) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    values = [
        [
            value.mean
            for value in generation(
                pair(folder, "base", "adapter", tmp_path / d, device=d, dtype="float32"),
                tmp_path / d,
                requests,
            ).divergences(requests)
        ]
        for d in ("cpu", device() or "cpu")
    ]
    assert values[0] == pytest.approx(values[1], rel=0.02)


def test_memory_halving(folder: Path, tmp_path: Path, gpu: str) -> None:
    """With most of the memory taken, the batch shrinks and every prompt is still answered."""
    import torch

    if gpu != "cuda":
        pytest.skip("only CUDA can be told how much memory this process may use")
    requests = [request(f"{prompt} {i}") for i in range(400) for prompt in PROMPTS]
    engine = pair(folder, "base", "adapter", tmp_path, batch_size=len(requests)).base
    assert isinstance(engine, TransformersEngine)
    engine.weights.load()
    total = torch.cuda.get_device_properties(0).total_memory
    used = torch.cuda.memory_allocated(0)
    torch.cuda.set_per_process_memory_fraction((used + 64e6) / total)
    try:
        found = replies(engine, requests)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert all(outcome.reply is not None for outcome in found)
    assert engine.batch_size is not None
    assert engine.batch_size < len(requests)
