"""Readers of what runs write."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from benchmarks.faults.project import COMMANDS, Project
from benchmarks.faults.reading.reader import Reader, single


def of_runs(project: Project) -> Iterator[Reader]:
    from pytest_llmdiff.verdicts.accepted import read_accepted
    from pytest_llmdiff.verdicts.baseline_file import read_baseline

    written: dict[str, bytes] = {}
    for command, names in (
        ("accept", ("accepted.yaml",)),
        ("calibrate", ("baseline.json",)),
        ("judge", ("run.json", "run.jsonl")),
    ):
        project.run_warm(*COMMANDS[command])
        written |= {name: project.file(name).read_bytes() for name in names}
    report = written["run.json"]
    yield single("recording", "run.jsonl", written["run.jsonl"], _replay)
    yield single("baseline", "baseline.json", written["baseline.json"], read_baseline)
    yield single("accepted", "accepted.yaml", written["accepted.yaml"], read_accepted)
    yield Reader(name="compare", files={"new.json": report, "old.json": report}, read=_compare)
    scripted = json.dumps({"replies": {"Hi": "Yes?"}, "default": "No.", "divergences": {"Hi": 1}})
    yield single("scripted", "model.json", scripted.encode(), _scripted)


def _replay(path: Path) -> None:
    from pytest_llmdiff.config.specs import parse_spec
    from pytest_llmdiff.data.requests import Request, Sampling
    from pytest_llmdiff.engines.replay import ReplayEngine, check_recording
    from pytest_llmdiff.store import Store

    parse_spec(f"replay:{path}", option="--llm-base", folder=path.parent)
    check_recording(path)
    question = ({"role": "user", "content": "Question 1: where is my order?"},)
    request = Request(question, Sampling(max_new_tokens=128))  # type: ignore[arg-type]
    for side in ("base", "tuned"):
        engine = ReplayEngine(path, side, Store(path.parent / "store"))
        for _, generated in engine.generate([request]):
            if generated.reply is not None and side == "tuned":
                engine.divergence(request, generated.reply)
        engine.render(question)  # type: ignore[arg-type]


def _scripted(path: Path) -> None:
    from pytest_llmdiff.config.specs import parse_spec
    from pytest_llmdiff.data.requests import Request, Sampling
    from pytest_llmdiff.engines.scripted import ScriptedEngine

    parse_spec(f"scripted:{path}", option="--llm-base", folder=path.parent)
    engine = ScriptedEngine.from_file(path)
    request = Request(({"role": "user", "content": "Hi"},), Sampling(max_new_tokens=8))
    for _, generated in engine.generate([request]):
        if generated.reply is not None:
            engine.divergence(request, generated.reply)


def _compare(folder: Path) -> None:
    from pytest_llmdiff.__main__ import main

    old, new = str(folder / "old.json"), str(folder / "new.json")
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        main(["compare", old, new])
        main(["compare", new, old])
