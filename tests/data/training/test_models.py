"""One option is enough where the files of a training name both models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
WEIGHTS = ("config.json", "model.safetensors")


def make(folder: Path, names: tuple[str, ...], **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / names[0]).write_text(json.dumps(config), encoding="utf-8")
    (folder / names[1]).write_bytes(b"")
    return folder


@pytest.fixture
def project(project: pytest.Pytester) -> pytest.Pytester:
    """A folder from which a training was started: `models/base` became `saves/run`."""
    make(project.path / "models" / "base", WEIGHTS)
    make(project.path / "saves" / "run", ADAPTER, base_model_name_or_path="models/base")
    project.makepyfile("def test_it(llm_pair): pass")
    return project


def header(project: pytest.Pytester, *args: str) -> list[str]:
    """The plugin's lines of the header, but the one on the template that these models lack."""
    result = project.runpytest_inprocess("--collect-only", *args)
    assert result.ret == 0, result.stderr.str()
    lines = [line for line in result.outlines if line.startswith("llmdiff: ")]
    return [line for line in lines if "chat template" not in line]


def refusal(project: pytest.Pytester, *args: str) -> str:
    result = project.runpytest_inprocess(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line]
    return line


def test_an_adapter_names_its_base(project: pytest.Pytester) -> None:
    first, *_, last = header(project, "--llm-tuned=saves/run")
    assert first == "llmdiff: base models/base, tuned saves/run"
    assert last == "llmdiff: base models/base, from adapter_config.json"


def test_a_ready_made_suite_is_content_with_it(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess(
        "--pyargs", "pytest_llmdiff.suites.wiring", "-k", "training_ran", "--llm-tuned=saves/run"
    )
    result.assert_outcomes(skipped=1, deselected=14)  # the adapter has no log; it does not fail


def test_a_given_base_counts(project: pytest.Pytester) -> None:
    make(project.path / "other", WEIGHTS)
    first, *_, last = header(project, "--llm-tuned=saves/run", "--llm-base=other")
    assert first == "llmdiff: base other, tuned saves/run"
    assert last == (
        "llmdiff: adapter_config.json of saves/run names the base models/base, and this run's is "
        "other: is that the same model?"
    )


@pytest.mark.parametrize(
    "base",
    [
        "models/base",
        "elsewhere/base",
        "elsewhere/Base/",
        "cache/models--org--base/snapshots/0a1b",
        "link",
        "says",
    ],
)
def test_the_same_base_in_another_place(project: pytest.Pytester, base: str) -> None:
    folder = project.path / base
    if base == "link":
        folder.symlink_to(project.path / "models" / "base")
    elif base != "models/base":
        more = {"_name_or_path": "org/base"} if base == "says" else {}
        make(folder, WEIGHTS, **more)
    lines = header(project, "--llm-tuned=saves/run", f"--llm-base={base}")
    assert not any("adapter_config" in line for line in lines)


def test_a_yaml_that_names_another_base(project: pytest.Pytester) -> None:
    make(project.path / "models" / "other", WEIGHTS)
    text = "do_train: true\nmodel_name_or_path: models/other\noutput_dir: saves/run\n"
    (project.path / "train.yaml").write_text(text, encoding="utf-8")
    assert header(project, "--llm-tuned=train.yaml")[-1] == (
        "llmdiff: adapter_config.json of saves/run names the base models/base, and this run's is "
        "models/other: is that the same model?"
    )


def test_an_adapter_over_an_adapter(project: pytest.Pytester) -> None:
    make(project.path / "saves" / "second", ADAPTER, base_model_name_or_path="saves/run")
    told = refusal(project, "--llm-tuned=saves/second")
    assert "saves/second/adapter_config.json names the base saves/run, which is a PEFT" in told
    assert "--llm-base:" not in told


def test_a_checkpoint_without_a_step_is_named(project: pytest.Pytester) -> None:
    for name in ("checkpoint-100", "checkpoint-best"):
        make(project.path / "saves" / "two" / name, ADAPTER, base_model_name_or_path="models/base")
    assert header(project, "--llm-tuned=saves/two")[-1] == (
        "llmdiff: saves/two is checkpoint-100; beside it: checkpoint-best"
    )


@pytest.mark.parametrize(
    "text",
    [
        "output_dir: saves\n",
        "adapter_name_or_path: saves/other,saves/run\n",
        "do_train: true\noutput_dir: saves\n",
    ],
)
def test_a_yaml_of_several_adapters_names_them(project: pytest.Pytester, text: str) -> None:
    make(project.path / "saves" / "other", ADAPTER, base_model_name_or_path="models/base")
    yaml = project.path / "many.yaml"
    yaml.write_text(f"model_name_or_path: models/base\n{text}", encoding="utf-8")
    told = refusal(project, "--llm-tuned=many.yaml")
    assert told.endswith(": saves/other, saves/run")


def test_paths_start_where_the_training_was_started(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "tests").mkdir()
    monkeypatch.chdir(project.path / "tests")
    base = project.path / "models" / "base"
    assert header(project, "..", "--llm-tuned=../saves/run")[-1] == (
        f"llmdiff: base {base}, from adapter_config.json"
    )


def test_the_newest_checkpoint(project: pytest.Pytester) -> None:
    for step in (80, 9, 100):
        make(
            project.path / "saves" / "stopped" / f"checkpoint-{step}", ADAPTER,
            base_model_name_or_path="models/base",
        )  # fmt: skip
    assert header(project, "--llm-tuned=saves/stopped")[-1] == (
        "llmdiff: saves/stopped is checkpoint-100, the newest of checkpoint-9, checkpoint-80, "
        "checkpoint-100"
    )


@pytest.mark.parametrize("file", ADAPTER)
def test_a_file_of_the_adapter(project: pytest.Pytester, file: str) -> None:
    assert header(project, f"--llm-tuned=saves/run/{file}")[-1].startswith(
        "llmdiff: base models/base"
    )


def test_a_training_yaml(project: pytest.Pytester) -> None:
    yaml = project.path / "train.yaml"
    text = "do_train: true\nmodel_name_or_path: models/base\noutput_dir: saves/run\n"
    yaml.write_text(text, encoding="utf-8")
    assert header(project, "--llm-tuned=train.yaml")[-2:] == [
        "llmdiff: tuned saves/run, from train.yaml",
        "llmdiff: base models/base, from train.yaml",
    ]
    make(project.path / "merged", WEIGHTS)
    yaml.write_text(
        "model_name_or_path: models/base\nadapter_name_or_path: saves/run\nexport_dir: merged\n",
        encoding="utf-8",
    )
    assert header(project, "--llm-tuned=train.yaml")[0] == (
        "llmdiff: base models/base, tuned merged"
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("models/base", "models/base does not say which model it was made from: give that as"),
        ("saves", "*name its folder: saves/run"),
        ("scripted:base.json", "scripted:base.json does not say which model"),
        ("gone", "names the base nowhere/base-7b/x, which is not here: give it as --llm-base"),
        ("silent", "names no base: give it as --llm-base"),
        ("no.yaml", "no.yaml names no single model (do_train with output_dir"),
        ("lost.yaml", "lost.yaml names the folder saves/lost, which is not here"),
        ("long", "cannot be used as a path (File name too long)"),
        ("homeless", "cannot be used as a path (Could not determine home"),
    ],
)
def test_what_is_missing_is_told(project: pytest.Pytester, given: str, told: str) -> None:
    make(project.path / "gone", ADAPTER, base_model_name_or_path="nowhere/base-7b/x")
    make(project.path / "silent", ADAPTER)
    make(project.path / "long", ADAPTER, base_model_name_or_path="x" * 5000)
    make(project.path / "homeless", ADAPTER, base_model_name_or_path="~nobody-here/base")
    (project.path / "no.yaml").write_text("template: qwen\n", encoding="utf-8")
    (project.path / "lost.yaml").write_text(
        "do_train: true\nmodel_name_or_path: models/base\noutput_dir: saves/lost\n",
        encoding="utf-8",
    )
    assert told.lstrip("*") in refusal(project, f"--llm-tuned={given}")


def test_two_adapters_in_one_folder(project: pytest.Pytester) -> None:
    make(project.path / "saves" / "other", ADAPTER, base_model_name_or_path="models/base")
    assert "name one of its folders: saves/other, saves/run" in refusal(
        project, "--llm-tuned=saves"
    )
