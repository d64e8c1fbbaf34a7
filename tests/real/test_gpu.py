"""What needs a GPU: dtype, independence of batches, adapter toggling, the floor of divergences,
halving when memory really runs out, and a GPU for each of two workers. Not run on a GPU so far."""

from __future__ import annotations

import json
import random
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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_batches_change_at_most_one_reply_in_a_hundred(
    folder: Path, tmp_path: Path, dtype: str
) -> None:
    """Kernels that round one batch otherwise than another would look like drift."""
    requests = [request(f"{prompt} {i}") for i in range(34) for prompt in PROMPTS]

    def found(rows: list[int], size: int) -> list[tuple[int, ...]]:
        both = pair(folder, "base", "adapter", tmp_path, dtype=dtype, batch_size=size)
        return tokens(both.base, [requests[row] for row in rows])

    whole = found(list(range(len(requests))), len(requests))
    assert len(whole) == len(requests)
    generator = random.Random(5)
    different = compared = 0
    for size in (1, 2, 7, 40):
        rows = generator.sample(range(len(requests)), 50)
        part = found(rows, size)
        different += sum(part[n] != whole[row] for n, row in enumerate(rows))
        compared += len(rows)
    assert different <= compared / 100


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_floor_of_divergences(folder: Path, tmp_path: Path, dtype: str) -> None:
    """An adapter that does nothing diverges by less than a hundredth of one that does."""
    requests = [request(prompt) for prompt in PROMPTS]
    floor, moved = (
        [
            value.mean or 0.0
            for value in generation(
                pair(folder, "base", name, tmp_path / name, dtype=dtype), tmp_path / name, requests
            ).divergences(requests)
        ]
        for name in ("noop", "adapter")
    )
    assert max(floor) <= sum(moved) / len(moved) / 100


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


WORKERS = """
import json, os
import pytest
from pytest_llmdiff.plugin.session import SESSION

@pytest.mark.llmdiff(*[f"Question {n}" for n in range(64)])
def test_it(comparison, pytestconfig):
    place = pytestconfig.stash[SESSION].pair_run.generation.pair.place()
    row = [comparison.probe.id, list(comparison.tuned.token_ids), place.index]
    with open(os.environ.get("PYTEST_XDIST_WORKER", "alone") + ".jsonl", "a") as file:
        file.write(json.dumps(row) + "\\n")
"""


def test_two_workers_have_a_gpu_each(folder: Path, pytester: pytest.Pytester, gpu: str) -> None:
    import torch

    if gpu != "cuda" or torch.cuda.device_count() < 2:
        pytest.skip("two CUDA devices are needed, and there are fewer here")
    pytester.makepyfile(WORKERS)
    found = {name: run_with(pytester, folder, *args) for name, args in RUNS.items()}
    assert {index for _, _, index in found["alone"]["alone"]} == {None}
    divided = found["divided"]
    assert {name: {row[2] for row in rows} for name, rows in divided.items()} == {
        "gw0": {0}, "gw1": {1},
    }  # fmt: skip
    replies = sorted(row[:2] for rows in divided.values() for row in rows)
    assert replies == sorted(row[:2] for row in found["alone"]["alone"])


RUNS = {"alone": ("--llmdiff-store=one",), "divided": ("-n2", "--llmdiff-store=two")}


def run_with(
    pytester: pytest.Pytester, folder: Path, *args: str
) -> dict[str, list[tuple[str, list[int], int | None]]]:
    """The rows that each process of a run left, by the process."""
    done = pytester.runpytest_subprocess(
        f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / 'adapter'}",
        "--llmdiff-dtype=float32", "--llmdiff-max-new-tokens=24", *args,
    )  # fmt: skip
    done.assert_outcomes(passed=64)
    rows: dict[str, list[tuple[str, list[int], int | None]]] = {}
    for file in pytester.path.glob("*.jsonl"):
        lines = file.read_text(encoding="utf-8").splitlines()
        rows[file.stem] = [tuple(json.loads(line)) for line in lines]
        file.unlink()
    return rows
