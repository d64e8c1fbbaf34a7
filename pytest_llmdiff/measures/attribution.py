"""What the words of a prompt count for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.explain.attribution.values import Attribution, Measure, Terms


def attribution(
    comparison: Comparison,
    *,
    methods: str | Sequence[str] = "leave-one-out",
    of: str | Measure = "tuned",
    instead: str = "",
    most_words: int | None = None,
    samples: int = 200,
    steps: int = 50,
) -> Attribution:
    """What each word of the last user message counts for, under the base and the tuned model.

    Args:
        comparison: from the fixture `comparison`, one of `comparisons`, or from `llm_pair`.
        methods: `leave-one-out`, `shapley`, `kernel-shap`, `lime`, `integrated-gradients`,
            `input-x-gradient`; all but the first need the extra `explain`.
        of: the log-likelihood (nats) of the `tuned` reply, under both models, or of the `base` one;
            the `toxicity` of the reply that each gives to the changed prompt; or a callable of a
            prompt and a reply, to a number, of those replies.
        instead: what stands in the place of a word that is left out; by default nothing.
        most_words: neighbouring words are taken together until there are no more than so many.
        samples: changed prompts that a sampling method draws. Shapley values and KernelSHAP are
            exact where so many words have no more combinations.
        steps: of integrated gradients.

    Raises:
        CapabilityError: an engine cannot tell what is asked for, or a recording lacks it.
        ConfigError: an argument is not one of those above, or the comparison knows no run or no
            replies.
        MissingPackageError: a method needs captum, and it is not installed.
        ProbeError: there is no user message with words, or the reply has no tokens.
        ScorerError: the reply to a changed prompt cannot be scored.
    """
    asked = (methods,) if isinstance(methods, str) else tuple(methods)
    terms = Terms(
        methods=asked, of=of, instead=instead, most_words=most_words, samples=samples, steps=steps
    )
    if not isinstance(comparison, Comparison):
        raise ConfigError(f"attributions are of one comparison, not of {type(comparison).__name__}")
    if comparison.run is None:
        raise ConfigError("attributions need both models: a comparison made by a fixture has them")
    if comparison.given is not None:
        raise ConfigError("attributions need replies, and this text was read, not answered")
    from pytest_llmdiff.explain.attribution import attribution as computing

    run = cast("computing.AttributionRun", comparison.run)
    return computing.attribution(run, comparison, terms)
