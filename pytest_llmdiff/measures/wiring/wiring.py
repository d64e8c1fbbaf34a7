"""Wiring: the helpers that check how the tuned model is put together, and their twins."""

from __future__ import annotations

from pathlib import Path

from pytest_llmdiff.data.comparison import Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.raising import report
from pytest_llmdiff.measures.wiring.models import Model, ModelPair
from pytest_llmdiff.verdicts.verdict import OWN, judge


def assert_template_consistent(model: Model, *, template: str | Path | None = None) -> None:
    """The tuned model's prompts render to the same tokens as in its training.

    They are compared with the template of the training if that is known, else with the base's.

    Args:
        model: `llm_tuned`.
        template: a `.jinja` file or `llamafactory:NAME` to compare with instead.

    Raises:
        AssertionError: conversations render to different tokens, BOS is doubled, the generation
            prompt is missing or wrong, or an assistant turn does not end in a stop token.
        CapabilityError: an engine has no chat template.
        ConfigError: `model` is not a model of this run, or there is no such template.
    """
    __tracebackhide__ = True
    m = template_consistent(model, template=template)
    report(model.run, None, judge(m, at_most=0, source=OWN))


def assert_adapter_effective(pair: ModelPair) -> None:
    """The adapter binds to the base, is finite and non-zero, and changes the predictions.

    If the tuned model is not an adapter, only the change of the predictions is checked.

    Args:
        pair: `llm_pair`.

    Raises:
        AssertionError: there is a problem; the message names each one.
        CapabilityError: an engine has no logits.
        ConfigError: `pair` is not the fixture llm_pair.
    """
    __tracebackhide__ = True
    m = adapter_effective(pair)
    report(pair.run, None, judge(m, at_most=0, source=OWN))


def assert_wiring(pair: ModelPair, check: str) -> None:
    """A check of how the tuned model is put together finds no problem.

    Args:
        pair: `llm_pair`.
        check: the name of the check, as in the suite `pytest_llmdiff.suites.wiring`.

    Raises:
        AssertionError: the check finds a problem or cannot be made here; the message names each
            problem and its next step.
        ConfigError: there is no such check, or `pair` is not the fixture llm_pair.
    """
    __tracebackhide__ = True
    m = wiring(pair, check)
    report(pair.run, None, judge(m, at_most=0, source=OWN))


def template_consistent(model: Model, *, template: str | Path | None = None) -> Measurement:
    """The number of problems with the chat template; `details["problems"]` names them.

    The arguments are those of `assert_template_consistent`.
    """
    if not isinstance(model, Model):
        raise ConfigError("the template helpers take the fixture llm_tuned")
    return model.template_mismatch(template)


def adapter_effective(pair: ModelPair) -> Measurement:
    """The number of problems of the adapter; `details["problems"]` names them.

    `details` also has the largest change of a log-probability (`logits moved`, nats) and the
    largest relative update ‖ΔW‖/‖W‖.
    """
    if not isinstance(pair, ModelPair):
        raise ConfigError("the adapter helpers take the fixture llm_pair")
    return pair.adapter_problems()


def wiring(pair: ModelPair, check: str) -> Measurement:
    """The number of problems that one wiring check finds; `details` has causes, steps and notes.

    The arguments are those of `assert_wiring`.
    """
    if not isinstance(pair, ModelPair):
        raise ConfigError("the wiring helpers take the fixture llm_pair")
    # Imported here, since the checks import the readers of all files of a training.
    from pytest_llmdiff.measures.wiring.checks import measure_wiring

    return measure_wiring(pair, check)
