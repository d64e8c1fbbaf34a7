"""Where prompts come from. Each source is a stream; the same seed gives the same prompts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmdiff.data.probes import Probe, make_probe, probe_of_row
from pytest_llmdiff.data.text.perturbations import CHINESE, ENGLISH, forms
from pytest_llmdiff.data.text.printing import counted
from pytest_llmdiff.errors import ConfigError, ProbeFileError
from pytest_llmdiff.explore.user_turns import UserTurns
from pytest_llmdiff.explore.words import bag, cosine, weights

if TYPE_CHECKING:
    from pytest_llmdiff.explore.run import ExploreRun
    from pytest_llmdiff.explore.values import Observed

SUITES = ("quick", "retention", "refusal", "robustness", "safety", "format")
LANGUAGES = ("en", "zh")
LONGEST = 2000  # characters of a prompt; longer ones take the time of many
FORMS = 2  # changed forms of a prompt
# Names of sources.
OWN, AMPLIFIED, FORMED = "user turns", "amplified turns", "changed forms"
TEXTS = (".txt", ".log", "")  # endings of logs with a prompt in each line


class Prompts:
    """The prompts of an exploration, each at most once.

    `log` is the user's file, if any. `note` is told of sources that give nothing.

    Raises:
        ConfigError: the log cannot be read.
    """

    def __init__(
        self, run: ExploreRun, *, seed: int, log: Path | None, note: Callable[[str], object]
    ) -> None:
        self._run = run
        self._seed = seed
        self._note = note
        self._seen: set[str] = set()
        self._turns = UserTurns(run, seed=seed, note=note)
        self._logged = [] if log is None else self._log(log)
        self._training = self._trained()
        self._suites = {language: self._suite(language) for language in self._languages()}
        self._weights = weights([bag(p.prompt) for held in self._suites.values() for p in held])

    def sources(self) -> dict[str, Iterator[Probe]]:
        """A stream of fresh prompts by the name of its source; those that are likely to differ
        come first."""
        found: dict[str, Iterator[Probe]] = {
            "training data": iter(self._training),
            "log": iter(self._logged),
            OWN: self._turns.stream(),
            AMPLIFIED: self._turns.amplified(),
            **{f"suites, {language}": iter(held) for language, held in self._suites.items()},
        }
        return {name: self._fresh(name, stream) for name, stream in found.items()}

    def near(self, observed: Sequence[Observed], count: int) -> list[Probe]:
        """Up to `count` fresh prompts like those that were observed: user turns that begin alike,
        prompts of the suites and the training data with the same words, and changed forms."""
        each = max(1, count // max(1, 3 * len(observed)))
        prompts = [seen.probe.prompt for seen in observed]
        turns = self._turns.beginning_like(prompts, 2 * each)
        found: list[Probe] = []
        for prompt, own in zip(prompts, turns, strict=True):
            streams = {
                "nearby turns": iter(own),
                "nearby prompts": self._alike(prompt, 4 * each),
                FORMED: self._forms(prompt),
            }
            for name, stream in streams.items():
                most = FORMS if name == FORMED else each
                found += islice(self._fresh(name, stream), most)
        return found[:count]

    def _fresh(self, source: str, stream: Iterator[Probe]) -> Iterator[Probe]:
        for probe in stream:
            key = " ".join(" ".join(m["content"] for m in probe.messages).lower().split())
            if key and key not in self._seen and len(key) <= LONGEST:
                self._seen.add(key)
                yield _from(source, probe)

    def _log(self, path: Path) -> list[Probe]:
        """The prompts of the log in random order, since a budget may end before the log does."""
        every = logged(path)
        found = [probe for probe in every if _length(probe) <= LONGEST]
        if left := len(every) - len(found):
            self._note(
                f"{counted(left, 'prompt')} of the log left out: longer than {LONGEST} characters"
            )
        random.Random(f"{self._seed} log").shuffle(found)
        return found

    def _languages(self) -> Sequence[str]:
        asked = self._run.settings.languages
        return LANGUAGES if asked is None else [each for each in LANGUAGES if each in asked]

    def _suite(self, language: str) -> list[Probe]:
        found = []
        for suite in SUITES:
            place = files("pytest_llmdiff.suites").joinpath(suite, f"probes-{language}.jsonl")
            for line in place.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                asked = row.get("messages") or row["prompt"]
                if "changed" not in row.get("tags", ()):
                    found.append(make_probe(asked, language=language))
        random.Random(f"{self._seed} {language}").shuffle(found)
        return found

    def _trained(self) -> list[Probe]:
        data = self._run.trained.known_data
        if data is None:
            return []
        found = [
            make_probe([dict(message) for message in example.messages])
            for dataset in data.datasets
            for example in dataset.examples
        ]
        random.Random(f"{self._seed} training").shuffle(found)
        return found

    def _alike(self, prompt: str, most: int) -> Iterator[Probe]:
        own = self._vector(prompt)
        every = [probe for held in (*self._suites.values(), self._training) for probe in held]
        scored = [(cosine(own, self._vector(probe.prompt)), probe) for probe in every]
        ranked = sorted((pair for pair in scored if pair[0] > 0), key=lambda pair: -pair[0])
        return (probe for _, probe in ranked[:most])

    def _vector(self, text: str) -> Mapping[str, float]:
        return {word: self._weights.get(word, 1.0) for word in bag(text)}

    def _forms(self, prompt: str) -> Iterator[Probe]:
        chinese = any("\u4e00" <= character <= "\u9fff" for character in prompt)
        found = forms(prompt, CHINESE if chinese else ENGLISH, seed=self._seed)
        random.Random(f"{self._seed} {prompt}").shuffle(found)
        return (make_probe(form) for _, form in found)


def _length(probe: Probe) -> int:
    return sum(len(message["content"]) for message in probe.messages)


def _from(source: str, probe: Probe) -> Probe:
    return make_probe(
        [dict(message) for message in probe.messages], tags=(source,), language=probe.language,
        any_script=True,
    )  # fmt: skip


def logged(path: Path) -> list[Probe]:
    """The prompts of a log: a probe file, or a text file with a prompt in each line.

    Raises:
        ConfigError: there is no such file, it has no prompt, or it is malformed.
    """
    if not path.is_file():
        raise ConfigError(f"--prompts: there is no file {path}")
    if path.suffix.lower() in TEXTS:
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--prompts: {path} cannot be read as UTF-8 text: {error}") from error
        found = [make_probe(line.strip()) for line in lines if line.strip()]
    else:
        from pytest_llmdiff.data.files.probe_files import probe_rows

        try:
            rows = list(probe_rows(path))
        except ProbeFileError as error:
            raise ConfigError(f"--prompts: {error}") from error
        found = [probe_of_row(row, system=None, tags=(), generation={}) for row in rows]
    if not found:
        raise ConfigError(f"--prompts: {path} has no prompt: give one in each line")
    return found
