"""The plan of a run: its probes, their requests, and windows of requests.

Everything here is deterministic, so all workers make the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice, takewhile

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.probes import Probe, repeats, with_system
from pytest_llmdiff.data.requests import Request, request_of

# The first window is small, so that the first verdict comes early. Later windows grow, because at
# the end of each one the batch is only partly filled.
WINDOW = 64
LARGEST = 256


Window = tuple[Request, ...]


def cut_windows(
    requests: Iterable[Request], sizes: Iterable[int] | None = None
) -> tuple[Window, ...]:
    """Windows of distinct requests in test order, the longest first inside a window.

    Longest first puts similar lengths into one batch, and a lack of memory shows at once.
    """
    rest = iter(dict.fromkeys(requests))
    cuts = (list(islice(rest, size)) for size in (growing() if sizes is None else sizes))
    return tuple(
        tuple(sorted(cut, key=lambda r: (-r.size, r.key))) for cut in takewhile(bool, cuts)
    )


def growing(largest: int = LARGEST) -> Iterator[int]:
    """Endless window sizes, doubling from `WINDOW` to `largest`."""
    size = WINDOW
    while True:
        yield size
        size = min(2 * size, largest)


class Plan:
    """The expected probes of a run, in the order of their tests, and the requests for them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._expected: list[Probe] = []

    def expect(self, probes: Sequence[Probe]) -> None:
        """Add probes to the plan. Called after deselection."""
        self._expected += probes

    @cached_property
    def planned(self) -> dict[Request, Probe]:
        """Each request of the plan with its first probe.

        Computed when the first test needs a reply: a run that only collects does not need it.
        """
        found: dict[Request, Probe] = {}
        for probe, request in self._asked.values():
            found.setdefault(request, probe)
        return found

    def asked_for(self, probe: Probe) -> tuple[Probe, Request]:
        """The probe with the run's system prompt, and its request."""
        return self._asked.get(id(probe)) or self._ask(probe)

    def repeats(self, probe: Probe) -> list[Probe]:
        """The probe once for each sample of a set."""
        s = self._settings
        return repeats(probe, s.samples, seed=s.seed, temperature=s.temperature)

    def with_system(self, probe: Probe) -> Probe:
        return with_system(probe, self._settings.system)

    @cached_property
    def _asked(self) -> dict[int, tuple[Probe, Request]]:
        """By the identity of the expected probe: `_expected` keeps it alive."""
        return {id(expected): self._ask(expected) for expected in self._expected}

    def _ask(self, probe: Probe) -> tuple[Probe, Request]:
        probe = self.with_system(probe)
        return probe, request_of(probe, self._settings)
