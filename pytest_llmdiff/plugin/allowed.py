"""Which changes a run allows: the limits of its baseline, and the changes that were accepted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.config.settings import Settings

if TYPE_CHECKING:
    from pytest_llmdiff.data.comparison import Accepted
    from pytest_llmdiff.data.probes import Probe
    from pytest_llmdiff.generation.generator import ReplyGenerator
    from pytest_llmdiff.generation.scoring import Scoring
    from pytest_llmdiff.verdicts.accepted import Entry
    from pytest_llmdiff.verdicts.baseline import Baseline, Conditions, Limits, Noise, Role

SETTINGS = (
    "max_new_tokens", "temperature", "top_p", "seed", "samples", "system", "quantization",
)  # fmt: skip
PACKAGES = ("pytest-llmdiff", "torch", "transformers", "peft")


class AllowedChanges:
    """Both are read on first use. A calibrating run judges nothing, so it has neither."""

    def __init__(self, settings: Settings, conditions: Callable[[Role], Conditions]) -> None:
        self._settings = settings
        self._conditions = conditions

    @cached_property
    def accepted(self) -> dict[str, Entry]:
        """Accepted changes by the digest of their probe."""
        if self._settings.calibrating or not self._settings.accepted.exists():
            return {}
        from pytest_llmdiff.verdicts.accepted import read_accepted

        return read_accepted(self._settings.accepted)

    def accepted_for(self, probe: Probe) -> Accepted | None:
        entry = self.accepted.get(probe.digest) if self.accepted else None
        return None if entry is None else entry.accepted

    @cached_property
    def baseline(self) -> Baseline | None:
        """Where helpers that are given no limit take it from."""
        if self._settings.baseline is None or self._settings.calibrating:
            return None
        from pytest_llmdiff.verdicts.baseline_file import read_baseline

        return read_baseline(self._settings.baseline)

    @cached_property
    def limits(self) -> Limits:
        from pytest_llmdiff.verdicts.baseline import Limits

        return Limits(self.baseline, self._conditions)

    def noise(self, test: str, measure: str, probes: str) -> Noise:
        """The noise of a measure in a test, by the baseline.

        Raises:
            LookupError: the baseline has none.
        """
        return self.limits.noise(test, measure, probes)

    def check_files(self) -> None:
        """Read both files now. Raises ConfigError if one is malformed."""
        _ = self.baseline, self.accepted


class ConditionsRun(Protocol):
    """A run with models and scorers."""

    @property
    def settings(self) -> Settings: ...
    @property
    def generation(self) -> ReplyGenerator: ...
    @property
    def scoring(self) -> Scoring: ...


def conditions_of(run: ConditionsRun, role: Role = None) -> Conditions:
    """What limits depend on besides the probes, by name, as plain JSON; with the fingerprint of a
    role's scorer.

    Settings come before the hash of the base (weights, tokenizer and template), so that a message
    about differing conditions begins with what says most.
    """
    found: dict[str, object] = {name: getattr(run.settings, name) for name in SETTINGS}
    pair = run.generation.pair
    if resolved := pair.resolved:
        found |= {name: resolved[name] for name in ("device", "dtype") if name in resolved}
        found |= {name: installed_version(name) for name in PACKAGES}
    found["base"] = pair.base.fingerprint()[:16]
    if role == "refusal" and run.settings.refusal == "patterns":
        from pytest_llmdiff.measures.refusal.refusal import PATTERNS

        found[role] = PATTERNS
    elif role is not None:
        found[role] = run.scoring.fingerprint(role)[:16]
    return found
