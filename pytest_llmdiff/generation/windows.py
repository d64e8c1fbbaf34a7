"""Runs windows of requests through the engines and stores each outcome as it comes."""

from __future__ import annotations

import reprlib
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, Protocol, get_args

from pytest_llmdiff.data.comparison import SIDES, FinishReason, Reply, Side
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.data.tools.calls import ToolCall, as_json, plain_copy
from pytest_llmdiff.engines import Generated, capability
from pytest_llmdiff.engines.rows import (
    divergences_from_json,
    divergences_to_json,
    generated_from_json,
    generated_to_json,
)
from pytest_llmdiff.errors import ModelError
from pytest_llmdiff.generation.keys import Keys
from pytest_llmdiff.generation.loaded import LoadedModels
from pytest_llmdiff.generation.plan import Window
from pytest_llmdiff.generation.rows import RowCache
from pytest_llmdiff.store import Store

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import TokenDivergences


FINISHED = get_args(FinishReason)
SPEED = "speed"  # the kind of the keys of speeds
PASSING = "passing"  # the kind of the keys of errors that a later run asks for again


class Progress(Protocol):
    """Receives the progress of the work.

    `expect` announces how many of something the rest of the run needs, including the next `start`.
    It takes a function, which is called only if the number is shown.
    """

    def expect(self, what: str, count: Callable[[], int]) -> None: ...
    def start(self, what: str, total: int) -> None: ...
    def advance(self, count: int = 1) -> None: ...
    def finish(self) -> None: ...


class WindowRunner:
    """Generates the replies and divergences that are missing from the store.

    `check` is called repeatedly and raises once the run should stop.
    """

    def __init__(
        self,
        loaded: LoadedModels,
        keys: Keys,
        store: Store,
        windows: Sequence[Window],
        *,
        progress: Progress,
        check: Callable[[], None],
    ) -> None:
        self.replies = RowCache(store, "reply", generated_from_json)
        self.divergences = RowCache(store, "divergence", divergences_from_json)
        # Whether to compute the divergences of a window together with its replies.
        self.divergences_expected = False
        self.notes: list[str] = []
        self._loaded = loaded
        self._keys = keys
        self._store = store
        self._windows = windows  # of the plan
        self._progress = progress
        self._check = check
        self._expected: set[Side] = set()

    def stored(self, requests: Sequence[Request]) -> dict[tuple[Side, str], Generated]:
        """The outcomes that are stored now, by side and request key."""
        keys = {(s, r.key): self._keys.reply(s, r) for s in SIDES for r in requests}
        rows = self.replies.get(keys.values())
        return {where: rows[key] for where, key in keys.items() if key in rows}

    def missing(self, side: Side) -> int:
        """The number of planned requests without a stored reply."""
        keys = [self._keys.reply(side, request) for window in self._windows for request in window]
        return len(keys) - len(self._store.stored_keys("reply", keys))

    def speed(self, side: Side) -> float | None:
        """Seconds per reply in the last window of an earlier run; None if there was none."""
        key = self._keys.speed(side)
        return self._store.get(SPEED, [key]).get(key)

    def generate(self, windows: Sequence[Window], sides: Sequence[Side]) -> None:
        """Generate the missing replies of the given sides to these windows."""
        for side in set(sides) - self._expected:
            self._expected.add(side)
            self._progress.expect(f"{side} replies", partial(self.missing, side))
        if self._loaded.pair.fits:
            for window in windows:
                for side in sides:
                    self._generate_window(side, window)
            return
        note = "both models do not fit in memory together: they run one after the other"
        if note not in self.notes:
            self.notes.append(note)
        for side in sides:
            self._loaded.make_room(side)
            for window in windows:
                self._generate_window(side, window)
            self._loaded.pair.side(side).close()

    def diverge(self, windows: Sequence[Window]) -> None:
        """Compute the missing divergences on the base's replies where both models have replied."""
        if not self._loaded.pair.fits:
            # Each window would load both models again, so all windows become one.
            windows = [tuple(request for window in windows for request in window)]
        for window in windows:
            if todo := self._undiverged(window):
                self._progress.start("divergences", len(todo))
                self._diverge(todo, self._progress.advance)
                self._progress.finish()

    def diverge_alone(self, request: Request) -> None:
        """Compute the divergence of one request if it is missing. It is no part of the progress:
        nothing waits for it but the text of a failure."""
        if todo := self._undiverged((request,)):
            self._diverge(todo, lambda: None)

    def _undiverged(self, window: Window) -> list[tuple[Request, Generated, Generated]]:
        """The requests without a divergence that both models have replied to, with the outcomes."""
        keys = {request.key: self._keys.divergence(request) for request in window}
        stored = self.divergences.get(keys.values())
        outcomes = self.stored(window)
        return [
            (request, outcomes["base", request.key], outcomes["tuned", request.key])
            for request in window
            if keys[request.key] not in stored
            and all((o := outcomes.get((s, request.key))) and o.reply for s in SIDES)
        ]

    def _diverge(
        self, todo: Sequence[tuple[Request, Generated, Generated]], advance: Callable[[], None]
    ) -> None:
        # A rerun has nothing to compute and does not import this.
        from pytest_llmdiff.engines.pair.divergence import pair_divergences

        self._loaded.make_room("base")
        with (
            self._loaded.failing("base"),
            self._loaded.failing("tuned"),
            self.divergences.writing() as put,
        ):
            for request, value in pair_divergences(self._loaded.pair, todo):
                put(self._keys.divergence(request), _divergence_row(request, value))
                advance()

    def _generate_window(self, side: Side, window: Window) -> None:
        keys = {request.key: self._keys.reply(side, request) for request in window}
        stored = self.replies.get(keys.values())
        todo = [request for request in window if keys[request.key] not in stored]
        if not todo:
            return
        # A rerun generates nothing and does not import this.
        from pytest_llmdiff.generation.tool_calls import with_calls

        self._check()
        engine = self._loaded.pair.side(side)
        with (
            self._loaded.failing(side),
            self.replies.writing() as put,
            self.divergences.writing() as found,
        ):
            self._progress.start(f"{side} replies", len(todo))
            started = time.monotonic()
            answered: set[int] = set()
            # Closed at once if the run is interrupted: the traceback would keep the generator
            # alive, and with it the requests in progress.
            with closing(self._answers(side, todo)) as outcomes:
                for index, outcome, divergences in outcomes:
                    generated = with_calls(outcome, todo[index], engine)
                    put(keys[todo[index].key], _reply_row(side, todo[index], generated))
                    if generated.passing:
                        self._store.put(PASSING, {keys[todo[index].key]: True})
                    if divergences is not None:
                        key = self._keys.divergence(todo[index])
                        found(key, _divergence_row(todo[index], divergences))
                    answered.add(index)
                    self._progress.advance()
                    self._check()
            self._progress.finish()
            took = time.monotonic() - started
            self._store.put(SPEED, {self._keys.speed(side): took / len(todo)})
            if side == "tuned":
                self._note_vocabularies()
            self.notes += sorted(set(capability(engine, "notes") or ()) - set(self.notes))
            if len(answered) < len(todo):
                lost = next(r for i, r in enumerate(todo) if i not in answered)
                raise ModelError(
                    f"the engine of the {side} returned no outcome for "
                    f"{lost.messages[-1]['content']!r}"
                )

    def _note_vocabularies(self) -> None:
        """Say where the models' vocabularies differ; only here, as it takes both tokenizers."""
        from pytest_llmdiff.engines.pair.vocabularies import vocabulary_note

        note = vocabulary_note(self._loaded.pair.base, self._loaded.pair.tuned)
        if note is not None and note not in self.notes:
            self.notes.append(note)

    def _answers(
        self, side: Side, requests: Sequence[Request]
    ) -> Generator[tuple[int, Generated, TokenDivergences | None], None, None]:
        """Outcomes from the engine of a side. The tuned model decodes along the base's stored
        replies if it can."""
        speculative = self._loaded.speculative
        if side == "base" and self.divergences_expected:
            speculative.expect_divergences()
        if side == "tuned" and speculative.possible:
            stored = self.stored(requests)
            base = {r.key: stored["base", r.key] for r in requests if ("base", r.key) in stored}
            yield from speculative.tuned(requests, base, divergences=self.divergences_expected)
            return
        for outcome in self._loaded.pair.side(side).generate(requests) or ():
            yield (*_checked(outcome, len(requests), side), None)


def forget_passing(store: Store) -> None:
    """Remove errors of earlier runs that may have passed since. Called once at a run's start."""
    if store.file.exists():
        for key in store.keys(PASSING):
            store.remove("reply", key)
            store.remove(PASSING, key)


def _checked(outcome: object, count: int, side: Side) -> tuple[int, Generated]:
    """Checks an outcome against the Engine protocol, which a user's own engine may violate.

    Raises:
        ModelError: it does not conform; it could be stored under a wrong prompt or break reports.
    """
    match outcome:
        case (int(index), Generated(reply=Reply(text=str()) as reply) as found) if (
            0 <= index < count
            and isinstance(reply.reasoning, (str, NoneType))
            and reply.finish_reason in FINISHED
            and type(reply.prompt_tokens) is int
            and all(map(_are_ids, (reply.token_ids, found.prompt_ids)))
            and _are_calls(reply.tool_calls)
        ):
            return index, found
        case (int(index), Generated(reply=None, error=str()) as found) if 0 <= index < count:
            return index, found
    raise ModelError(
        f"the engine of the {side} returned {reprlib.repr(outcome)} for {count} requests; an "
        "outcome is the index of a request and a Generated, with a Reply that has a text, or with "
        f"an error; token ids are plain integers, finish_reason is {' or '.join(FINISHED)}, and "
        "tool_calls are ToolCall with plain JSON"
    )


def _are_ids(ids: object) -> bool:
    """Whether these are token ids that the store can hold: plain integers of 32 bits."""
    if not isinstance(ids, (tuple, list)):
        return False
    return not ids or (set(map(type, ids)) == {int} and min(ids) >= 0 and max(ids) < 2**32)


def _are_calls(calls: object) -> bool:
    """Whether these are calls that the store can hold."""
    if not isinstance(calls, (tuple, list)) or not all(isinstance(c, ToolCall) for c in calls):
        return False
    try:
        return not calls or plain_copy(list(map(as_json, calls))) is not None
    except ValueError:
        return False


def _reply_row(side: Side, request: Request, generated: Generated) -> dict[str, Any]:
    return {
        **generated_to_json(generated),
        "side": side,
        "request": request.key,
        "messages": [dict(message) for message in request.messages],
        "sampling": dict(vars(request.sampling)),
    }


def _divergence_row(request: Request, value: TokenDivergences) -> dict[str, Any]:
    return {"request": request.key, **divergences_to_json(value)}
