"""From the options `embedder`, `toxicity` and `refusal` to scorers. A scorer that is missing is an
error with instructions, never replaced by another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.scorers import Scorer
from pytest_llmdiff.scorers.registry import Context, ScorerKind, kind_of
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
    """The scorer of a role (`embedder`, `toxicity`, `refusal`), from its SPEC or from an object.

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


def named_languages(role: str, spec: object) -> Sequence[str] | None:
    """The languages that a scorer's name implies, without opening it: a replay has no scorer."""
    kind = kind_of(role, spec) if isinstance(spec, str) else None
    return None if kind is None else kind.named_languages(str(spec))


def _required_kind(role: str, spec: str) -> ScorerKind:
    kind = kind_of(role, spec)
    if kind is None and role == "refusal":
        raise ConfigError(
            f"--llmdiff-refusal: {spec!r} is not patterns, hf:LOCATION#LABEL or "
            "python:module:object"
        )
    if kind is None:
        from pytest_llmdiff.scorers.detoxify import VARIANTS

        raise ConfigError(
            f"--llmdiff-{role}: {spec!r} is not detoxify:VARIANT (one of {', '.join(VARIANTS)}), "
            "detoxify:CHECKPOINT[#CONFIG_FOLDER], hf:LOCATION[#LABEL], profanity-check or "
            "python:module:object"
        )
    return kind
