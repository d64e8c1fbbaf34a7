"""Checks of what a tuned model does at all: predictions that move and vary, replies that end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.text.loops import loop_of
from pytest_llmdiff.measures.wiring.adapter import LOGITS_MOVED
from pytest_llmdiff.measures.wiring.findings import Findings, Problem

# ‖ΔW‖/‖W‖ of one module: below, rounding alone does as much; well-behaved adapters are near 0.01,
# collapsed ones above 0.5.
NO_EFFECT = 1e-6
SUSPICIOUS = 0.2
# Share of positions of ordinary chats at which one token is the most likely: about 0.1 for
# working models.
COLLAPSED = 0.5
# Shares of the suite's prompts; stopping is judged where the base itself stops at enough of them.
BASE_STOPS = 5
NOT_STOPPING = 0.5
DEGENERATE = 0.25


def update_findings(norms: Mapping[str, float] | None) -> Findings:
    """How large the adapter's update is, relative to the weights it changes."""
    if norms is None:
        return Findings(skipped="the tuned model is no adapter")
    if not norms:
        return Findings(skipped="PEFT cannot state this adapter's update as a matrix")
    name, largest = max(norms.items(), key=lambda item: item[1])
    note = f"largest relative update ‖ΔW‖/‖W‖ {largest:.2g}, in {name}"
    if largest < NO_EFFECT:
        problem = Problem(
            cause=f"the adapter changes nothing: {note}, below {NO_EFFECT:.0e}",
            step="check that training ran (steps, learning rate) and that lora_alpha is not zero",
        )
        return Findings(problems=(problem,))
    if largest > SUSPICIOUS:
        note += f": above {SUSPICIOUS} is suspicious, look for a learning rate that is too high"
    return Findings(notes=(note,))


def prediction_findings(facts: Mapping[str, Any]) -> Findings:
    """Do the tuned model's predictions move, are they finite, and more than one token?

    `facts`: `moved` in nats (None: not finite), and the `share` of the most frequent prediction of
    `base` and `tuned`, with its token's text.
    """
    moved = facts["moved"]
    if moved is None or not math.isfinite(moved):
        return Findings(problems=(Problem(
            cause="the tuned model's predictions are not finite (NaN or infinity)",
            step="training diverged, or the weights were cast to float16: lower learning_rate, "
            "train and load in bfloat16",
        ),))  # fmt: skip
    problems = []
    if moved <= LOGITS_MOVED:
        problems.append(Problem(
            cause="the tuned model predicts what the base predicts: the largest change of a "
            f"log-probability is {moved:.1e} nats",
            step="check that the right folder is given and that training ran: this model is the "
            "base",
        ))  # fmt: skip
    share, token = facts["tuned"]
    if share > COLLAPSED and share > 2 * facts["base"][0]:
        problems.append(Problem(
            cause=f"the tuned model has collapsed: {token!r} is its most likely token at "
            f"{share:.0%} of the positions of ordinary chats",
            step="lower learning_rate by a factor of ten and train again",
        ))  # fmt: skip
    return Findings(problems=tuple(problems))


def stop_findings(comparisons: Sequence[Comparison]) -> Findings:
    """Do the tuned replies end where the base's do?"""
    stopped = [c for c in comparisons if c.base.finish_reason == "stop"]
    if len(stopped) < BASE_STOPS:
        return Findings(
            skipped=f"the base itself stops at {len(stopped)} of {len(comparisons)} prompts only, "
            f"fewer than {BASE_STOPS}"
        )
    endless = [c for c in stopped if c.tuned.finish_reason == "length"]
    if len(endless) <= NOT_STOPPING * len(stopped):
        return Findings(notes=(f"{len(stopped) - len(endless)} of {len(stopped)} replies stop",))
    return Findings(problems=(Problem(
        cause=f"{len(endless)} of {len(stopped)} replies run into the length limit where the base "
        f"stops, as to {endless[0].probe.prompt!r}",
        step="the end-of-turn token was not learnt: check that the training template writes it, "
        "that cutoff_len does not cut answers, and that it is among the stop tokens when served",
    ),))  # fmt: skip


def sound_findings(comparisons: Sequence[Comparison]) -> Findings:
    """Are the tuned replies neither empty nor repeating where the base's are sound?"""
    sound = [c for c in comparisons if c.base.text.strip() and loop_of(c.base) is None]
    if not sound:
        return Findings(skipped="the base's own replies are empty or repeat themselves")
    empty = [c for c in sound if not c.tuned.text.strip()]
    looping = [c for c in sound if c not in empty and loop_of(c.tuned) is not None]
    if len(empty) + len(looping) <= DEGENERATE * len(sound):
        return Findings()
    first = (empty + looping)[0]
    return Findings(problems=(Problem(
        cause=f"of {len(sound)} replies {len(empty)} are empty and {len(looping)} repeat "
        f"themselves, as to {first.probe.prompt!r}: {first.tuned.text[:60]!r}",
        step="too high a learning rate, too many epochs, or another chat template than in "
        "training: settle the checks above first",
    ),))  # fmt: skip
