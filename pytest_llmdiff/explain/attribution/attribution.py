"""Attributions of a comparison: prompts without some of their words, answered or scored in batches.
Each is computed once and cached in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmdiff.data.comparison import SIDES, Comparison, Reply, Score, Side
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.data.text.words import Words, words_of
from pytest_llmdiff.data.tokens import Passage
from pytest_llmdiff.errors import ProbeError, ScorerError
from pytest_llmdiff.explain.attribution.coalitions import Mask, coalitions, shares
from pytest_llmdiff.explain.attribution.values import (
    GRADIENTS,
    Attribution,
    MethodAttribution,
    SideAttribution,
    Terms,
)
from pytest_llmdiff.generation.comparison_scores import comparison_scores
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.likelihoods import all_likelihoods
from pytest_llmdiff.store import content_key

if TYPE_CHECKING:
    from pytest_llmdiff.generation.comparisons import Comparer
    from pytest_llmdiff.generation.scoring import Scoring

Values = dict[Side, dict[Mask, float]]


class AttributionRun(Protocol):
    """What attributions need of the run."""

    @property
    def generation(self) -> ReplyGenerator: ...
    @property
    def comparer(self) -> Comparer: ...
    @property
    def scoring(self) -> Scoring: ...


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A comparison, the words of its last user message, and the index of that message."""

    comparison: Comparison
    words: Words
    place: int

    def messages(self, text: str) -> tuple[Message, ...]:
        """The conversation with a different text in that message."""
        changed = list(self.comparison.probe.messages)
        changed[self.place] = {**changed[self.place], "content": text}
        return tuple(changed)


def attribution(run: AttributionRun, comparison: Comparison, terms: Terms) -> Attribution:
    """How much each word of the prompt matters under both models.

    Raises:
        CapabilityError: an engine does not support the method, or a recording lacks the result.
        MissingPackageError: a method needs captum, and it is not installed.
        ProbeError: there is no user message with words, or the reply has no tokens.
        ScorerError: the reply to a changed prompt cannot be scored.
    """
    subject = _subject(comparison, terms)
    words = subject.words
    seed = int(content_key([words.text, len(words.words), terms.samples])[:8], 16)
    values = _values(run, subject, _masks(subject, terms, seed), terms)

    def under(side: Side, method: str) -> SideAttribution:
        if method in GRADIENTS:
            return _by_gradients(run.generation, subject, side, method, terms)
        return _by_coalitions(method, values[side], len(words.words), terms, seed)

    named, unit = _measured(terms)
    return Attribution(
        text=words.text,
        words=words.words,
        of=named,
        unit=unit,
        left_out=f"replaced by {terms.instead!r}" if terms.instead else "removed",
        segmented_by=words.segmented_by,
        methods=tuple(
            MethodAttribution(
                method=method, base=under("base", method), tuned=under("tuned", method)
            )
            for method in dict.fromkeys(terms.methods)
        ),
    )


def _subject(comparison: Comparison, terms: Terms) -> Subject:
    messages = comparison.probe.messages
    places = [place for place, message in enumerate(messages) if message["role"] == "user"]
    words = words_of(messages[places[-1]]["content"]) if places else None
    if words is None or not words.words:
        raise ProbeError("attribution scores the words of the last user message, and it has none")
    if terms.most_words is not None:
        words = words.grouped(terms.most_words)
    return Subject(comparison=comparison, words=words, place=places[-1])


def _masks(subject: Subject, terms: Terms, seed: int) -> list[Mask]:
    """All coalitions of words that the methods need, with that of all words and that of none."""
    count = len(subject.words.words)
    masks: dict[Mask, None] = {}
    for method in terms.methods:
        if method not in GRADIENTS:
            masks |= dict.fromkeys([(True,) * count, (False,) * count])
            masks |= dict.fromkeys(coalitions(method, count, terms.samples, seed))
    return list(masks)


def _by_coalitions(
    method: str, known: Mapping[Mask, float], count: int, terms: Terms, seed: int
) -> SideAttribution:
    scored = shares(method, known.__getitem__, count, terms.samples, seed)
    return SideAttribution(
        scores=scored.scores,
        errors=scored.errors,
        whole=known[(True,) * count],
        without=known[(False,) * count],
    )


def _measured(terms: Terms) -> tuple[str, str]:
    """What is measured, and its unit."""
    if callable(terms.of):
        return getattr(terms.of, "__name__", type(terms.of).__name__), ""
    if terms.of == "toxicity":
        return "toxicity of the reply", "probability"
    return f"log-likelihood of the {terms.of} reply", "nats"


def _values(run: AttributionRun, subject: Subject, masks: list[Mask], terms: Terms) -> Values:
    """The measured values of the prompt with the words of each mask, under both models."""
    texts = [subject.words.kept(mask, terms.instead) for mask in masks]
    if terms.of == "toxicity":
        values = _toxicities(run, subject, texts)
    elif callable(terms.of):
        measure = terms.of
        replies = _replies(run, subject, texts)
        values = {
            side: [float(measure(t, r.text)) for t, r in zip(texts, replies[side], strict=True)]
            for side in SIDES
        }
    else:
        values = {side: _likelihoods(run, subject, side, texts, str(terms.of)) for side in SIDES}
    return {side: dict(zip(masks, values[side], strict=True)) for side in SIDES}


def _likelihoods(
    run: AttributionRun, subject: Subject, side: Side, texts: list[str], of: str
) -> list[float]:
    """Log-likelihoods (nats) of one side's reply after the prompt with each text."""
    reply = getattr(subject.comparison, of).text
    passages = [Passage(text=reply, after=subject.messages(text)) for text in texts]
    return [each.log_likelihood for each in all_likelihoods(run.generation, side, passages)]


def _probes(subject: Subject, texts: list[str]) -> list[Probe]:
    return [replace(subject.comparison.probe, messages=subject.messages(text)) for text in texts]


def _replies(run: AttributionRun, subject: Subject, texts: list[str]) -> Mapping[Side, list[Reply]]:
    """Both models' replies to the prompt with each text."""
    probes = _probes(subject, texts)
    return {side: run.comparer.reply(side, probes) for side in SIDES}


def _toxicities(run: AttributionRun, subject: Subject, texts: list[str]) -> dict[Side, list[float]]:
    replies = _replies(run, subject, texts)
    comparisons = [
        replace(subject.comparison, probe=probe, base=base, tuned=tuned)
        for probe, base, tuned in zip(
            _probes(subject, texts), replies["base"], replies["tuned"], strict=True
        )
    ]
    scores = comparison_scores(
        run, "toxicity", comparisons, lambda each: [(each.base.text,), (each.tuned.text,)]
    )

    def value(score: Score, text: str) -> float:
        if score.value is None:
            raise ScorerError(
                f"the scorer cannot judge the reply to {text!r}, a changed form of the prompt: "
                f"{score.unsupported}"
            )
        return score.value

    return {
        side: [value(score, text) for score, text in zip(scores[start::2], texts, strict=True)]
        for start, side in enumerate(SIDES)
    }


def _by_gradients(
    generation: ReplyGenerator, subject: Subject, side: Side, method: str, terms: Terms
) -> SideAttribution:
    reply = getattr(subject.comparison, str(terms.of)).text
    messages = [dict(message) for message in subject.comparison.probe.messages]
    spans = [[word.start, word.end] for word in subject.words.words]
    asked = [messages, subject.place, spans, reply, method, terms.steps]

    def compute(engine: Any, todo: list[Any]) -> list[dict[str, Any]]:
        from pytest_llmdiff.explain.attribution.gradients import word_gradients

        return [word_gradients(engine, *each) for each in todo]

    (result,) = generation.memo.get_all("gradients", side, [asked], compute, alone=True)
    return SideAttribution(
        scores=tuple(result["scores"]), whole=result["whole"], without=result["without"]
    )
