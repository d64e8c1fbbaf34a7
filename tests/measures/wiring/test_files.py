"""What the files say, without weights: stock families stay green, each broken adapter is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from pytest_llmdiff.errors import ModelError
from pytest_llmdiff.measures.wiring import files as wiring
from pytest_llmdiff.measures.wiring.inspection import inspect_pair
from pytest_llmdiff.measures.wiring.template.facts import own_findings
from tests.support import broken_adapters
from tests.support.engines import pair
from tests.support.stock_configs import FAMILIES, stock_adapter, stock_model
from tests.support.tiny_models import save_adapter, save_model

CHECKS = {
    "base": wiring.base_findings,
    "keys": wiring.key_findings,
    "values": wiring.value_findings,
    "vocabulary": wiring.vocabulary_findings,
    "special tokens": wiring.special_findings,
}


def red(folder: Path, base: str, tuned: str) -> tuple[set[str], dict[str, Any]]:
    """Names of the checks that find a problem, and the facts they judged."""
    both = pair(folder, base, tuned, folder / "store")
    assert isinstance(both.base, TransformersEngine)
    assert isinstance(both.tuned, TransformersEngine)
    facts = inspect_pair(both.base, both.tuned)
    assert both.tuned.weights.stop_ids == (), "no weights are loaded"
    found = {name: check(facts) for name, check in CHECKS.items()}
    assert not [name for name, f in found.items() if f.skipped]
    names = {name for name, f in found.items() if f.problems}
    return names | {"template" for _ in own_findings(both.tuned)}, facts


@pytest.mark.parametrize("family", FAMILIES)
def test_stock_models_are_green(family: str, tmp_path: Path) -> None:
    stock_model(family, tmp_path / "base")
    stock_adapter(tmp_path / "base", tmp_path / "adapter")
    assert red(tmp_path, "base", "adapter")[0] == set()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no_op", {"values"}),
        ("not_finite", {"values"}),
        ("wrong_base", {"base"}),
        ("renamed_base", set()),
        ("unbound_keys", {"keys"}),
        ("half_missing", {"keys"}),
        ("rslora", set()),
        ("dora", set()),
        ("rank_pattern", set()),
        ("modules_to_save", set()),
        ("added_token", {"vocabulary"}),
        ("ia3", set()),
        ("prompt_tuning", set()),
    ],
)
def test_adapters(name: str, expected: set[str], tmp_path: Path) -> None:
    save_model(tmp_path / "base")
    getattr(broken_adapters, name)(tmp_path / name, tmp_path / "base")
    found, facts = red(tmp_path, "base", name)
    assert found == expected
    assert bool(wiring.base_findings(facts).notes) == (name == "renamed_base")


def test_an_adapter_that_is_cut_short_is_an_error_of_the_model(tmp_path: Path) -> None:
    save_model(tmp_path / "base")
    save_adapter(tmp_path / "adapter", tmp_path / "base")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors cannot be read"):
        red(tmp_path, "base", "adapter")
