"""No adapter's configuration makes a run import or run what it names."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.errors import ConfigError
from tests.support.tiny_models import save_adapter, save_model

# As PEFT writes them: nothing of it is imported on loading.
HARMLESS: list[dict[str, Any]] = [
    {"megatron_config": None, "megatron_core": "megatron.core"},
    {"megatron_config": {}, "megatron_core": None},
    {"auto_mapping": {"base_model_class": "X", "parent_library": "transformers.models.x"}},
    {"tokenizer_kwargs": {"use_fast": True}},
]
NAMING: list[tuple[dict[str, Any], str]] = [
    ({"megatron_config": {"x": 1}, "megatron_core": "helper"},
     "megatron_config (with megatron_core 'helper')"),
    ({"megatron_config": {"x": 1}}, "megatron_config (with megatron_core None)"),
    ({"megatron_core": "helper"}, "megatron_core 'helper'"),
    ({"megatron_core": ["helper"]}, "megatron_core ['helper']"),
    ({"trust_remote_code": True}, "trust_remote_code True"),
    ({"tokenizer_kwargs": {"trust_remote_code": True}}, "tokenizer_kwargs.trust_remote_code True"),
]  # fmt: skip


def adapter(folder: Path, **keys: Any) -> Path:
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "base_model_name_or_path": "base", **keys}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "adapter_model.safetensors").touch()
    return folder


@pytest.mark.parametrize("keys", HARMLESS)
def test_what_peft_writes_is_taken(tmp_path: Path, keys: dict[str, Any]) -> None:
    adapter(tmp_path / "a", **keys)
    assert parse_spec("a", option="--llm-tuned", folder=tmp_path).kind == "adapter"


@pytest.mark.parametrize(("keys", "named"), NAMING, ids=str)
def test_a_key_that_names_code_is_refused(tmp_path: Path, keys: dict[str, Any], named: str) -> None:
    adapter(tmp_path / "a", **keys)
    for spec in ("a", "a/adapter_model.safetensors"):
        with pytest.raises(ConfigError) as caught:
            parse_spec(spec, option="--llm-tuned", folder=tmp_path)
        message = str(caught.value)
        assert message.startswith(f"--llm-tuned: {spec}: adapter_config.json has {named}, and ")
        assert "\n" not in message


def test_an_adapter_inside_another_is_looked_at_too(tmp_path: Path) -> None:
    adapter(tmp_path / "a", peft_type="XLORA")
    adapter(tmp_path / "a" / "experts" / "0", megatron_core="helper")
    with pytest.raises(ConfigError, match=r"experts/0/adapter_config\.json has megatron_core"):
        parse_spec("a", option="--llm-tuned", folder=tmp_path)


def test_a_damaged_file_is_told_of_by_what_reads_it(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a")
    for text in ("{", "[]", "\xff", "[" * 100_000):
        (folder / "adapter_config.json").write_text(text, encoding="latin-1")
        assert parse_spec("a", option="--llm-tuned", folder=tmp_path).kind == "adapter"


def test_no_module_that_a_configuration_names_is_imported(project: pytest.Pytester) -> None:
    """With every other key in which PEFT keeps the name of a class or of code."""
    save_model(project.path / "base")
    folder = project.path / "a"
    save_adapter(folder, project.path / "base")
    file = folder / "adapter_config.json"
    given = json.loads(file.read_text(encoding="utf-8"))
    given["auto_mapping"] = {"base_model_class": "Helper", "parent_library": "helper"}
    file.write_text(json.dumps(given), encoding="utf-8")
    (project.path / "helper.py").write_text("open('ran', 'w').close()\n", encoding="utf-8")
    project.makepyfile(
        """
        import pytest
        @pytest.mark.llmdiff("Hi", max_new_tokens=2)
        def test_it(comparison): assert comparison.tuned is not None
        """
    )
    project.runpytest_inprocess("--llm-base=base", "--llm-tuned=a").assert_outcomes(passed=1)
    assert not (project.path / "ran").exists()
    assert "helper" not in sys.modules
