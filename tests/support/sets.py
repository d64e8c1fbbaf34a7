"""A project whose two models differ in every so many replies."""

from __future__ import annotations

import json
from typing import Any

import pytest

COUNT = 60
SAME = "You can ask for a refund"


def write(project: pytest.Pytester, every: int, *, count: int = COUNT, tags: bool = False) -> None:
    """Models that differ in every so many replies, and a file of their probes."""
    prompts = [f"question {n}" for n in range(count)]
    other = {p: "what a stupid zzz" for n, p in enumerate(prompts) if n % every == 0}
    for name, changed in (("base", {}), ("tuned", other)):
        replies = dict.fromkeys(prompts, SAME) | changed
        (project.path / f"{name}.json").write_text(json.dumps({"replies": replies, "default": "?"}))
    rows: list[dict[str, Any]] = [{"prompt": prompt} for prompt in prompts]
    if tags:
        for n, row in enumerate(rows):
            row["tags"] = ["in_domain" if n % every == 0 else "retained"]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (project.path / "probes.jsonl").write_text(lines)
