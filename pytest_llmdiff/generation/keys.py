"""The keys of replies and divergences in the store: the models' fingerprints and the request."""

from __future__ import annotations

from pytest_llmdiff.data.comparison import SIDES, Side
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.generation.loaded import LoadedModels
from pytest_llmdiff.store import key_within, store_key

# Of a stored divergence. Before 2, what a tuned model gave to tokens of its own was left out.
VERSION = 2
KEPT = 1024  # keys of replies, in memory


class Keys:
    def __init__(self, loaded: LoadedModels) -> None:
        self._loaded = loaded
        self._prefixes: dict[Side, str] = {}  # of the keys of replies
        # The keys of a window are needed for its first test, and again one by one. No `lru_cache`:
        # around a bound method it would keep this object alive, and with it the models' lock.
        self._replies: dict[tuple[Side, str], str] = {}

    def reply(self, side: Side, request: Request) -> str:
        found = self._replies.get((side, request.key))
        if found is None:
            if len(self._replies) >= KEPT:
                self._replies.clear()
            found = self._replies[side, request.key] = key_within(self._prefix(side), request.key)
        return found

    def divergence(self, request: Request) -> str:
        return store_key("divergence", VERSION, self._loaded.fingerprints(), request.key)

    def speed(self, side: Side) -> str:
        """Of the speed of a model, which a fingerprint has with its dtype and device."""
        return store_key("speed", self._loaded.fingerprint(side))

    def _prefix(self, side: Side) -> str:
        if side not in self._prefixes:
            # If rounding is coarse, the base's reply settles near-ties of the tuned model.
            settled = side == "tuned" and self._loaded.pair.settles_ties
            sides = SIDES if settled else (side,)
            self._prefixes[side] = store_key("reply", *map(self._loaded.fingerprint, sides))
        return self._prefixes[side]
