"""Keys of rows: hashes of everything that a row depends on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pytest_llmdiff.config.packages import installed_version

# Made once: with arguments other than its defaults, `json.dumps` makes a new encoder on every call.
CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def store_key(kind: str, *parts: Any) -> str:
    """The key of a row. This package's version is part of it: releases may measure or split text
    differently."""
    return content_key([kind, installed_version("pytest-llmdiff"), *parts])


def key_within(prefix: str, key: str) -> str:
    """A key made of a prefix that many rows share, and a row's own key."""
    return hashlib.sha256(f"{prefix} {key}".encode()).hexdigest()


def content_key(value: Any) -> str:
    """SHA-256 of a plain JSON value in canonical form."""
    return hashlib.sha256(CANONICAL.encode(value).encode()).hexdigest()
