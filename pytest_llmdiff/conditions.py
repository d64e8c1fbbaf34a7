"""The conditions of a run that limits depend on: what a baseline is compared by."""

from __future__ import annotations

from pytest_llmdiff.baseline import Conditions, Role
from pytest_llmdiff.generation import Generation
from pytest_llmdiff.loading import installed_version
from pytest_llmdiff.scoring import Scoring
from pytest_llmdiff.settings import Settings

SETTINGS = (
    "max_new_tokens", "temperature", "top_p", "seed", "samples", "system", "quantization",
)  # fmt: skip
PACKAGES = ("pytest-llmdiff", "torch", "transformers", "peft")


def conditions_of(
    settings: Settings, generation: Generation, scoring: Scoring, role: Role = None
) -> Conditions:
    """By name, as plain JSON; those with names of their own come first, since they say more than
    the hash of the base, which covers weights, tokenizer and template besides."""
    found: dict[str, object] = {name: getattr(settings, name) for name in SETTINGS}
    resolved = generation.pair.resolved
    if resolved:
        found |= {name: resolved[name] for name in ("device", "dtype") if name in resolved}
        found |= {name: installed_version(name) for name in PACKAGES}
    found["base"] = generation.pair.base.fingerprint()[:16]
    if role is not None:
        found[role] = scoring.fingerprint(role)[:16]
    return found
