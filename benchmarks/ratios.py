"""Ratios from the rounds' measurements, and whether all methods agree."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Round = Mapping[str, Mapping[str, Any]]

# Seconds of the first methods over seconds of the second.
SECONDS = {
    "vs_loop": (("loop",), ("plugin-replies",)),
    "vs_padded": (("padded",), ("plugin-replies",)),
    "replies_vs_vllm": (("vllm-base", "vllm-full"), ("plugin-replies",)),
    "replies_vs_vllm_lora": (("vllm-lora",), ("plugin-replies",)),
    **{
        f"pair_vs_vllm_{size}": (
            ("vllm-base", f"vllm-{size}", f"kl-{size}"), (f"plugin-pair-{size}",)
        )
        for size in ("full", "10", "2")
    },
    "replies_vs_lm_eval": (("lm-eval-base", "lm-eval-full"), ("plugin-replies",)),
    "scoring_vs_lm_eval": (("lm-eval-scoring",), ("plugin-scoring",)),
    "kept_states": (("plugin-second-pass",), ("plugin-second",)),
    "overhead": (("plugin-replies",), ("bare",)),
}  # fmt: skip
# Relative; and in nats: float32 rounds a KL of 1e-5 nats per token by 6e-8 however it is computed,
# as the same computation in double precision shows.
TOLERANCE = 1e-3
ROUNDING = 2e-7


def ratios(rounds: Sequence[Round], what: str = "seconds") -> dict[str, list[float]]:
    """Each ratio, round by round; ratios with a missing method are left out. `what` is the time
    that they are of: `seconds` of the CPU, or `wall_seconds`."""
    found = {}
    for name, (above, below) in SECONDS.items():
        values = [
            sum(r[way][what] for way in above) / sum(r[way][what] for way in below)
            for r in rounds
            if all(way in r for way in (*above, *below))
        ]
        if values:
            found[name] = values
    peaks = [
        r["plugin-replies"]["peak_mb"] / r["base"]["peak_mb"]
        for r in rounds
        if "plugin-replies" in r and "base" in r
    ]
    return found | ({"peak_vs_base": peaks} if peaks else {})


def medians(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: round(statistics.median(values), 3) for name, values in found.items()}


def agreement(found: Round) -> dict[str, tuple[int, int]]:
    """By method and side: how many of its results match the first method that has any, and how many
    there are.

    Replies are equal token for token; divergences and scores within `TOLERANCE` or `ROUNDING`.
    """
    first: dict[tuple[str, str], Sequence[Any]] = {}
    equal: dict[str, tuple[int, int]] = {}
    for way, result in found.items():
        for kind in ("replies", "texts", "kl", "scores"):
            sides = result.get(kind, {})
            for side, values in (sides if isinstance(sides, Mapping) else {"base": sides}).items():
                known = first.setdefault((kind, side), values)
                if known is not values:
                    same = sum(_same(a, b) for a, b in zip(values, known, strict=True))
                    equal[f"{way}, {kind} {side}"] = (same, len(values))
    return equal


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= max(ROUNDING, TOLERANCE * max(abs(a), abs(b)))
    return bool(a == b)
