"""Writes what a run used out of the store, for `replay:FILE`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_llmdiff.engines.replay import KIND, VERSION
from pytest_llmdiff.specs import Spec
from pytest_llmdiff.store import Store


def write_recording(store: Store, run_id: str, specs: Sequence[Spec], path: Path) -> None:
    """One JSON line per reply, divergence, score and check that the run's tests asked for.

    Every process of the run has left the keys that it used in the store. The file appears whole
    or not at all.
    """
    used = store.keys(f"used {run_id}")
    lines: list[dict[str, Any]] = [
        {
            "kind": KIND,
            "version": VERSION,
            "base": specs[0].text,
            "tuned": specs[1].text,
        }
    ]
    for kind in ("reply", "divergence", "score", "check"):
        keys = sorted(name.partition(" ")[2] for name in used if name.startswith(kind + " "))
        rows = store.get(kind, keys)
        for key in keys:
            row = rows[key]
            if kind == "divergence":
                names = ("tokens", "unsupported", "at_least")
                value = {name: row[name] for name in names if name in row}
                row = {"request": row["request"], "value": value}
            elif kind == "score":
                value = {name: row[name] for name in ("value", "unsupported", "details")}
                told = {name: row.get(name) for name in ("scorer", "languages", "inputs")}
                row = {**told, "value": value}
            lines.append({"kind": kind, **row})
    for name in used:
        store.remove(f"used {run_id}", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    with draft.open("w", encoding="utf-8") as stream:
        for line in lines:
            stream.write(json.dumps(line, ensure_ascii=True, sort_keys=True) + "\n")
    draft.replace(path)
