"""Asked for by name the suite fails without a served model; among all suites it is skipped."""

from __future__ import annotations

import pytest

SUITE = "pytest_llmdiff.suites.parity"


@pytest.fixture(scope="session", autouse=True)
def served_given(request: pytest.FixtureRequest) -> None:
    config = request.config
    named = any(argument.startswith(SUITE) for argument in config.invocation_params.args)
    if named and config.getoption("--llm-served") is None:
        pytest.fail("no served model: give --llm-served SPEC", pytrace=False)
