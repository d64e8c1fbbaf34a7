"""One test per check, from the files to the replies: the first that fails is the cause."""

from __future__ import annotations

from pytest_llmdiff import ModelPair
from pytest_llmdiff.suites.judging import hold_wiring


def test_base_is_the_one_that_was_tuned(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "base")


def test_adapter_binds_to_the_base(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "keys")


def test_adapter_weights_are_finite_and_not_zero(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "values")


def test_vocabulary_fits_the_embeddings(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "vocabulary")


def test_special_tokens_agree(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "special tokens")


def test_question_is_in_the_prompt(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "question")


def test_end_of_turn_is_a_stop_token(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "stop tokens")


def test_sampling_defaults(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "sampling")


def test_training_ran_and_learnt(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "training")


def test_training_answers_are_whole(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "answers")


def test_template_is_that_of_the_training(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "template")


def test_adapter_update_has_a_sane_size(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "update")


def test_predictions_move_and_vary(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "predictions")


def test_replies_stop(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "stops")


def test_replies_are_sound(llm_pair: ModelPair) -> None:
    hold_wiring(llm_pair, "sound")
