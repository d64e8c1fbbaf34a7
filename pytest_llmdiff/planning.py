"""From the collected probes to windows of requests: pure, so that every xdist worker agrees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile
from typing import Any

from pytest_llmdiff.formats.messages import Message
from pytest_llmdiff.loading import installed_version
from pytest_llmdiff.probes import Probe
from pytest_llmdiff.settings import Settings

# The first window is small, so that the first verdict does not wait for the whole run. Later ones
# grow: where one ends, the batch runs dry until its last reply has come.
WINDOW = 64
LARGEST = 256
# Made once: `json.dumps` makes one for every call that differs from its defaults.
CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a reply is drawn. At temperature 0 (greedy) neither nucleus nor seed has a meaning."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """One prompt to be answered: the unit that is deduplicated, batched and stored."""

    messages: tuple[Message, ...]
    sampling: Sampling

    @cached_property
    def key(self) -> str:
        """Content hash, equal for equal messages and settings in every process."""
        return content_key([self.messages, vars(self.sampling)])

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def size(self) -> int:
        return sum(len(message["content"]) for message in self.messages)


Window = tuple[Request, ...]


def store_key(kind: str, *parts: Any) -> str:
    """Key of something in the store. This package's version is part of it: what is measured and
    how text is cut may differ between releases."""
    return content_key([kind, installed_version("pytest-llmdiff"), *parts])


def key_within(prefix: str, key: str) -> str:
    """The key of something by what many have in common, a key, and what it has of its own."""
    return hashlib.sha256(f"{prefix} {key}".encode()).hexdigest()


def content_key(value: Any) -> str:
    """SHA-256 of a plain JSON value in canonical form."""
    return hashlib.sha256(CANONICAL.encode(value).encode()).hexdigest()


def request_of(probe: Probe, settings: Settings) -> Request:
    """The request of a probe under the run's settings, the probe's own ones before them."""
    values = {
        name: probe.generation.get(name, getattr(settings, name))
        for name in ("max_new_tokens", "temperature", "top_p", "seed")
    }
    if values["temperature"] == 0:
        values |= {"temperature": 0.0, "top_p": 1.0, "seed": 0}
    return Request(probe.messages, Sampling(**values))


def plan(requests: Iterable[Request], sizes: Iterable[int] | None = None) -> tuple[Window, ...]:
    """Windows of distinct requests in test order, the longest first inside a window.

    Longest first puts like lengths into one batch and lets memory run out, if it must, at once.
    """
    rest = iter(dict.fromkeys(requests))
    cuts = (list(islice(rest, size)) for size in (growing() if sizes is None else sizes))
    return tuple(
        tuple(sorted(cut, key=lambda r: (-r.size, r.key))) for cut in takewhile(bool, cuts)
    )


def growing() -> Iterator[int]:
    """Sizes of windows, from `WINDOW` to `LARGEST`, without end."""
    size = WINDOW
    while True:
        yield size
        size = min(2 * size, LARGEST)
