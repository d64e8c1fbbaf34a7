"""Adapters of multimodal models answer text prompts over the class that they were trained with."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from pytest_llmdiff.measures.wiring.files import base_findings, key_findings
from pytest_llmdiff.measures.wiring.inspection import inspect_pair
from tests.support.engines import pair, request
from tests.support.multimodal import FAMILIES, save_adapter_of, save_multimodal

USUAL = ("qwen2_5_vl", "gemma3", "llava")


@pytest.mark.parametrize(
    "family",
    [f if f in USUAL else pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES],
)
def test_an_adapter_of_the_multimodal_class(family: str, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    base = save_multimodal(family, tmp_path / "base")
    save_adapter_of(AutoModelForImageTextToText, tmp_path / "tuned", base)
    both = pair(tmp_path, "base", "tuned", tmp_path / "store")
    assert isinstance(both.base, TransformersEngine)
    assert isinstance(both.tuned, TransformersEngine)
    facts = inspect_pair(both.base, both.tuned)
    assert not key_findings(facts).problems
    assert not base_findings(facts).problems

    reply, prompt = [7, 30, 41], both.tuned.render([{"role": "user", "content": "Hi"}])
    item = Continuation(prompt_ids=tuple(prompt), reply_ids=tuple(reply))
    ids = torch.tensor([[*prompt, *reply]])
    model = AutoModelForImageTextToText.from_pretrained(base).eval()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [model(input_ids=ids).logits]
        model = PeftModel.from_pretrained(model, str(tmp_path / "tuned")).eval()
        expected.append(model(input_ids=ids).logits)
    assert float((expected[0] - expected[1]).abs().max()) > 0.01
    for engine, whole in zip((both.base, both.tuned), expected, strict=True):
        ((_, logits),) = engine.token_logits([item], 8)
        torch.testing.assert_close(
            logits.float(), whole[0, len(prompt) - 1 : -1], atol=2e-4, rtol=1e-3
        )
    ((_, generated),) = both.tuned.generate([request("Hi")])
    assert generated.reply is not None, generated.error
    health = both.tuned.adapter_health()
    assert health is not None
    assert not health.problems()
    assert health.norms


def test_an_adapter_of_the_text_class_over_the_same_base(tmp_path: Path) -> None:
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    if "qwen3_5" not in CONFIG_MAPPING:
        pytest.skip("this release of transformers does not know qwen3_5")
    base = save_multimodal("qwen3_5", tmp_path / "base")
    save_adapter_of(AutoModelForCausalLM, tmp_path / "tuned", base)
    both = pair(tmp_path, "base", "tuned", tmp_path / "store")
    assert isinstance(both.tuned, TransformersEngine)
    health = both.tuned.adapter_health()
    assert health is not None
    assert not health.problems()


@pytest.mark.parametrize(
    ("trained_on", "given", "words"),
    [
        ("multimodal", "text", "trained over a multimodal model"),
        ("text", "multimodal", "trained over a text model"),
    ],
)
def test_the_other_class_is_told(trained_on: str, given: str, words: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, Mistral3Config

    base = save_multimodal("mistral3", tmp_path / "multimodal")
    config = Mistral3Config.from_pretrained(base).text_config
    text = AutoModelForCausalLM.from_config(config)
    text.save_pretrained(tmp_path / "text")
    for file in base.glob("tokenizer*"):
        (tmp_path / "text" / file.name).write_bytes(file.read_bytes())
    made_by = AutoModelForImageTextToText if trained_on == "multimodal" else AutoModelForCausalLM
    save_adapter_of(made_by, tmp_path / "tuned", tmp_path / trained_on)
    both = pair(tmp_path, given, "tuned", tmp_path / "store")
    assert isinstance(both.base, TransformersEngine)
    assert isinstance(both.tuned, TransformersEngine)
    problem = key_findings(inspect_pair(both.base, both.tuned)).problems[0]
    assert words in problem.step
