"""Quantised weights: opened where their package is there, refused in a clear line where not."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.engines.files.quantization import (
    METHODS,
    check_loadable,
    quantization_of,
    versions_of,
)
from pytest_llmdiff.errors import ConfigError, ModelError
from tests.support.projects import Run

TEST = """
import pytest

@pytest.mark.llmdiff("Hi")
def test_it(comparison):
    pass
"""


def folder(path: Path, quantization: Any, **more: Any) -> Path:
    """What a run looks at before it loads weights."""
    path.mkdir()
    config = {"quantization_config": quantization} if quantization is not None else {}
    (path / "config.json").write_text(json.dumps(config | more), encoding="utf-8")
    (path / "model.safetensors").touch()
    return path


@pytest.mark.parametrize(
    ("config", "method"),
    [
        (None, None),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
        ({}, None),
        ({"bits": 4}, "None"),
    ],
)
def test_the_method_is_read_from_the_configuration(
    tmp_path: Path, config: Any, method: str | None
) -> None:
    assert quantization_of(folder(tmp_path / "model", config)) == method


def test_a_method_may_be_named_for_the_text_part(tmp_path: Path) -> None:
    text = {"quantization_config": {"quant_method": "gptq"}}
    assert quantization_of(folder(tmp_path / "model", None, text_config=text)) == "gptq"


def test_no_folder_has_no_method(tmp_path: Path) -> None:
    assert quantization_of(None) is None
    assert quantization_of(tmp_path / "model.gguf") is None


def test_every_listed_method_is_one_of_transformers() -> None:
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    known = {name.removesuffix("_4bit").removesuffix("_8bit") for name in AUTO_QUANTIZER_MAPPING}
    assert set(METHODS) <= known


MISSING = [
    ("awq", "needs the package gptqmodel", "pip install gptqmodel"),
    ("gptq", "needs the packages gptqmodel and optimum", "pip install gptqmodel optimum"),
    ("bitsandbytes", "needs the package", 'pip install "pytest-llmdiff[quantization]"'),
    ("torchao", "needs the package torchao", "pip install torchao"),
    ("compressed-tensors", "needs the package", "pip install compressed-tensors"),
    ("hqq", "needs the package hqq", "pip install hqq"),
    ("quanto", "needs the package optimum-quanto", "pip install optimum-quanto"),
    ("eetq", "runs on GPUs only", "--llmdiff-device cpu"),
    ("fbgemm_fp8", "runs on GPUs only", "start a server"),
    ("nvfp4", "cannot be loaded by transformers", "start a server"),
]


SIDES = [("base", *each) for each in MISSING] + [
    (side, *MISSING[0]) for side in ("tuned", "served")
]


@pytest.mark.parametrize(("side", "method", "why", "way"), SIDES)
def test_what_is_missing_is_a_usage_error(
    project: pytest.Pytester, side: str, method: str, why: str, way: str
) -> None:
    packages = [name for name in METHODS[method].packages if name != "accelerate"]
    if any(installed_version(name) is not None for name in packages):
        pytest.skip(f"{packages} are installed")
    folder(project.path / "packed", {"quant_method": method})
    project.makepyfile(TEST)
    specs = {name: f"--llm-{name}=scripted:{name}.json" for name in ("base", "tuned")}
    specs[side] = f"--llm-{side}=packed"
    result = project.runpytest_inprocess(*specs.values(), "--llmdiff-device=cpu")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.stderr.lines if line.startswith("ERROR: llmdiff:")]
    assert f"--llm-{side}: packed (quantised by {method})" in line
    assert why in line
    assert way in line


def test_weights_are_not_quantised_twice(run: Run, project: pytest.Pytester) -> None:
    folder(project.path / "packed", {"quant_method": "awq"})
    project.makepyfile(TEST)
    result = run("--llm-base=packed", "--llmdiff-quantization=4bit")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        "ERROR: llmdiff: --llm-base: packed (quantised by awq): --llmdiff-quantization 4bit would "
        "quantise it again; leave it out, or *"
    )


def test_only_the_served_weights_may_be_quantised(project: pytest.Pytester) -> None:
    """What is asked of the pair counts for them as well, unless it says otherwise."""
    folder(project.path / "packed", {"quant_method": "gptq"})
    project.makepyfile(TEST)
    models = [f"--llm-{side}=scripted:{side}.json" for side in ("base", "tuned")]
    served = [*models, "--llm-served=packed", "--llmdiff-quantization=8bit"]
    run = project.runpytest_inprocess
    run(*served).stderr.fnmatch_lines("*packed (quantised by gptq): *would quantise it again*")
    result = run(*served, "--llmdiff-served-quantization=none")
    result.stderr.fnmatch_lines("*packed (quantised by gptq) needs the packages *")


def test_a_gguf_file_is_not_quantised_again(project: pytest.Pytester) -> None:
    (project.path / "model.gguf").touch()
    project.makepyfile(TEST)
    result = project.runpytest_inprocess(
        "--llm-base=model.gguf", "--llm-tuned=scripted:tuned.json", "--llmdiff-quantization=4bit"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*model.gguf (quantised by gguf): *would quantise it again*")


def test_the_check_imports_neither_torch_nor_transformers(tmp_path: Path) -> None:
    packed = folder(tmp_path / "model", {"quant_method": "awq"})
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pytest_llmdiff.engines.files.quantization import quantization_of\n"
        f"assert quantization_of(Path({str(packed)!r})) == 'awq'\n"
        "assert not {'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_method_that_transformers_does_not_know_is_not_left_out(tmp_path: Path) -> None:
    packed = folder(tmp_path / "model", {"quant_method": "brandnew"})
    with pytest.raises(ModelError, match=r"quantised by brandnew\): transformers .* does not know"):
        check_loadable(packed, "cpu")


def test_a_gpu_that_was_not_found_is_told_when_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pytest_llmdiff.engines.files.quantization.installed_version", lambda _name: "9"
    )
    packed = folder(tmp_path / "model", {"quant_method": "vptq"})
    with pytest.raises(ModelError, match="runs on GPUs only, and this run's device is cpu"):
        check_loadable(packed, "cpu")
    check_loadable(packed, "cuda")


def test_the_packages_that_open_weights_are_part_of_their_identity(tmp_path: Path) -> None:
    assert versions_of(folder(tmp_path / "plain", None)) == {}
    packed = versions_of(folder(tmp_path / "packed", {"quant_method": "fp8"}))
    assert set(packed) == {"accelerate"}


def test_a_broken_configuration_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.json, line 1: damaged JSON"):
        quantization_of(tmp_path)


def test_the_documentation_lists_the_methods() -> None:
    from tests.support.pages import rows

    shown = {}
    for names, install, where in rows("docs/models.md", "### Quantised weights"):
        for name in names.replace("`", "").split(", "):
            shown[name] = install.strip("`"), where == "GPU", where.startswith("refused")
    assert shown == {
        name: (method.install or " ".join(method.packages), method.gpu, method.refused)
        for name, method in METHODS.items()
        if name != "gguf"
    }


# With quantisers that run on CPUs. 4 bits of a random model are much noise.

QUANTISERS = [
    ("torchao", "", "1e-5 0.1"),
    ("bitsandbytes", "8bit", "1e-5 0.5"),
    ("bitsandbytes", "4bit", "1e-2 6"),
]


def save_quantised(folder: Path, base: Path, form: str) -> None:
    import torch
    import transformers

    from tests.support.tiny_models import save_tokenizer

    if form:
        config: Any = transformers.BitsAndBytesConfig(
            **{f"load_in_{form}": True}, bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.float32,
        )  # fmt: skip
    else:
        from torchao.quantization import Int8WeightOnlyConfig

        config = transformers.TorchAoConfig(Int8WeightOnlyConfig())
    transformers.AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, quantization_config=config
    ).save_pretrained(folder)
    save_tokenizer(folder)


@pytest.fixture(scope="module", params=QUANTISERS, ids=["torchao", "8bit", "4bit"])
def quantised(request: pytest.FixtureRequest, tmp_path_factory: Any) -> tuple[Path, str, str]:
    """A folder with base, packed and adapter; the form, and the bounds of the rounding."""
    package, form, rounding = request.param
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(package, reason="a quantiser that runs on CPUs")
        from tests.support.tiny_models import save_adapter, save_model

        made: Path = tmp_path_factory.mktemp("quantised")
        save_model(made / "base", hidden=128)
        save_adapter(made / "adapter", made / "base")
        save_quantised(made / "packed", made / "base", form)
    return made, form, rounding


@pytest.mark.slow
def test_quantised_weights_and_an_adapter_over_them(
    quantised: tuple[Path, str, str], project: pytest.Pytester
) -> None:
    made, form, rounding = quantised
    project.makepyfile("""
        import pytest
        from pytest_llmdiff import divergence

        @pytest.mark.llmdiff("Hi", "Where is my order?")
        def test_it(comparison, request):
            low, high = map(float, request.config.getini("test_bounds").split())
            assert low < divergence(comparison).value < high
    """)
    project.makeconftest("def pytest_addoption(parser): parser.addini('test_bounds', '')")

    def run(base: str, tuned: str, bounds: str, *more: str) -> None:
        project.runpytest_inprocess(
            f"--llm-base={made / base}", f"--llm-tuned={made / tuned}", *more,
            "--llmdiff-max-new-tokens=6", "--llmdiff-device=cpu", "-o", f"test_bounds={bounds}",
            "-W", "ignore",
        ).assert_outcomes(passed=2)  # fmt: skip

    run("base", "packed", rounding)  # is seen, and is no noise of a wrong layer
    run("packed", "adapter", "0.5 10")  # the adapter works over the rounded weights
    if form:
        run("base", "adapter", "0.5 10", f"--llmdiff-quantization={form}")
