"""The files that LLaMA-Factory leaves beside an adapter, with losses of one's choice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Means over five steps each: a run that learned, one that was repeated until it knew its examples
# by heart, one that learned nothing, and one that blew up.
HEALTHY_LOSSES = (3.77, 3.11, 2.03, 1.69, 1.42, 1.2, 1.05, 0.97)
MEMORISED_LOSSES = (3.77, 1.9, 0.61, 0.12, 0.021, 0.004, 0.0011, 0.0004)
FLAT_LOSSES = (3.77, 3.75, 3.78, 3.76, 3.77, 3.76, 3.78, 3.77)
DIVERGED_LOSSES = (3.77, 9.4, 34.2, 24.7, 35.8, 25.2, 31.0, 29.5)


def trainer_files(
    folder: Path,
    losses: Sequence[float],
    *,
    eval_losses: Sequence[float] = (),
    base_name: str = "tests/tiny",
    epochs: float = 2.0,
    steps_per_log: int = 5,
    learning_rate: float = 1.5e-3,
) -> Path:
    """Write the log, the state, the results and the card of a finished run of supervised tuning.

    `eval_losses`, where given, are as many as `losses`: each was measured at the same step.
    """
    total = len(losses) * steps_per_log
    history: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for index, loss in enumerate(losses):
        step = (index + 1) * steps_per_log
        now = {"epoch": epochs * step / total, "step": step}
        rate = learning_rate * (1 - step / total)
        history.append({**now, "grad_norm": 1.5, "learning_rate": rate, "loss": loss})
        lines.append(_line(step, total, now["epoch"], loss=loss, lr=rate))
        if eval_losses:
            timing = {"eval_runtime": 1.0, "eval_samples_per_second": 8.0}
            history.append({**now, "eval_loss": eval_losses[index], **timing})
            lines.append(_line(step, total, now["epoch"], eval_loss=eval_losses[index]))
    results = {
        "epoch": epochs, "total_flos": 1e12, "train_loss": sum(losses) / len(losses),
        "train_runtime": 4.0 * total, "train_samples_per_second": 0.25,
        "train_steps_per_second": 0.25,
    }  # fmt: skip
    history.append({**results, "step": total})
    lines.append(_line(total, total, epochs))
    state: dict[str, Any] = {
        "best_global_step": None, "best_metric": None, "best_model_checkpoint": None,
        "epoch": epochs, "eval_steps": steps_per_log, "global_step": total,
        "is_hyper_param_search": False, "is_local_process_zero": True,
        "is_world_process_zero": True, "log_history": history, "logging_steps": steps_per_log,
        "max_steps": total, "num_input_tokens_seen": 0, "num_train_epochs": int(epochs),
        "save_steps": 500, "stateful_callbacks": {}, "total_flos": 1e12, "train_batch_size": 1,
        "trial_name": None, "trial_params": None,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "trainer_state.json", state)
    _write_json(folder / "train_results.json", results)
    _write_json(folder / "all_results.json", results)
    (folder / "trainer_log.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    (folder / "README.md").write_text(
        f"---\nlibrary_name: peft\nlicense: other\nbase_model: {base_name}\ntags:\n"
        f"- base_model:adapter:{base_name}\n- llama-factory\n- lora\n- transformers\n"
        f"pipeline_tag: text-generation\n---\n\n# {folder.name}\n",
        encoding="utf-8",
    )
    return folder


def _line(step: int, total: int, epoch: float, **values: float) -> dict[str, Any]:
    return {
        "current_steps": step, "total_steps": total, **values, "epoch": epoch,
        "percentage": round(100 * step / total, 2), "elapsed_time": "0:00:20",
        "remaining_time": "0:00:00",
    }  # fmt: skip


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
