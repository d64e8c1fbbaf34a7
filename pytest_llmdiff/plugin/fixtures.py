"""The fixtures. They load nothing before a test uses what they return."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdiff.config.settings import runs_tests
from pytest_llmdiff.plugin.marker import is_ours
from pytest_llmdiff.plugin.session import SESSION, TUNED, Session

if TYPE_CHECKING:
    from pytest_llmdiff.data.comparison import Comparison
    from pytest_llmdiff.explore.run import ExploringPair
    from pytest_llmdiff.measures.wiring.models import Model
    from pytest_llmdiff.verdicts.sets import Comparisons

NO_MODELS = "no models: give --llm-base SPEC --llm-tuned SPEC"
REQUIRED = "llmdiff_required is set, but no models are given: add --llm-base SPEC --llm-tuned SPEC"
MODEL_FIXTURES = frozenset(
    {"comparison", "comparisons", "llm_base", "llm_tuned", "llm_served", "llm_pair"}
)
NO_SERVED = "no served model: give --llm-served SPEC"


@pytest.fixture(scope="session", name=TUNED)
def tuned_of_test(request: pytest.FixtureRequest) -> None:
    """Which of several tuned models a test is of (`Session.use`); where there is one, nothing."""
    __tracebackhide__ = True
    if request.config.stash[SESSION].models and not hasattr(request, "param"):
        from pytest_llmdiff.errors import ConfigError

        raise ConfigError(
            "several tuned models are given, and a fixture of theirs is requested while the test "
            "runs: make it an argument of the test function or of one of its fixtures (a "
            "unittest.TestCase has none), so that the test can run once for each, or give one "
            "--llm-tuned"
        )


@pytest.fixture
def comparison(request: pytest.FixtureRequest, _llmdiff_tuned: None) -> Comparison:
    """Both models' replies to the probe of this test case (see `@pytest.mark.llmdiff`)."""
    (only,) = _session(request).pair_run.comparer.compare([_param(request)])
    return only


@pytest.fixture
def comparisons(request: pytest.FixtureRequest, _llmdiff_tuned: None) -> Comparisons:
    """Both models' replies to all probes of this test, made as they are read."""
    from pytest_llmdiff.verdicts.sets import Comparisons

    return Comparisons(probes=tuple(_param(request)), run=_session(request).pair_run)


@pytest.fixture(scope="session")
def llm_base(request: pytest.FixtureRequest, _llmdiff_tuned: None) -> Model:
    """The base model, for run-time prompts."""
    from pytest_llmdiff.measures.wiring.models import Model

    return Model("base", _session(request).pair_run)


@pytest.fixture(scope="session")
def llm_tuned(request: pytest.FixtureRequest, _llmdiff_tuned: None) -> Model:
    """The tuned model, for run-time prompts."""
    from pytest_llmdiff.measures.wiring.models import Model

    return Model("tuned", _session(request).pair_run)


@pytest.fixture(scope="session")
def llm_served(request: pytest.FixtureRequest, _llmdiff_tuned: None) -> Model:
    """The served form of the tuned model, for parity."""
    from pytest_llmdiff.measures.wiring.models import Model

    session = _session(request)
    if session.served is None:
        pytest.skip(NO_SERVED)
    return Model("tuned", session.served_run, "llm_served")


@pytest.fixture(scope="session")
def llm_pair(request: pytest.FixtureRequest, _llmdiff_tuned: None) -> ExploringPair:
    """Both models, for run-time prompts."""
    from pytest_llmdiff.explore.run import ExploringPair

    return ExploringPair(_session(request).pair_run)


def _param(request: pytest.FixtureRequest) -> Any:
    """The probe or probes that the markers gave this case."""
    __tracebackhide__ = True
    from pytest_llmdiff.errors import ConfigError

    if not hasattr(request, "param"):
        raise ConfigError(
            f"{request.fixturename} is requested while the test runs: make it an argument of the "
            "test function or of one of its fixtures (a unittest.TestCase has none), so that its "
            "probes are known beforehand, or use llm_pair.compare(prompt)"
        )
    return request.param


def _session(request: pytest.FixtureRequest) -> Session:
    session = request.config.stash[SESSION]
    if session.specs is None:
        why = REQUIRED if session.settings.required else None
        why = str(session.unusable) if session.unusable is not None else why
        if why is not None and runs_tests(request.config):
            pytest.fail(why, pytrace=False)
        pytest.skip(NO_MODELS)
    return session


def uses_models(item: pytest.Item, names: Iterable[str] | None = None) -> bool:
    """Whether a test requests any of the model fixtures; `names` are those that it requests, where
    it is still collected."""
    names = getattr(item, "fixturenames", ()) if names is None else names
    requested = MODEL_FIXTURES.intersection(names)
    return any(is_ours(item, name) for name in requested)
