"""Computes, once per run, what the checks need to know about the models' templates and adapter."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Measurement
from pytest_llmdiff.engines import capability, lacks_logits
from pytest_llmdiff.errors import CapabilityError, ConfigError
from pytest_llmdiff.generation.models import Model, ModelPair
from pytest_llmdiff.store import content_key

if TYPE_CHECKING:
    from pytest_llmdiff.data.llamafactory.ranking import TemplateRanking


def template_mismatch(model: Model, template: str | Path | None = None) -> Measurement:
    """Problems with the chat template; see `assert_template_consistent`."""
    from pytest_llmdiff.measures.wiring.template.comparison import template_measurement

    facts = template_facts(model, template)
    return template_measurement(facts["problems"], facts["compared with"])


def template_facts(model: Model, template: str | Path | None = None) -> dict[str, Any]:
    """Plain JSON: `problems`, the template that was `compared with`, and why the template of the
    training is `unknown`, or None."""
    from pytest_llmdiff.measures.wiring.template.facts import (
        served_renderings,
        template_facts,
    )

    training = model.run.training
    given = None if template is None else model.run.template_source(str(template))
    base = model.run.generation.pair.base

    def compute(engine: Any) -> dict[str, Any]:
        return template_facts(engine, base, given, training)

    known = given or training.template or training.own_template
    about = "training" if given is None else content_key(given.content())
    content = None if known is None else content_key(known.content())
    also: list[Any] = [content, training.predictions]
    also += [] if (shown := served_renderings(model.engine)) is None else [shown]
    facts = dict(model.run.generation.memo.get("template", model.side, [about], compute, also=also))
    ranked = given is None and training.template is None and model.run.train_data.datasets
    if model.side == "tuned" and ranked:
        from pytest_llmdiff.measures.wiring.template.likelihood import with_ranking

        return with_ranking(facts, _ranking_facts(model))
    return facts


def rank_templates(model: Model) -> TemplateRanking:
    """Ranks the templates that `llm_tuned` may have been trained with, by how likely each makes the
    answers of the training data. See docs/wiring.md.

    Raises:
        ConfigError: no training data is known, or it has no answers.
        CapabilityError: an engine has no template of its own, or no logits.
    """
    from pytest_llmdiff.measures.wiring.template.likelihood import ranking_of

    return ranking_of(_ranking_facts(model))


def _ranking_facts(model: Model) -> dict[str, Any]:
    from pytest_llmdiff.measures.wiring.template.likelihood import (
        factory_templates,
        known_answers,
        rank_templates,
    )

    if model.side != "tuned":
        raise ConfigError("rank_templates is a method of llm_tuned, the model that was trained")
    data = model.run.train_data
    conversations = known_answers(data)
    if not conversations:
        reason = data.unknown or "the training data has no answers of readable length"
        raise ConfigError(f"templates cannot be ranked: {reason}")
    templates, missing = factory_templates(model.run.settings)
    pair = model.run.generation.pair
    found = model.run.generation.memo.get(
        "template ranking",
        "tuned",
        [],
        lambda _: rank_templates(pair, conversations, templates),
        also=content_key([conversations, [[t.name, t.content()] for t in templates]]),
    )
    return dict(found) | {"missing": missing}


def adapter_problems(models: ModelPair) -> Measurement:
    """Problems of the adapter; see `assert_adapter_effective`."""
    from pytest_llmdiff.measures.wiring.adapter import adapter_measurement, logits_moved

    pair = models.run.generation.pair

    def compute(engine: Any) -> dict[str, Any]:
        for side in (pair.base, engine):
            if capability(side, "token_logits") is None:
                raise CapabilityError(
                    f"the effect of an adapter shows in the logits, and {lacks_logits(side)}"
                )
        check = capability(engine, "adapter_health")
        health = None if check is None else check()
        facts = None if health is None else asdict(health) | {"problems": health.problems()}
        return {"health": facts, "moved": logits_moved(pair)}

    facts = models.run.generation.memo.get("adapter", "tuned", [], compute)
    return adapter_measurement(facts["health"], facts["moved"])
