"""Checks of what a tuned model does: its predictions change and vary, and its replies end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.text.loops import loop_of
from pytest_llmdiff.measures.wiring.adapter import LOGITS_MOVED
from pytest_llmdiff.measures.wiring.findings import Findings, Problem

# ‖ΔW‖/‖W‖ of a module. Below the first, the update is no larger than rounding; well-behaved
# adapters are near 0.01, collapsed ones above 0.5.
NO_EFFECT = 1e-6
SUSPICIOUS = 0.2
# Share of the positions in ordinary chats at which one and the same token is the most likely: about
# 0.1 for working models.
COLLAPSED = 0.5
BASE_STOPS = 5  # prompts at which the base must stop before the tuned model is judged
NOT_STOPPING = 0.5  # share of those prompts
DEGENERATE = 0.25  # share of the suite's prompts


def update_findings(facts: Mapping[str, Any] | None) -> Findings:
    """Is the adapter's update, relative to the weights that it changes, neither nil nor huge?

    `facts`: the `norms` of the modules that were measured, and the reasons why others were
    `left out`.
    """
    if facts is None:
        return Findings(skipped="the tuned model is not an adapter")
    norms, left_out = facts["norms"], facts["left out"]
    if not norms:
        return Findings(skipped=f"the size of the update is unknown: {_left_out(left_out)}")
    name, largest = max(norms.items(), key=lambda item: item[1])
    note = f"largest relative update ‖ΔW‖/‖W‖ {largest:.2g}, in {name}"
    if left_out:
        note += f"; not measured: {_left_out(left_out)}"
    if largest < NO_EFFECT:
        if left_out:
            return Findings(skipped=note)
        problem = Problem(
            cause=f"the adapter changes nothing: {note}, below {NO_EFFECT:.0e}",
            step="check that training ran (steps, learning rate) and that lora_alpha is not zero",
        )
        return Findings(problems=(problem,))
    if largest > SUSPICIOUS:
        note += f": above {SUSPICIOUS} is suspicious, the learning rate may be too high"
    return Findings(notes=(note,))


def _left_out(reasons: Mapping[str, str]) -> str:
    """Each reason once, with the first module that it is about."""
    first: dict[str, str] = {}
    for name, reason in reasons.items():
        first.setdefault(reason, name)
    return "; ".join(f"{name}: {reason}" for reason, name in first.items())


def prediction_findings(facts: Mapping[str, Any]) -> Findings:
    """Do the tuned model's predictions differ from the base's, are they finite, and do they vary?

    `facts`: how far they `moved` in nats (None: not finite); for `base` and `tuned`, the share of
    the most frequent prediction, and its token's text.
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
            cause="the tuned model predicts the same as the base: the largest change of a "
            f"log-probability is {moved:.1e} nats",
            step="check that the right folder is given and that training ran: this model equals "
            "the base",
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
            skipped=f"the base itself stops at only {len(stopped)} of {len(comparisons)} prompts, "
            f"fewer than {BASE_STOPS}"
        )
    endless = [c for c in stopped if c.tuned.finish_reason == "length"]
    if len(endless) <= NOT_STOPPING * len(stopped):
        return Findings(notes=(f"{len(stopped) - len(endless)} of {len(stopped)} replies stop",))
    return Findings(problems=(Problem(
        cause=f"{len(endless)} of {len(stopped)} replies run into the length limit although the "
        f"base stops, such as the reply to {endless[0].probe.prompt!r}",
        step="the end-of-turn token was not learnt: check that the training template writes it, "
        "that cutoff_len does not cut answers, and that it is among the stop tokens when served",
    ),))  # fmt: skip


def sound_findings(comparisons: Sequence[Comparison]) -> Findings:
    """Where the base's replies are sound, are the tuned ones neither empty nor repetitive?"""
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
        f"themselves, such as the reply to {first.probe.prompt!r}: {first.tuned.text[:60]!r}",
        step="the learning rate is too high, there are too many epochs, or the chat template is "
        "not that of the training: fix the checks above first",
    ),))  # fmt: skip
