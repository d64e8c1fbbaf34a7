"""Sends a run to an experiment tracker, through the tracker's own client.

Where the client has a run open, or its environment names one (`MLFLOW_RUN_ID`, `WANDB_RUN_ID`),
that run gets the numbers and the report; else a new one does.
"""

from __future__ import annotations

import os
import re
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import RAISED, quiet
from pytest_llmdiff.errors import LLMDiffError, harmless
from pytest_llmdiff.reports.files.json_report import json_text, report
from pytest_llmdiff.reports.run_facts import RunFacts
from pytest_llmdiff.verdicts.verdict import label

REPORT = "llmdiff.json"
ALLOWED = re.compile(r"[^\w./ -]|\.{2,}")  # MLflow's names of metrics, without those of no folder
LONGEST = 240  # characters of a name
# A run does not wait for a server that is down: by MLflow's own values that takes half an hour.
IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "WANDB_HTTP_TIMEOUT": "10",
}
INIT_TIMEOUT = 30  # seconds for W&B's client to reach its server
NO_KEY = "no API key is known: run `wandb login`, or set WANDB_MODE=offline"


def track(name: str, facts: RunFacts) -> str:
    """Send a run to the tracker of this name. Returns a line for the terminal, also where it
    failed: a run does not depend on its tracker."""
    try:
        with quiet(), impatient(), tempfile.TemporaryDirectory() as folder:
            found = report(facts)
            file = Path(folder, REPORT)
            file.write_text(json_text(found), encoding="utf-8")
            settings = {key: str(found[key])[:LONGEST] for key in ("base", "tuned", "version")}
            metrics = metrics_of(found)
            where = TRACKERS[name](metrics, settings, file)
    except RAISED as error:
        problem = harmless(" ".join(f"{error}".split()))[:500]
        return f"warning: nothing was sent to {name}: {type(error).__name__}: {problem}"
    return f"{name}: {len(metrics)} metrics and {REPORT} in {harmless(where)}"


@contextmanager
def impatient() -> Iterator[None]:
    """Meanwhile, the clients give up soon, unless the environment says how long they may try."""
    own = {name: value for name, value in IMPATIENT.items() if name not in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)


def metrics_of(found: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a JSON report by name: how many tests had each outcome, and each measure of
    each test. Of a set these are its value with its interval, of single probes the median and the
    largest value."""
    metrics = {f"tests/{outcome}": float(count) for outcome, count in found["summary"].items()}
    metrics["exit_code"] = float(found["exit_code"])
    singles: dict[str, list[float]] = {}
    for test in found["tests"]:
        case = test["test"].partition("[")[0].replace("::", "/")
        for verdict in test["verdicts"]:
            held = verdict["set"]
            measure = f"{case}/{label(verdict['name'], held['scope'] if held else '')}"
            if verdict["value"] is None:
                continue
            if held is None:
                singles.setdefault(measure, []).append(verdict["value"])
                continue
            numbers = {"value": verdict["value"], "low": held["low"], "high": held["high"]}
            metrics |= {f"{measure}/{key}": float(n) for key, n in numbers.items() if n is not None}
    for measure, values in singles.items():
        metrics[f"{measure}/median"] = float(statistics.median(values))
        metrics[f"{measure}/largest"] = float(max(values))
    return {_name(name): value for name, value in metrics.items()}


def _name(text: str) -> str:
    return "/".join(filter(None, ALLOWED.sub("_", text).split("/")))[-LONGEST:].strip("/")


def _mlflow(metrics: Mapping[str, float], settings: Mapping[str, str], file: Path) -> str:
    import mlflow

    open_one = mlflow.active_run()
    run = open_one or mlflow.start_run()
    try:
        # A parameter of a run that is gone on with may not change; a tag may.
        mlflow.set_tags({f"llmdiff.{key}": value for key, value in settings.items()})
        mlflow.log_metrics(dict(metrics))
        mlflow.log_artifact(str(file))
    finally:
        if open_one is None:
            mlflow.end_run()
    return f"run {run.info.run_id} of {mlflow.get_tracking_uri()}"


def _wandb(metrics: Mapping[str, float], settings: Mapping[str, str], file: Path) -> str:
    import wandb

    run = wandb.run
    if run is None:
        online = os.environ.get("WANDB_MODE", "online") == "online"
        if online and not wandb.api.api_key:  # it would ask for one on the terminal
            raise LLMDiffError(NO_KEY)
        quietly = wandb.Settings(console="off", silent=True, init_timeout=INIT_TIMEOUT)
        run = wandb.init(job_type="llmdiff", settings=quietly)
        ours = True
    else:
        ours = False
    try:
        run.config.update({"llmdiff": dict(settings)}, allow_val_change=True)
        run.summary.update(dict(metrics))
        artifact = wandb.Artifact(name=f"llmdiff-{run.id}", type="report")
        artifact.add_file(str(file))
        run.log_artifact(artifact)
    finally:
        if ours:
            run.finish()
    return f"run {run.id}, {Path(run.dir).parent if run.offline else run.url}"


Tracker = Callable[[Mapping[str, float], Mapping[str, str], Path], str]
TRACKERS: Mapping[str, Tracker] = {"mlflow": _mlflow, "wandb": _wandb}
