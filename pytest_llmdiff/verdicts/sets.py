"""Sets of comparisons, and samples: the values of one measure over a set."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

from pytest_llmdiff.data.comparison import (
    Comparison,
    Measurement,
    Run,
    Unanswered,
    against_accepted,
)
from pytest_llmdiff.data.notebook import Displayed
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.errors import ConfigError, ProbeError
from pytest_llmdiff.store import content_key
from pytest_llmdiff.verdicts.metric import Metric, check_answered
from pytest_llmdiff.verdicts.views import View

# Of a metric whose comparisons stand for several: the one that reports show for a measurement.
Shown = Callable[[Comparison, Measurement], Comparison]

STREAMED = 1024  # comparisons that are held in memory and measured together
NAMED = 200  # members whose values are in the reports
WORST = 20  # members of a set that are kept with their replies


class SetRun(Run, Protocol):
    """A run that makes comparisons."""

    def compare_set(self, probes: Sequence[Probe]) -> Iterator[Comparison]:
        """Comparisons in order, repeats of a probe one after the other.

        Raises:
            ProbeError: a model cannot answer one of them.
        """

    def members(self, probes: Sequence[Probe]) -> Iterator[Comparison | Unanswered]:
        """As `compare_set`, with what a model cannot answer in its place."""


@dataclass(frozen=True, kw_only=True)
class Comparisons(Displayed):
    """The comparisons of a test's probes. They are made lazily while iterating; a second iteration
    takes the replies from the store.

    `scope` names the tags that the set was restricted to.
    """

    probes: tuple[Probe, ...]
    run: SetRun = field(repr=False)
    scope: str = ""

    def __repr__(self) -> str:
        scope = f", tagged {self.scope}" if self.scope else ""
        first = f": {self.probes[0]!r}, …" if self.probes else ""
        return f"<{len(self.probes)} comparisons{scope}{first}>"

    def __iter__(self) -> Iterator[Comparison]:
        return self.run.compare_set(self.probes)

    def members(self) -> Iterator[Comparison | Unanswered]:
        """The comparisons as a judge needs them: with what a model cannot answer in its place."""
        return self.run.members(self.probes)

    def __len__(self) -> int:
        """The number of probes."""
        return len(self.probes)

    def tagged(self, *tags: str) -> Comparisons:
        """The comparisons whose probe has any of the tags.

        Raises:
            ConfigError: no probe has one; nothing would be judged.
        """
        probes = tuple(probe for probe in self.probes if not set(tags).isdisjoint(probe.tags))
        if not probes:
            known = sorted({tag for probe in self.probes for tag in probe.tags})
            raise ConfigError(
                f"no probe of this set has the tag {' or '.join(map(repr, tags))}; there are "
                f"{', '.join(map(repr, known)) or 'no tags at all'}"
            )
        # A subset of a subset has a scope of its own.
        scopes = (self.scope, "+".join(tags))
        return replace(self, probes=probes, scope="&".join(filter(None, scopes)))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The values of one measure over a set, in order; None if a member could not be judged.

    `unsupported` counts the latter by reason; `least` has the known lower bounds of their values,
    or None. `clusters` names the question of each member, since paraphrases of a question and
    repeats of a prompt are not independent evidence. `support` is the smallest and largest possible
    value, `unseen` the range of values that the sample may have missed. `worst` are the highest
    values with their comparisons, highest first. `names` are the ids of the first members, for the
    reports. `digest` identifies the probes, in any order.
    `run` is the run of the comparisons. `dense` is that of the view. `unanswered` has the reasons
    of the members that a model could not answer, which are among those that could not be judged.
    """

    name: str
    unit: str
    support: tuple[float, float]
    unseen: tuple[float, float] | None = None
    values: Sequence[float | None]
    clusters: Sequence[str]
    unsupported: Mapping[str, int]
    worst: Sequence[tuple[float, Comparison]]
    digest: str
    names: Sequence[str] = ()
    dense: bool = False
    least: Sequence[float | None] = ()
    unanswered: Sequence[str] = ()
    run: Run | None = field(default=None, repr=False)


def digest_of(digests: Iterable[str]) -> str:
    return content_key(sorted(digests))[:12]


def gather(
    metric: Metric, subject: Iterable[Comparison], views: Sequence[View]
) -> tuple[Sample, ...]:
    """One sample for each view of a metric's measurements, in one pass over the set.

    What a model cannot answer is a member that could not be judged.

    Raises:
        ConfigError: the set is empty.
        ProbeError: no member is answered.
    """
    shown: Shown = getattr(metric, "shown", _itself)
    found = [_SampleBuilder(view, shown) for view in views]
    clusters: list[str] = []
    digests: list[str] = []
    names: list[str] = []
    run: Run | None = None
    rest = subject.members() if isinstance(subject, Comparisons) else iter(subject)
    unanswered: list[str] = []
    while members := list(islice(rest, STREAMED)):
        run = members[0].run
        clusters += (member.probe.question for member in members)
        digests += (member.probe.digest for member in members)
        names += (member.probe.id for member in members[: NAMED - len(names)])
        part = [member for member in members if not isinstance(member, Unanswered)]
        unanswered += (member.reason for member in members if isinstance(member, Unanswered))
        check_answered(metric, part)
        measured = iter(enumerate(metric.measure(part) if part else ()))
        expected = _against_accepted(metric, part) if any(v.relative for v in views) else {}
        for member in members:
            if isinstance(member, Unanswered):
                for builder in found:
                    builder.skip(member.reason)
                continue
            number, m = next(measured)
            for builder in found:
                wanted = builder.view.relative
                builder.take(member, expected.get(number, m) if wanted else m)
    if not digests:
        raise ConfigError("the set is empty: there is no comparison to judge")
    if len(unanswered) == len(digests):
        raise ProbeError(unanswered[0])
    digest = digest_of(digests)
    samples = (builder.sample(clusters, digest, run) for builder in found)
    return tuple(replace(sample, unanswered=unanswered, names=names) for sample in samples)


def _against_accepted(metric: Metric, part: Sequence[Comparison]) -> dict[int, Measurement]:
    """The measurements against accepted replies, by position in the part."""
    places = [number for number, comparison in enumerate(part) if comparison.accepted is not None]
    measured = metric.measure([against_accepted(part[place]) for place in places])
    return dict(zip(places, measured, strict=True))


def _itself(comparison: Comparison, _: Measurement) -> Comparison:
    return comparison


class _SampleBuilder:
    def __init__(self, view: View, shown: Shown) -> None:
        self.view = view
        self._shown = shown
        self._name = self._unit = ""
        self._values: list[float | None] = []
        self._least: list[float | None] = []
        self._unsupported: Counter[str] = Counter()
        self._worst: list[tuple[float, int, Comparison]] = []

    def take(self, comparison: Comparison, measurement: Measurement) -> None:
        m = self.view.of(measurement)
        self._name, self._unit = m.name, m.unit
        if m.unsupported is not None:
            self.skip(m.unsupported, m.least)
            return
        self._values.append(m.value)
        self._least.append(None)
        badness = math.inf if math.isnan(m.value) else m.value
        # Of equal values, the first stays.
        entry = (badness, -len(self._values), self._shown(comparison, m))
        if len(self._worst) < WORST:
            heapq.heappush(self._worst, entry)
        elif entry > self._worst[0]:
            heapq.heapreplace(self._worst, entry)

    def skip(self, reason: str, least: float | None = None) -> None:
        """Take a member that cannot be judged."""
        self._values.append(None)
        self._least.append(least)
        self._unsupported[reason] += 1

    def sample(self, clusters: Sequence[str], digest: str, run: Run | None) -> Sample:
        worst = sorted(self._worst, key=lambda entry: entry[:2], reverse=True)
        return Sample(
            name=self._name,
            unit=self._unit,
            support=self.view.support,
            unseen=self.view.unseen,
            values=self._values,
            clusters=clusters,
            unsupported=self._unsupported,
            worst=[(badness, comparison) for badness, _, comparison in worst],
            digest=digest,
            run=run,
            dense=self.view.dense,
            least=self._least,
        )
