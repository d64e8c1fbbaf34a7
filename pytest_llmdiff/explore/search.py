"""The search: prompts from all sources, more of those that differ, and themes of what changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.errors import ConfigError, LLMDiffError
from pytest_llmdiff.explore.judging import judged
from pytest_llmdiff.explore.lens import read_lens, words_of_turns
from pytest_llmdiff.explore.marks import marks_of
from pytest_llmdiff.explore.observing import LONG, SHORT, Observer
from pytest_llmdiff.explore.prompts import AMPLIFIED, OWN, Prompts
from pytest_llmdiff.explore.themes import Changed, themes_of
from pytest_llmdiff.explore.values import Exploration, Lens, Noise, Observed, Theme
from pytest_llmdiff.explore.words import bag

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmdiff.data.probes import Probe
    from pytest_llmdiff.explore.run import ExploreRun

# Share of the budget that goes evenly to all sources; the rest is spent in rounds, each on half as
# many prompts as the one before (successive halving, Jamieson & Talwalkar 2016).
EVENLY = 0.4
SEEDS = (16, 8, 4)
SOURCES_KEPT = 0.5  # of a round, for the sources whose prompts differ most
READ = 100  # prompts whose whole replies are compared, at most
READ_SHARE = 0.4  # of all prompts, at most
WINDOW = 64


class Search:
    """One exploration."""

    def __init__(
        self,
        run: ExploreRun,
        *,
        seed: int,
        log: Path | None,
        minutes: float | None,
        progress: Callable[[int], object],
    ) -> None:
        if "replay" in {spec.kind for spec in run.specs}:
            raise ConfigError("explore asks new prompts, which no recording has: give the models")
        self._run = run
        self._seed = seed
        self._progress = progress
        self._started = time.monotonic()
        self._until = None if minutes is None else self._started + 60 * minutes
        self._notes: list[str] = []
        self._prompts = Prompts(run, seed=seed, log=log, note=self._note)
        self._observer = Observer(run, self._note)
        self._observed: list[Observed] = []
        self._first = 0  # of those: spent evenly, whatever differed

    def explored(self, budget: int, accept: Sequence[str] = ()) -> Exploration:
        self._progress(0)
        sources = self._prompts.sources()
        self._evenly(sources, round(EVENLY * budget))
        self._first = len(self._observed)
        for number, count in enumerate(SEEDS):
            rest = budget - len(self._observed)
            self._round(sources, rest // (len(SEEDS) - number), count)
        if self._observer.unanswered:
            self._note(self._observer.unanswered)
        if not self._observed:
            reasons = "; ".join(self._notes) or "no source has any"
            raise ConfigError(f"no prompt was answered: {reasons}")
        if not sources:
            self._note(f"the sources have no more prompts, so that fewer than {budget} were tried")
        # Of prompts that do not depend on the tuned model, so that the next one finds it stored.
        alike = [o for o in self._observed[: self._first] if o.source != AMPLIFIED]
        noise = self._observer.noise(alike or self._observed)
        differing = [o for o in self._observed if o.score > noise.limit]
        named = self._with_drifts(self._themes(differing, noise), noise)
        found = self._accepted(named, accept)
        themes = tuple(judged(found, self._run, self._note))
        return Exploration(
            themes=themes,
            lens=self._lens(),
            noise=noise,
            unit=self._observer.unit,
            tried=len(self._observed),
            differing=len(differing),
            median=median(o.score for o in self._observed),
            sources=self._by_source(noise),
            notes=tuple(self._notes),
            seconds=time.monotonic() - self._started,
            tokens=SHORT,
            base=str(self._run.settings.base),
            tuned=str(self._run.settings.tuned),
            seed=self._seed,
            observed=tuple(self._observed),
        )

    def _lens(self) -> Lens:
        amplified, own = (
            [o.probe.prompt for o in self._observed if o.source == name]
            for name in (AMPLIFIED, OWN)
        )
        found = read_lens(self._run, seed=self._seed)
        return replace(found, turns=words_of_turns(amplified, own))

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def _late(self) -> bool:
        late = self._until is not None and time.monotonic() > self._until
        if late:
            self._note("the time ran out: with more minutes, the same command goes on from here")
        return late

    def _observe(self, probes: Sequence[Probe]) -> None:
        rest = iter(probes)
        while (window := list(islice(rest, WINDOW))) and not self._late():
            self._observed += self._observer.observe(window)
            self._progress(len(self._observed))

    def _evenly(self, sources: dict[str, Iterator[Probe]], count: int) -> None:
        """Prompts of the sources in turn. A source that has no more is removed."""
        chosen: list[Probe] = []
        while len(chosen) < count and sources:
            for name in list(sources):
                probe = next(sources[name], None) if len(chosen) < count else None
                if probe is not None:
                    chosen.append(probe)
                elif len(chosen) < count:
                    del sources[name]
        self._observe(chosen)

    def _round(self, sources: dict[str, Iterator[Probe]], count: int, seeds: int) -> None:
        """Half of a round goes to prompts near those that differ most, half to the sources whose
        prompts differ more than those of the others, as long as these have any."""
        if count <= 0 or not self._observed or self._late():
            return
        before = len(self._observed)
        strongest = _unlike(sorted(self._observed, key=lambda o: -o.score), seeds)
        self._observe(self._prompts.near(strongest, round((1 - SOURCES_KEPT) * count)))
        ranked = sorted(sources, key=lambda name: -self._worth(name))
        half = (len(ranked) + 1) // 2
        for names in (ranked[:half], ranked[half:]):
            part = {name: sources[name] for name in names}
            self._evenly(part, before + count - len(self._observed))
            for name in set(names) - set(part):
                del sources[name]

    def _worth(self, source: str) -> float:
        """The mean of the strongest quarter: a source may differ in few of its prompts."""
        scores = sorted((o.score for o in self._observed if o.source == source), reverse=True)
        return fmean(scores[: max(1, len(scores) // 4)]) if scores else 0.0

    def _by_source(self, noise: Noise) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for one in self._observed:
            tried, differing = found.get(one.source, (0, 0))
            found[one.source] = (tried + 1, differing + (one.score > noise.limit))
        return found

    def _themes(self, differing: Sequence[Observed], noise: Noise) -> list[Theme]:
        most = min(READ, max(12, round(READ_SHARE * len(self._observed))))
        chosen = sorted(differing, key=lambda o: -o.score)[:most]
        by_prompt = {one.probe.question: one for one in chosen}
        whole = self._observer.compared([one.probe for one in chosen], LONG)
        pairs = [
            (by_prompt[c.probe.question], c)
            for c in whole
            if c.probe.question in by_prompt and c.base.text != c.tuned.text
        ]
        marks = marks_of([comparison for _, comparison in pairs], self._note)
        changed = [
            Changed(seen=seen, comparison=comparison, marks=own)
            for (seen, comparison), own in zip(pairs, marks, strict=True)
        ]
        return themes_of(changed, self._observed, noise, self._vectors(changed))

    def _vectors(self, changed: Sequence[Changed]) -> Any | None:
        """Unit vectors of the prompts, and of how the replies moved; None without an embedder."""
        if not changed:
            return None
        import numpy as np

        texts = [
            text
            for c in changed
            for text in (c.seen.probe.prompt, c.comparison.base.text, c.comparison.tuned.text)
        ]
        try:
            rows = np.asarray(self._run.scoring.vectors(texts).rows, dtype=np.float64)
        except LLMDiffError as error:
            reason = str(error).partition(". ")[0]
            self._note(f"prompts are grouped by their words alone: {reason}")
            return None
        prompts, moved = rows[::3], rows[2::3] - rows[1::3]
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        return prompts, moved / np.where(lengths > 0, lengths, 1)

    def _with_drifts(self, themes: Sequence[Theme], noise: Noise) -> list[Theme]:
        if noise.drift is None:
            return list(themes)
        by_prompt = {one.probe.question: one for one in self._observed}
        found = []
        for theme in themes:
            members = [by_prompt[probe.question] for probe in theme.probes]
            drifts = self._observer.drifts([(m.base.text, m.tuned.text) for m in members])
            found.append(replace(theme, drifts=tuple(drifts or ())))
        return found

    def _accepted(self, themes: Sequence[Theme], accept: Sequence[str]) -> tuple[Theme, ...]:
        names = [theme.name for theme in themes]
        if unknown := sorted(set(accept) - set(names)):
            known = ", ".join(names) or "none at all"
            raise ConfigError(
                f"accept: there is no theme {', '.join(unknown)}; the themes are {known}"
            )
        return tuple(replace(theme, accepted=theme.name in accept) for theme in themes)


def _unlike(observed: Sequence[Observed], most: int) -> list[Observed]:
    """The first ones, without those that have most of their words in common with an earlier one."""
    found: list[Observed] = []
    bags: list[frozenset[str]] = []
    for one in observed:
        own = bag(one.probe.prompt)
        if all(2 * len(own & other) <= len(own | other) for other in bags):
            found.append(one)
            bags.append(own)
        if len(found) == most:
            break
    return found
