"""The log of a training, as written by transformers' Trainer, TRL, LLaMA-Factory and ms-swift."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.training.files import read_lines, read_object, read_text
from pytest_llmdiff.errors import ConfigError

STATE, FACTORY_LOG, SWIFT_LOG = "trainer_state.json", "trainer_log.jsonl", "logging.jsonl"
RESULTS = ("all_results.json", "train_results.json")
LOOKED_FOR = (STATE, f"checkpoint-*/{STATE}", FACTORY_LOG, SWIFT_LOG, *RESULTS)
Series = tuple[tuple[int, float], ...]
Row = Mapping[str, Any]

# Columns of LLaMA-Factory's log, and their names in the Trainer's log.
FACTORY_NAMES = {
    "current_steps": "step", "lr": "learning_rate", "total_tokens": "num_input_tokens_seen",
}  # fmt: skip
# Columns in which ms-swift writes a step and the number of steps, as in "40/120"; its Megatron
# trainings write the second.
SWIFT_STEPS = ("global_step/max_steps", "iteration")
SWIFT_LINE = re.compile(rf'"({"|".join(SWIFT_STEPS)})": *"[0-9]+/[0-9]+"')
# Values that only trainings on preferences or rewards log (in LLaMA-Factory's log, `accuracy` is
# that of the rewards). Their losses do not mean what the loss of supervised training means.
REWARDS = re.compile(r"(mean_|min_|max_)?rewards?(/.*|_std)?|logps/.*|objective/.*|kl|accuracy")
# Speeds are rounded to three decimals: below this, the error exceeds a tenth.
SLOWEST = 0.005


@dataclass(frozen=True, kw_only=True)
class TrainingLog:
    """Logged values as (step, value), including NaN and infinity; None for what was not counted.

    `tokens_seen` is None unless the trainer counted tokens (`include_num_input_tokens_seen`).
    `examples_seen` counts an example each time it is used, and a pack of examples as one. It is
    approximate: throughput times run time, as the trainer writes them when training ends. The batch
    size in `trainer_state.json` would not help, since it lacks gradient accumulation and the number
    of processes. `supervised` is False for trainings on preferences or rewards (DPO, KTO, PPO,
    GRPO, ...).
    """

    sources: tuple[str, ...]
    steps: int | None = None
    epochs: float | None = None
    losses: Series = ()
    learning_rates: Series = ()
    gradient_norms: Series = ()
    eval_losses: Series = ()
    tokens_seen: int | None = None
    examples_seen: int | None = None
    supervised: bool = True


def read_training_log(folder: Path) -> TrainingLog | None:
    """The log of the training that made the weights in this folder, or None if there is none.

    `trainer_state.json` is in the folder or in its newest checkpoint, where TRL and the plain
    Trainer write it. LLaMA-Factory's `trainer_log.jsonl` and ms-swift's `logging.jsonl` are in the
    folder, or above a checkpoint.

    Raises:
        ConfigError: a file of the log is damaged.
    """
    state_file = _state_file(folder)
    state = {} if state_file is None else read_object(state_file)
    steps = _count(state_file, state, "global_step")
    history = [] if state_file is None else _history(state_file, state)
    sources = [] if state_file is None else [state_file]

    log_file = _log_file(folder)
    if log_file is not None:
        sources.append(log_file)
        later = _rows(log_file)
        if (checkpoint := _checkpoint_step(folder)) is not None:
            later = [row for row in later if row["step"] <= checkpoint]
        if state_file is None or not history:
            history = later
        elif state_file.parent != folder:
            # The training went on after its last checkpoint. If instead the state is in the folder
            # itself, later rows are left over from an earlier training in the same folder.
            history = [*history, *(row for row in later if row["step"] > (steps or 0))]

    results = [] if _checkpoint_step(folder) is not None else _results(folder)
    sources += [file for file, _ in results]
    if not sources:
        return None
    logged = [row["step"] for row in history]
    steps = max([*logged, *([] if steps is None else [steps])], default=None)
    rows = [*reversed(history), *(row for _, row in results)]
    epochs = [_finite(sources[0], row, "epoch") for row in [*rows, state]]
    return TrainingLog(
        sources=tuple(file.relative_to(_root(folder)).as_posix() for file in sources),
        steps=steps,
        epochs=max((value for value in epochs if value is not None), default=None),
        losses=_series(sources[0], history, "loss"),
        learning_rates=_series(sources[0], history, "learning_rate"),
        gradient_norms=_series(sources[0], history, "grad_norm"),
        eval_losses=_series(sources[0], history, "eval_loss"),
        tokens_seen=_tokens(sources[0], [*history, state]),
        examples_seen=_examples(sources[0], rows, steps),
        supervised=not any(REWARDS.fullmatch(str(name)) for row in history for name in row)
        and not any(_root(folder).glob("value_head.*")),
    )


def read_checkpoints(folder: Path) -> list[tuple[Path, float | None]]:
    """The adapters that a training saved as checkpoints, in order of their steps, each with the
    learning rate that was logged last before it, or None.

    Raises:
        ConfigError: a file of the log is damaged.
    """
    root = _root(folder)
    files = {
        step: file
        for file in root.glob("checkpoint-*/adapter_model.safetensors")
        if (step := _checkpoint_step(file.parent)) is not None
    }
    log = read_training_log(root) if files else None
    rates = () if log is None else log.learning_rates
    return [
        (files[step], next((rate for at, rate in reversed(rates) if at <= step), None))
        for step in sorted(files)
    ]


# Places


def _checkpoint_step(folder: Path) -> int | None:
    match = re.fullmatch(r"checkpoint-(\d+)", folder.name)
    return int(match[1]) if match else None


def _root(folder: Path) -> Path:
    return folder if _checkpoint_step(folder) is None else folder.parent


def _state_file(folder: Path) -> Path | None:
    if (folder / STATE).is_file():
        return folder / STATE
    files = [(_checkpoint_step(file.parent), file) for file in folder.glob(f"checkpoint-*/{STATE}")]
    found = [(step, file) for step, file in files if step is not None]
    return max(found)[1] if found else None


def _log_file(folder: Path) -> Path | None:
    """The trainer's own log. Other programs write a logging.jsonl, too, without those steps."""
    places = (folder, _root(folder))
    for file in (place / FACTORY_LOG for place in places):
        if file.is_file():
            return file
    for file in (place / SWIFT_LOG for place in places):
        if file.is_file() and SWIFT_LINE.search(read_text(file)):
            return file
    return None


def _results(folder: Path) -> list[tuple[Path, Row]]:
    """Summaries of the training, without those of an evaluation or a prediction run."""
    summaries = [(folder / name, read_object(folder / name)) for name in RESULTS
             if (folder / name).is_file()]  # fmt: skip
    return [(file, row) for file, row in summaries if "train_runtime" in row or "epoch" in row]


# Rows


def _history(file: Path, state: Row) -> list[Row]:
    history = state.get("log_history")
    if history is None:
        return []
    if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
        raise ConfigError(f"{file}: log_history is not a list of objects; is the file complete?")
    return [row for row in history if _count(file, row, "step") is not None]


def _rows(file: Path) -> list[Row]:
    """The rows of the training, without those that a resumed or repeated training supersedes.

    The file is only ever appended to. Where the step number goes back, the training was resumed or
    restarted, and what was logged from that step on does not belong to the weights.
    """
    rows: list[Row] = []
    for number, columns in read_lines(file):
        row = {FACTORY_NAMES.get(k, k): v for k, v in columns.items()}
        # Predictions and evaluations write their progress here, too, and count their own steps;
        # ms-swift's last line sums the training up, with all earlier ones as `log_history`.
        if ("loss" not in row and "epoch" not in row) or "log_history" in row:
            continue
        if file.name == SWIFT_LOG:
            row |= _swift_step(row)
            if "step" not in row:
                continue
        step = _count(file, row, "step", line=number)
        if step is None:
            raise ConfigError(f"{file}, line {number}: current_steps is missing")
        if rows and step < rows[-1]["step"]:
            rows = [earlier for earlier in rows if earlier["step"] < step]
        rows.append(row)
    return rows


def _swift_step(row: Row) -> Row:
    found = (re.fullmatch(r"([0-9]+)/[0-9]+", str(row.get(name))) for name in SWIFT_STEPS)
    return next(({"step": int(match[1])} for match in found if match), {})


def _series(file: Path, rows: list[Row], name: str) -> Series:
    """The last value of each step."""
    found = ((row["step"], _number(file, row, name)) for row in rows)
    return tuple(sorted({step: value for step, value in found if value is not None}.items()))


def _tokens(file: Path, rows: list[Row]) -> int | None:
    names = ("num_input_tokens_seen", "num_tokens")  # the Trainer's and TRL's
    counts = (_finite(file, row, name) for row in rows for name in names)
    return round(max((count for count in counts if count), default=0)) or None


def _examples(file: Path, rows: list[Row], steps: int | None) -> int | None:
    for row in rows:
        seconds, speed, step_speed = (
            _finite(file, row, f"train_{name}")
            for name in ("runtime", "samples_per_second", "steps_per_second")
        )
        if not seconds or speed is None or speed < SLOWEST:
            continue
        examples = seconds * speed
        timed = seconds * (step_speed or 0)
        # Speeds may cover the whole schedule although early stopping skipped steps, or only what
        # ran after resuming. The examples per step are right in both cases.
        if steps and timed and abs(timed - steps) > 0.5 + seconds * 0.0005:
            examples *= steps / timed
        return (round(examples) or None) if math.isfinite(examples) else None
    return None


# Values


def _number(file: Path, row: Row, name: str) -> float | None:
    """A number, even if written as text; None for null, which means that nothing was logged."""
    value = row.get(name)
    try:
        if value is None or (isinstance(value, (int, float, str)) and not isinstance(value, bool)):
            return None if value is None else float(value)
    except (ValueError, OverflowError):
        pass
    raise ConfigError(
        f"{file}: {name} is {value!r:.80} (step {row.get('step')}); expected a number"
    )


def _finite(file: Path, row: Row, name: str) -> float | None:
    value = _number(file, row, name)
    return value if value is not None and math.isfinite(value) else None


def _count(file: Path | None, row: Row, name: str, *, line: int | None = None) -> int | None:
    value = row.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    place = f"{file}" if line is None else f"{file}, line {line}"
    raise ConfigError(f"{place}: {name} is {value!r}; expected a whole number")
