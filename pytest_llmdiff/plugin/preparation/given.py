"""Checks what a run is given of this plugin: options, ini keys, suites and models."""

from __future__ import annotations

import pytest

from pytest_llmdiff.config.given import keys_given, names_modules
from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.plugin.session import Session


def check_given(session: Session) -> None:
    """Check all of it, and give the session its models.

    Raises:
        UsageError: something is misspelt, invalid or unusable.
    """
    try:
        _check(session)
    except LLMDiffError as error:
        raise pytest.UsageError(f"llmdiff: {error}") from error


def _check(session: Session) -> None:
    config = session.config
    if keys_given(config):
        from pytest_llmdiff.config.spelling import check_keys

        check_keys(config)
    settings = session.settings
    if settings.suite_limits:
        from pytest_llmdiff.suites.limits import check_limits

        check_limits(settings.suite_limits)
    if not session.worker and names_modules(config):
        from pytest_llmdiff.suites.selection import check_selection

        check_selection(config)
    if settings.names_a_model:
        from pytest_llmdiff.plugin.preparation.models import add_models

        add_models(session)
