"""What a failure text shows beyond the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import TokenDivergence


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a failure text shows beyond the comparison, as far as it is available.

    `kinds` has the value of each kind of explanation that applies, by its name in
    `pytest_llmdiff.explain.KINDS`. `differs` tells how sure both models were of the token where the
    replies begin to differ. `rerun` is the command that runs the test again.
    """

    differs: TokenDivergence | None = None
    kinds: Mapping[str, Any] = field(default_factory=dict)
    rerun: str = ""
