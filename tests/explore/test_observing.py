"""Models that cannot be compared in one way or another."""

from __future__ import annotations

import pytest

from pytest_llmdiff import ConfigError, ModelError
from tests.support.topical import explored

pytestmark = pytest.mark.usefixtures("folder")


def test_models_with_other_tokens_are_judged_by_their_replies() -> None:
    found = explored("unlike")
    assert found.unit == "share of changed words"
    assert "by replies alone: the tokenizers differ" in found.notes
    assert "idiot" in found.themes[0].gained


def test_logits_that_are_no_numbers_are_an_error() -> None:
    with pytest.raises(ModelError, match=r"the divergence is nan at the prompt '.*not numbers"):
        explored("broken")


def test_what_no_model_can_answer_is_one_error_with_its_reason() -> None:
    with pytest.raises(ConfigError, match=r"no prompt was answered: .*\d+ prompts could not be an"):
        explored("refusing")


def test_no_time_at_all_is_one_error_with_its_reason() -> None:
    with pytest.raises(ConfigError, match=r"no prompt was answered: .*the time ran out"):
        explored("rude", minutes=1e-9)
