"""Experiment trackers: with their clients where these are installed, else as they are refused."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest

from pytest_llmdiff.config import packages
from pytest_llmdiff.reports import trackers
from pytest_llmdiff.reports.trackers import metrics_of
from tests.support.projects import Run
from tests.support.sets import write

SUITE = """
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff("question 1", "question 3")
def test_one(comparison):
    assert_semantic_drift(comparison, at_most=0.5)

@pytest.mark.llmdiff(file="probes.jsonl")
def test_set(comparisons):
    assert_semantic_drift(comparisons, at_most=1)
"""


@pytest.fixture
def suite(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    write(project, every=3)
    project.makepyfile(test_suite=SUITE)
    monkeypatch.setattr(packages, "_is_installed", lambda _: True)
    return project


def test_the_numbers_of_a_report(suite: pytest.Pytester, run: Run) -> None:
    run("--llmdiff-json=r.json")
    report = json.loads((suite.path / "r.json").read_text())
    found = metrics_of(report)
    assert found["tests/passed"] == 2
    assert found["tests/regressed"] == 1
    assert found["exit_code"] == 1
    drift = next(t for t in report["tests"] if "test_set" in t["test"])["verdicts"][0]
    assert found["test_suite.py/test_set/semantic drift/value"] == drift["value"]
    assert found["test_suite.py/test_set/semantic drift/high"] == drift["set"]["high"]
    assert 0.5 < found["test_suite.py/test_one/semantic drift/largest"] < 1
    hostile = {"test": "../a//b::c[1]", "verdicts": [
        {"name": "x\x1b", "value": 1.0, "set": None}, {"name": "n", "value": None, "set": None}
    ]}  # fmt: skip
    found = metrics_of({**report, "tests": [hostile]})
    assert {name for name in found if "tests/" not in name} == {
        "exit_code", "_/a/b/c/x_/median", "_/a/b/c/x_/largest"
    }  # fmt: skip


def test_a_tracker_that_fails_is_a_warning(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process alone: a worker of xdist would look for the real client."""

    def refuse(*_: object) -> None:
        raise SystemExit("no \x1b[31m server")

    monkeypatch.setattr(trackers, "TRACKERS", {"mlflow": refuse})
    models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
    options = ("--llmdiff-track=mlflow", "--llmdiff-json=r.json", "-k", "test_set")
    result = suite.runpytest_inprocess(*models, *options)
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["warning: nothing was sent to mlflow: SystemExit: no *server"])
    assert "\x1b" not in result.stdout.str()
    assert (suite.path / "r.json").exists()


def test_a_client_gives_up_soon_unless_it_is_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    with trackers.impatient():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "7"
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "7"


@pytest.mark.usefixtures("suite")
def test_without_a_key_nothing_is_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(wandb, "api", SimpleNamespace(api_key=None))
    result = run("--llmdiff-track=wandb", "-k", "test_set")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["warning: nothing was sent to wandb: *set WANDB_MODE=offline"])


@pytest.mark.usefixtures("suite")
def test_a_missing_client_is_told_before_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_is_installed", lambda name: name != "wandb")
    result = run("--llmdiff-track=wandb")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ['*--llmdiff-track=wandb needs *pip install "pytest-llmdiff[[]wandb]"']
    )
    result = run("--llmdiff-track=neptune")
    result.stderr.fnmatch_lines(["*--llmdiff-track: 'neptune' is not mlflow or wandb*"])


def test_mlflow_itself(suite: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((suite.path / "runs").as_uri())
    result = run("--llmdiff-track=mlflow")
    result.stdout.fnmatch_lines(["mlflow: * metrics and llmdiff.json in run * of file://*"])
    (found,) = mlflow.search_runs(output_format="list")
    assert found.data.metrics["test_suite.py/test_set/semantic drift/value"] > 0
    assert found.data.tags["llmdiff.tuned"] == "scripted:tuned.json"
    (kept,) = suite.path.glob("runs/**/artifacts/llmdiff.json")
    assert json.loads(kept.read_text())["schema"] == "pytest-llmdiff/1"
    assert mlflow.active_run() is None
    with mlflow.start_run() as training:
        run("--llmdiff-track=mlflow", "-k", "test_set")
        assert mlflow.active_run() is not None
    assert mlflow.get_run(training.info.run_id).data.metrics["tests/passed"] == 1


def test_weights_and_biases_offline(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
    result = suite.runpytest_subprocess(*models, "--llmdiff-track=wandb")
    result.stdout.fnmatch_lines(["wandb: * metrics and llmdiff.json in run *offline-run-*"])
    (kept,) = (suite.path / "wandb").glob("offline-run-*/*.wandb")
    assert b"semantic drift/value" in kept.read_bytes()
