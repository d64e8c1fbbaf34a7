"""Which parts of an adapter carry a change: against models with those parts zeroed by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.comparison import Comparison, Reply
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.transformers.carriers import KEPT, _fewest, layer_of, switched_off
from pytest_llmdiff.errors import CapabilityError
from pytest_llmdiff.explain.carriers import CARRIERS, Carriers, Part
from tests.support.adapter_making import adapted, lora, open_base, save
from tests.support.engines import folder as folder
from tests.support.engines import loaded, pair

ROWS = 1000
Kept = Callable[[str], bool]


def replies(engine: Any) -> list[Continuation]:
    return [
        Continuation(
            prompt_ids=tuple(engine.render([Message(role="user", content=prompt)])),
            reply_ids=tuple(engine.encode(reply)),
        )
        for prompt, reply in (("Hi", "Good day"), ("Why?", "No."))
    ]


def without(adapter: Path, target: Path, kept: Kept) -> Path:
    """A copy of an adapter in which the modules that are not kept do nothing."""
    from safetensors.torch import load_file, save_file

    target.mkdir()
    (target / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    values = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {name: value if kept(name) else value * 0 for name, value in values.items()},
        target / "adapter_model.safetensors",
    )
    return target


def divergence(base: Path, adapters: tuple[Path, Path | None], items: list[Continuation]) -> float:
    """KL(first‖second) in nats per token, each model loaded by itself."""
    import torch

    total = 0.0
    models = [loaded(base, adapter) for adapter in adapters]
    for item in items:
        ids = torch.tensor([[*item.prompt_ids, *item.reply_ids]])
        with torch.no_grad():
            p, q = (m(ids).logits[0, len(item.prompt_ids) - 1 : -1].log_softmax(-1) for m in models)
        total += float((p.exp() * (p - q)).sum())
    return total / sum(len(item.reply_ids) for item in items)


def test_shares_are_those_of_adapters_with_those_parts_alone(folder: Path, tmp_path: Path) -> None:
    engine: Any = pair(folder, "base", "adapter", tmp_path).tuned
    items = replies(engine)
    found = engine.carried(items, ROWS)
    base, adapter = folder / "base", folder / "adapter"
    whole = divergence(base, (adapter, None), items)
    assert found["change"] == pytest.approx(whole, rel=1e-3)
    assert found["tokens"] == sum(len(item.reply_ids) for item in items)
    for name, share in [*found["layers"], *found["kinds"]]:
        part = without(adapter, tmp_path / name, lambda n, name=name: f".{name}." in n)  # type: ignore[misc]
        expected = 1 - divergence(base, (adapter, part), items) / whole
        assert share == pytest.approx(expected, abs=1e-3)
    assert {name for name, _ in found["layers"]} == {"0", "1"}
    assert {name for name, _ in found["kinds"]} == {"q_proj", "v_proj"}
    assert found["layers"][0][1] >= found["layers"][1][1]
    assert found["kept"] >= KEPT


def test_a_change_that_is_in_one_layer_is_carried_by_it(folder: Path, tmp_path: Path) -> None:
    without(folder / "adapter", tmp_path / "one", lambda name: ".layers.1." in name)
    engine: Any = pair(folder, "base", str(tmp_path / "one"), tmp_path / "store").tuned
    found = engine.carried(replies(engine), ROWS)
    assert found["layers"] == [["1", pytest.approx(1, abs=1e-5)], ["0", pytest.approx(0, abs=1e-5)]]
    assert (found["fewest"], found["kept"]) == (["1"], pytest.approx(1, abs=1e-5))


def test_what_changes_nothing_has_no_carriers(folder: Path, tmp_path: Path) -> None:
    engine: Any = pair(folder, "base", "noop", tmp_path).tuned
    found = engine.carried(replies(engine), ROWS)
    assert found["change"] == pytest.approx(0, abs=1e-6)
    assert (found["layers"], found["kinds"], found["fewest"]) == ([], [], [])


def test_few_rows_at_a_time_say_the_same(folder: Path, tmp_path: Path) -> None:
    engine: Any = pair(folder, "base", "adapter", tmp_path).tuned
    many, few = (engine.carried(replies(engine), rows) for rows in (ROWS, 1))
    for name in ("layers", "kinds"):
        assert [part for part, _ in many[name]] == [part for part, _ in few[name]]
        assert [x for _, x in many[name]] == pytest.approx([x for _, x in few[name]], abs=1e-4)


def test_the_model_is_as_it_was(folder: Path, tmp_path: Path) -> None:
    import torch

    engine: Any = pair(folder, "base", "adapter", tmp_path).tuned
    items = replies(engine)
    before = dict(engine.token_logits(items, ROWS))
    engine.carried(items, ROWS)
    after = dict(engine.token_logits(items, ROWS))
    assert all(torch.equal(before[index], after[index]) for index in before)


@pytest.mark.parametrize(
    "changes",
    [{"use_dora": True}, {"target_modules": ["down_proj"], "modules_to_save": ["lm_head"]}],
    ids=["DoRA", "a whole module saved along"],
)
def test_other_adapters_have_parts_too(
    folder: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    import torch

    base = open_base(folder / "base")
    with adapted(base, lora(**changes), seed=3) as model:
        for name, parameter in model.named_parameters():
            if "lora_B" in name or ("modules_to_save" in name and "lm_head" in name):
                torch.nn.init.normal_(parameter, 0, 0.3)
        save(model, tmp_path / "made", str(folder / "base"))
    engine: Any = pair(folder, "base", str(tmp_path / "made"), tmp_path / "store").tuned
    items = replies(engine)
    found = engine.carried(items, ROWS)
    whole = divergence(folder / "base", (tmp_path / "made", None), items)
    assert found["change"] == pytest.approx(whole, rel=1e-3)
    assert all(share <= 1 + 1e-5 for _, share in [*found["layers"], *found["kinds"]])
    if "modules_to_save" in changes:
        assert "lm_head" in [name for name, _ in found["layers"]]


def test_a_module_that_does_not_read_row_by_row_is_refused() -> None:
    import torch

    class Adapted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base_layer = torch.nn.Linear(3, 3)

        def forward(self, given: Any) -> Any:
            return self.base_layer(given) + 1

    module = Adapted()
    given = torch.ones(2, 5, 3)
    with switched_off(module, module.base_layer, torch.tensor([False, True])):
        found = module(given)
        with pytest.raises(CapabilityError, match="does not keep the rows of a batch apart"):
            module(given.view(10, 3))
    assert torch.equal(found[0], module(given)[0])
    assert torch.equal(found[1], module.base_layer(given)[1])


@pytest.mark.parametrize("needed", range(1, 13))
def test_the_fewest_are_found_by_halves(needed: int) -> None:
    asked = []

    def kept(count: int) -> float:
        asked.append(count)
        return 0.9 if count >= needed else 0.3

    assert _fewest(12, kept) == (needed, 0.9 if needed < 12 else 1.0)
    assert len(asked) <= 4


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("base_model.model.model.layers.18.self_attn.q_proj", "18"),
        ("base_model.model.transformer.h.3.mlp.c_fc", "3"),
        ("base_model.model.lm_head", "lm_head"),
    ],
)
def test_the_layer_of_a_module(name: str, layer: str) -> None:
    assert layer_of(name) == layer


def test_the_line_of_a_failure() -> None:
    comparison = Comparison(probe=make_probe("Hi"), base=Reply(text="a"), tuned=Reply(text="b"))

    def lines(found: Carriers) -> Sequence[str]:
        return CARRIERS.lines(found, comparison)

    layers = tuple(Part(name=str(n), alone=0.3 - n / 100) for n in range(18, 30))
    found = Carriers(
        change=3.9, tokens=8, layers=layers, kinds=(Part(name="o_proj", alone=0.424),),
        fewest=tuple(part.name for part in layers[:8]), kept=0.813,
    )  # fmt: skip
    assert lines(found) == [
        "  carried  81 % of the change by 8 of 12 layers: 18, 19, 20, 21, 22, 23 and 2 more; alone "
        "o_proj 42 %"
    ]
    assert lines(replace(found, fewest=("4",)))[0].count("by 1 of 12 layers: 4; alone")
    assert lines(replace(found, fewest=())) == []
