"""Adapters one after the other over one base in memory: each as if it had been loaded alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.engines.opening import open_pair
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.transformers.base_files import BaseFiles
from pytest_llmdiff.store import Store
from tests.engines.transformers.test_adapter_off import ALL, ALTERING, saved
from tests.engines.transformers.test_adapter_off import folder as folder  # a fixture
from tests.support.engines import PROMPTS, generation, pair, request, settings
from tests.support.tiny_models import save_adapter, save_model

REQUESTS = [request(prompt) for prompt in PROMPTS[:3]]
# Replicated layers are of another base, and a fast PiSSA is another adapter at each load.
KINDS = [name for name in ALL if name not in ("layers twice", "fast pissa")]
# Something of these stays: PEFT leaves trained modules in place when it unloads, and sets a method
# on the base when it generates with learnt prompts.
STAYING = {"module to save", "prompt", "prefix"}
QUICK = ["lora", "dora", "module to save", "pissa"]


def after(kept: Any, folder: Path, base: str, tuned: str, store: Path, **changes: Any) -> Pair:
    """A pair that may take the base of the one before."""
    first, second = (parse_spec(t, option="--llm-base", folder=folder) for t in (base, tuned))
    return open_pair(first, second, settings(folder, **changes), Store(store), kept=kept)


def computed(both: Pair, store: Path) -> list[Any]:
    """Replies of both sides and divergences, exactly."""
    made = generation(both, store, REQUESTS)
    outcomes = made.outcomes(REQUESTS)
    replies = [outcomes[side, each.key].reply for side in ("base", "tuned") for each in REQUESTS]
    return [replies, [each.mean for each in made.divergences(REQUESTS)]]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """The adapters for which a base is read from its files."""
    found: list[Path | None] = []
    load = BaseFiles.load

    def noted(files: BaseFiles, adapter: Path | None) -> Any:
        found.append(adapter)
        return load(files, adapter)

    monkeypatch.setattr(BaseFiles, "load", noted)
    return found


@pytest.mark.filterwarnings("ignore")  # deprecations between PEFT and transformers
@pytest.mark.parametrize("kinds", [QUICK, pytest.param(KINDS, marks=pytest.mark.slow)])
def test_each_kind_of_adapter_is_as_if_it_were_alone(
    folder: Path, tmp_path: Path, loads: list[Path | None], kinds: list[str]
) -> None:
    expected = {
        name: computed(pair(folder, "base", saved(folder, name), tmp_path / name), tmp_path / name)
        for name in kinds
    }
    kept = None
    for number, name in enumerate([*kinds, *reversed(kinds)]):
        loads.clear()
        given, store = kept, tmp_path / f"kept {number}"  # nothing comes from the store
        both = after(given, folder, "base", saved(folder, name), store)
        assert computed(both, store) == expected[name], name
        # An adapter that alters the base has the base by itself besides.
        own = [] if given is not None else [folder / saved(folder, name)]
        assert loads == [*own, *([None] if name in ALTERING else [])]
        kept = both.keep_base()
        assert kept is not None or name in STAYING, name
        both.close()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    save_model(folder / "base")
    save_model(folder / "other", seed=5)
    for seed in (1, 2):
        save_adapter(folder / f"adapter-{seed}", folder / "base", seed=seed)
    return folder


@pytest.mark.parametrize(
    "left", ["a hook", "a number", "an attribute", "a setting of the configuration"]
)
def test_a_base_that_is_not_as_it_was_is_loaded_again(
    llama: Path, tmp_path: Path, left: str
) -> None:
    import torch

    both: Any = pair(llama, "base", "adapter-1", tmp_path / "a")
    computed(both, tmp_path / "a")
    inner = both.base.weights.load().get_base_model()
    with torch.no_grad():
        if left == "a hook":
            inner.model.norm.register_forward_hook(lambda *_: None)
        elif left == "a number":
            inner.model.norm.weight.add_(1e-3)
        elif left == "an attribute":
            inner.model.layers[0].left = "here"
        else:
            inner.config.rms_norm_eps *= 2
    assert both.keep_base() is None
    assert both.base.weights._model is None


def test_what_another_pair_cannot_use_is_freed(
    llama: Path, tmp_path: Path, loads: list[Path | None]
) -> None:
    def kept() -> Any:
        both = pair(llama, "base", "adapter-1", tmp_path / "a")
        assert both.base.weights.load()  # type: ignore[attr-defined]
        return both.keep_base()

    for base, tuned, changes in (
        ("base", "other", {}),  # no adapter
        ("other", "adapter-2", {}),
        ("base", "adapter-2", {"dtype": "bfloat16"}),
    ):
        given = kept()
        both: Any = after(given, llama, base, tuned, tmp_path / "b", **changes)
        assert given.model is None
        loads.clear()
        both.base.weights.load()
        assert len(loads) == 1
    given = kept()
    after(given, llama, "base", "adapter-2", tmp_path / "b").close()
    assert given.model is None, "a pair that was closed before it loaded anything"


def test_a_base_that_a_pair_did_not_need_is_the_next_one_s(
    llama: Path, tmp_path: Path, loads: list[Path | None]
) -> None:
    first = pair(llama, "base", "adapter-1", tmp_path / "a")
    expected = computed(first, tmp_path / "a")
    kept = first.keep_base()
    second = after(kept, llama, "base", "adapter-1", tmp_path / "a")
    assert computed(second, tmp_path / "a") == expected, "from the store"
    third = after(second.keep_base(), llama, "base", "adapter-2", tmp_path / "a")
    loads.clear()
    assert computed(third, tmp_path / "a") != expected
    assert not loads
