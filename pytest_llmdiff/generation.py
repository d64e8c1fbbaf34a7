"""Runs windows of requests through the engines, once, and keeps the outcomes in the store."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property, partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmdiff.comparison import SIDES, Side
from pytest_llmdiff.engines import Generated, capability
from pytest_llmdiff.engines.opening import Pair
from pytest_llmdiff.engines.rows import (
    divergences_from_json,
    divergences_to_json,
    generated_from_json,
    generated_to_json,
)
from pytest_llmdiff.errors import CapabilityError, LLMDiffError, ModelError, ProbeError
from pytest_llmdiff.loading import third_party_warnings_ignored
from pytest_llmdiff.planning import (
    Request,
    Window,
    content_key,
    growing,
    key_within,
    plan,
    store_key,
)
from pytest_llmdiff.shelf import Shelf, Used
from pytest_llmdiff.store import Store
from pytest_llmdiff.turns import Claims, Turn

if TYPE_CHECKING:
    from pytest_llmdiff.divergences import TokenDivergences
    from pytest_llmdiff.engines.pairing import Pairing

KEYS = 1024  # of replies, in memory
LOADED = 4096  # prompts for which it is worth loading two models that take turns in memory


class Progress(Protocol):
    """What is told while a window is generated.

    `expect` tells how many of something are to come in the whole run, the next start included; the
    number is asked for by those only who show it.
    """

    def expect(self, what: str, count: Callable[[], int]) -> None: ...
    def start(self, what: str, total: int) -> None: ...
    def advance(self, count: int = 1) -> None: ...
    def finish(self) -> None: ...


class Generation:
    """The replies and divergences of the run.

    With `eager` (other workers wait for the rows) the first need runs all windows; otherwise only
    its own, so that the first verdict comes early and `-x` stays cheap. `check` is called again and
    again, and raises where nothing more is wanted.
    """

    def __init__(
        self,
        open_engines: Callable[[], Pair],
        store: Store,
        windows: Sequence[Window],
        *,
        eager: bool,
        progress: Progress,
        sizes: Callable[[], Iterator[int]] = growing,
        used: Used | None = None,
        turn: Callable[[], Turn] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._open = open_engines
        self._store = store
        self._replies = Shelf(store, "reply", generated_from_json)
        self._divergences = Shelf(store, "divergence", divergences_from_json)
        self._windows = windows
        self._by_request = {request.key: window for window in windows for request in window}
        self._eager = eager
        self._progress = progress
        self._sizes = sizes
        self._claims = Claims(store)
        self._used = used
        self._shared_turn = turn
        self._check = check
        self._failures: dict[str, LLMDiffError] = {}
        # Whether the divergences of a window are worth computing along with its replies.
        self.divergences_expected = False
        self._fingerprints: dict[Side, str] = {}
        self._prefixes: dict[Side, str] = {}  # of the keys of replies
        # Those of a window are asked for with its first test, and again one by one. No `lru_cache`:
        # around a method of its own it would keep this one alive, and the lock that it holds.
        self._reply_keys: dict[tuple[Side, str], str] = {}
        self._expected: set[Side] = set()
        self.notes: list[str] = []

    @cached_property
    def pair(self) -> Pair:
        with third_party_warnings_ignored():
            return self._open()

    @cached_property
    def turn(self) -> Turn:
        """The right to hold models: this one's own, or that of another one in this process.

        Asked for only where something is missing: to find the devices may import torch.
        """
        if self._shared_turn is not None:
            return self._shared_turn()
        return Turn(self._store, *self.pair.place().turns)

    @property
    def _holding(self) -> bool:
        return "turn" in self.__dict__ and self.turn.held

    @cached_property
    def pairing(self) -> Pairing:
        from pytest_llmdiff.engines.pairing import Pairing

        return Pairing(self.pair)

    def reply_key(self, side: Side, request: Request) -> str:
        found = self._reply_keys.get((side, request.key))
        if found is None:
            if len(self._reply_keys) >= KEYS:
                self._reply_keys.clear()
            found = self._reply_keys[side, request.key] = self._made_key(side, request)
        return found

    def _made_key(self, side: Side, request: Request) -> str:
        if side not in self._prefixes:
            # Where rounding is coarse, the tuned model's near-ties are settled by the base's reply.
            sides = SIDES if side == "tuned" and self.pair.settles_ties else (side,)
            self._prefixes[side] = store_key("reply", *map(self._fingerprint, sides))
        return key_within(self._prefixes[side], request.key)

    def divergence_key(self, request: Request) -> str:
        fingerprints = [self._fingerprint(side) for side in SIDES]
        return store_key("divergence", fingerprints, request.key)

    def window_requests(self, request: Request) -> Window:
        return self._by_request.get(request.key, (request,))

    def outcomes(
        self, requests: Sequence[Request], sides: Sequence[Side] = SIDES
    ) -> dict[tuple[Side, str], Generated]:
        """Outcomes by side and request key, generated where the store has none.

        Raises:
            ModelError: a model cannot be loaded or run.
        """
        if "tuned" in sides and self.pair.settles_ties:
            sides = SIDES
        keys = {(s, r.key): self.reply_key(s, r) for s in sides for r in requests}
        rows = self._replies.get(keys.values(), lambda: self._near(requests, sides))
        if len(rows) < len(set(keys.values())):  # of two sides that are one model they are the same
            self._turn_until("reply", requests, lambda todo: self._generate(todo, sides), sides)
            rows = self._replies.get(keys.values())
        for side in sides:
            self._use(f"reply {side}", (key for (s, _), key in keys.items() if s == side))
        return {where: rows[key] for where, key in keys.items()}

    def _near(self, requests: Sequence[Request], sides: Sequence[Side]) -> list[str]:
        """Keys of the replies that are likely to be asked for next."""
        windows = dict.fromkeys(self.window_requests(request) for request in requests)
        return [self.reply_key(s, r) for window in windows for s in sides for r in window]

    def stored(self, requests: Sequence[Request]) -> dict[tuple[Side, str], Generated]:
        """The outcomes that are in the store now; nothing is generated."""
        keys = {(s, r.key): self.reply_key(s, r) for s in SIDES for r in requests}
        rows = self._replies.get(keys.values())
        return {where: rows[key] for where, key in keys.items() if key in rows}

    def divergences(
        self, requests: Sequence[Request], *, eager: bool = True
    ) -> list[TokenDivergences]:
        """Teacher-forced statistics on the base's replies, in order.

        With `eager` false (a failure text wants them, no helper does) other windows are left alone
        even where other workers could use them.

        Raises:
            ModelError: an engine has no logits to give, or a model cannot be run.
        """
        self.divergences_expected = True
        self.outcomes(requests)
        self._turn_until("divergence", requests, self._diverge, eager=eager)
        keys = [self.divergence_key(request) for request in requests]
        rows = self._divergences.get(keys)
        self._use("divergence", keys)
        return [rows[key] for key in keys]

    def remembered(
        self, what: str, side: Side, about: Any, compute: Callable[[Any], Any], *, also: Any = None
    ) -> Any:
        """A plain JSON fact about an engine, computed once and kept in the store.

        `about` is plain JSON as well: what was asked. A recording answers with what it holds.
        `also` is what else the answer depends on (the content of files beside the models): a
        replay, which has not those files, is not asked for it.
        """
        (value,) = self.remembered_all(
            what, side, [about], lambda engine, _: [compute(engine)], also=also
        )
        return value

    def remembered_all(
        self,
        what: str,
        side: Side,
        about: Sequence[Any],
        compute: Callable[[Any, list[Any]], Sequence[Any]],
        *,
        also: Any = None,
        around: Callable[[], Sequence[Any]] = list,
        alone: bool = False,
    ) -> list[Any]:
        """Facts like `remembered`, several at once; computed are those that are not known.

        Where any is missing, those `around` are computed as well: what will be asked for next.
        `alone` says that they do not depend on the other side.
        """
        recorded = capability(self.pair.side(side), "recorded_check")
        if recorded is not None:
            return [recorded(what, each) for each in about]
        prints = [self._fingerprint(s) for s in ((side,) if alone else SIDES)]

        def keyed(asked: Sequence[Any]) -> dict[str, Any]:
            return {store_key("check", what, side, prints, [each, also]): each for each in asked}

        keys = [key for each in about for key in keyed([each])]

        def work() -> None:
            wanted = keyed([*about, *around()])
            there = self._store.get("check", list(wanted))
            todo = {key: each for key, each in wanted.items() if key not in there}
            with self._failing(side), third_party_warnings_ignored():
                self._make_room(side)
                values = compute(self.pair.side(side), list(todo.values()))
            rows = {
                key: {"what": what, "side": side, "about": each, "value": value}
                for (key, each), value in zip(todo.items(), values, strict=True)
            }
            self._store.put("check", rows)

        def missing() -> bool:
            return len(self._store.get("check", keys)) < len(set(keys))

        if missing():
            self.turn.until(missing, work)
        self._use("check", keys)
        rows = self._store.get("check", keys)
        return [rows[key]["value"] for key in keys]

    def strides(self) -> Iterator[int]:
        """How many prompts of run time are worth asking for together, time after time."""
        return self._sizes() if self.pair.fits else repeat(LOADED)

    def expect(self, count: int) -> None:
        """Tell the progress how many prompts of run time are still to be compared."""
        for side in SIDES:
            self._progress.expect(f"{side} replies", lambda: count)

    def wanted(self) -> bool:
        """Whether another process waits for the models that this one holds."""
        return self._holding and self.turn.wanted()

    def resolved(self) -> dict[str, str]:
        """What `auto` came out as, and the noise of rounding where it was measured."""
        found = dict(self.pair.resolved)
        service = self.pair.base.__dict__.get("service")
        if service is not None and service.unserved is None:
            found["tolerance"] = f"{service.tolerance:.2g} nats"
        return found

    @property
    def opened(self) -> bool:
        return "pair" in self.__dict__

    def close(self) -> None:
        if self.opened:
            self.pair.close()
        if self._holding:
            self.turn.release()

    def _make_room(self, side: Side) -> None:
        if not self.pair.fits:
            self.pair.side("tuned" if side == "base" else "base").close()

    def _fingerprint(self, side: Side) -> str:
        # Taken once: a run's model does not change under it.
        if side not in self._fingerprints:
            self._fingerprints[side] = self.pair.side(side).fingerprint()
        return self._fingerprints[side]

    def _use(self, kind: str, keys: Iterable[str]) -> None:
        if self._used is not None:
            self._used.add(kind, keys)

    def _turn_until(
        self,
        kind: str,
        requests: Sequence[Request],
        work: Callable[[list[Window]], None],
        sides: Sequence[Side] = SIDES,
        *,
        eager: bool = True,
    ) -> None:
        def keys(part: Iterable[Request]) -> list[str]:
            if kind == "reply":
                return [self.reply_key(side, request) for side in sides for request in part]
            return [self.divergence_key(request) for request in part]

        wanted = keys(requests)
        shelf: Shelf[Any] = self._replies if kind == "reply" else self._divergences

        def missing() -> bool:
            return len(shelf.get(wanted)) < len(set(wanted))

        first = True

        def do() -> bool:
            nonlocal first
            planned = [r for r in requests if r.key in self._by_request]
            own = dict.fromkeys(self.window_requests(request) for request in planned)
            # Those known only at run time are generated together as well.
            loose = [r for r in requests if r.key not in self._by_request]
            own |= dict.fromkeys(plan(loose, [len(loose)]))
            # Two models that take turns in memory go over everything at once, as do the rows that
            # other workers wait for.
            everything = first and eager and (self._eager or not self.pair.fits)
            first = False
            windows = [*own, *(w for w in self._windows if everything and w not in own)]
            self._order(windows)
            with third_party_warnings_ignored():
                return self._divided(kind, windows, work)

        if missing():
            self.turn.until(missing, do)

    def _divided(
        self, kind: str, windows: list[Window], work: Callable[[list[Window]], None]
    ) -> bool:
        """Do the work, or where other devices have processes of their own, what these are not at.

        Whether something was left to them.
        """
        shares = self.pair.place().shares
        if shares == 1:
            work(windows)
            return False
        # Models that take turns in memory are loaded anew for each part: few large ones, then.
        step = len(windows) if self.pair.fits else shares
        parts = [windows[start::step] for start in range(step)]
        prints = [self._fingerprint(side) for side in SIDES]

        def name(window: Window) -> str:
            return content_key([kind, prints, [request.key for request in window]])

        left = 0
        for part in parts:
            with ExitStack() as claims:
                mine = [w for w in part if claims.enter_context(self._claims.on(name(w)))]
                if mine:
                    work(mine)
                left += len(part) - len(mine)
        return left > 0

    def _order(self, windows: list[Window]) -> None:
        place = {window: number for number, window in enumerate(self._windows)}
        windows.sort(key=lambda window: place.get(window, -1))

    def _generate(self, windows: list[Window], sides: Sequence[Side]) -> None:
        for side in set(sides) - self._expected:
            self._expected.add(side)
            self._progress.expect(f"{side} replies", partial(self.missing, side))
        if self.pair.fits:
            for window in windows:
                for side in sides:
                    self._generate_window(side, window)
            return
        note = "both models do not fit in memory together: they run one after the other"
        if note not in self.notes:
            self.notes.append(note)
        for side in sides:
            self._make_room(side)
            for window in windows:
                self._generate_window(side, window)
            self.pair.side(side).close()

    @property
    def planned(self) -> int:
        """How many different requests the plan has."""
        return sum(map(len, self._windows))

    def missing(self, side: Side) -> int:
        """How many of these have no reply in the store."""
        keys = [self.reply_key(side, request) for window in self._windows for request in window]
        return len(keys) - len(self._store.there("reply", keys))

    def _generate_window(self, side: Side, window: Window) -> None:
        keys = {request.key: self.reply_key(side, request) for request in window}
        there = self._replies.get(keys.values())
        todo = [request for request in window if keys[request.key] not in there]
        if not todo:
            return
        self._check()
        engine = self.pair.side(side)
        with (
            self._failing(side),
            self._replies.writing() as put,
            self._divergences.writing() as found,
        ):
            self._progress.start(f"{side} replies", len(todo))
            answered: set[int] = set()
            # Closed at once where the run is interrupted: a traceback would keep it alive, and with
            # it the requests that are under way.
            with closing(self._answers(side, todo)) as outcomes:
                for index, generated, divergences in outcomes:
                    put(keys[todo[index].key], self._reply_row(side, todo[index], generated))
                    if divergences is not None:
                        found(*self._divergence_row(todo[index], divergences))
                    answered.add(index)
                    self._progress.advance()
                    self._check()
            self._progress.finish()
            self.notes += sorted(set(capability(engine, "notes") or ()) - set(self.notes))
            if len(answered) < len(todo):
                lost = next(r for i, r in enumerate(todo) if i not in answered)
                raise ModelError(
                    f"the engine of the {side} gave no outcome for {lost.messages[-1]['content']!r}"
                )

    def _answers(
        self, side: Side, requests: Sequence[Request]
    ) -> Generator[tuple[int, Generated, TokenDivergences | None], None, None]:
        """Outcomes by the engine of a side; those of the tuned model along the base's, if there."""
        if side == "base" and self.divergences_expected:
            self.pairing.expect_divergences()
        if side == "tuned" and self.pairing.possible:
            stored = self.stored(requests)
            base = {r.key: stored["base", r.key] for r in requests if ("base", r.key) in stored}
            yield from self.pairing.tuned(requests, base, divergences=self.divergences_expected)
            return
        for index, generated in self.pair.side(side).generate(requests):
            yield index, generated, None

    def _divergence_row(
        self, request: Request, value: TokenDivergences
    ) -> tuple[str, dict[str, Any]]:
        row = {"request": request.key, **divergences_to_json(value)}
        return self.divergence_key(request), row

    def _reply_row(self, side: Side, request: Request, generated: Generated) -> dict[str, Any]:
        sampling = vars(request.sampling)
        return {
            **generated_to_json(generated),
            "side": side,
            "request": request.key,
            "messages": [dict(message) for message in request.messages],
            "sampling": dict(sampling),
        }

    def _diverge(self, windows: list[Window]) -> None:
        if not self.pair.fits:
            # Each part loads both models, one after the other: all windows are one part then.
            windows = [tuple(request for window in windows for request in window)]
            self._make_room("base")
        for window in windows:
            keys = {request.key: self.divergence_key(request) for request in window}
            there = self._divergences.get(keys.values())
            outcomes = self.stored(window)
            todo = [
                (request, outcomes["base", request.key], outcomes["tuned", request.key])
                for request in window
                if keys[request.key] not in there
                and all((o := outcomes.get((s, request.key))) and o.reply for s in SIDES)
            ]
            if not todo:
                continue
            from pytest_llmdiff.engines.divergence import pair_divergences  # nothing on a rerun

            with (
                self._failing("base"),
                self._failing("tuned"),
                self._divergences.writing() as put,
            ):
                self._progress.start("divergences", len(todo))
                for request, value in pair_divergences(self.pair, todo):
                    put(*self._divergence_row(request, value))
                    self._progress.advance()
                self._progress.finish()

    @contextmanager
    def _failing(self, side: str) -> Iterator[None]:
        """A model that failed once is not loaded again for every further test.

        An engine that lacks a capability has not failed, nor has one that refused a single probe.
        """
        if side in self._failures:
            raise self._failures[side]
        try:
            yield
        except (CapabilityError, ProbeError):
            raise
        except LLMDiffError as error:
            self._failures[side] = error
            raise
