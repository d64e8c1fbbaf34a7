"""Values as strict JSON, for the reports."""

from __future__ import annotations

import math
from typing import Any


def plain(value: Any) -> Any:
    """A value as strict JSON: NaN and infinity, which JSON lacks, become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value)


def rounded(value: float) -> Any:
    """A number to four significant figures: the reports hold very many of them."""
    return plain(float(f"{value:.4g}"))
