"""Load a data folder as LLaMA-Factory does before it trains, and print what came of it as JSON.

    python llamafactory_loader.py FOLDER [TOKENIZER TEMPLATE]

For an interpreter that has LLaMA-Factory, which pins other versions than this package needs. Every
entry of the folder's `dataset_info.json` goes through LLaMA-Factory's own loader and converter;
with a tokenizer and the name of a template through its processor for the stage as well, to the
token ids it would train on.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any


def stand_in(name: str) -> None:
    """An empty module for a package of pictures or sound, which text never reaches."""
    if importlib.util.find_spec(name) is None:
        module = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module


def stage_of(entry: dict[str, Any]) -> str:
    if entry.get("ranking"):
        return "rm"
    return "kto" if "kto_tag" in entry.get("columns", {}) else "sft"


def load(folder: Path, tokenizer_folder: str | None, template_name: str | None) -> dict[str, Any]:
    for name in ("torchaudio", "av"):
        stand_in(name)
    from llamafactory.data.loader import _get_merged_dataset, get_dataset
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import AutoTokenizer, Seq2SeqTrainingArguments

    entries = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, entry in entries.items():
            stage = stage_of(entry)
            data = DataArguments(
                dataset=name, dataset_dir=str(folder), template=template_name, overwrite_cache=True
            )
            model = ModelArguments(
                model_name_or_path=tokenizer_folder or "none", cache_dir=f"{scratch}/cache"
            )
            training = Seq2SeqTrainingArguments(output_dir=f"{scratch}/out", report_to=[])
            rows = _get_merged_dataset(data.dataset, model, data, training, stage)
            found[name] = {"stage": stage, "rows": [dict(row) for row in rows]}
            if tokenizer_folder is None:
                continue
            tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
            template = get_template_and_fix_tokenizer(tokenizer, data)
            trained = get_dataset(template, model, data, training, stage, tokenizer)
            found[name]["trained"] = [
                {
                    column: tokenizer.decode([token for token in value if token >= 0])
                    if column.endswith(("input_ids", "labels"))
                    else value
                    for column, value in row.items()
                }
                for row in trained["train_dataset"]
            ]
    return found


if __name__ == "__main__":
    # LLaMA-Factory prints an example; standard output is for the JSON alone.
    with contextlib.redirect_stdout(sys.stderr):
        loaded = load(Path(sys.argv[1]), *(sys.argv[2:4] or (None, None)))
    print(json.dumps(loaded))
