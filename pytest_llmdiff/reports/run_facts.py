"""The facts of a run, from which all reports are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.verdicts.multiple_testing import Chance

INTERRUPTED = 2  # pytest's exit code


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RunFacts:
    """A finished run: its settings, the `resolved` values of `auto`, and one row per test.

    `skipped` counts the tests that needed models in a run without any. `chance` is how many
    verdicts noise alone would fail. `options` are those of a command that runs one test again.
    `exit_code` is pytest's, from before the reports are written. `stopped` says that the run ended
    before all of the chosen tests had run. `part` says which options chose
    only some of the tests; empty if none did. `failed_besides` are the tests without models
    that failed, `uncollected` the files that could not be collected, and `unwritten` the outputs
    that could not be written. `models` has the SPEC of each of several tuned models by its name in
    the ids of tests. `started` is when the run began, in seconds since the epoch, and
    `seconds` how long it took; `commit` is that of the tests. None and empty where unknown.
    """

    settings: Settings
    rows: Mapping[str, dict[str, Any]]
    resolved: Mapping[str, str]
    notes: Sequence[str]
    warnings: Sequence[str]
    skipped: int
    chance: Chance
    options: str
    exit_code: int = 0
    stopped: bool = False
    part: str = ""
    failed_besides: Sequence[str] = ()
    uncollected: Sequence[str] = ()
    unwritten: frozenset[str] = frozenset()
    started: float | None = None
    seconds: float = 0.0
    commit: str = ""
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def cut_off(self) -> bool:
        """Whether a run with models was interrupted, perhaps before a test came to its end."""
        return self.exit_code == INTERRUPTED and self.settings.has_models and not self.uncollected


def rerun_of(row: Mapping[str, Any], facts: RunFacts) -> str:
    """The command that runs a row's test again, from the directory of the run."""
    return f"pytest {row['target']} {facts.options}"
