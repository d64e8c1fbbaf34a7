"""From the options `embedder`, `toxicity` and `refusal` to scorers. A scorer that is missing is an
error with instructions, never replaced by another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_llmdiff.config.hub import Repository, offline
from pytest_llmdiff.errors import ConfigError, did_you_mean
from pytest_llmdiff.scorers import Scorer
from pytest_llmdiff.scorers.registry import KNOWN, Context, ScorerKind, given_as, kind_of
from pytest_llmdiff.store import Store


def check_scorer(role: str, spec: str, folder: Path) -> None:
    """Refuse a SPEC of an unknown form, or one whose files show that it cannot work.

    Raises:
        ConfigError: the form is unknown.
        ScorerError: a classifier has no label of the given name.
    """
    _required_kind(role, spec).check(spec, folder)


def open_scorer(
    role: str, spec: object, *, folder: Path, store: Store, device: Callable[[], str]
) -> Scorer:
    """The scorer of a role (`scorers/registry.py`), from its SPEC or from an object.

    Raises:
        ConfigError: the form is unknown.
        ScorerError: a file cannot be fetched; the message names it and what to do.
    """
    if not isinstance(spec, str):
        if isinstance(spec, Scorer):
            return spec
        from pytest_llmdiff.scorers.custom import scorer_of_object

        return scorer_of_object(role, spec)
    check_scorer(role, spec, folder)
    context = Context(role=role, folder=folder, store=store, device=device)
    return _required_kind(role, spec).open_scorer(spec, context)


def fetch(role: str, spec: str, folder: Path) -> None:
    """Bring the files of a scorer here and look for its packages. Nothing is loaded.

    Raises:
        LLMDiffError: something is missing; the message names it and what to do.
    """
    check_scorer(role, spec, folder)
    _required_kind(role, spec).fetch(spec, role, folder)


def to_download(role: str, spec: str, folder: Path) -> Repository | str | None:
    """A scorer's repository on the hub, or about how much opening it downloads from elsewhere, such
    as "1.1 GB"; None if its files are here, or if nothing may be downloaded. Asks no server."""
    kind = None if offline() else kind_of(role, spec)
    return None if kind is None else kind.to_download(spec, folder)


def named_languages(role: str, spec: object) -> Sequence[str] | None:
    """The languages that a scorer's name implies, without opening it: a replay has no scorer."""
    kind = kind_of(role, spec) if isinstance(spec, str) else None
    return None if kind is None else kind.named_languages(str(spec))


def _required_kind(role: str, spec: str) -> ScorerKind:
    kind = kind_of(role, spec)
    if kind is None and role in ("refusal", "score"):
        own = "patterns, " if role == "refusal" else ""
        raise ConfigError(
            f"{given_as(role)}: {spec!r} is not {own}hf:LOCATION#LABEL or "
            f"python:module:object{did_you_mean(spec, KNOWN[role])}"
        )
    if kind is None:
        from pytest_llmdiff.scorers.detoxify import VARIANTS

        raise ConfigError(
            f"--llmdiff-{role}: {spec!r} is not detoxify:VARIANT (one of {', '.join(VARIANTS)}), "
            "detoxify:CHECKPOINT[#CONFIG_FOLDER], hf:LOCATION[#LABEL], profanity-check or "
            f"python:module:object{did_you_mean(spec, KNOWN[role])}"
        )
    return kind
