"""The models that a run is given: found, completed by files of a training, and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pytest_llmdiff.config.given import runs_tests
from pytest_llmdiff.config.places import require_apart
from pytest_llmdiff.config.settings import models_typed, require_both
from pytest_llmdiff.errors import ConfigError, LLMDiffError, MissingPackageError
from pytest_llmdiff.suites.arguments import is_suite, modules_of

if TYPE_CHECKING:
    from pytest_llmdiff.config.settings import Settings
    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.plugin.allowed import AllowedChanges
    from pytest_llmdiff.plugin.session import Session


def add_models(session: Session) -> None:
    """Give a session the models of its settings.

    Where they are given for every run (in `addopts`), or pytest only lists tests, models that are
    unusable are an error only once a selected test needs them.

    Raises:
        LLMDiffError: they are unusable.
    """
    try:
        require_both(session.settings)
        if session.settings.several:
            from pytest_llmdiff.plugin.preparation.several import all_models

            session.models = all_models(session)
            session.use(session.models[0])
        else:
            complete(session)
    except LLMDiffError as error:
        if isinstance(error, MissingPackageError):
            from pytest_llmdiff.plugin.preparation.needs import with_scorers

            error = ConfigError(with_scorers(error, session.settings))
        asked = models_typed(session.config) and runs_tests(session.config)
        if asked or session.settings.plan:
            raise error from None
        session.specs, session.served, session.unusable = None, None, error
        session.models = ()


def complete(session: Session) -> None:
    """Find the base if it is not given, and check both models.

    Raises:
        LLMDiffError: they are unusable.
    """
    if session.settings.is_incomplete:
        from pytest_llmdiff.data.training.models import named_models

        named = named_models(session.settings)
        session.settings = named.settings
        session.notes += named.notes
    if session.settings.has_models:
        if any(map(is_suite, modules_of(session.config))):
            from pytest_llmdiff.suites.selection import suite_settings

            session.settings, notes = suite_settings(session.config, session.settings)
            session.notes += notes
        session.specs = checked_specs(session)


class Checked(Protocol):
    """What has its models checked: a session of pytest, or a pair that a script opens."""

    settings: Settings
    served: Spec | None
    notes: list[str]
    warnings: list[str]

    @property
    def worker(self) -> bool: ...
    @property
    def allowed(self) -> AllowedChanges: ...


def checked_specs(session: Checked) -> tuple[Spec, Spec]:
    from pytest_llmdiff.config.specs import FILE_KINDS, given_tokenizer, parse_spec
    from pytest_llmdiff.engines.spec_checks import check_judge, check_pair, check_served

    settings = session.settings

    def parsed(side: str, text: str | None) -> Spec:
        return parse_spec(text or "", option=f"--llm-{side}", folder=settings.folder_of(side))

    base, tuned = parsed("base", settings.base), parsed("tuned", settings.tuned)
    session.notes += [f"{spec.text} is {spec.note}" for spec in (base, tuned) if spec.note]
    check_pair(base, tuned, settings)
    if settings.calibrating:
        from pytest_llmdiff.engines.noise import check_noise

        check_noise(base)
        tuned = base
    if settings.served is not None:
        session.served = parsed("served", settings.served)
        check_served(session.served, base, settings)
    served = None if session.served is None else session.served.path
    require_apart(vars(settings), {"base": base.path, "tuned": tuned.path, "served": served})
    session.allowed.check_files()
    given = {"toxicity": settings.toxicity, "refusal": settings.refusal}
    for role, name in given.items():
        if settings.sources.get(role) != "default" and name != "patterns":
            from pytest_llmdiff.scorers.opening import check_scorer

            check_scorer(role, name, settings.folder_of(role))
    if settings.judge is not None:
        check_judge(settings)
    if settings.labels is not None:
        from pytest_llmdiff.data.files.label_file import read_labels

        read_labels(settings.labels)  # a fault is told before the models are asked anything
    if settings.template is not None:
        from pytest_llmdiff.engines.files.sources import given_template

        given_template(settings)
    given_tokenizer(settings)
    check_training(session)
    if {base.kind, tuned.kind} <= set(FILE_KINDS):
        from pytest_llmdiff.data.training.adapter_base import other_base
        from pytest_llmdiff.engines.files.sources import template_note

        notes = [template_note(base, tuned, settings), other_base(base, tuned)]
        session.notes += filter(None, notes)
    return base, tuned


def check_training(session: Checked) -> None:
    settings = session.settings
    if settings.train_config is not None:
        from pytest_llmdiff.data.training.training import given_training

        given_training(settings)
    if settings.train_data is not None and not session.worker:
        from pytest_llmdiff.data.training.training import given_train_data

        # Reads all of it, which the controller does for its workers.
        data = given_train_data(settings)
        session.warnings += [] if data is None else data.left_out()
