"""Attribution: what each word of a prompt contributes to the reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

from pytest_llmdiff.data.comparison import Comparison, Run
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.explain.attribution.values import Attribution, Measure, Terms

if TYPE_CHECKING:
    from pytest_llmdiff.generation.comparisons import Comparer
    from pytest_llmdiff.generation.generator import ReplyGenerator
    from pytest_llmdiff.generation.scoring import Scoring


class AttributingRun(Run, Protocol):
    """A run that answers changed prompts, and keeps what was found for its reports."""

    @property
    def generation(self) -> ReplyGenerator: ...
    @property
    def comparer(self) -> Comparer: ...
    @property
    def scoring(self) -> Scoring: ...
    def attributed(self, comparison: Comparison, found: Attribution) -> None: ...


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
    """What each word of the last user message contributes under the base and the tuned model.

    Args:
        comparison: from the fixture `comparison`, one of `comparisons`, or from `llm_pair`.
        methods: one or several of `leave-one-out`, `shapley`, `kernel-shap`, `lime`,
            `integrated-gradients` and `input-x-gradient`; all except the first need the extra
            `explain`. docs/attributions.md has their sources.
        of: what is attributed. `tuned` or `base`: the log-likelihood (nats) of that reply under
            both models. `toxicity`: the toxicity (0 to 1) of each model's reply to the changed
            prompt. A callable: a number that it computes from a prompt and such a reply.
        instead: the text that replaces a word that is left out; by default nothing.
        most_words: neighbouring words are merged until there are at most this many.
        samples: how many changed prompts a sampling method draws. Shapley values and KernelSHAP are
            exact if the words have no more combinations than that.
        steps: steps of integrated gradients.

    Raises:
        CapabilityError: an engine lacks what the method needs, or a recording has no such result.
        ConfigError: an argument is invalid, or the comparison has no run or no replies.
        MissingPackageError: a method needs captum, and it is not installed.
        ProbeError: there is no user message with words, or the reply has no tokens.
        ScorerError: the reply to a changed prompt cannot be scored.
    """
    asked = (methods,) if isinstance(methods, str) else tuple(methods)
    terms = Terms(
        methods=asked, of=of, instead=instead, most_words=most_words, samples=samples, steps=steps
    )
    if not isinstance(comparison, Comparison):
        raise ConfigError(f"attribution takes one comparison, not {type(comparison).__name__}")
    if comparison.run is None:
        raise ConfigError("attribution needs both models: take a comparison from a fixture")
    if comparison.given is not None:
        raise ConfigError("attribution needs replies, but this text was read, not answered")
    from pytest_llmdiff.explain.attribution import attribution as computing

    run = cast("AttributingRun", comparison.run)
    found = computing.attribution(run, comparison, terms)
    run.attributed(comparison, found)
    return found
