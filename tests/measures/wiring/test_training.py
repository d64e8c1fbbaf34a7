"""Logs of trainings, as each trainer writes them, and what they say about the training's health."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.training.log import LOOKED_FOR, TrainingLog, read_training_log
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.wiring.findings import Findings
from pytest_llmdiff.measures.wiring.training import LOSS_POINTS, training_findings
from tests.support.tiny_models import save_model

Rows = list[dict[str, Any]]
NAN, INF = float("nan"), float("inf")


def _history(
    losses: Sequence[float | None], *, every: Any = 5, epochs: Any = 2.0, **columns: Any
) -> Rows:
    """Entries as the Trainer logs them."""
    total = every * len(losses)
    rows: Rows = []
    for number, loss in enumerate(losses, 1):
        step = every * number
        row = {"epoch": epochs * step / total, "grad_norm": 2.0 - number / total,
               "learning_rate": 1e-4 * (1 - number / (len(losses) + 1)), "loss": loss,
               "step": step}  # fmt: skip
        row |= {name: value(number) for name, value in columns.items()}
        rows.append({name: value for name, value in row.items() if value != "unlogged"})
    return rows


def _summary(steps: int, *, epochs: float = 2.0, per_step: int = 1, seconds: float = 100) -> Any:
    return {"epoch": epochs, "step": steps, "total_flos": 3.5e12, "train_loss": 1.52,
            "train_runtime": seconds,
            "train_samples_per_second": round(steps * per_step / seconds, 3),
            "train_steps_per_second": round(steps / seconds, 3)}  # fmt: skip


def _state(folder: Path, rows: Rows, **values: Any) -> None:
    last = max((row["step"] for row in rows), default=0)
    state = {"best_metric": None, "epoch": rows[-1]["epoch"] if rows else 0, "eval_steps": 500,
             "global_step": last, "log_history": rows, "logging_steps": 5, "max_steps": last,
             "num_input_tokens_seen": 0, "num_train_epochs": 2, "train_batch_size": 1,
             **values}  # fmt: skip
    _write(folder / "trainer_state.json", json.dumps(state, indent=2, sort_keys=True) + "\n")


def _factory(rows: Rows, *, total: int = 80) -> str:
    """The lines that LLaMA-Factory logs beside the Trainer."""
    names = {"step": "current_steps", "learning_rate": "lr", "rewards/accuracies": "accuracy"}
    kept = ("current_steps", "loss", "eval_loss", "lr", "epoch", "accuracy", "reward")
    lines = ({names.get(k, k): v for k, v in row.items() if v is not None} for row in rows)
    return "".join(
        json.dumps({"total_steps": total, **{k: v for k, v in line.items() if k in kept}}) + "\n"
        for line in lines
    )


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _read(folder: Path) -> TrainingLog:
    log = read_training_log(folder)
    assert log is not None
    return log


def _falling(points: int = 16, *, first: float = 3.8, last: float = 0.7) -> list[float]:
    rng = random.Random(1)
    return [first * (last / first) ** (i / (points - 1)) * rng.uniform(0.95, 1.05)
            for i in range(points)]  # fmt: skip


def _judged(log: TrainingLog | None) -> Findings:
    return training_findings(log, looked_for=LOOKED_FOR)


# Reading


def test_no_log(tmp_path: Path) -> None:
    assert read_training_log(tmp_path) is None
    _write(tmp_path / "all_results.json", '{"predict_runtime": 6.5, "eval_loss": 1.0}')
    assert read_training_log(tmp_path) is None
    findings = _judged(None)
    assert findings.problems == ()
    assert "trainer_state.json" in str(findings.skipped)


def test_what_llamafactory_writes(tmp_path: Path) -> None:
    rows = [*_history(_falling()), _summary(80)]
    _state(tmp_path, rows)
    _write(tmp_path / "trainer_log.jsonl", _factory(rows))
    _write(tmp_path / "all_results.json", json.dumps(_summary(80)))
    log = _read(tmp_path)
    assert log.sources == ("trainer_state.json", "trainer_log.jsonl", "all_results.json")
    assert (log.steps, log.epochs, log.examples_seen, log.tokens_seen) == (80, 2.0, 80, None)
    assert [step for step, _ in log.losses] == list(range(5, 85, 5))
    assert len(log.gradient_norms) == len(log.learning_rates) == 16
    assert log.supervised
    findings = _judged(log)
    assert findings.problems == ()
    assert findings.notes[0] == (
        "trained on about 40 examples, 2.0 epochs, 80 steps; tokens not counted"
    )
    # Without the state, its own log tells the same but for the gradients.
    (tmp_path / "trainer_state.json").unlink()
    assert _read(tmp_path) == replace(log, sources=log.sources[1:], gradient_norms=())


def _swift(rows: Rows, *, total: int = 80, step: str = "global_step/max_steps") -> str:
    """The lines that ms-swift logs; the last one sums up."""
    lines = []
    for row in rows:
        kept = {name: value for name, value in row.items() if name != "step"}
        lines.append(kept | {step: f"{row['step']}/{total}", "memory(GiB)": 2.5})
    end = {"last_model_checkpoint": None, "global_step": total, "log_history": rows, "memory": 2.5}
    return "".join(json.dumps(line) + "\n" for line in [*lines, end])


@pytest.mark.parametrize("step", ["global_step/max_steps", "iteration"])
def test_what_ms_swift_writes(tmp_path: Path, step: str) -> None:
    rows = [*_history(_falling()), _summary(80)]
    _write(tmp_path / "logging.jsonl", _swift(rows, step=step))
    log = _read(tmp_path)
    assert log.sources == ("logging.jsonl",)
    assert (log.steps, log.epochs, log.examples_seen) == (80, 2.0, 80)
    assert [step for step, _ in log.losses] == list(range(5, 85, 5))
    assert len(log.gradient_norms) == len(log.learning_rates) == 16
    assert _judged(log).problems == ()
    # The weights are in a checkpoint, the log is above it.
    (tmp_path / "checkpoint-40").mkdir()
    assert _read(tmp_path / "checkpoint-40").steps == 40


def test_a_resumed_training_of_ms_swift(tmp_path: Path) -> None:
    first, again = _history(_falling()), _history(FLAT)
    text = _swift(first) + _swift(again[3:])
    _write(tmp_path / "logging.jsonl", text)
    losses = dict(_read(tmp_path).losses)
    assert losses[15] == first[2]["loss"]
    assert losses[20] == again[3]["loss"]


def test_other_programs_write_a_logging_jsonl_too(tmp_path: Path) -> None:
    _write(tmp_path / "logging.jsonl", '{"level": "INFO", "message": "started"}\nplain text\n')
    assert read_training_log(tmp_path) is None


def test_newest_checkpoint_of_the_plain_trainer(tmp_path: Path) -> None:
    rows = _history(_falling())
    for steps in (40, 80, 9):
        _state(tmp_path / f"checkpoint-{steps}", [row for row in rows if row["step"] <= steps])
    _write(tmp_path / "checkpoint-best" / "trainer_state.json", "{")
    log = _read(tmp_path)
    assert log.sources == ("checkpoint-80/trainer_state.json",)
    assert (log.steps, log.examples_seen) == (80, None)
    assert _read(tmp_path / "checkpoint-40").steps == 40


def test_a_checkpoint_ends_where_it_was_saved(tmp_path: Path) -> None:
    """Above it are log and results of the whole training, which are not those of its weights."""
    rows = _history(_falling())
    _write(tmp_path / "trainer_log.jsonl", _factory([*rows, _summary(80)]))
    _write(tmp_path / "all_results.json", json.dumps(_summary(80)))
    (tmp_path / "checkpoint-40").mkdir()
    log = _read(tmp_path / "checkpoint-40")
    assert log.sources == ("trainer_log.jsonl",)
    assert (log.steps, log.epochs, log.examples_seen) == (40, 1.0, None)
    # A training that broke off after its last checkpoint did go on.
    _state(tmp_path / "checkpoint-40", rows[:8])
    assert _read(tmp_path).steps == 80
    assert [step for step, _ in _read(tmp_path).losses] == list(range(5, 85, 5))


def test_resumed_training(tmp_path: Path) -> None:
    first, again = _history([3.0, 2.0, 1.0, 9.0, 9.0, 9.0]), _history([7.0, 7.0, 7.0, 0.9])
    text = _factory(first) + _factory(again[3:])
    predicting = '{"current_steps": 5, "total_steps": 9, "percentage": 50.0}\n'
    _write(tmp_path / "trainer_log.jsonl", text + predicting)
    assert _read(tmp_path).losses == ((5, 3.0), (10, 2.0), (15, 1.0), (20, 0.9))
    # Left of an earlier, longer training into this folder.
    _state(tmp_path, again)
    assert _read(tmp_path).losses[-1] == (20, 0.9)


def test_values_that_are_not_finite_and_null(tmp_path: Path) -> None:
    rows = _history([1.0, NAN, INF, None, 2.0], grad_norm=lambda n: None if n < 5 else "NaN")
    _state(tmp_path, rows)
    assert "NaN" in (tmp_path / "trainer_state.json").read_text(encoding="utf-8")
    log = _read(tmp_path)
    assert [step for step, _ in log.losses] == [5, 10, 15, 25]
    assert math.isnan(log.losses[1][1])
    assert log.losses[2][1] == INF
    assert len(log.gradient_norms) == 1
    assert math.isnan(log.gradient_norms[0][1])


@pytest.mark.parametrize(
    ("summary", "steps", "examples"),
    [
        (_summary(80, per_step=8), 80, 640),
        # Older versions give the speed of the whole schedule, although this one stopped early.
        (_summary(80, per_step=8), 20, 160),
        # Newer ones give that of the steps since resuming.
        (_summary(20, per_step=8), 80, 640),
        (_summary(80, seconds=100_000), 80, None),  # a speed of 0.001: nearly all rounding
        ({"train_runtime": 0.0}, 80, None),
        ({"train_runtime": NAN, "train_samples_per_second": 1.0}, 80, None),
        ({}, 80, None),
    ],
)
def test_examples_seen(
    tmp_path: Path, summary: dict[str, Any], steps: int, examples: int | None
) -> None:
    rows = _history(_falling(steps // 5))
    _state(tmp_path, rows, train_batch_size=8)
    _write(tmp_path / "train_results.json", json.dumps({"epoch": 2.0, **summary}))
    assert _read(tmp_path).examples_seen == examples


def test_tokens_where_they_were_counted(tmp_path: Path) -> None:
    _state(tmp_path, _history(_falling()), num_input_tokens_seen=5120)
    assert _read(tmp_path).tokens_seen == 5120
    _state(tmp_path, _history(_falling(), num_tokens=lambda n: 10.0 * n))  # TRL
    assert _read(tmp_path).tokens_seen == 160
    assert "160 tokens; examples not counted" in _judged(_read(tmp_path)).notes[0]


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("trainer_state.json", '{\n"global_step": 5,\n', ", line 3"),
        ("trainer_state.json", "[]", ", line 1"),
        ("trainer_state.json", '{"log_history": [1]}', ": log_history"),
        ("trainer_state.json", '{"global_step": "x"}', ": global_step"),
        ("trainer_state.json", '{"log_history": [{"step": 1, "loss": "x"}]}', ": loss is 'x'"),
        (
            "trainer_state.json",
            f'{{"log_history": [{{"step": 1, "loss": {"9" * 400}}}]}}',
            ", line 1: damaged JSON (a number has 400 digits",
        ),
        ("trainer_log.jsonl", '{"current_steps": 1, "loss": 1}\n{"curr', ", line 2"),
        ("trainer_log.jsonl", '\n{"loss": 1.0}\n', ", line 2"),
        ("all_results.json", "", ", line 1"),
    ],
)
def test_a_damaged_log_is_named(tmp_path: Path, name: str, text: str, place: str) -> None:
    _write(tmp_path / name, text)
    with pytest.raises(ConfigError) as caught:
        read_training_log(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / name}{place}")


# Judging

FALLING = _falling()
FLAT = [2.0, 2.01, 1.99, 2.0, 2.01, 1.99, 2.0, 2.01, 1.99]
NOISY = [0.9, 1.2, 0.8, 0.7, 1.4, 1.0, 1.3]

HEALTHY: dict[str, Callable[[], Rows]] = {
    "warm-up from 0": lambda: _history(FALLING, learning_rate=lambda n: (n > 1) * 1e-4),
    "a schedule that ends on 0": lambda: _history(FALLING, learning_rate=lambda n: (n < 16) * 1e-4),
    "one point": lambda: _history([2.0], learning_rate=lambda _: 0.0),
    "few points that rise": lambda: _history([2.0, 2.1, 2.2, 2.3, 2.4]),
    "continued, already low": lambda: _history([0.3, 0.31, 0.3, 0.29, 0.31, 0.3, 0.31, 0.3]),
    "too noisy to tell, one pass": lambda: _history(NOISY, epochs=1.0),
    "loss scaling skipped two steps": lambda: _history(
        FALLING, grad_norm=lambda n: INF if n < 3 else 1.0
    ),
    "layer-wise optimiser": lambda: _history(FALLING, grad_norm=lambda _: 0.0),
    "low loss after few epochs": lambda: _history(_falling(last=0.004), epochs=10.0),
    "many epochs": lambda: _history(_falling(last=0.2), epochs=30.0),
    "no gradients logged": lambda: _history(FALLING, grad_norm=lambda _: "unlogged"),
    "DPO near ln 2": lambda: _history(
        [0.693] * 9, **{"rewards/chosen": lambda n: 0.01 * n, "logps/chosen": lambda _: -90.0}
    ),
    "DPO, memorised": lambda: _history(
        _falling(last=0.001), epochs=20.0, **{"rewards/margins": lambda n: 1.0 * n}
    ),
    "GRPO without advantage": lambda: _history(
        [0.0] * 9, reward=lambda _: 1.0, grad_norm=lambda _: 0.0, kl=lambda _: 0.0
    ),
    "PPO": lambda: _history([2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0], reward=lambda n: 0.1 * n),
}  # fmt: skip

BROKEN: dict[str, tuple[Callable[[], Rows], str]] = {
    "no step": (lambda: [], "no training step ran"),
    "learning rate 0": (lambda: _history(FALLING, learning_rate=lambda _: 0.0), "learning rate"),
    "flat": (lambda: _history(FLAT), "the loss does not fall"),
    "flat, one pass": (lambda: _history(FLAT * 4, epochs=1.0), "the loss does not fall"),
    "rising": (lambda: _history(FALLING[::-1], epochs=1.0), "the loss rises"),
    "rising from low": (lambda: _history(_falling(first=0.3, last=4.0)), "the loss rises"),
    "noisy, twice over": (lambda: _history(NOISY, epochs=2.0), "the loss does not fall"),
    "zero loss": (lambda: _history([0.0] * 9), "the loss was 0"),
    "one zero loss": (lambda: _history([0.0]), "the loss was 0"),
    "zero loss for most of it": (
        lambda: _history([3.0, 2.5, 2.0] + [0.0] * 9, grad_norm=lambda _: "unlogged"),
        "the loss was exactly 0 at 9 of 12 logged steps, at every step after 15",
    ),
    "zero loss from half-way on": (
        lambda: _history([3.0, 2.5, 2.0, 1.8, *[0.0] * 4]), "the loss was exactly 0 at 4 of 8",
    ),
    "zero loss at the end": (
        lambda: _history([*_falling(), *[0.0] * 3]), "the loss was exactly 0 at 3 of 19",
    ),
    "zero loss now and then": (
        lambda: _history([2.0, 0.0] * 6), "the loss was exactly 0 at 6 of 12 logged steps, first",
    ),
    "NaN": (lambda: _history([*FALLING, NAN]), "the loss was not finite at 1 of 17"),
    "infinite": (lambda: _history([INF, *FALLING]), "first at step 5"),
    "NaN gradients": (lambda: _history(FALLING, grad_norm=lambda n: NAN if n == 16 else 1.0),
                      "the gradient norm was not finite"),
    "many infinite gradients": (
        lambda: _history(FALLING, grad_norm=lambda n: INF if n % 3 == 1 and n < 16 else 1.0),
        "the gradient norm was not finite at 5 of 16"),
    "no gradient": (lambda: _history(FLAT, grad_norm=lambda _: 0.0), "the gradient norm was 0"),
    "memorised": (lambda: _history(_falling(last=0.004), epochs=10.5), "memorised"),
    "DPO with NaN": (lambda: _history([0.69, NAN], **{"rewards/chosen": lambda _: 0.0}),
                     "not finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_training_is_green(tmp_path: Path, name: str) -> None:
    _state(tmp_path, HEALTHY[name]())
    findings = _judged(_read(tmp_path))
    assert findings.problems == ()
    assert findings.skipped is None
    assert findings.notes[0].startswith("trained on ")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_training_has_one_cause_and_a_next_step(tmp_path: Path, name: str) -> None:
    rows, words = BROKEN[name]
    _state(tmp_path, rows())
    (problem,) = _judged(_read(tmp_path)).problems
    assert words in problem.cause
    assert len(problem.step) > 20


def test_stages_that_llamafactory_logs_without_rewards(tmp_path: Path) -> None:
    """Its reward models are known by their value head, its DPO by the accuracy of rewards."""
    _write(tmp_path / "trainer_log.jsonl", _factory(_history([0.69] * 9)))
    assert len(_judged(_read(tmp_path)).problems) == 1
    (tmp_path / "value_head.safetensors").write_bytes(b"")
    assert _judged(_read(tmp_path)).problems == ()
    (tmp_path / "value_head.safetensors").unlink()
    rows = _history([0.69] * 9, **{"rewards/accuracies": lambda _: 0.5})
    _write(tmp_path / "trainer_log.jsonl", _factory(rows))
    assert _judged(_read(tmp_path)).problems == ()


@pytest.mark.parametrize(
    ("evaluations", "losses", "noted"),
    [
        ([2.0, 1.0, 1.3], FALLING, True),
        ([2.0, 1.0, 1.1], FALLING, False),
        ([2.0, 1.0, 1.3], NOISY, False),
        ([1.0], FALLING, False),
    ],
)
def test_overfitting_is_a_note(
    tmp_path: Path, evaluations: list[float], losses: list[float], noted: bool
) -> None:
    rows = _history(losses, epochs=1.0)
    rows += [{"eval_loss": v, "epoch": n / 4, "step": 5 * n} for n, v in enumerate(evaluations, 1)]
    _state(tmp_path, rows)
    log = _read(tmp_path)
    assert log.eval_losses == tuple((5 * n, v) for n, v in enumerate(evaluations, 1))
    assert len(log.losses) == len(losses)
    findings = _judged(log)
    assert findings.problems == ()
    assert any("overfitting" in note and "at step 10" in note for note in findings.notes) is noted


def test_too_few_points_are_said(tmp_path: Path) -> None:
    _state(tmp_path, _history([2.0] * (LOSS_POINTS - 1)))
    notes = " ".join(_judged(_read(tmp_path)).notes)
    assert "too few to say" in notes
    assert "logging_steps" in notes
    _state(tmp_path, [], global_step=3, epoch=0.25)
    findings = _judged(_read(tmp_path))
    assert findings.problems == ()
    assert findings.notes[0] == "trained on 0.2 epochs, 3 steps; examples and tokens not counted"


def test_a_loss_too_noisy_to_judge_is_said(tmp_path: Path) -> None:
    for losses, said in ((NOISY, True), (FALLING, False), ([0.3] * 9, False)):
        _state(tmp_path, _history(losses, epochs=1.0))
        assert any("no measurable fall" in n for n in _judged(_read(tmp_path)).notes) is said


def test_examples_of_less_than_an_epoch() -> None:
    log = TrainingLog(sources=("x",), steps=10, epochs=0.1, examples_seen=100)
    assert "about 100 examples" in _judged(log).notes[0]


# The real thing


def test_what_the_trainer_itself_writes(tmp_path: Path) -> None:
    """A healthy training and one whose learning rate is 0, by the Trainer that all build upon."""
    pytest.importorskip("accelerate")
    import torch
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    base = save_model(tmp_path / "base")
    data = [{"input_ids": torch.arange(4, 12), "labels": torch.arange(4, 12)} for _ in range(4)]

    def train(name: str, rate: float) -> Path:
        arguments = TrainingArguments(
            output_dir=str(tmp_path / name), max_steps=8, per_device_train_batch_size=2,
            learning_rate=rate, logging_steps=1, save_steps=8, report_to="none", use_cpu=True,
            disable_tqdm=True, dataloader_pin_memory=False, lr_scheduler_type="cosine",
        )  # fmt: skip
        model = AutoModelForCausalLM.from_pretrained(base)
        Trainer(model=model, args=arguments, train_dataset=data).train()
        return tmp_path / name

    log = _read(train("healthy", 5e-3))
    assert log.sources == ("checkpoint-8/trainer_state.json",)
    assert (log.steps, log.epochs, log.tokens_seen, log.examples_seen) == (8, 4.0, None, None)
    assert len(log.losses) == len(log.gradient_norms) == len(log.learning_rates) == 8
    assert _judged(log).problems == ()
    (problem,) = _judged(_read(train("idle", 0.0))).problems
    assert "learning rate" in problem.cause
