"""Several tuned models of one run, each checked beside the base."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_llmdiff.config.tuned_models import names_of
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.plugin.preparation.models import complete

if TYPE_CHECKING:
    from pytest_llmdiff.config.settings import Settings
    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.plugin.session import Session


@dataclass(frozen=True, kw_only=True)
class TunedModel:
    """One of several tuned models of a run, by its name in the ids of tests, with the settings and
    the SPECs of the base and itself."""

    name: str
    settings: Settings
    specs: tuple[Spec, Spec]


def all_models(session: Session) -> tuple[TunedModel, ...]:
    """Each of several tuned models, checked.

    Raises:
        ConfigError: they are of different bases.
    """
    given, found = session.settings, list[TunedModel]()
    for name, tuned in zip(names_of(given.several), given.several, strict=True):
        session.settings = replace(given, tuned=tuned)
        complete(session)
        assert session.specs is not None
        found.append(TunedModel(name=name, settings=session.settings, specs=session.specs))
    session.notes = list(dict.fromkeys(session.notes))
    session.warnings = list(dict.fromkeys(session.warnings))
    bases = {replace(model.specs[0], text="", note=""): model for model in found}
    if len(bases) > 1:
        one, other, *_ = bases.values()
        raise ConfigError(
            f"--llm-tuned: {one.settings.tuned} is of the base {one.settings.base}, and "
            f"{other.settings.tuned} of {other.settings.base}; tuned models can be compared over "
            "one base: give it as --llm-base, or run them one by one"
        )
    return tuple(found)
