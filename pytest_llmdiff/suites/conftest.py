"""A ready-made suite is asked for by name: without models it fails, where own tests are skipped."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def models_given(request: pytest.FixtureRequest) -> None:
    """Fail each test of the suites in a run without models, before a fixture of models skips it."""
    if request.config.getoption("--llm-base") is None:
        pytest.fail("no models: give --llm-base SPEC --llm-tuned SPEC", pytrace=False)
