"""The fixtures. They load nothing before a test uses what they return."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdiff.config.given import runs_tests
from pytest_llmdiff.plugin.marker import is_ours
from pytest_llmdiff.plugin.session import SESSION, TUNED, Session

if TYPE_CHECKING:
    from pytest_llmdiff.data.comparison import Comparison
    from pytest_llmdiff.explore.run import ModelPair
    from pytest_llmdiff.measures.wiring.models import Model
    from pytest_llmdiff.verdicts.sets import Comparisons

NO_MODELS = "no models: give --llm-base SPEC --llm-tuned SPEC"
REQUIRED = "llmdiff_required is set, but no models are given: add --llm-base SPEC --llm-tuned SPEC"
MODEL_FIXTURES = frozenset(
    {"comparison", "comparisons", "llm_base", "llm_tuned", "llm_served", "llm_pair"}
)
NO_SERVED = "no served model: give --llm-served SPEC"
FIXTURES = "llmdiff-probes"  # the name of the plugin that has those with probes


@pytest.fixture(scope="session", name=TUNED)
def tuned_of_test() -> None:
    """Which of several tuned models a test is of (`Session.use`); where there is one, nothing."""


class ProbeFixtures:
    """The fixtures with the probes of a test, as a plugin of pytest.

    None has the argument `request`, which pytest makes anew for each fixture of each test: that
    takes as long as reading both replies from the store. Nor do they need the fixture of the tuned
    model, as those below do, which live as long as a session: when a test begins, `Session.begin`
    has seen to its model.
    """

    def pytest_configure(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.fixture
    def comparison(self) -> Comparison:
        """Both models' replies to the probe of this test case (see `@pytest.mark.llmdiff`)."""
        session = _session(self._config)
        (only,) = session.pair_run.comparer.compare([_param(session, "comparison")])
        return only

    @pytest.fixture
    def comparisons(self) -> Comparisons:
        """Both models' replies to all probes of this test, made as they are read."""
        from pytest_llmdiff.verdicts.sets import Comparisons

        session = _session(self._config)
        return Comparisons(probes=tuple(_param(session, "comparisons")), run=session.pair_run)


@pytest.fixture(scope="session")
def llm_base(pytestconfig: pytest.Config, _llmdiff_tuned: None) -> Model:
    """The base model, for run-time prompts."""
    from pytest_llmdiff.measures.wiring.models import Model

    return Model("base", _session(pytestconfig).pair_run)


@pytest.fixture(scope="session")
def llm_tuned(pytestconfig: pytest.Config, _llmdiff_tuned: None) -> Model:
    """The tuned model, for run-time prompts."""
    from pytest_llmdiff.measures.wiring.models import Model

    return Model("tuned", _session(pytestconfig).pair_run)


@pytest.fixture(scope="session")
def llm_served(pytestconfig: pytest.Config, _llmdiff_tuned: None) -> Model:
    """The served form of the tuned model, for parity."""
    from pytest_llmdiff.measures.wiring.models import Model

    session = _session(pytestconfig)
    if session.served is None:
        pytest.skip(NO_SERVED)
    return Model("tuned", session.served_run, "llm_served")


@pytest.fixture(scope="session")
def llm_pair(pytestconfig: pytest.Config, _llmdiff_tuned: None) -> ModelPair:
    """Both models, for run-time prompts."""
    from pytest_llmdiff.explore.run import ModelPair

    return ModelPair(_session(pytestconfig).pair_run)


def _param(session: Session, fixture: str) -> Any:
    """The probe or probes that the markers gave this case."""
    __tracebackhide__ = True
    item = None if session.test is None else session.test.item
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    if fixture not in params:
        from pytest_llmdiff.errors import ConfigError

        raise ConfigError(
            f"{fixture} is requested while the test runs: make it an argument of the "
            "test function or of one of its fixtures (a unittest.TestCase has none), so that its "
            "probes are known beforehand, or use llm_pair.compare(prompt)"
        )
    return params[fixture]


def _session(config: pytest.Config) -> Session:
    """The session, whose models can be used in the running test."""
    __tracebackhide__ = True
    session = config.stash[SESSION]
    if session.specs is None:
        why = REQUIRED if session.settings.required else None
        why = str(session.unusable) if session.unusable is not None else why
        if why is not None and runs_tests(config):
            pytest.fail(why, pytrace=False)
        pytest.skip(NO_MODELS)
    if session.models and (session.test is None or session.model_of(session.test.item) is None):
        from pytest_llmdiff.errors import ConfigError

        raise ConfigError(
            "several tuned models are given, and a fixture of theirs is requested while the test "
            "runs: make it an argument of the test function or of one of its fixtures (a "
            "unittest.TestCase has none), so that the test can run once for each, or give one "
            "--llm-tuned"
        )
    return session


def uses_models(item: pytest.Item, names: Iterable[str] | None = None) -> bool:
    """Whether a test requests any of the model fixtures; `names` are those that it requests, where
    it is still collected."""
    names = getattr(item, "fixturenames", ()) if names is None else names
    requested = MODEL_FIXTURES.intersection(names)
    return any(is_ours(item, name) for name in requested)
