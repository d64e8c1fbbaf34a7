"""Gets the replies to requests: from the store, or by this process or another one running them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING

from pytest_llmdiff.data.comparison import SIDES, Side
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.generation.keys import Keys
from pytest_llmdiff.generation.loaded import HandedOver, LoadedModels
from pytest_llmdiff.generation.locks import Claims, ModelLock
from pytest_llmdiff.generation.memo import Memo
from pytest_llmdiff.generation.plan import Window, cut_windows, growing
from pytest_llmdiff.generation.rows import UsedKeys
from pytest_llmdiff.generation.windows import Progress, WindowRunner
from pytest_llmdiff.store import Store, content_key

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import TokenDivergences
    from pytest_llmdiff.engines.pair.pair import Pair

# Prompts per window if both models do not fit in memory together: each window loads both of them.
LOADED = 4096


class ReplyGenerator:
    """The replies and divergences of the run.

    With `eager` (other workers wait for the rows) the first missing reply runs all windows;
    otherwise only its own, so that the first verdict comes early and `-x` stays cheap. `check` is
    called repeatedly and raises once the run should stop; `untimed` and `handed` are those of
    `LoadedModels`.
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
        used: UsedKeys | None = None,
        lock: Callable[[], ModelLock] | None = None,
        check: Callable[[], None] = lambda: None,
        untimed: Callable[[], AbstractContextManager[None]] = nullcontext,
        handed: HandedOver | None = None,
    ) -> None:
        self.loaded = LoadedModels(open_engines, store, lock, untimed, handed)
        self.memo = Memo(self.loaded, store, used)
        self.keys = Keys(self.loaded)
        self.windows = WindowRunner(
            self.loaded, self.keys, store, windows, progress=progress, check=check
        )
        self._windows = windows
        self._by_request = {request.key: window for window in windows for request in window}
        self._eager = eager
        self._progress = progress
        self._sizes = sizes
        self._claims = Claims(store)
        self._used = used

    @property
    def pair(self) -> Pair:
        return self.loaded.pair

    @property
    def planned(self) -> int:
        """The number of distinct requests in the plan."""
        return sum(map(len, self._windows))

    def window_requests(self, request: Request) -> Window:
        return self._by_request.get(request.key, (request,))

    def outcomes(
        self, requests: Sequence[Request], sides: Sequence[Side] = SIDES
    ) -> dict[tuple[Side, str], Generated]:
        """Outcomes by side and request key; missing ones are generated.

        Raises:
            ModelError: a model cannot be loaded or run.
        """
        with self.loaded.untimed():
            return self._outcomes(requests, sides)

    def _outcomes(
        self, requests: Sequence[Request], sides: Sequence[Side]
    ) -> dict[tuple[Side, str], Generated]:
        if "base" not in sides and self.pair.settles_ties:
            sides = SIDES
        keys = {(s, r.key): self.keys.reply(s, r) for s in sides for r in requests}
        rows = self.windows.replies.complete(
            keys.values(),
            self._work("reply", requests, partial(self.windows.generate, sides=sides)),
            lock=lambda: self.loaded.lock,
            near=lambda: self._near(requests, sides),
        )
        if self._used is not None:
            for side in sides:
                self._used.add(f"reply {side}", [key for (s, _), key in keys.items() if s == side])
        return {where: rows[key] for where, key in keys.items()}

    def divergences(self, requests: Sequence[Request]) -> list[TokenDivergences]:
        """Teacher-forced statistics on the base's replies, in order; with them those of the whole
        windows, which tests will need next.

        Raises:
            ModelError: an engine has no logits to give, or a model cannot be run.
        """
        self.windows.divergences_expected = True
        with self.loaded.untimed():
            self.outcomes(requests)
            work = self._work("divergence", requests, self.windows.diverge)
            return self._diverged(requests, work)

    def divergence_alone(self, request: Request) -> TokenDivergences:
        """As `divergences`, and no other request is computed: for the text of a failure, which no
        other test needs.

        Raises:
            ModelError: as `divergences`.
        """

        def work() -> None:
            self.loaded.prove()
            self.windows.diverge_alone(request)

        with self.loaded.untimed():
            self.outcomes([request])
            return self._diverged([request], work)[0]

    def stored_divergence(self, request: Request) -> TokenDivergences | None:
        """The divergence of a request, if it is known: no model runs for it."""
        key = self.keys.divergence(request)
        found = self.windows.divergences.get([key])
        self._use("divergence", found)
        return found.get(key)

    def _diverged(
        self, requests: Sequence[Request], work: Callable[[], bool | None]
    ) -> list[TokenDivergences]:
        keys = [self.keys.divergence(request) for request in requests]
        rows = self.windows.divergences.complete(keys, work, lock=lambda: self.loaded.lock)
        self._use("divergence", keys)
        return [rows[key] for key in keys]

    def strides(self) -> Iterator[int]:
        """How many prompts known only at run time to answer together: sizes without end."""
        return self._sizes() if self.pair.fits else repeat(LOADED)

    def expect(self, count: int) -> None:
        """Tell the progress how many prompts known only at run time are left."""
        for side in SIDES:
            self._progress.expect(f"{side} replies", lambda: count)

    def _near(self, requests: Sequence[Request], sides: Sequence[Side]) -> list[str]:
        """Keys of the replies that tests will probably need next."""
        # By identity: to hash a window is to hash each of its requests.
        windows = {id(window): window for window in map(self.window_requests, requests)}
        return [self.keys.reply(s, r) for window in windows.values() for s in sides for r in window]

    def _use(self, kind: str, keys: Iterable[str]) -> None:
        if self._used is not None:
            self._used.add(kind, keys)

    def _work(
        self,
        name: str,
        requests: Sequence[Request],
        run: Callable[[list[Window]], None],
    ) -> Callable[[], bool]:
        """The work for `RowCache.complete`: run the windows of these requests, and the first time
        all windows where that is better."""
        first = True

        def work() -> bool:
            nonlocal first
            self.loaded.prove()
            # Run everything if the models must be loaded in turn, or if other workers wait.
            everything = first and (self._eager or not self.pair.fits)
            first = False
            return self._divided(name, self._windows_of(requests, everything), run)

        return work

    def _windows_of(self, requests: Sequence[Request], everything: bool) -> list[Window]:
        """The windows of these requests, or all of the plan, in its order. Requests that are known
        only at run time come first, in a window of their own."""
        planned = [request for request in requests if request.key in self._by_request]
        own = dict.fromkeys(self.window_requests(request) for request in planned)
        loose = [request for request in requests if request.key not in self._by_request]
        own |= dict.fromkeys(cut_windows(loose, [len(loose)]))
        windows = [*own, *(w for w in self._windows if everything and w not in own)]
        place = {window: number for number, window in enumerate(self._windows)}
        return sorted(windows, key=lambda window: place.get(window, -1))

    def _divided(
        self, name: str, windows: list[Window], work: Callable[[list[Window]], None]
    ) -> bool:
        """Run the windows, except those that a process on another GPU has claimed.

        With several GPUs, each has its own lock, so several processes generate at the same time and
        claim windows to divide them. Returns True if another process has any of these windows; the
        caller then waits for its rows.
        """
        shares = self.pair.place().shares
        if shares == 1:
            work(windows)
            return False
        # One window at a time, so that the processes share them evenly. If the models do not fit in
        # memory together, each part loads both again: then one part per GPU.
        step = len(windows) if self.pair.fits else shares
        parts = [windows[start::step] for start in range(step)]
        prints = self.loaded.fingerprints()

        def claim(window: Window) -> str:
            return content_key([name, prints, [request.key for request in window]])

        left = 0
        for part in parts:
            with ExitStack() as claims:
                mine = [w for w in part if claims.enter_context(self._claims.on(claim(w)))]
                if mine:
                    work(mine)
                left += len(part) - len(mine)
        return left > 0
