"""Is the adapter effective: does it bind, is it finite and non-zero, does it move the logits?"""

from __future__ import annotations

import math
from typing import Any

from pytest_llmdiff.data.comparison import Measurement
from pytest_llmdiff.measures.wiring import predictions
from pytest_llmdiff.measures.wiring.template.comparison import BATTERY

# If the largest change of a log-probability (nats) is no larger, the adapter has no effect. A no-op
# adapter adds zeros and changes nothing at all, in any dtype; a real one scaled down to 2 % is two
# orders of magnitude above this.
LOGITS_MOVED = 1e-4


def adapter_measurement(health: dict[str, Any] | None, moved: float) -> Measurement:
    """The number of problems; `health` is None if the tuned model is not an adapter."""
    problems = list(health["problems"]) if health else []
    if not math.isfinite(moved):
        problems.append("its predictions are not finite (NaN or infinity)")
    elif moved <= LOGITS_MOVED:
        problems.append(
            f"it does not move the model's predictions: the largest change of a log-probability "
            f"over {len(PROMPTS)} prompts is {moved:.1e} nats"
        )
    return Measurement(
        name="adapter problems",
        value=float(len(problems)),
        unit="problems",
        details={
            "problems": problems,
            "logits moved": moved,
            "largest relative update": max(health["norms"].values(), default=None)
            if health
            else None,
            "left out": health["left_out"] if health else {},
        },
    )


PROMPTS = (BATTERY[0], BATTERY[1], BATTERY[2], BATTERY[6])


def logits_moved(pair: Any) -> float:
    """The largest |Δ log p| in nats of the first reply token, over a few prompts.

    Both models read the same rendering, the tuned side's where both have its tokens, so that a
    different template does not count as an effect of the adapter.
    """
    return predictions.logits_moved(pair, predictions.prompts_of_both(pair, PROMPTS))
