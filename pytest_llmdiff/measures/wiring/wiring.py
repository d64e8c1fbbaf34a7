"""How the tuned model is put together: template, adapter, and the checks of the wiring suite."""

from __future__ import annotations

from pathlib import Path

from pytest_llmdiff.data.comparison import Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.generation.models import Model, ModelPair
from pytest_llmdiff.measures.raising import report
from pytest_llmdiff.measures.settle import OWN
from pytest_llmdiff.verdicts.verdict import judge


def assert_template_consistent(model: Model, *, template: str | Path | None = None) -> None:
    """The tuned model is asked in the tokens of the base's chat template, or of a given one.

    Args:
        model: `llm_tuned`.
        template: a `.jinja` file to compare with, in place of the base's template.

    Raises:
        AssertionError: conversations render to other tokens, BOS is doubled, the generation prompt
            is missing or foreign, or an assistant turn ends in no stop token.
    """
    __tracebackhide__ = True
    m = template_consistent(model, template=template)
    report(model.run, None, judge(m, at_most=0, source=OWN))


def assert_adapter_effective(pair: ModelPair) -> None:
    """The adapter is bound to the base, finite, non-zero, and changes the predictions.

    For a tuned model that is no adapter, the change of the predictions is what is checked.

    Raises:
        AssertionError: it is not; the message names each problem.
    """
    __tracebackhide__ = True
    m = adapter_effective(pair)
    report(pair.run, None, judge(m, at_most=0, source=OWN))


def assert_wiring(pair: ModelPair, check: str) -> None:
    """One check of how the tuned model is put together finds no problem.

    Args:
        pair: `llm_pair`.
        check: its name, as in the suite `pytest_llmdiff.suites.wiring`.

    Raises:
        AssertionError: it does, or the check cannot be made here; the message names each problem
            and its next step.
    """
    __tracebackhide__ = True
    m = wiring(pair, check)
    report(pair.run, None, judge(m, at_most=0, source=OWN))


def template_consistent(model: Model, *, template: str | Path | None = None) -> Measurement:
    """Number of findings about the chat template; `details["problems"]` names them."""
    if not isinstance(model, Model):
        raise ConfigError("the template helpers take the fixture llm_tuned")
    return model.template_mismatch(template)


def adapter_effective(pair: ModelPair) -> Measurement:
    """Number of problems of the adapter; `details["problems"]` names them."""
    if not isinstance(pair, ModelPair):
        raise ConfigError("the adapter helpers take the fixture llm_pair")
    return pair.adapter_problems()


def wiring(pair: ModelPair, check: str) -> Measurement:
    """Number of problems that one wiring check finds; `details` has causes, steps and notes."""
    if not isinstance(pair, ModelPair):
        raise ConfigError("the wiring helpers take the fixture llm_pair")
    from pytest_llmdiff.measures.wiring.checks import (
        measure_wiring,  # with all that the checks read
    )

    return measure_wiring(pair, check)
