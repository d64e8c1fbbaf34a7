"""Writes the rows of the store that a run used to a file, for `replay:FILE`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.data.files.whole_files import whole_file
from pytest_llmdiff.engines.replay import KIND, VERSION
from pytest_llmdiff.errors import StoreError
from pytest_llmdiff.store import Store

BATCH = 256  # rows in memory: divergences are large


def write_recording(store: Store, run_id: str, specs: Sequence[Spec], path: Path) -> None:
    """One JSON line for each reply, divergence, score and check that the run's tests used.

    Each process of the run has left the keys that it used in the store. The file is written whole
    or not at all.
    """
    name = f"used {run_id}"
    with whole_file(path) as draft, draft.open("w", encoding="utf-8") as stream:
        for line in _lines(store, store.keys(name), specs):
            stream.write(json.dumps(line, ensure_ascii=True, sort_keys=True) + "\n")
    store.remove_kind(name)


def _lines(store: Store, used: Sequence[str], specs: Sequence[Spec]) -> Iterator[Mapping[str, Any]]:
    yield {"kind": KIND, "version": VERSION, "base": specs[0].text, "tuned": specs[1].text}
    for kinds in ("reply base", "reply tuned", "divergence", "score", "check"):
        kind, _, side = kinds.partition(" ")
        begun = f"{kinds} "
        keys = iter(sorted(key.removeprefix(begun) for key in used if key.startswith(begun)))
        while part := list(islice(keys, BATCH)):
            rows = store.get(kind, part)
            if lost := len(part) - len(rows):
                raise StoreError(
                    f"{lost} rows of the store were lost while the tests ran; run again"
                )
            for key in part:
                yield {"kind": kind, **_recorded(kind, side, rows[key])}


def _recorded(kind: str, side: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind == "reply":
        return {**row, "side": side}
    if kind == "divergence":
        names = ("tokens", "unsupported", "at_least")
        value = {name: row[name] for name in names if name in row}
        return {"request": row["request"], "value": value}
    if kind == "score":
        value = {name: row[name] for name in ("value", "unsupported", "details")}
        about = {name: row.get(name) for name in ("scorer", "languages", "inputs")}
        return {**about, "value": value}
    return row
