"""Gradients with respect to an adapter: against autograd by hand, place by place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.transformers.gradients import SKETCH, Places, Sketch, learning
from pytest_llmdiff.errors import CapabilityError
from tests.support.engines import folder as folder
from tests.support.engines import loaded, pair
from tests.support.tiny_models import save_adapter

ITEMS = (("Hi", "Good day"), ("What is the capital of France?", "Paris."), ("Why?", "No."))
FINAL: Places = [("final", 1.0)]
START: Places = [("start", 1.0)]


@pytest.fixture(scope="module")
def engine(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    found = pair(folder, "base", "adapter", tmp_path_factory.mktemp("store")).tuned
    yield found
    found.close()


def items(engine: Any) -> list[Continuation]:
    return [
        Continuation(
            prompt_ids=tuple(engine.render([Message(role="user", content=prompt)])),
            reply_ids=tuple(engine.encode(reply)),
        )
        for prompt, reply in ITEMS
    ]


def by_hand(
    folder: Path, item: Continuation, change: Callable[[str, Any], Any] = lambda _, value: value
) -> Any:
    """The gradient of one reply, by transformers, PEFT and autograd alone."""
    import torch

    model = loaded(folder / "base", folder / "adapter")
    learnt = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_" in name:
            parameter.data = change(name, parameter.data)
            learnt.append(parameter)
    ids = torch.tensor([[*item.prompt_ids, *item.reply_ids]])
    labels = ids.clone()
    labels[0, : len(item.prompt_ids)] = -100
    model(input_ids=ids, labels=labels).loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in learnt])


def products(vectors: list[Any]) -> Any:
    import torch

    stacked = torch.stack(vectors)
    return stacked @ stacked.T


def same(found: Any, expected: Any) -> bool:
    import torch

    return torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_dot_products_are_those_of_autograd(folder: Path, engine: Any) -> None:
    found = engine.reply_gradients(items(engine), FINAL)
    expected = [by_hand(folder, item) for item in items(engine)]
    assert same(products(found), products(expected))
    assert all(len(one) == len(other) for one, other in zip(found, expected, strict=True))


def test_where_the_training_began_the_update_is_zero(folder: Path, engine: Any) -> None:
    found = engine.reply_gradients(items(engine), START)

    def begun(name: str, value: Any) -> Any:
        return value * 0 if "lora_B" in name else value

    expected = [by_hand(folder, item, begun) for item in items(engine)]
    assert same(products(found), products(expected))


def test_one_by_one_they_are_the_same(engine: Any) -> None:
    import torch

    together = engine.reply_gradients(items(engine), FINAL)
    alone = [engine.reply_gradients([item], FINAL)[0] for item in items(engine)]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))


def test_checkpoints_add_up_by_their_rates(folder: Path, engine: Any, tmp_path: Path) -> None:
    files = [
        save_adapter(tmp_path / f"{seed}", folder / "base", seed=seed) / "adapter_model.safetensors"
        for seed in (7, 8)
    ]
    before = engine.reply_gradients(items(engine), FINAL)
    found = engine.reply_gradients(items(engine), [(files[0], 0.5), (files[1], 2.0)])
    one, other = (engine.reply_gradients(items(engine), [(file, 1.0)]) for file in files)
    assert same(products(found), 0.5 * products(one) + 2.0 * products(other))
    after = engine.reply_gradients(items(engine), FINAL)
    assert same(products(after), products(before)), "its own weights are there again"


def test_parameters_ask_for_gradients_inside_only(engine: Any) -> None:
    with learning(engine.weights, "start") as (model, parameters):
        assert [n for n, p in model.named_parameters() if p.requires_grad] == [
            n for n, _ in model.named_parameters() if "lora_" in n
        ]
        assert sum(bool(p.count_nonzero()) for p in parameters) == len(parameters) / 2
    assert not any(p.requires_grad for p in model.parameters())
    assert all(bool(p.count_nonzero()) for p in parameters)


def test_gradients_that_are_no_numbers_are_refused(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def broken(_: Any, parameters: Any, **__: Any) -> Any:
        return [torch.full_like(parameter, torch.nan) for parameter in parameters]

    monkeypatch.setattr(torch.autograd, "grad", broken)
    with pytest.raises(CapabilityError, match="the gradients are not finite"):
        engine.reply_gradients(items(engine), FINAL)


def test_a_checkpoint_of_another_shape_is_refused(
    folder: Path, engine: Any, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    own = load_file(folder / "adapter" / "adapter_model.safetensors")
    save_file({name: torch.zeros(3, 3) for name in own}, tmp_path / "odd.safetensors")
    before = engine.reply_gradients(items(engine), FINAL)
    with pytest.raises(CapabilityError, match="its tensors or their shapes differ"):
        engine.reply_gradients(items(engine), [(tmp_path / "odd.safetensors", 1.0)])
    assert same(products(engine.reply_gradients(items(engine), FINAL)), products(before))


def test_a_model_that_gives_no_gradients_says_so(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("derivative for aten::packed is not implemented")

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    with pytest.raises(CapabilityError, match="no gradients here: derivative for aten::packed"):
        engine.reply_gradients(items(engine), FINAL)

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.autograd, "grad", full)
    with pytest.raises(CapabilityError, match=r"memory runs out at \d+ tokens"):
        engine.reply_gradients(items(engine), FINAL)


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), parts=st.integers(1, 3))
def test_a_small_gradient_is_kept_whole(sizes: list[int], parts: int) -> None:
    import torch

    sketch = Sketch(sizes, parts=parts)
    kept = torch.zeros(sketch.size)
    whole = [[torch.randn(size) for size in sizes] for _ in range(parts)]
    for part, gradients in enumerate(whole):
        sketch.add(kept, gradients, part)
    assert torch.equal(kept, torch.cat([g for gradients in whole for g in gradients]))


def test_a_large_gradient_keeps_its_cosines() -> None:
    import torch

    draw = torch.Generator().manual_seed(3)
    sizes = [SKETCH, 3 * SKETCH, 100]
    sketch = Sketch(sizes, parts=1)
    shared = torch.randn(sum(sizes), generator=draw)
    vectors = [share * shared + torch.randn(sum(sizes), generator=draw) for share in (0, 1, 2, 3)]
    kept = []
    for vector in vectors:
        kept.append(torch.zeros(sketch.size))
        sketch.add(kept[-1], torch.split(vector, sizes), 0)
    assert sketch.size == SKETCH

    def cosines(rows: list[Any]) -> Any:
        return products([row / row.norm() for row in rows])

    # Five times the standard error; a sketch without signs would be off by tenths.
    assert float((cosines(kept) - cosines(vectors)).abs().max()) < 5 / SKETCH**0.5


def test_a_checkpoint_that_is_cut_short_is_named(engine: Any, tmp_path: Path) -> None:
    file = tmp_path / "adapter_model.safetensors"
    whole = (Path(engine.weights.adapter) / file.name).read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(CapabilityError, match=r"adapter_model\.safetensors cannot be read"):
        engine.reply_gradients(items(engine), [(file, 1.0)])
