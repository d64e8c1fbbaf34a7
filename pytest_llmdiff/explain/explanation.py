"""What a failure text shows beyond the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import TokenDivergences


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a failure text shows beyond the comparison, as far as it is available.

    `kinds` has the value of each kind of explanation that applies, by its name in
    `pytest_llmdiff.explain.KINDS`. `divergences` tell how sure both models were where the replies
    begin to differ. `rerun` is the command that runs the test again.
    """

    divergences: TokenDivergences | None = None
    kinds: Mapping[str, Any] = field(default_factory=dict)
    rerun: str = ""
