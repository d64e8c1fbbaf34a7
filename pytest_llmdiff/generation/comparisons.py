"""Compares the replies of both models to probes, and says which comparisons belong to a window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from pytest_llmdiff.data.comparison import SIDES, Comparison, Reply, Unanswered

if TYPE_CHECKING:
    from pytest_llmdiff.data.comparison import Accepted, Run, Side
    from pytest_llmdiff.data.pools import Pool
    from pytest_llmdiff.data.probes import Probe
    from pytest_llmdiff.data.requests import Request
    from pytest_llmdiff.engines import Generated
    from pytest_llmdiff.generation.generator import ReplyGenerator
    from pytest_llmdiff.generation.plan import Plan


class Comparer:
    """Makes the comparisons of one pair of models.

    Each comparison refers to `run`. `accepted` returns the reviewed change of a probe, if any.
    `show` is called with each comparison that a test receives.
    """

    def __init__(
        self,
        run: Run,
        plan: Plan,
        generation: ReplyGenerator,
        *,
        sides: tuple[str, str],
        accepted: Callable[[Probe], Accepted | None],
        show: Callable[[Comparison], None],
    ) -> None:
        self._run = run
        self._plan = plan
        self._generation = generation
        self._sides = sides
        self._accepted = accepted
        self._show = show
        self._together: dict[Request, Comparison] = {}
        self._pool: Pool | None = None
        self._pooled: dict[Request, Comparison] = {}

    def reply(self, side: Side, probes: Sequence[Probe]) -> list[Reply]:
        requests = [self._plan.asked_for(probe)[1] for probe in probes]
        outcomes = self._generation.outcomes(requests, (side,))
        return [_reply(outcomes[side, request.key], side) for request in requests]

    def compare(self, probes: Sequence[Probe]) -> list[Comparison]:
        """The comparisons of the probes, in order.

        Raises:
            ProbeError: a model cannot answer one of them.
        """
        return [_answered(member) for member in self._compare(probes)]

    def _compare(self, probes: Sequence[Probe]) -> list[Comparison | Unanswered]:
        asked = [self._plan.asked_for(probe) for probe in probes]
        outcomes = self._generation.outcomes([request for _, request in asked])
        found = [
            self._member(probe, outcomes["base", request.key], outcomes["tuned", request.key])
            for probe, request in asked
        ]
        self._together = {}
        for (_, request), member in zip(asked, found, strict=True):
            if isinstance(member, Comparison):
                self._show(member)
                self._together[request] = member
        return found

    def _member(self, probe: Probe, base: Generated, tuned: Generated) -> Comparison | Unanswered:
        for side, generated in zip(self._sides, (base, tuned), strict=True):
            if generated.reply is None:
                return Unanswered(probe=probe, reason=_reason(generated, side), run=self._run)
        return self._comparison(probe, base, tuned)

    def _comparison(self, probe: Probe, base: Generated, tuned: Generated) -> Comparison:
        return Comparison(
            probe=probe,
            base=_reply(base, self._sides[0]),
            tuned=_reply(tuned, self._sides[1]),
            sides=self._sides,
            margin=tuned.margin,
            near_tie=tuned.near_tie,
            accepted=self._accepted(probe),
            run=self._run,
        )

    def answer_together(self, pool: Pool) -> None:
        """Answer all prompts of a pool now. When one of them is scored, all are."""
        if pool is self._pool:
            return
        from pytest_llmdiff.data.probes import make_probe

        asked = [self._plan.asked_for(make_probe(prompt)) for prompt in pool.prompts]
        outcomes = self._generation.outcomes([request for _, request in asked])
        found: dict[str, Comparison] = {}
        self._pool, self._pooled = pool, {}
        for prompt, (probe, request) in zip(pool.prompts, asked, strict=True):
            base, tuned = outcomes["base", request.key], outcomes["tuned", request.key]
            if base.reply is None or tuned.reply is None:
                continue  # its own test raises the error
            original = None if prompt.original is None else found.get(prompt.original)
            comparison = replace(self._comparison(probe, base, tuned), original=original)
            found[prompt] = self._pooled[request] = comparison

    def members(self, probes: Sequence[Probe]) -> Iterator[Comparison | Unanswered]:
        """The members of a test's set in order; each probe is repeated `samples` times."""
        repeats = (repeat for probe in probes for repeat in self._plan.repeats(probe))
        return self._each(repeats, None)  # the plan knows how many follow

    def compare_set(self, probes: Sequence[Probe]) -> Iterator[Comparison]:
        """As `members`.

        Raises:
            ProbeError: a model cannot answer one of them.
        """
        return map(_answered, self.members(probes))

    def compare_each(self, probes: Iterable[Probe], count: int | None) -> Iterator[Comparison]:
        """Comparisons in order, a window at a time; `count` is their number, if known.

        Raises:
            ProbeError: a model cannot answer one of them.
        """
        return map(_answered, self._each(probes, count))

    def _each(
        self, probes: Iterable[Probe], count: int | None
    ) -> Iterator[Comparison | Unanswered]:
        rest, done = iter(probes), 0
        for size in self._generation.strides():
            window = list(islice(rest, size))
            if not window:
                return
            if count is not None:
                self._generation.expect(count - done)
            yield from self._compare(window)
            done += len(window)

    def read(self, probes: Sequence[Probe]) -> list[Comparison]:
        """Comparisons for texts that both models read and do not answer: the last message of each
        probe."""
        silent = Reply(text="")
        asked = [self._plan.with_system(p) if len(p.messages) > 1 else p for p in probes]
        found = [Comparison(probe=p, base=silent, tuned=silent, run=self._run) for p in asked]
        self._together = {self.request(comparison): comparison for comparison in found}
        return found

    def request(self, comparison: Comparison) -> Request:
        return self._plan.asked_for(comparison.probe)[1]

    def near(self, comparisons: Sequence[Comparison]) -> Iterator[Comparison]:
        """All comparisons in the windows of the given ones, each once."""
        seen: set[Request] = set()
        for comparison in comparisons:
            request = self.request(comparison)
            if request not in seen:
                window = self._window(comparison, request)
                seen.update((request,), window)
                yield from window.values()

    def _window(self, comparison: Comparison, request: Request) -> dict[Request, Comparison]:
        """All planned comparisons in the window of one, if both replies are stored. If its prompt
        was not planned: the comparisons that were made together with it."""
        if request in self._pooled:
            return self._pooled
        planned = self._plan.planned
        if request not in planned:
            known = self._together.get(request) == comparison
            return self._together if known else {request: comparison}
        window = self._generation.window_requests(request)
        outcomes = self._generation.windows.stored(window)
        found = {}
        for request in window:
            base, tuned = (outcomes.get((side, request.key)) for side in SIDES)
            if base is not None and tuned is not None and base.reply and tuned.reply:
                probe = planned.get(request, comparison.probe)
                found[request] = self._comparison(probe, base, tuned)
        return found


def _reply(generated: Generated, side: str) -> Reply:
    if generated.reply is None:
        from pytest_llmdiff.errors import ProbeError

        raise ProbeError(_reason(generated, side))
    return generated.reply


def _reason(generated: Generated, side: str) -> str:
    return f"the {side} model cannot answer this probe: {generated.error}"


def _answered(member: Comparison | Unanswered) -> Comparison:
    if isinstance(member, Comparison):
        return member
    from pytest_llmdiff.errors import ProbeError

    raise ProbeError(member.reason)
