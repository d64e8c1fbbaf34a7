"""Recordings: all that a run answered and measured, and the engine that replays them.

A recording is JSON Lines. The first line is `{"kind": "llmdiff-recording", "version": 2, ...}`;
the others have the kind `reply`, `divergence`, `score` or `check`, in any order.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec, fetch
from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.files.hashes import file_hash
from pytest_llmdiff.data.files.strict_json import bounded_json
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.engines import Engine, Generated
from pytest_llmdiff.engines.context import Context
from pytest_llmdiff.engines.rows import divergences_from_json, generated_from_json, unpacked
from pytest_llmdiff.errors import CapabilityError, ConfigError, ModelError
from pytest_llmdiff.store import Store, content_key

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import TokenDivergences

KIND = "llmdiff-recording"
VERSION = 2
LIKE = 1e-3  # a score of one text may differ by this much between two machines
# What reading a damaged value may raise.
DAMAGED = (KeyError, TypeError, AttributeError, ValueError, LookupError, struct.error)


def check(spec: Spec, _option: str, _base: Spec, _settings: Settings) -> None:
    check_recording(fetch(spec))


def open_engine(spec: Spec, side: str, context: Context) -> Engine:
    return ReplayEngine(fetch(spec), side, context.store)


def check_recording(path: Path) -> None:
    """Raises ConfigError where the first line is not that of a recording."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        _parsed(path, 1, lines.readline())


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = bounded_json(line)
        if number == 1 and (row["kind"], row["version"]) != (KIND, VERSION):
            raise ValueError(f"not a recording of version {VERSION}")
        if not isinstance(row["kind"], str):
            raise TypeError("kind is not a text")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"replay:{path}, line {number}: {error}; expected a file written with --llmdiff-record"
        ) from error
    return dict(row)


class Recording:
    """The rows of a recording, by what they answer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.replies: dict[tuple[str, str], dict[str, Any]] = {}
        self.divergences: dict[str, dict[str, Any]] = {}
        self.scores: dict[str, dict[str, Any]] = {}
        self.languages: dict[str, list[str] | None] = {}
        self.checks: dict[str, Any] = {}
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                # Bytes that are not UTF-8 are not JSON either.
                row = _parsed(path, number, line.decode(errors="replace"))
                try:
                    self._add(row)
                except KeyError as error:
                    raise ConfigError(f"replay:{path}, line {number}: it lacks {error}") from error
                except DAMAGED as error:
                    raise ConfigError(
                        f"replay:{path}, line {number} is damaged ({error!r}): record it again"
                    ) from error
        if not self.replies:
            raise ConfigError(f"replay:{path} holds no replies")

    def _add(self, row: dict[str, Any]) -> None:
        kind = row["kind"]
        if kind == "reply":
            if not isinstance(row["messages"], list):
                raise TypeError(f"messages are {row['messages']!r:.80}")
            known = self.replies.setdefault((row["side"], row["request"]), row)
            if known.get("reply") != row.get("reply"):
                raise ConfigError(
                    f"replay:{self.path} holds two replies of the {row['side']} to "
                    f"{row['messages'][-1]['content']!r}: recordings of different models, or of "
                    "engines that answer differently each time, cannot be joined"
                )
        elif kind == "divergence":
            known = self.divergences.setdefault(row["request"], row["value"])
            if known != row["value"]:
                was, now = (
                    sum((token.kl for token in _divergences(value).tokens), 0.0)
                    for value in (known, row["value"])
                )
                self._require_like(was, now, what="divergence along one reply")
        elif kind == "score":
            _check_score(row["value"])
            key = content_key([row["scorer"], row["inputs"]])
            known = self.scores.setdefault(key, row["value"])
            self._require_like(
                known["value"], row["value"]["value"], what=f"score of {row['scorer']}"
            )
            self.languages.setdefault(row["scorer"], row.get("languages"))
        elif kind == "check":
            self.checks[content_key([row["side"], row["what"], row["about"]])] = row["value"]

    def _require_like(self, a: float | None, b: float | None, *, what: str) -> None:
        """Of values that are there twice neither is to be guessed; rounding may differ."""
        if repr(a) == repr(b):
            return
        if a is None or b is None or not math.isclose(a, b, rel_tol=LIKE, abs_tol=LIKE):
            raise ConfigError(
                f"replay:{self.path} holds two values of a {what}, {a} and {b}: recordings of "
                "different scorers or models cannot be joined"
            )


def _check_score(value: Mapping[str, Any]) -> None:
    if not (
        isinstance(value["value"], (float, int, NoneType))
        and isinstance(value["unsupported"], (str, NoneType))
        and isinstance(value["details"], dict)
    ):
        raise TypeError(f"a score is {value!r:.80}")


def _divergences(value: Mapping[str, Any]) -> TokenDivergences:
    """Raises one of DAMAGED where the value is damaged."""
    found = divergences_from_json(value)
    for name, held in ((n, h) for token in found.tokens for n, h in vars(token).items()):
        if not isinstance(held, str if name.endswith("text") else (float, int)):
            raise TypeError(f"{name} is {held!r:.80}")
    return found


class ReplayEngine:
    """One side of a recording. What is missing in it is an error, never a guess."""

    def __init__(self, path: Path, side: str, store: Store) -> None:
        self.path = path
        self.side = side
        self._store = store

    @cached_property
    def recording(self) -> Recording:
        return Recording(self.path)

    def fingerprint(self) -> str:
        return content_key(["replay", self.side, file_hash(self._store, self.path)])

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        for index, request in enumerate(requests):
            row = self.recording.replies.get((self.side, request.key))
            if row is None:
                yield index, Generated(error=self._lacks(request))
            else:
                try:
                    generated = generated_from_json(row)
                except DAMAGED as error:
                    raise self._damaged(request.messages, error) from error
                yield index, generated

    def render(self, messages: Sequence[Message]) -> list[int]:
        wanted = [dict(message) for message in messages]
        for (side, _), row in self.recording.replies.items():
            if side == self.side and row["messages"] == wanted:
                try:
                    return list(unpacked(row["prompt_ids"]))
                except DAMAGED as error:
                    raise self._damaged(messages, error) from error
        raise ModelError(f"the recording {self.path} has no rendering of this conversation")

    def divergence(self, request: Request, base: Reply) -> TokenDivergences:  # noqa: ARG002
        value = self.recording.divergences.get(request.key)
        if value is None:
            raise ModelError(
                f"the recording {self.path} has no divergence for "
                f"{request.messages[-1]['content']!r}: record a run that measures it"
            )
        try:
            return _divergences(value)
        except DAMAGED as error:
            raise self._damaged(request.messages, error) from error

    def recorded_score(self, scorer: str, inputs: Sequence[str]) -> dict[str, Any] | None:
        return self.recording.scores.get(content_key([scorer, list(inputs)]))

    def recorded_languages(self, scorer: str) -> list[str] | None:
        """The languages of a scorer; None where the recording has none of its scores."""
        return self.recording.languages.get(scorer)

    def recorded_check(self, what: str, about: Any) -> Any:
        """The recorded result of a template or adapter check, or of an explanation."""
        key = content_key([self.side, what, about])
        if key not in self.recording.checks:
            raise CapabilityError(
                f"the recording {self.path} holds no {what} check of the {self.side} for this: "
                "record a run that makes it"
            )
        return self.recording.checks[key]

    def close(self) -> None:
        pass

    def _damaged(self, messages: Sequence[Message], error: Exception) -> ModelError:
        return ModelError(
            f"the recording {self.path} is damaged at {messages[-1]['content']!r} "
            f"({error!r}): record it again with --llmdiff-record"
        )

    def _lacks(self, request: Request) -> str:
        prompt = request.messages[-1]["content"]
        wanted = [dict(message) for message in request.messages]
        text = f"the recording {self.path} has no reply of the {self.side} to {prompt!r}"
        for (side, _), row in self.recording.replies.items():
            if side == self.side and row["messages"] == wanted:
                return f"{text} with these settings; it was recorded with {row.get('sampling')}"
        return f"{text}: record again with --llmdiff-record"
