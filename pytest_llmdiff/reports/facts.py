"""What the reports at the end of a run are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.family import Chance
from pytest_llmdiff.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A finished run: its settings, what `auto` came out as, and one row per test.

    `skipped` counts the tests that needed models in a run without any; `chance` is what
    noise alone would fail.
    """

    settings: Settings
    rows: Mapping[str, dict[str, Any]]
    resolved: Mapping[str, str]
    notes: Sequence[str]
    warnings: Sequence[str]
    skipped: int
    chance: Chance
