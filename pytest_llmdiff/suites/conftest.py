"""Without models a ready-made suite fails, since it was named. A project's own tests skip."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def models_given(request: pytest.FixtureRequest) -> None:
    """Fail every test of the suites in a run without models, before a model fixture skips it."""
    given = (request.config.getoption(flag) for flag in ("--llm-base", "--llm-tuned"))
    if not any(given):  # an adapter names its base, and calibration compares the base with itself
        pytest.fail("no models: give --llm-base SPEC --llm-tuned SPEC", pytrace=False)
