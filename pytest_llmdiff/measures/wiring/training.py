"""The health of a training, from its log. Problems are harmful; the amount of data is a note."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, variance

from pytest_llmdiff.data.training.log import Series, TrainingLog
from pytest_llmdiff.measures.wiring.findings import Findings, Problem

# A last loss below this after more than this many epochs: the examples were memorised.
MEMORISED_LOSS = 0.01
MEMORISED_EPOCHS = 10.0

# Whether the loss fell is decided by the means of its first and its last third. Fewer logged losses
# than this decide nothing.
LOSS_POINTS = 6
# Below this there is little left to learn, as in a continued training: a flat loss is fine.
LOW_LOSS = 0.5
# The loss has not fallen if its fall plus two standard errors is below this share of the loss. The
# share is small because a single pass over varied data, as in continued pre-training, may gain only
# a percent, which is less than the noise.
LEAST_FALL = 0.005
# From this many epochs on, both thirds cover much of the same data, so that noise matters less: the
# loss has not fallen if the last mean is no lower than the first.
REPEATED_EPOCHS = 2.0

# Dynamic loss scaling (fp16) skips a step now and then, mostly at the beginning, and logs an
# infinite gradient norm for it. A larger share, or one at the very end, has another cause.
BROKEN_GRADIENTS = 0.25

# A loss of exactly 0 at this share of the logged steps, or at so many of the last ones: no token
# was trained on, or the loss was NaN, which the Trainer shows as 0 (`logging_nan_inf_filter`). One
# or two may come from a batch in which nothing is to be learned.
ZERO_LOSSES = 0.5
LAST_ZEROS = 3

# An evaluation loss this many times its minimum, while the training loss falls: overfitting.
EVAL_RISE = 1.2


def training_findings(log: TrainingLog | None, *, looked_for: Sequence[str]) -> Findings:
    """Problems of the training, with notes on how much data it saw and what the log cannot show.

    Trainings on preferences or rewards are checked only for steps, learning rate and NaN, since
    their losses need not fall and may be zero.
    """
    if log is None:
        return Findings(skipped=f"there is no training log: none of {', '.join(looked_for)}")
    problems = [*_idle(log), *_not_finite(log)]
    notes = [_seen(log), *_limits(log)]
    if log.supervised:
        problems += _zeros(log)
        # The loss of a broken training needs no further explanation.
        problems += [] if problems else _memorised(log) or _not_falling(log)
        notes += [] if problems else _untold(log)
        notes += _overfitting(log)
    return Findings(problems=tuple(problems), notes=tuple(notes))


# Problems


def _idle(log: TrainingLog) -> Iterator[Problem]:
    if log.steps == 0:
        yield Problem(
            cause="no training step ran: the log ends at step 0",
            step="look at the training's output: an empty dataset (dataset, dataset_dir, "
            "cutoff_len), max_steps, num_train_epochs, or a crash",
        )
    # One value proves nothing: a warm-up logs 0 at its first step, and a schedule may end at 0.
    elif len(log.learning_rates) > 1 and not any(rate for _, rate in log.learning_rates):
        yield Problem(
            cause=f"the learning rate was 0 at all {len(log.learning_rates)} logged steps",
            step="set learning_rate, and check warmup_steps, warmup_ratio and lr_scheduler_type "
            "against the number of steps",
        )


def _not_finite(log: TrainingLog) -> Iterator[Problem]:
    step = (
        "lower learning_rate, clip gradients (max_grad_norm: 1.0), train in bf16 instead of fp16, "
        "and look for examples without an answer to train on (cutoff_len, train_on_prompt)"
    )
    broken = _broken(log.losses)
    if broken:
        yield Problem(
            cause=f"the loss was not finite at {len(broken)} of {len(log.losses)} logged steps, "
            f"first at step {broken[0]}",
            step=step,
        )
    broken = _broken(log.gradient_norms)
    if broken and (
        broken[-1] == log.gradient_norms[-1][0]
        or len(broken) > BROKEN_GRADIENTS * len(log.gradient_norms)
    ):
        yield Problem(
            cause=f"the gradient norm was not finite at {len(broken)} of "
            f"{len(log.gradient_norms)} logged steps, last at step {broken[-1]}",
            step=step,
        )


def _zeros(log: TrainingLog) -> Iterator[Problem]:
    if cause := _zero_losses(log.losses):
        yield Problem(
            cause=cause,
            step="no token was trained on, or the loss was NaN, which logging_nan_inf_filter shows "
            "as 0: check that cutoff_len (max_length in TRL) does not cut off the answers, check "
            "how prompts are masked (train_on_prompt, mask_history; assistant_only_loss, "
            "completion_only_loss), and train in bf16 instead of fp16",
        )
    elif _no_gradient(log) and not _fell(log):
        yield Problem(
            cause="the gradient norm was 0 at every logged step: nothing was learnt",
            step="check that there are trainable parameters: lora_target (target_modules in PEFT), "
            "freeze_trainable_layers, and enable_input_require_grads() if gradient_checkpointing "
            "is on",
        )


def _zero_losses(losses: Series) -> str:
    """What is wrong with losses of exactly 0, or ""."""
    zeros = [step for step, loss in losses if not loss]
    if not zeros:
        return ""
    if len(zeros) == len(losses):
        return "the loss was 0 at every logged step"
    last, before = next((step, loss) for step, loss in reversed(losses) if loss)
    tail = sum(step > last for step, _ in losses)
    # Losses are rounded: one that had come near 0 before may be 0 now, and was memorised.
    if len(zeros) >= ZERO_LOSSES * len(losses) or (
        tail >= LAST_ZEROS and not before < MEMORISED_LOSS
    ):
        when = f"at every step after {last}" if tail == len(zeros) else f"first at step {zeros[0]}"
        return f"the loss was exactly 0 at {len(zeros)} of {len(losses)} logged steps, {when}"
    return ""


def _memorised(log: TrainingLog) -> list[Problem]:
    if not log.losses or log.epochs is None:
        return []
    step, loss = log.losses[-1]
    if loss >= MEMORISED_LOSS or log.epochs <= MEMORISED_EPOCHS:
        return []
    return [Problem(
        cause=f"the examples were memorised: the loss at step {step} is {loss:.2g} after "
        f"{log.epochs:.1f} epochs",
        step="use fewer num_train_epochs, more or more varied data, or a lower learning_rate or "
        "lora_rank",
    )]  # fmt: skip


def _not_falling(log: TrainingLog) -> list[Problem]:
    thirds = _thirds(log.losses)
    if thirds is None:
        return []
    first, last = fmean(thirds[0]), fmean(thirds[1])
    if first < LOW_LOSS and last < LOW_LOSS:
        return []
    error = math.sqrt(sum(variance(part) / len(part) for part in thirds))
    surely = first - last + 2 * error < LEAST_FALL * first
    if not surely and (last < first or (log.epochs or 0) < REPEATED_EPOCHS):
        return []
    rises = last - first > 2 * error and last > (1 + LEAST_FALL) * first
    return [Problem(
        cause=f"the loss {'rises' if rises else 'does not fall'}: its mean is {first:.3g} in the "
        f"first third and {last:.3g} in the last",
        step="lower learning_rate, and check max_grad_norm and warmup_steps"
        if rises
        else "raise learning_rate, check that the adapter's modules are trained (lora_target, "
        "target_modules in PEFT), and that the answers belong to their questions",
    )]  # fmt: skip


# Notes


def _seen(log: TrainingLog) -> str:
    parts = []
    if log.examples_seen is None:
        missing = ["examples"]
    else:
        # The examples of one epoch; if there was less than one, all that were seen.
        distinct = round(log.examples_seen / max(log.epochs or 1.0, 1.0))
        parts.append(f"about {distinct} examples")
        missing = []
    for value, unit, text in (
        (log.epochs, "epochs", f"{log.epochs or 0:.1f}"),
        (log.steps, "steps", f"{log.steps}"),
        (log.tokens_seen, "tokens", f"{log.tokens_seen}"),
    ):
        if value is None:
            missing.append(unit)
        else:
            parts.append(f"{text} {unit}")
    seen = f"trained on {', '.join(parts)}" if parts else "there is a training log"
    return seen + (f"; {' and '.join(missing)} not counted" if missing else "")


def _limits(log: TrainingLog) -> Iterator[str]:
    """How the loss went, and what the log is too short to show."""
    if log.losses:
        (start, first), (end, last) = log.losses[0], log.losses[-1]
        yield f"loss {first:.3g} at step {start}" + (
            f", {last:.3g} at step {end}" if end != start else ""
        )
    if log.supervised and len(log.losses) < LOSS_POINTS:
        yield (
            f"only {len(log.losses)} losses were logged, too few to say whether the loss fell: "
            "set a smaller logging_steps"
        )
    if len(log.learning_rates) == 1 and not log.learning_rates[0][1]:
        yield "only one learning rate was logged, and it is 0: this may be the warm-up"
    zeros = [step for step, loss in log.losses if not loss]
    if log.supervised and zeros and not _zero_losses(log.losses):
        yield f"the loss was exactly 0 at {len(zeros)} logged steps, first at step {zeros[0]}"
    broken = _broken(log.gradient_norms)
    if broken:
        yield f"gradient norms were not finite at {len(broken)} logged steps"
    if log.supervised and _no_gradient(log) and _fell(log):
        # Optimisers that update layer by layer during the backward pass leave no gradients.
        yield "the logged gradient norms are all 0 although the loss fell"


def _untold(log: TrainingLog) -> Iterator[str]:
    thirds = _thirds(log.losses)
    if thirds is not None and fmean(thirds[0]) >= LOW_LOSS and not _fell(log):
        yield "no measurable fall of the loss: the noise of a single pass may hide it"


def _overfitting(log: TrainingLog) -> Iterator[str]:
    finite = [(loss, step) for step, loss in log.eval_losses if math.isfinite(loss)]
    if len(finite) < len(log.eval_losses):
        yield "some evaluation losses are not finite: their examples may have no answer left"
    if len(finite) < 2 or not _fell(log):
        return
    least, step = min(finite)
    last, end = finite[-1]
    if last > EVAL_RISE * least:
        yield (
            f"overfitting: the evaluation loss rose from {least:.3g} at step {step} to {last:.3g} "
            f"at step {end} while the training loss fell; use fewer num_train_epochs, or "
            "load_best_model_at_end"
        )


# Series


def _broken(series: Series) -> list[int]:
    return [step for step, value in series if not math.isfinite(value)]


def _no_gradient(log: TrainingLog) -> bool:
    return bool(log.gradient_norms) and not any(norm for _, norm in log.gradient_norms)


def _thirds(series: Series) -> tuple[list[float], list[float]] | None:
    values = [value for _, value in series if math.isfinite(value)]
    size = len(values) // 3
    return (values[:size], values[-size:]) if len(values) >= LOSS_POINTS else None


def _fell(log: TrainingLog) -> bool:
    """Whether the training loss fell: from first to last third, or from first to last value."""
    values = [value for _, value in log.losses if math.isfinite(value)]
    if len(values) < 2:
        return False
    first, last = _thirds(log.losses) or (values[:1], values[-1:])
    return fmean(last) < (1 - LEAST_FALL) * fmean(first)
