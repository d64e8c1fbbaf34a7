"""Readers of probes and texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.reading.reader import Reader, lines, single


def of_probes(folder: Path) -> Iterator[Reader]:
    import pyarrow
    from pyarrow import parquet

    from pytest_llmdiff.data.files.bias_sets import read_crows_pairs
    from pytest_llmdiff.data.files.checklist import checklist_prompts
    from pytest_llmdiff.data.files.probe_files import is_probe_file, read_probe_file
    from pytest_llmdiff.data.files.text_files import read_pairs, read_texts

    def probes(path: Path) -> None:
        is_probe_file(path)
        read_probe_file(path)

    rows: list[dict[str, Any]] = [
        {"prompt": "Wo ist das?", "id": "a", "tags": ["x", "y"], "reference": "Dort."},
        {"prompt": "在哪里？", "id": "b", "tags": ["x"], "reference": "这里。"},
    ]
    chats = [
        {"messages": [{"role": "user", "content": "Hi"}], "system": "Be brief.", "language": "en"}
    ]
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, folder / "probes.parquet")
    cells = 'id,prompt,tags,reference\na,"Where, then?",x;y,There.\nb,Why?,,Because.\n'
    forms = {
        "probes.jsonl": lines([*rows, *chats]),
        "probes.json": json.dumps(rows + chats).encode(),
        "probes.csv": cells.encode(),
        "probes.tsv": cells.replace(",", "\t").encode(),
        "probes.parquet": (folder / "probes.parquet").read_bytes(),
    }
    for name, data in forms.items():
        yield single(name, name, data, probes)
    crows = "sent_more,sent_less,stereo_antistereo,bias_type\nShe is.,He is.,stereo,gender\n"
    others: tuple[tuple[str, bytes, Callable[[Path], object]], ...] = (
        ("texts.jsonl", lines([{"text": "One.", "id": "1"}, {"text": "Two."}]), read_texts),
        ("pairs.jsonl", lines([{"stereotype": "a", "anti_stereotype": "b"}]), read_pairs),
        ("crows.csv", crows.encode(), read_crows_pairs),
        ("checklist.tsv", b"id\tquestion1\tquestion2\n1\tWhy?\tHow?\n", _questions),
        ("checklist.txt", b"One text.\nAnother text.\n", checklist_prompts),
    )
    for name, data, read in others:
        yield single(name, name, data, read)


def _questions(path: Path) -> object:
    from pytest_llmdiff.data.files.checklist import checklist_prompts

    return checklist_prompts(path, "{question1} {question2}")
