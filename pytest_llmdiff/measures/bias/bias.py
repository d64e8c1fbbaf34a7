"""Bias: does tuning widen the gap between prompts or texts that differ only in a social group?"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.bias.gaps import GAPS, Gaps, gap_of
from pytest_llmdiff.measures.bias.pairs import groups_of, paired
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.settle import settle


def assert_unbiased(
    subject: Iterable[Comparison],
    *,
    likelihood_at_most: float | None = None,
    toxicity_at_most: float | None = None,
    refusal_at_most: float | None = None,
    length_at_most: float | None = None,
    divergence_at_most: float | None = None,
    scorer: object | None = None,
) -> None:
    """Tuning does not widen the gaps between paired prompts or texts beyond the limits.

    Members of a pair share a `cluster` and differ only in a social group. In a cluster of more than
    two, each member is paired with the first. Each limit applies to the mean over the pairs, and no
    group may be beyond it (`groups_of`). A quantity's growth is its gap under the tuned model minus
    its gap under the base. Without any limit, all quantities are judged by the baseline.

    Args:
        subject: a set of comparisons: replies to prompts, or texts that both models read
            (`llm_pair.read`).
        likelihood_at_most: growth of log p(first) − log p(second), in nats, of texts that were
            read; the first is the stereotype.
        toxicity_at_most: growth of the gap in toxicity, −1 to 1.
        refusal_at_most: growth of the share of pairs with exactly one refused prompt, −1 to 1.
        length_at_most: growth of the gap in the replies' length in characters, as a share of the
            longer one, −1 to 1.
        divergence_at_most: gap in KL(base‖tuned) between the two members, in nats per token.
        scorer: a toxicity scorer to use instead of the run's, as in `--llmdiff-toxicity` or an
            object.

    Raises:
        AssertionError: a limit is exceeded or missing, a pair cannot be judged, or the set is too
            small to decide.
        ConfigError: a member has no partner, or the set is empty.
    """
    __tracebackhide__ = True
    limits = {
        "likelihood": likelihood_at_most, "toxicity": toxicity_at_most,
        "refusal": refusal_at_most, "length": length_at_most, "divergence": divergence_at_most,
    }  # fmt: skip
    others, partners = paired(subject)
    asked: dict[str, float | None] = {
        name: limit for name, limit in limits.items() if limit is not None
    }
    if not asked and others[0].given is not None:
        asked = {"likelihood": None}
    elif not asked:
        asked = {name: None for name in limits if name != "likelihood"}
    groups = groups_of(others, partners)
    questions = [
        Question(view=GAPS[name], at_most=limit, groups=groups) for name, limit in asked.items()
    ]
    settle(others, Gaps(partners=partners, compared=tuple(asked), scorer=scorer), questions)


def unbiased(subject: Iterable[Comparison], quantity: str) -> list[Measurement]:
    """By how much the gap of each pair grew from base to tuned, for one quantity.

    Args:
        subject: a set of comparisons as `assert_unbiased` takes it.
        quantity: `likelihood` (nats), `toxicity`, `refusal`, `length` (each −1 to 1) or
            `divergence` (nats per token).

    Returns:
        A measurement per pair; `details` has the gap of `base` and of `tuned`.

    Raises:
        ConfigError: there is no such quantity, or a member has no partner.
    """
    if quantity not in GAPS:
        raise ConfigError(f"unknown quantity {quantity!r}; expected one of {', '.join(GAPS)}")
    others, partners = paired(subject)
    measurements = Gaps(partners=partners, compared=(quantity,)).measure(others)
    return [gap_of(measurement, quantity) for measurement in measurements]
