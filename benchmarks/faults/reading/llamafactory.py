"""Readers of LLaMA-Factory's data and templates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults.reading.reader import Reader, lines, single

TRAINED = {"instruction": "Where is it?", "input": "", "output": "On its way."}
CHAT = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]}


def of_llamafactory() -> Iterator[Reader]:
    from pytest_llmdiff.data.llamafactory.datasets import read_dataset, training_data_of
    from pytest_llmdiff.data.llamafactory.modelfile import template_of_modelfile
    from pytest_llmdiff.data.llamafactory.templates import read_templates
    from pytest_llmdiff.data.training.files import read_text

    info = {
        "ours": {"file_name": "ours.json"},
        "theirs": {
            "file_name": "theirs.jsonl", "formatting": "sharegpt",
            "columns": {"messages": "conversations"}, "tags": {
                "role_tag": "from", "content_tag": "value", "user_tag": "human",
                "assistant_tag": "gpt",
            },
        },
    }  # fmt: skip
    data = {
        "dataset_info.json": json.dumps(info, indent=1).encode(),
        "ours.json": json.dumps([TRAINED, TRAINED]).encode(),
        "theirs.jsonl": lines([CHAT, CHAT]),
    }

    def both(folder: Path) -> None:
        for name in info:
            read_dataset(folder, name)

    def plain(folder: Path) -> None:
        for name in ("ours.json", "theirs.jsonl"):
            if (folder / name).exists():
                training_data_of(folder / name)

    yield Reader(name="dataset_info.json", files=data, read=both)
    for name in ("ours.json", "theirs.jsonl"):
        yield Reader(name=f"training data {name}", files={name: data[name]} | data, read=both)
        yield Reader(name=f"plain {name}", files={name: data[name]}, read=plain)
    pairs = {"prompt": "Hi", "chosen": "Yes?", "rejected": "No."}
    yield Reader(name="preferences", files={"ours.json": json.dumps([pairs]).encode()}, read=plain)
    modelfile = (
        'FROM .\nTEMPLATE """{{ if .System }}<|system|>{{ .System }}{{ end }}{{ range .Messages }}'
        '{{ if eq .Role "user" }}<|user|>{{ .Content }}<|assistant|>{{ else if eq .Role '
        '"assistant" }}{{ .Content }}<|end|>{{ end }}{{ end }}"""\nSYSTEM """Be brief."""\n'
        'PARAMETER stop "<|end|>"\n'
    )
    yield single("Modelfile", "Modelfile", modelfile.encode(),
                  lambda path: template_of_modelfile(read_text(path)))  # fmt: skip
    source = (
        "SYSTEM = 'Be brief.'\nregister_template(\n    name='ours',\n    default_system=SYSTEM + "
        "'!',\n    format_user=StringFormatter(slots=['<|user|>{{content}}<|assistant|>']),\n"
        "    format_prefix=EmptyFormatter(slots=[{'bos_token'}]),\n    stop_words=['<|end|>'],\n)\n"
    )

    def templates(path: Path) -> None:
        found = read_templates(path)
        for name in [*found, *found.unreadable]:
            found[name]

    yield single("template.py", "template.py", source.encode(), templates)
