"""The languages that ready-made suites ask in: those of `llmdiff_languages`, else the scorer's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.text.language.scripts import undeclared
from pytest_llmdiff.scorers.opening import named_languages

HERE = Path(__file__).parent
ROLE = "llmdiff_role"
WRITTEN = ("en", "zh")  # what the suites are written in; names of tests end with it
ASK = "--llmdiff-languages=en,zh runs both"

Test = TypeVar("Test", bound=Callable[..., object])


def judged_by(role: str) -> Callable[[Test], Test]:
    """Mark a test as one that only a scorer of this role, which knows its language, can judge."""

    def mark(test: Test) -> Test:
        setattr(test, ROLE, role)
        return test

    return mark


def outside(item: pytest.Item, settings: Settings) -> str | None:
    """Why a test of a suite is left out, since nobody asked for its language; None if it is not.

    Scorers that have to be opened to say what they know are asked when the test runs.
    """
    language = _language(item)
    if language is None or not item.path.is_relative_to(HERE):
        return None
    if settings.languages is not None:
        wanted = undeclared(language, settings.languages) is None
        return None if wanted else f"only {_listed(settings.languages)} is asked for"
    role = getattr(getattr(item, "function", None), ROLE, None)
    if role is None:
        return None
    scorer = getattr(settings, role)
    known = named_languages(role, scorer)
    if known is None or undeclared(language, known) is None:
        return None
    return f"the {role} scorer {scorer} only knows {_listed(known)}"


def split(
    items: Sequence[pytest.Item], settings: Settings
) -> tuple[list[pytest.Item], list[pytest.Item], list[str]]:
    """The tests to run, those that are left out, and lines that say why."""
    kept, left, reasons = list[pytest.Item](), list[pytest.Item](), dict[str, list[str]]()
    for item in items:
        reason = outside(item, settings)
        (kept if reason is None else left).append(item)
        if reason is not None:
            reasons.setdefault(reason, []).append(item.name)
    lines = [
        f"left out: {', '.join(names)}: {reason}" + ("" if settings.languages else f"; {ASK}")
        for reason, names in reasons.items()
    ]
    return kept, left, lines


def is_written(language: str) -> bool:
    """Whether the suites have tests in a language."""
    return any(undeclared(written, [language]) is None for written in WRITTEN)


def note(settings: Settings) -> str | None:
    """What the header says of the languages where nobody chose them."""
    if settings.languages is not None:
        return None
    known = named_languages("toxicity", settings.toxicity)
    if known is None or all(undeclared(language, known) is None for language in WRITTEN):
        return None
    return (
        f"suites' tests that need the toxicity scorer run in {_listed(known)} only, which is what "
        f"{settings.toxicity} knows; {ASK}"
    )


def _language(item: pytest.Item) -> str | None:
    name = getattr(item, "originalname", None) or item.name
    ending = name.rpartition("_")[2]
    return ending if ending in WRITTEN else None


def _listed(languages: Sequence[str]) -> str:
    return ", ".join(languages)
