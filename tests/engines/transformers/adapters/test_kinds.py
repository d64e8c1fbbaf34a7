"""All kinds of adapters that PEFT makes: each is measured, left out or refused with a reason."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.engines.transformers.adapters.health import AdapterHealth
from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from pytest_llmdiff.errors import ModelError
from pytest_llmdiff.measures.wiring import files as wiring
from pytest_llmdiff.measures.wiring.behaviour import update_findings
from pytest_llmdiff.measures.wiring.inspection import inspect_pair
from tests.support.engines import pair
from tests.support.tiny_models import save_model

VIRTUAL = {"num_virtual_tokens": 4}
# What a kind needs besides rank 4 and q_proj.
NEEDS: dict[str, dict[str, Any]] = {
    "ADALORA": {"total_step": 100},
    "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 1, "target_modules": None},
    "BOFT": {"boft_block_size": 4},
    "C3A": {"block_size": 8},
    "CARTRIDGE": VIRTUAL,
    "CPT": {"cpt_token_ids": [5, 6], "cpt_mask": [1, 1], "cpt_tokens_type_mask": [1, 2]},
    "FOURIERFT": {"n_frequency": 20},
    "IA3": {"target_modules": ["v_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    "LN_TUNING": {"target_modules": ["input_layernorm"]},
    "MULTITASK_PROMPT_TUNING": VIRTUAL | {"num_tasks": 2},
    "OFT": {"oft_block_size": 4, "r": 0},
    "PREFIX_TUNING": VIRTUAL,
    "PROMPT_TUNING": VIRTUAL,
    "P_TUNING": VIRTUAL | {"encoder_hidden_size": 16},
    "ROAD": {"group_size": 4},
    "TRAINABLE_TOKENS": {"token_indices": [5, 6], "target_modules": ["embed_tokens"]},
    "VBLORA": {"num_vectors": 8, "vector_length": 8, "topk": 2},
    "WAVEFT": {"n_frequency": 20},
}
# They do not answer plain text prompts, or adapters of adapters.
REFUSED = {"MULTITASK_PROMPT_TUNING", "POLY", "SHADOW"}
NOT_MADE = {"XLORA"}
QUICK = {"LORA", "BOFT", "OFT", "IA3", "LILY", "POLY", "PROMPT_TUNING"}
LORAS: dict[str, dict[str, Any]] = {
    "output layer": {"target_modules": ["q_proj", "lm_head"]},
    "output layer, DoRA": {"target_modules": ["q_proj", "lm_head"], "use_dora": True},
    "embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    "embeddings, DoRA": {"target_modules": ["q_proj", "embed_tokens"], "use_dora": True},
    "replicated layers": {"layer_replication": [[0, 2], [0, 2]]},
    "saved modules": {"modules_to_save": ["lm_head", "input_layernorm"]},
    "trained tokens": {"trainable_token_indices": [5, 6]},
    "a parameter": {"target_parameters": ["mlp.down_proj.weight"]},
    "invoked": {"alora_invocation_tokens": [5, 6]},
    "PiSSA": {"init_lora_weights": "pissa"},
}


NAMES = (
    "ADALORA", "ADAMSS", "ADAPTION_PROMPT", "BEFT", "BOFT", "C3A", "CARTRIDGE", "CPT",
    "DEFT", "DELORA", "FOURIERFT", "FROD", "GLORA", "GRALORA", "HIRA", "HRA", "IA3", "LILY",
    "LN_TUNING", "LOHA", "LOKR", "LORA", "MISS", "MULTITASK_PROMPT_TUNING", "OFT", "OSF",
    "PEANUT", "POLY", "PREFIX_TUNING", "PROMPT_TUNING", "PSOFT", "PVERA", "P_TUNING",
    "RANDLORA", "ROAD", "SHADOW", "SHIRA", "SUPERTUNING", "TINYLORA", "TRAINABLE_TOKENS",
    "UNILORA", "VBLORA", "VERA", "WAVEFT", "XLORA",
)  # fmt: skip
KINDS = [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]


def config(kind: str, **more: Any) -> Any:
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    made = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    usual: dict[str, Any] = {"target_modules": ["q_proj"], "r": 4, "task_type": "CAUSAL_LM"}
    fields = {field.name for field in dataclasses.fields(made)}
    given = {**usual, **NEEDS.get(kind, {}), **more}
    return made(**{name: value for name, value in given.items() if name in fields})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("kinds") / "base")


def made(folder: Path, base: Path, peft_config: Any) -> Path:
    """An adapter whose tensors were moved, as if trained."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base)
    model.config.use_cache = False
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        model = get_peft_model(model, peft_config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
        model.peft_config["default"].base_model_name_or_path = "tests/tiny"
        model.save_pretrained(folder, save_embedding_layers=False)
    return folder


def judged(folder: Path, base: Path, tuned: Path) -> AdapterHealth:
    """The state of an adapter that no check of its files finds fault with."""
    both = pair(folder, str(base), str(tuned), folder / "store")
    assert isinstance(both.base, TransformersEngine)
    assert isinstance(both.tuned, TransformersEngine)
    facts = inspect_pair(both.base, both.tuned)
    for check in (wiring.base_findings, wiring.key_findings, wiring.value_findings):
        assert not check(facts).problems
    health = both.tuned.adapter_health()
    assert health is not None
    assert not health.problems()
    return health


def change(base: Path, tuned: Path) -> float:
    """‖ΔW‖ of the whole model, as PEFT merges it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    before = AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base), str(tuned)
        ).merge_and_unload()
    own = before.state_dict()
    parts = [float((t.float() - own.get(n, 0 * t)).norm()) for n, t in model.state_dict().items()]
    return float(sum(part**2 for part in parts) ** 0.5)


def measured(base: Path, health: AdapterHealth) -> float:
    """‖ΔW‖ of the whole model by the relative norms, for adapters of weights without biases."""
    from transformers import AutoModelForCausalLM

    weights = dict(AutoModelForCausalLM.from_pretrained(base).named_parameters())
    parts = []
    for name, norm in health.norms.items():
        place = name.removeprefix("base_model.model.").removesuffix(".token_adapter")
        parts.append(norm * float(weights[f"{place}.weight"].detach().norm()))
    return float(sum(part**2 for part in parts) ** 0.5)


@pytest.mark.filterwarnings(
    "ignore:Note that `r` is not used in AdaLora",
    "ignore:Converting a tensor with requires_grad=True",  # ADAMSS
    "ignore:`past_key_values` is deprecated:FutureWarning",  # between PEFT and transformers
)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind: str, base: Path, tmp_path: Path) -> None:
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    if kind not in list(PEFT_TYPE_TO_CONFIG_MAPPING):
        pytest.skip("this version of PEFT does not have it")
    if kind in NOT_MADE:
        pytest.skip("made of other adapters")
    tuned = made(tmp_path / "tuned", base, config(kind))
    if kind in REFUSED:
        with pytest.raises(ModelError, match=r"cannot be run over text prompts alone"):
            judged(tmp_path, base, tuned)
        return
    health = judged(tmp_path, base, tuned)
    assert health.norms or all(health.left_out.values())
    assert health.norms or health.left_out
    found = update_findings({"norms": health.norms, "left out": health.left_out})
    assert not found.problems
    if health.norms:
        assert measured(base, health) == pytest.approx(change(base, tuned), rel=1e-3)
    else:
        assert found.skipped


@pytest.mark.parametrize("options", LORAS.values(), ids=LORAS)
def test_options_of_lora(options: dict[str, Any], base: Path, tmp_path: Path) -> None:
    tuned = made(tmp_path / "tuned", base, config("LORA", **options))
    health = judged(tmp_path, base, tuned)
    assert health.norms or all(health.left_out.values())
    if "alora_invocation_tokens" in options:
        assert health.left_out
    elif "layer_replication" not in options:
        assert not health.left_out
        assert measured(base, health) == pytest.approx(change(base, tuned), rel=1e-3)


def test_an_unknown_kind_is_one_line(base: Path, tmp_path: Path) -> None:
    tuned = made(tmp_path / "tuned", base, config("LORA"))
    file = tuned / "adapter_config.json"
    file.write_text(file.read_text().replace('"peft_type": "LORA"', '"peft_type": "NOVEL"'))
    with pytest.raises(ModelError, match=r"peft_type 'NOVEL', which peft \S+ does not know"):
        judged(tmp_path, base, tuned)
