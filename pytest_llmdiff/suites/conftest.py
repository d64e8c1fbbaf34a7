"""Without models a ready-made suite fails, since it was named. A project's own tests skip."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def models_given(request: pytest.FixtureRequest) -> None:
    """Fail every test of the suites in a run without models, before a model fixture skips it."""
    if request.config.getoption("--llm-tuned") is None:
        pytest.fail("no models: give --llm-base SPEC --llm-tuned SPEC", pytrace=False)
