"""What a run asks for its probes: the requests, and which probe of the plan asks for each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from pytest_llmdiff.planning import Request, request_of
from pytest_llmdiff.probes import Probe, repeats, with_system
from pytest_llmdiff.settings import Settings


class Asking:
    """The expected probes of a run, in the order of their tests, and the requests for them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._expected: list[Probe] = []

    def expect(self, probes: Sequence[Probe]) -> None:
        """Take probes into the plan. Called after deselection."""
        self._expected += probes

    @cached_property
    def planned(self) -> dict[Request, Probe]:
        """Each request of the plan with the first probe that asks for it.

        Made when the first test needs a reply: a run that only collects has no use for it.
        """
        found: dict[Request, Probe] = {}
        for probe, request in self._asked.values():
            found.setdefault(request, probe)
        return found

    def asked_for(self, probe: Probe) -> tuple[Probe, Request]:
        """The probe with the run's system prompt, and its request."""
        return self._asked.get(id(probe)) or self._ask(probe)

    def repeats(self, probe: Probe) -> list[Probe]:
        """The probe as often as a set asks it."""
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
