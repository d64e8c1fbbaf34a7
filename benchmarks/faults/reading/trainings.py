"""Readers of what trainings write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults.reading.reader import Reader, lines, single


def of_trainings() -> Iterator[Reader]:
    from pytest_llmdiff.data.training.config import find_training_config, read_training_config
    from pytest_llmdiff.data.training.log import read_checkpoints, read_training_log
    from pytest_llmdiff.data.training.markers import markers_of
    from pytest_llmdiff.data.training.model_card import languages_of, read_card
    from pytest_llmdiff.data.training.traces import find_traces

    training = (
        b"model_name_or_path: models/base\nstage: sft\ndo_train: true\ntemplate: qwen3\n"
        b"dataset: ours,theirs\ncutoff_len: 2048\nlearning_rate: 1.0e-4\nnum_train_epochs: 3\n"
        b"default_system: |\n  Be brief.\nextra: &a [1, 2]\nmore: [*a, *a]\n"
    )
    yield single("training YAML", "train.yaml", training, read_training_config)
    yield single("training JSON", "train.json", b'{"stage": "sft", "cutoff_len": 9}',
                  read_training_config)  # fmt: skip
    yield Reader(name="training_args.yaml", files={"training_args.yaml": training},
                 read=find_training_config)  # fmt: skip
    history = [{"step": n, "loss": 1.0 / n, "learning_rate": 1e-4, "epoch": n / 3} for n in (1, 2)]
    state = {"global_step": 2, "max_steps": 2, "epoch": 0.7, "log_history": history}
    log = [{"current_steps": n, "total_steps": 2, "loss": 1.0 / n, "lr": 1e-4} for n in (1, 2)]
    swift = [{"loss": 1.0, "global_step/max_steps": f"{n}/2"} for n in (1, 2)]
    results = {"train_samples_per_second": 4.0, "train_runtime": 2.0, "epoch": 0.7}

    def logs(folder: Path) -> None:
        read_training_log(folder)
        read_checkpoints(folder)

    for name, data in (
        ("trainer_state.json", json.dumps(state).encode()),
        ("trainer_log.jsonl", lines(log)),
        ("logging.jsonl", lines(swift)),
        ("all_results.json", json.dumps(results).encode()),
    ):
        yield Reader(name=name, files={name: data}, read=logs)
    card = b"---\nlanguage: [en, no]\ntags:\n- llama-factory\nbase_model: x\n---\n# A model\n"
    yield single("model card", "README.md", card, lambda path: languages_of(read_card(path)))
    yield Reader(name="generated_predictions.jsonl", read=find_traces,
                 files={"generated_predictions.jsonl": lines([{"prompt": "Hi", "predict": "x"}]),
                        "README.md": card})  # fmt: skip
    added = json.dumps({"added_tokens": [{"id": 1, "content": "<|im_end|>", "special": True}]})
    yield Reader(name="special tokens", read=markers_of,
                 files={"tokenizer.json": added.encode()})  # fmt: skip
