"""Infers the template of a training from its data: which one makes the answers likeliest?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.llamafactory.ranking import (
    FEWEST,
    LEARNT,
    ROUNDS,
    TemplateLikelihood,
    TemplateRanking,
    halve,
    likelihood_text,
    rank,
)
from pytest_llmdiff.data.llamafactory.templates import (
    FactoryTemplate,
    find_template_file,
    read_templates,
)
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.training.training import TrainData
from pytest_llmdiff.engines import capability
from pytest_llmdiff.engines.files.rendering import AnyRenderer, FactoryRenderer
from pytest_llmdiff.engines.pair.divergence import rows_for
from pytest_llmdiff.engines.pair.likelihoods import reply_logprobs
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.errors import CapabilityError, ConfigError
from pytest_llmdiff.measures.wiring.template.candidates import (
    Candidate,
    Conversation,
    candidates,
)
from pytest_llmdiff.measures.wiring.template.comparison import compare_renderings

# What stores and recordings call it: another name would not be recognised in them.
IN_FORCE = "the template in force"
BASES = "the base's template"
LONGEST = 4000  # characters of an example; longer ones cost much and add nothing


def known_answers(data: TrainData) -> list[Conversation]:
    """As many examples as a ranking needs, spread over the data; each ends in its answer."""
    answered = [
        (*example.messages, Message(role="assistant", content=example.answer))
        for dataset in data.datasets
        for example in dataset.examples
        if example.answer and example.answer.strip()
    ]
    short = [c for c in answered if sum(len(message["content"]) for message in c) <= LONGEST]
    count = min(len(short), ROUNDS[-1][0])
    return [short[number * len(short) // count] for number in range(count)]


def factory_templates(settings: Settings) -> tuple[list[FactoryTemplate], str]:
    """All templates of LLaMA-Factory that can be read, and why there are none, or "".

    Raises:
        ConfigError: `--llmdiff-llamafactory` is given and wrong.
    """
    try:
        return list(read_templates(find_template_file(settings.llamafactory)).values()), ""
    except ConfigError as error:
        if settings.llamafactory is not None:
            raise
        return [], str(error)


def rank_templates(
    pair: Pair, conversations: Sequence[Conversation], templates: Sequence[FactoryTemplate]
) -> dict[str, Any]:
    """Plain JSON of a `TemplateRanking`, and the `problems` of the template in use.

    The ranking uses only the tuned model's likelihoods: by gain over the base, templates that the
    base is bad at would win. The base shows whether the answers were learnt at all, and whether it
    already prefers the likeliest template to the one in use.

    Raises:
        CapabilityError: an engine has no template of its own, or no logits.
    """
    ours, rivals = _candidates(pair, conversations, templates)
    tuned, base = _Likelihoods(pair, "tuned", rivals), _Likelihoods(pair, "base", rivals)
    lengths = [
        max(1, len(ours.tokenizer(c[-1]["content"], add_special_tokens=False)["input_ids"]))
        for c in conversations
    ]
    own = next((i for i, c in enumerate(rivals) if IN_FORCE in c.of_models), None)
    scores = halve(
        len(rivals), len(conversations), lambda cs, es: tuned.per_token(cs, es, lengths), own
    )
    ranks = rank(scores)
    best = ranks[0].index
    held = dict.fromkeys(i for i in (best, own) if i is not None)
    if not pair.fits:
        pair.tuned.close()
    before = base.per_token(list(held), range(len(scores[best])), lengths)
    gains = {i: [b - t for b, t in zip(before[i], scores[i], strict=True)] for i in held}
    likelihoods = [
        TemplateLikelihood(
            names=rivals[r.index].names,
            of_models=rivals[r.index].of_models,
            nll=r.nll,
            examples=len(scores[r.index]),
            behind=r.behind,
            # JSON has no infinity.
            error=r.error if math.isfinite(r.error) else -1.0,
            told_apart=r.told_apart,
        )
        for r in ranks
    ]
    ranking = TemplateRanking(
        candidates=tuple(likelihoods),
        examples=len(scores[best]),
        gain=statistics.fmean(gains[best]),
        unknown=None,
    )
    preferred = own is not None and statistics.fmean(gains[own]) > ranking.gain
    return asdict(ranking) | {
        "unknown": _unknown(ranking, preferred),
        "problems": _differences(ours, capability(pair.base, "renderer"), ranking, templates),
    }


def ranking_of(facts: Mapping[str, Any]) -> TemplateRanking:
    """The ranking from its plain JSON."""
    rows = []
    for row in facts["candidates"]:
        names = {key: tuple(row[key]) for key in ("names", "of_models")}
        error = math.inf if row["error"] < 0 else row["error"]
        rows.append(TemplateLikelihood(**{**row, **names, "error": error}))
    return TemplateRanking(
        candidates=tuple(rows),
        examples=facts["examples"],
        gain=facts["gain"],
        unknown=facts["unknown"],
    )


def with_ranking(facts: Mapping[str, Any], ranked: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a template check, with the result of the ranking as `likelihood`.

    If nothing else names the template of the training, the template in use is compared with the
    likeliest one, unless the ranking is inconclusive.
    """
    ranking = ranking_of(ranked)
    text = likelihood_text(ranking)
    if ranked.get("missing"):
        text += f"; LLaMA-Factory's templates are not among them: {ranked['missing']}"
    result = dict(facts) | {"likelihood": text}
    if facts["unknown"] is None:
        return result
    own = next((c for c in ranking.candidates if IN_FORCE in c.of_models), None)
    if ranking.unknown is not None:
        result["unknown"] += f"; the training data is inconclusive: {ranking.unknown}"
    elif own is None or own.told_apart:
        behind = "cannot express the data" if own is None else f"is {own.behind:.3f} behind"
        problem = f"trained with {text}, by the training data; {IN_FORCE} {behind}"
        problems = [problem, *ranked["problems"], *facts["problems"]]
        result |= {"unknown": None, "problems": list(dict.fromkeys(problems))}
    elif ranked["problems"]:
        result["unknown"] += (
            f"; by the training data it is {text}: too close to decide whether it is {IN_FORCE}"
        )
    else:
        result["unknown"] = None
    if result["unknown"] is None:
        result["compared with"] = f"{ranking.likely.name}, the likeliest by the training data"
    return result


def _candidates(
    pair: Pair, conversations: Sequence[Conversation], templates: Sequence[FactoryTemplate]
) -> tuple[AnyRenderer, list[Candidate]]:
    engine: Any = pair.tuned
    ours: AnyRenderer | None = capability(engine, "renderer")
    if ours is None or capability(engine, "token_logits") is None:
        raise CapabilityError(
            f"{type(engine).__name__} has no chat template of its own, or no logits"
        )
    theirs: AnyRenderer | None = capability(pair.base, "renderer")
    renderers = {IN_FORCE: ours} | ({} if theirs is None else {BASES: theirs})
    rivals = candidates(
        renderers,
        templates,
        conversations,
        tokenizer=ours.tokenizer,
        embeddings=engine.embedding_rows(),
    )
    if not rivals:
        raise CapabilityError("no template can express the training data")
    return ours, rivals


class _Likelihoods:
    """Negative log-likelihoods of the answers under one model."""

    def __init__(self, pair: Pair, side: str, rivals: Sequence[Candidate]) -> None:
        engine: Any = pair.side(side)
        self._engine = engine
        self._rivals = rivals
        self._rows = rows_for(pair.resolved.get("device", "cpu"), len(engine.tokenizer))

    def per_token(
        self, chosen: Sequence[int], examples: Sequence[int], lengths: Sequence[int]
    ) -> dict[int, list[float]]:
        """In nats per token of the plain answer, which is equally long under all templates."""
        places = [(candidate, example) for candidate in chosen for example in examples]
        items = [self._rivals[candidate].items[example] for candidate, example in places]
        scores: dict[int, dict[int, float]] = {candidate: {} for candidate in chosen}
        for index, logprobs in reply_logprobs(self._engine, items, self._rows):
            candidate, example = places[index]
            scores[candidate][example] = -math.fsum(logprobs) / lengths[example]
        return {c: [scores[c][example] for example in examples] for c in chosen}


def _unknown(ranking: TemplateRanking, preferred: bool) -> str | None:
    if ranking.examples < FEWEST:
        return f"{ranking.examples} examples with answers are too few ({FEWEST} are needed)"
    if len(ranking.candidates) < 2:
        return "there is only one template to compare"
    if not ranking.gain >= LEARNT:
        return (
            f"the answers are only {ranking.gain:.2f} nats per token likelier to the tuned model "
            "than to the base: it has not learnt this data"
        )
    own = [c for c in ranking.candidates if IN_FORCE in c.of_models]
    if own and own[0].told_apart and preferred:
        return (
            f"{ranking.likely.name} is the likeliest, but training gained more under {IN_FORCE}: "
            "it is the base that prefers the other"
        )
    return None


def _differences(
    ours: AnyRenderer,
    theirs: AnyRenderer | None,
    ranking: TemplateRanking,
    templates: Sequence[FactoryTemplate],
) -> list[str]:
    """How the template in use differs from the likeliest one, over the battery.

    `theirs` is the base's renderer.
    """
    likely = ranking.likely
    if likely.names:
        (template,) = (t for t in templates if t.name == likely.names[0])
        theirs = FactoryRenderer(
            ours.path, template=template, kwargs=ours.kwargs, conversions=ours.conversions
        )
    elif IN_FORCE in likely.of_models or theirs is None:
        return []

    def decode(ids: Sequence[int]) -> str:
        return str(ours.tokenizer.decode(list(ids)))

    return compare_renderings(ours.ids, theirs.ids, decode, bos=ours.tokenizer.bos_token)
