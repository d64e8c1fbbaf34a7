"""What a run downloads from the hub, before its first test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_hub import Hub, connect, hub_of
from tests.support.tiny_models import save_adapter, save_model

MODELS = ("--llm-base=org/base", "--llm-tuned=org/lora", "--llmdiff-max-new-tokens=4")
USES = """
import pytest

@pytest.mark.llmdiff("Say hello", "Say goodbye")
def test_it(comparison):
    assert comparison.base.text is not None
"""


@pytest.fixture
def served(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A project, and a hub with a model and an adapter, which are a few bytes of nothing."""
    project.makepyfile(USES)
    root = project.path / "hub"
    for name, config in (("base", "config"), ("lora", "adapter_config")):
        (root / "org" / name).mkdir(parents=True)
        (root / "org" / name / f"{config}.json").write_text("{}", encoding="utf-8")
        stem = "model" if name == "base" else "adapter_model"
        (root / "org" / name / f"{stem}.safetensors").write_text(name * 500_000, encoding="utf-8")
    with hub_of(root) as server:
        connect(monkeypatch, server, project.path / "cache")
        yield server


def assert_refused(result: pytest.RunResult, served: Hub, line: str) -> None:
    """The run ended with this one error, and nothing large was fetched."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([line])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert not served.starts_of("model.safetensors")


def test_without_room_nothing_is_downloaded(
    served: Hub, project: pytest.Pytester, mode: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=100_000_000))
    result = project.runpytest_inprocess(*MODELS, *mode)
    assert_refused(
        result, served,
        "ERROR: llmdiff: nothing was generated: there is no room for the download of org/base "
        "(2.0 MB), org/lora (2.0 MB): 100.0 MB are free in *cache. *HF_HUB_CACHE",
    )  # fmt: skip


def test_offline_what_is_not_here_is_one_error(
    served: Hub, project: pytest.Pytester, mode: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.runpytest_inprocess(*MODELS, "--collect-only")  # asks for the configurations
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = project.runpytest_inprocess(*MODELS, *mode)
    assert_refused(
        result, served,
        "ERROR: llmdiff: nothing was generated: org/base is not here as a whole: *cache* lacks "
        "its weights, and the hub cannot be asked (HF_HUB_OFFLINE is set). Run again *",
    )  # fmt: skip


def test_a_run_without_a_test_that_uses_models_downloads_nothing(
    served: Hub, project: pytest.Pytester
) -> None:
    project.makepyfile("def test_unit(): pass")
    project.runpytest_inprocess(*MODELS).assert_outcomes(passed=1)
    project.makepyfile(USES)
    project.runpytest_inprocess(*MODELS, "--collect-only")
    assert not served.starts_of("model.safetensors")


@pytest.fixture(scope="module")  # before pytester notes which modules are loaded
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    base = save_model(root / "org" / "base", hidden=512, layers=4)  # 39 MB
    save_adapter(root / "org" / "lora", base)
    return root


@pytest.mark.slow
def test_a_run_that_was_killed_while_it_downloaded_is_gone_on_with(
    models: Path, project: pytest.Pytester, mode: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(USES)
    command = [sys.executable, "-m", "pytest", *MODELS, *mode]
    with hub_of(models) as server:
        connect(monkeypatch, server, project.path / "cache")
        server.stall_after = 25_000_000
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert server.stalled.wait(100)
        killed.kill()
        killed.wait()
        server.stall_after = None
        server.released.set()
        for downloads in (True, False):
            result = project.run(*command)
            result.assert_outcomes(passed=2)
            told = "llmdiff: downloading org/base: 5 files, 38.8 MB, of which *MB are here from*"
            if downloads:
                result.stdout.fnmatch_lines([told, "llmdiff: downloading org/lora: 1 file, 0.1 MB"])
            else:
                result.stdout.no_fnmatch_line("*downloading*")
    first, second = server.starts_of("model.safetensors")
    assert first == 0
    assert 10_000_000 < second < 25_000_000
    assert len(server.starts_of("adapter_model.safetensors")) == 1
