"""The base of an adapter is the base, whatever the adapter's kind, now and out of the store."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.tokens import Passage
from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.pair.likelihoods import reply_logprobs
from pytest_llmdiff.errors import CapabilityError
from pytest_llmdiff.generation.likelihoods import all_likelihoods
from tests.support.engines import PROMPTS, generation, loaded, pair, request, tokens
from tests.support.tiny_models import save_adapter, save_model, save_tokenizer

TARGETS = ["q_proj", "v_proj"]
REPLY = (30, 40, 50, 60, 70)
ALTERING: dict[str, dict[str, Any]] = {
    "pissa": {"init_lora_weights": "pissa"},
    "fast pissa": {"init_lora_weights": "pissa_niter_4"},
    "olora": {"init_lora_weights": "olora"},
    "biases of its layers": {"bias": "lora_only"},
    "all biases": {"bias": "all"},
    "layers twice": {"layer_replication": [[0, 2], [0, 2]]},
}
LEAVING: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "eva": {"init_lora_weights": "eva"},
    "bias of its own": {"lora_bias": True},
    "module to save": {"modules_to_save": ["lm_head", "embed_tokens"]},
    "tokens": {"trainable_token_indices": [0, 1, 2]},
    # PEFT saves the base's own embeddings with these, and writes them over the loaded ones.
    "embeddings": {"target_modules": ["embed_tokens", "q_proj"]},
    "output layer": {"target_modules": ["lm_head"]},
}
OTHERS: dict[str, Callable[[Any], Any]] = {
    "ia3": lambda peft: peft.IA3Config(
        target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"],
        task_type="CAUSAL_LM",
    ),
    "norms": lambda peft: peft.LNTuningConfig(
        target_modules=["input_layernorm", "norm"], task_type="CAUSAL_LM"
    ),
    "oft": lambda peft: peft.OFTConfig(
        target_modules=TARGETS, oft_block_size=4, task_type="CAUSAL_LM"
    ),
    "vera": lambda peft: peft.VeraConfig(target_modules=["q_proj"], r=4, task_type="CAUSAL_LM"),
    "lokr": lambda peft: peft.LoKrConfig(target_modules=TARGETS, r=4, task_type="CAUSAL_LM"),
    "prompt": lambda peft: peft.PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
    "prefix": lambda peft: peft.PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
}  # fmt: skip
ALL = [*ALTERING, *LEAVING, *OTHERS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, a random Qwen2, whose projections have biases; `llama`, whose layers PEFT can
    replicate."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("altering")
    torch.manual_seed(0)
    tokenizer = save_tokenizer(folder / "base")
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=192,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None, pad_token_id=0,
        initializer_range=0.4,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder / "base")
    save_model(folder / "llama")
    return folder


def base_of(name: str) -> str:
    return "llama" if name == "layers twice" else "base"


def saved(folder: Path, name: str) -> str:
    """The name of an adapter of that kind, moved by noise as if trained; made once."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    own = name.replace(" ", "-")
    if (folder / own).is_dir():
        return own
    if name in OTHERS:
        config = OTHERS[name](peft)
    else:
        options: dict[str, Any] = {"r": 4, "target_modules": TARGETS, "task_type": "CAUSAL_LM"}
        config = peft.LoraConfig(**options | ALTERING.get(name, {}) | LEAVING.get(name, {}))
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between PEFT and transformers
        model = peft.get_peft_model(
            AutoModelForCausalLM.from_pretrained(folder / base_of(name)), config
        )
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=0.05)
        model.save_pretrained(folder / own)
    return own


def likelihood(engine: Any) -> float:
    """The log-likelihood (nats) of one reply."""
    prompt = tuple(engine.render(request(PROMPTS[0]).messages))
    item = Continuation(prompt_ids=prompt, reply_ids=REPLY)
    ((_, found),) = reply_logprobs(engine, [item], 64)
    return sum(found)


@pytest.mark.filterwarnings("ignore")  # deprecations between PEFT and transformers
@pytest.mark.parametrize("name", ALL)
def test_the_base_is_the_base(folder: Path, tmp_path: Path, name: str) -> None:
    alone = pair(folder, base_of(name), base_of(name), tmp_path / "a")
    both = pair(folder, base_of(name), saved(folder, name), tmp_path / "b")
    requests = [request(prompt) for prompt in PROMPTS[:2]]
    expected = likelihood(alone.base)
    assert likelihood(both.base) == pytest.approx(expected, abs=1e-4)
    assert abs(likelihood(both.tuned) - expected) > 1e-3
    assert likelihood(both.base) == pytest.approx(expected, abs=1e-4), "after the tuned model"
    assert tokens(both.base, requests) == tokens(alone.base, requests)
    weights: Any = both.base.weights  # type: ignore[attr-defined]
    assert (weights.alteration is not None) == (name in ALTERING)
    assert (weights.alone is None) == (weights.alteration is None), "one copy where one will do"
    assert any("second time" in note for note in both.notes) == (name in ALTERING)


@pytest.mark.parametrize("name", ["pissa", "all biases"])
def test_what_it_stores_is_the_base_s(folder: Path, tmp_path: Path, name: str) -> None:
    requests = [request(prompt) for prompt in PROMPTS[:2]]
    text = [Passage(text="It is nice.", after=requests[0].messages)]

    def asked(tuned: str, store: str) -> list[Any]:
        made = generation(pair(folder, "base", tuned, tmp_path / store), tmp_path / store, requests)
        scores = [each.token_logprobs for each in all_likelihoods(made, "base", text)]
        found = made.outcomes(requests)
        replies = [found["base", each.key].reply for each in requests]
        return [replies, scores, [each.mean for each in made.divergences(requests)]]

    replies, scores, _ = asked("base", "alone")
    first, second = (asked(saved(folder, name), "shared") for _ in range(2))
    assert first == second
    assert (first[0], min(first[2])) == (replies, pytest.approx(first[2][0], rel=100))
    assert first[1] == [pytest.approx(scores[0], abs=1e-5)]
    assert asked("base", "shared")[0] == replies, "out of the store"
    assert max(asked("base", "shared")[2]) < 1e-9


@pytest.mark.parametrize("name", ["pissa", "all biases"])
def test_parts_are_switched_off_to_the_base(folder: Path, tmp_path: Path, name: str) -> None:
    """With all parts off, the tuned model has the base's likelihoods."""
    import torch

    from pytest_llmdiff.engines.transformers.carriers import _Passes, _with_originals

    both: Any = pair(folder, "base", saved(folder, name), tmp_path)
    item = Continuation(prompt_ids=tuple(both.base.render(request("Hi").messages)), reply_ids=REPLY)
    ((_, expected),) = both.base.token_logits([item], 64)
    with both.tuned.weights.model(adapted=True) as model:
        modules = _with_originals(both.tuned.weights, model)
        passes = _Passes(model, modules, [item], 64, 0)
        (off,) = passes._logprobs(item, [frozenset(modules)])
    torch.testing.assert_close(off, expected.log_softmax(-1), atol=1e-3, rtol=1e-3)
    found = both.tuned.carried([item], 64)
    assert found["change"] > 1e-3
    assert found["layers"]


def test_the_update_is_held_against_the_base(folder: Path, tmp_path: Path) -> None:
    """PiSSA's factors are mostly what was taken out of the base, and no change of it."""
    import torch

    both: Any = pair(folder, "base", saved(folder, "pissa"), tmp_path)
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    found = both.tuned.adapter_health().norms[name]
    # Through PEFT alone, whose weights are not packed.
    merged = loaded(folder / "base", folder / "pissa").get_submodule(name)
    with torch.no_grad():
        after = merged.get_base_layer().weight + merged.get_delta_weight("default")
        plain = loaded(folder / "base", None)
        before = plain.get_submodule(name.removeprefix("base_model.model.")).weight
        assert found == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-4)


def test_where_its_training_began_is_unknown(folder: Path, tmp_path: Path) -> None:
    both: Any = pair(folder, "base", saved(folder, "pissa"), tmp_path)
    item = Continuation(prompt_ids=(1, 2), reply_ids=REPLY)
    with pytest.raises(CapabilityError, match="final"):
        both.tuned.reply_gradients([item], [("start", 1.0)])
    assert both.tuned.reply_gradients([item], [("final", 1.0)])


def test_without_room_for_both_they_run_in_turn(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [request(prompt) for prompt in PROMPTS[:3]]
    adapter = saved(folder, "olora")
    expected = generation(
        pair(folder, "base", adapter, tmp_path / "a"), tmp_path / "a", requests
    ).divergences(requests)
    monkeypatch.setattr("pytest_llmdiff.engines.transformers.weights.free_memory", lambda _: 1.0)
    both = pair(folder, "base", adapter, tmp_path / "b")
    weights: Any = both.base.weights  # type: ignore[attr-defined]
    made = generation(both, tmp_path / "b", requests, window=1)
    found = made.divergences(requests)
    assert not both.fits
    assert weights._model is None or weights.alone._model is None
    assert [v.mean for v in found] == pytest.approx([v.mean for v in expected], rel=1e-4)
    assert any("in turn" in note for note in both.notes)


def test_an_adapter_that_differs_at_each_load_is_not_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_TESTRUNUID", raising=False)
    adapter = saved(folder, "fast pissa")
    first, second = (pair(folder, "base", adapter, tmp_path) for _ in range(2))
    assert first.base.fingerprint() == second.base.fingerprint()
    assert first.tuned.fingerprint() != second.tuned.fingerprint()
    assert any("another one at each load" in note for note in first.notes)
    assert likelihood(first.tuned) == pytest.approx(likelihood(second.tuned)), "within a run"
    # The workers of a run share one.
    monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", "one run")
    first, second = (pair(folder, "base", adapter, tmp_path) for _ in range(2))
    assert first.tuned.fingerprint() == second.tuned.fingerprint()


def test_rows_of_a_model_alone_that_older_releases_stored_are_not_trusted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prints() -> tuple[str, str]:
        both = pair(folder, "base", saved(folder, "lora"), tmp_path)
        return both.base.fingerprint(), both.tuned.fingerprint()

    now = prints()
    monkeypatch.setattr("pytest_llmdiff.engines.transformers.opening.VERSION_ALONE", 1)
    before = prints()
    assert now[0] != before[0]
    assert now[1] == before[1], "what an adapter's own side computed was always its own"


def test_what_nobody_foresaw_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One number in a large matrix, written in place; and something that no tensor shows."""
    import torch

    from pytest_llmdiff.engines.transformers.weights import Weights

    save_model(tmp_path / "base")
    save_adapter(tmp_path / "adapter", tmp_path / "base")
    load = Weights._load_adapter

    def written(weights: Any, model: Any) -> Any:
        found = load(weights, model)
        with torch.no_grad():
            model.model.layers[1].mlp.up_proj.weight[3, 3] += 1.0
        return found

    def hooked(weights: Any, model: Any) -> Any:
        found = load(weights, model)
        model.model.norm.register_forward_hook(lambda _, __, output: output * 1.1)
        return found

    expected = likelihood(pair(tmp_path, "base", "base", tmp_path / "a").base)
    for change, seen in ((written, "up_proj"), (hooked, "logits differ")):
        monkeypatch.setattr(Weights, "_load_adapter", change)
        both = pair(tmp_path, "base", "adapter", tmp_path / seen)
        assert likelihood(both.base) == pytest.approx(expected, abs=1e-4)
        assert seen in str(both.base.weights.alteration)  # type: ignore[attr-defined]
