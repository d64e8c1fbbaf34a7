"""Sets whose replies are given, judged by one call of a helper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.projects import Run


def models(folder: Path, sides: Sequence[tuple[str, str]]) -> None:
    for index, name in enumerate(("base", "tuned")):
        replies = {f"question {n}": side[index] for n, side in enumerate(sides)}
        (folder / f"{name}.json").write_text(json.dumps({"replies": replies}))
    rows = [json.dumps({"prompt": f"question {n}", "reference": "42"}) for n in range(len(sides))]
    (folder / "probes.jsonl").write_text("\n".join(rows))


def judged(
    project: pytest.Pytester, run: Run, sides: Sequence[tuple[str, str]], call: str
) -> tuple[dict[str, Any], pytest.RunResult]:
    models(project.path, sides)
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_accuracy, assert_score

        def length(texts):
            return [len(text) / 10 for text in texts]

        @pytest.mark.llmdiff(file="probes.jsonl")
        def test_it(comparisons):
            {call}
        """
    )
    result = run("--llmdiff-json=report.json")
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    (found,) = report["tests"][0]["verdicts"]
    return found, result
