"""Scorers written by the user: an object, or `python:module:object`."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import called, load_object
from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.data.text.language.unjudged import rules, unjudged
from pytest_llmdiff.errors import ConfigError, ScorerError
from pytest_llmdiff.scorers import Embedding, Scorer
from pytest_llmdiff.scorers.embedding import EMPTY, distances, embeddings
from pytest_llmdiff.scorers.registry import Context, given_as
from pytest_llmdiff.store import content_key

SLACK = 1e-6  # by how much rounding may carry a score beyond 0 or 1


def check(_spec: str, _folder: Path) -> None:
    """The object is loaded when it is used: a recording needs none."""


def named_languages(_spec: str) -> Sequence[str] | None:
    return None


def to_download(_spec: str, _folder: Path) -> None:
    """Nothing."""


def fetch(spec: str, role: str, _folder: Path) -> None:
    module = spec.removeprefix("python:").partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # of a parent package
        found = None
    if found is None:
        raise ConfigError(
            f"{given_as(role)}: {spec}: there is no module {module!r}; is its folder in pytest's "
            "`pythonpath` setting?"
        )


def open_scorer(spec: str, context: Context) -> Scorer:
    option = given_as(context.role)
    found = load_object(spec.removeprefix("python:"), what=option)
    if isinstance(found, type):
        found = called(found, what=f"{option}: {spec}", error=ScorerError)
    return _scorer(context.role, found, name=spec, identity=_source_hash(spec, found))


def scorer_of_object(role: str, given: object) -> Scorer:
    """The scorer over an object of a test. Its scores are not reused in a later run, since two
    functions of one test file are different scorers."""
    return _scorer(role, given, name=type(given).__name__, identity=uuid.uuid4().hex)


def _scorer(role: str, given: Any, *, name: str, identity: str) -> Scorer:
    if role == "embedder":
        if not callable(getattr(given, "encode", None)):
            raise ConfigError(f"the embedder {name} needs a method encode(texts)")
        return CustomEmbedder(name=name, encoder=given, identity=identity)
    if not callable(getattr(given, "score", given)):
        raise ConfigError(f"the scorer {name} must be callable with a list of texts")
    return CustomScorer(name=name, scorer=given, identity=identity, role=role)


def _source_hash(spec: str, found: Any) -> str:
    """Content hash of the source files of a named object: the one that defines it, and the module
    that names it, which may only configure something imported (`functools.partial`, a library's
    class)."""
    try:
        defined = inspect.getsourcefile(found if inspect.isroutine(found) else type(found))
    except TypeError:
        defined = None
    module = sys.modules[spec.removeprefix("python:").partition(":")[0]]
    files = {defined, getattr(module, "__file__", None)} - {None}
    sources = sorted(
        Path(str(file)).read_text(encoding="utf-8", errors="replace") for file in files
    )
    return content_key([*sources, repr(type(found))])


def _refused(given: Any, text: str, *, any_language: bool = False) -> str | None:
    """Why a user's object does not judge a text, or None: it says so itself, or the text is in none
    of the languages that it declares."""
    judge = getattr(given, "unsupported", None)
    if judge is not None and (reason := judge(text)) is not None:
        return str(reason)
    languages = getattr(given, "languages", None)
    return unjudged(text, languages) if languages and not any_language else None


@dataclass
class CustomScorer:
    """A scorer written by the user: a callable, or an object with `score`, that takes a list of
    texts and returns a list of numbers from 0 to 1. None means that it cannot judge a text.

    It may define `unsupported(text) -> str | None`, `languages` (codes such as "en"; texts in other
    languages are not judged), and `fingerprint() -> str` where its results can change while its
    source file does not.
    """

    name: str
    scorer: Any
    identity: str
    role: str = "toxicity"

    @property
    def languages(self) -> Sequence[str] | None:
        found: Sequence[str] | None = getattr(self.scorer, "languages", None)
        return found

    def fingerprint(self) -> str:
        own = getattr(self.scorer, "fingerprint", None)
        return content_key(["custom", self.name, self.identity, own() if own else None, rules()])

    def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Score]:
        texts = [text for (text,) in inputs]
        call = getattr(self.scorer, "score", self.scorer)
        given = call(texts) if texts else []
        if not isinstance(given, Iterable) or isinstance(given, (str, Mapping)):
            raise ScorerError(f"the scorer {self.name} returned {given!r}, not a list of scores")
        values = list(given)
        if len(values) != len(texts):
            raise ScorerError(
                f"the scorer {self.name} returned {len(values)} scores for {len(texts)} texts"
            )
        return [
            self._one(value, _refused(self.scorer, text))
            for text, value in zip(texts, values, strict=True)
        ]

    def _one(self, value: Any, reason: str | None) -> Score:
        if reason is None and value is None:
            reason = f"the scorer {self.name} returned no score"
        if reason is not None:
            return Score(value=None, unsupported=reason)
        named = value if isinstance(value, Mapping) else {self.role: value}
        try:
            numbers = {str(key): float(number) for key, number in named.items()}
            number = numbers[self.role]
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise ScorerError(
                f"the scorer {self.name} returned {value!r}, neither a number nor a mapping of "
                f"numbers with the key {self.role}"
            ) from error
        # `assert_score` knows the range of a test's own score.
        if self.role != "score" and not -SLACK <= number <= 1 + SLACK:
            raise ScorerError(f"the scorer {self.name} returned {number}; a score is from 0 to 1")
        return Score(value=number, details=numbers if named is value else {})


@dataclass
class CustomEmbedder:
    """An embedder written by the user: `encode(list of texts)` returns one vector for each text.

    It may define `unsupported(text) -> str | None`, `languages` (codes such as "en"; texts in other
    languages are not judged), and `fingerprint() -> str` where its results can change while its
    source file does not.
    """

    name: str
    encoder: Any
    identity: str

    @property
    def languages(self) -> Sequence[str] | None:
        found: Sequence[str] | None = getattr(self.encoder, "languages", None)
        return found

    def fingerprint(self) -> str:
        own = getattr(self.encoder, "fingerprint", None)
        return content_key(["embedder", self.name, self.identity, own() if own else None, rules()])

    def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Score]:
        return distances(inputs, self.embed)

    def embed(
        self,
        texts: Sequence[str],
        *,
        cut: bool = False,
    ) -> list[Embedding]:
        reasons = [
            EMPTY if not text.strip() else _refused(self.encoder, text, any_language=cut)
            for text in texts
        ]
        readable = [text for text, reason in zip(texts, reasons, strict=True) if reason is None]
        try:
            given = self.encoder.encode(readable) if readable else []
            found = [[float(x) for x in vector] for vector in given]
        except (TypeError, ValueError, OverflowError) as error:
            raise ScorerError(
                f"the embedder {self.name} returned no list of vectors: {error}"
            ) from error
        if len({len(vector) for vector in found}) > 1:
            raise ScorerError(f"the embedder {self.name} returned vectors of different lengths")
        if len(found) != len(readable):
            raise ScorerError(
                f"the embedder {self.name} returned {len(found)} vectors for {len(readable)} texts"
            )
        return embeddings(reasons, found)
