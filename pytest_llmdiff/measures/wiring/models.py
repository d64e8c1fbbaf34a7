"""The models as tests get them: they answer, and they say how they are put together."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmdiff.data.comparison import Measurement
from pytest_llmdiff.engines import capability, lacks_logits
from pytest_llmdiff.errors import CapabilityError, ConfigError
from pytest_llmdiff.generation import models
from pytest_llmdiff.generation.models import ModelRun
from pytest_llmdiff.store import content_key

if TYPE_CHECKING:
    from pytest_llmdiff.data.llamafactory.ranking import TemplateRanking
    from pytest_llmdiff.explain.training.known import KnownTraining


class WiringRun(ModelRun, Protocol):
    """A run that knows how its tuned model was trained."""

    @property
    def trained(self) -> KnownTraining: ...


class Model(models.Model):
    """One side of the pair. Nothing is loaded before it is used."""

    run: WiringRun

    def template_mismatch(self, template: str | Path | None = None) -> Measurement:
        """Problems with the chat template; see `assert_template_consistent`."""
        from pytest_llmdiff.measures.wiring.template.comparison import template_measurement

        facts = self.template_facts(template)
        return template_measurement(facts["problems"], facts["compared with"])

    def template_facts(self, template: str | Path | None = None) -> dict[str, Any]:
        """Plain JSON: `problems`, the template that was `compared with`, and why the template
        of the training is `unknown`, or None."""
        from pytest_llmdiff.measures.wiring.template import facts as checks

        trained, generation = self.run.trained, self.run.generation
        training = trained.training
        given = None if template is None else trained.template_source(str(template))
        base = generation.pair.base

        def compute(engine: Any) -> dict[str, Any]:
            return checks.template_facts(engine, base, given, training)

        known = given or training.template or training.own_template
        about = "training" if given is None else content_key(given.content())
        content = None if known is None else content_key(known.content())
        # Facts of earlier versions do not say whether the question is in the prompt.
        also: list[Any] = ["with questions", content, training.predictions]
        also += [] if (shown := checks.served_renderings(self.engine)) is None else [shown]
        facts = dict(generation.memo.get("template", self.side, [about], compute, also=also))
        plain = training.config is not None and training.config.plain is not None
        unnamed = given is None and training.template is None and not plain
        if self.side == "tuned" and unnamed and trained.train_data.datasets:
            from pytest_llmdiff.measures.wiring.template.likelihood import with_ranking

            return with_ranking(facts, self._ranking_facts())
        return facts

    def rank_templates(self) -> TemplateRanking:
        """Ranks the templates that `llm_tuned` may have been trained with, by how likely each makes
        the answers of the training data. See docs/wiring.md.

        Raises:
            ConfigError: no training data is known, or it has no answers.
            CapabilityError: an engine has no template of its own, or no logits.
        """
        from pytest_llmdiff.measures.wiring.template.likelihood import ranking_of

        return ranking_of(self._ranking_facts())

    def _ranking_facts(self) -> dict[str, Any]:
        from pytest_llmdiff.measures.wiring.template.likelihood import (
            factory_templates,
            known_answers,
            rank_templates,
        )

        if self.side != "tuned":
            raise ConfigError("templates are ranked for llm_tuned, the model that was trained")
        data = self.run.trained.train_data
        conversations = known_answers(data)
        if not conversations:
            reason = data.unknown or "the training data has no answers of readable length"
            raise ConfigError(f"templates cannot be ranked: {reason}")
        templates, missing = factory_templates(self.run.settings)
        pair = self.run.generation.pair
        facts = self.run.generation.memo.get(
            "template ranking",
            "tuned",
            [],
            lambda _: rank_templates(pair, conversations, templates),
            also=content_key([conversations, [[t.name, t.content()] for t in templates]]),
        )
        return dict(facts) | {"missing": missing}


class ModelPair(models.ModelPair):
    """Both models, for prompts that are known only at run time."""

    base: Model
    tuned: Model
    run: WiringRun

    def __init__(self, run: WiringRun) -> None:
        super().__init__(Model("base", run), Model("tuned", run))

    def adapter_problems(self) -> Measurement:
        """Problems of the adapter; see `assert_adapter_effective`."""
        from pytest_llmdiff.measures.wiring.adapter import adapter_measurement, logits_moved

        pair = self.run.generation.pair

        def compute(engine: Any) -> dict[str, Any]:
            for side in (pair.base, engine):
                if capability(side, "token_logits") is None:
                    raise CapabilityError(
                        f"the effect of an adapter shows in the logits, and {lacks_logits(side)}"
                    )
            check = capability(engine, "adapter_health")
            health = None if check is None else check()
            found = None if health is None else asdict(health) | {"problems": health.problems()}
            return {"health": found, "moved": logits_moved(pair)}

        # The second version of this fact: earlier ones had no reasons for what was left out.
        facts = self.run.generation.memo.get("adapter", "tuned", [2], compute)
        return adapter_measurement(facts["health"], facts["moved"])
