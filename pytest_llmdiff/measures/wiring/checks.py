"""The wiring checks by name, from the files of the tuned model to its replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from pytest_llmdiff.data.comparison import SIDES, Comparison, Measurement, Side
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.engines import capability
from pytest_llmdiff.errors import CapabilityError, ConfigError
from pytest_llmdiff.measures.wiring import files as wiring
from pytest_llmdiff.measures.wiring.behaviour import (
    prediction_findings,
    sound_findings,
    stop_findings,
    update_findings,
)
from pytest_llmdiff.measures.wiring.cutoff import cutoff_content, cutoff_facts, cutoff_findings
from pytest_llmdiff.measures.wiring.findings import Findings, Problem, findings_measurement
from pytest_llmdiff.measures.wiring.models import ModelPair
from pytest_llmdiff.measures.wiring.template.comparison import BATTERY
from pytest_llmdiff.measures.wiring.training import training_findings

TEMPLATE_STEP = (
    "render prompts with the template of the training (--llmdiff-template), and serve the model "
    "with it; or train again with the template that it will be served with"
)
QUESTION_STEP = (
    "correct the chat template of that model, or give one that renders messages of text with "
    "--llmdiff-template; every reply is to another prompt than the one in the test"
)


def measure_wiring(pair: ModelPair, check: str) -> Measurement:
    """The number of problems that one check finds.

    Raises:
        ConfigError: there is no check of that name.
        ModelError: a model cannot be read or loaded.
    """
    if check not in CHECKS:
        raise ConfigError(f"there is no wiring check {check!r}; there are {', '.join(CHECKS)}")
    return findings_measurement(f"wiring ({check})", CHECKS[check](pair))


def _of_files(judge: Callable[[Mapping[str, Any]], Findings]) -> Callable[[ModelPair], Findings]:
    def check(pair: ModelPair) -> Findings:
        facts = _file_facts(pair)
        if facts is None:
            return Findings(skipped="these engines have no model files")
        return judge(facts)

    return check


def _file_facts(pair: ModelPair) -> Any:
    """Facts from the files, computed once per run; None for engines without files."""
    from pytest_llmdiff.engines.files.engine import FileEngine
    from pytest_llmdiff.measures.wiring.inspection import inspect_pair

    base = pair.run.generation.pair.base

    def compute(engine: Any) -> Any:
        if not isinstance(engine, FileEngine) or not isinstance(base, FileEngine):
            return None
        return inspect_pair(base, engine)

    # The second version of these facts: earlier ones took tensors that bind for unbound.
    return pair.run.generation.memo.get("files", "tuned", [2], compute)


def _sampling(pair: ModelPair) -> Findings:
    used = {"temperature": pair.run.settings.temperature}
    return _of_files(lambda facts: wiring.sampling_findings(facts, used))(pair)


def _question(pair: ModelPair) -> Findings:
    """What a user asks is in the prompt, under the template in use of each side."""
    from pytest_llmdiff.measures.wiring.template.facts import served_renderings
    from pytest_llmdiff.measures.wiring.template.question import lost_questions

    both = pair.run.generation.pair
    found: dict[Side, list[str]] = {}
    for side in SIDES:
        try:
            lost = pair.run.generation.memo.get(
                "questions", side, [],
                lambda engine: lost_questions(engine, capability(both.base, "renderer")),
                also=served_renderings(both.side(side)),
            )  # fmt: skip
        except CapabilityError:
            continue  # a server that does not show its prompts
        if lost is not None:
            found[side] = lost
    if not found:
        return Findings(skipped="these engines do not show the prompts that they make")
    sides: dict[str, list[str]] = {}
    for side, causes in found.items():
        for cause in causes:
            sides.setdefault(cause, []).append(side)
    return Findings(problems=tuple(
        Problem(cause=f"{cause} ({' and '.join(of)})", step=QUESTION_STEP)
        for cause, of in sides.items()
    ))  # fmt: skip


def _stop_tokens(pair: ModelPair) -> Findings:
    """The template ends turns in a stop token, and has no fault of its own."""
    from pytest_llmdiff.measures.wiring.template.facts import own_findings

    def compute(engine: Any) -> list[str] | None:
        return own_findings(engine) if capability(engine, "renderer") is not None else None

    causes = pair.run.generation.memo.get("own template", "tuned", [], compute)
    if causes is None:
        return Findings(skipped="the engine has no chat template of its own")
    step = "correct the chat template, or eos_token_id in generation_config.json"
    return Findings(problems=tuple(Problem(cause=cause, step=step) for cause in causes))


def _training(pair: ModelPair) -> Findings:
    from pytest_llmdiff.data.training.log import LOOKED_FOR, read_training_log

    folder = pair.run.trained.training.folder
    if folder is None:
        return Findings(skipped="the tuned model has no folder with a training log")
    return training_findings(read_training_log(folder), looked_for=LOOKED_FOR)


def _answers(pair: ModelPair) -> Findings:
    training, data = pair.run.trained.training, pair.run.trained.train_data
    return cutoff_findings(
        pair.run.generation.memo.get(
            "cut answers",
            "tuned",
            [],
            lambda engine: cutoff_facts(engine, training, data),
            also=cutoff_content(training, data),
        )
    )


def _template(pair: ModelPair) -> Findings:
    config = pair.run.trained.training.config
    if config is not None and config.plain is not None:
        return Findings(skipped=f"no chat template belongs to it: {config.plain}")
    try:
        facts = pair.tuned.template_facts()
    except CapabilityError as error:
        return Findings(skipped=str(error))
    if facts["unknown"] is not None:
        return Findings(
            skipped="the template of the training is unknown; give --llmdiff-train-config, or "
            f"--llmdiff-train-data to infer it ({facts['unknown']})"
        )
    problems = [Problem(cause=cause, step=TEMPLATE_STEP) for cause in facts["problems"]]
    notes = [f"template compared with {facts['compared with']}"]
    if facts.get("likelihood"):
        notes.append(f"likeliest template by the training data: {facts['likelihood']}")
    return Findings(problems=tuple(problems), notes=tuple(notes))


def _update(pair: ModelPair) -> Findings:
    def compute(engine: Any) -> dict[str, Any] | None:
        health = capability(engine, "adapter_health")
        found = None if health is None else health()
        if found is None:
            return None
        return {"norms": dict(found.norms), "left out": dict(found.left_out)}

    # The second version of this fact: earlier ones had the norms alone.
    return update_findings(pair.run.generation.memo.get("update", "tuned", [2], compute))


def _predictions(pair: ModelPair) -> Findings:
    from pytest_llmdiff.measures.wiring.predictions import prediction_facts, prompts_of_both

    both = pair.run.generation.pair

    def compute(engine: Any) -> Any:
        sides = (both.base, engine)
        if any(capability(side, "token_logits") is None for side in sides):
            return None
        prompts = prompts_of_both(both, BATTERY)
        return prediction_facts(both, prompts) if prompts else None

    facts = pair.run.generation.memo.get("predictions", "tuned", [], compute)
    if facts is None:
        return Findings(skipped="these engines have no logits, or no prompt that both can read")
    return prediction_findings(facts)


def _replies(pair: ModelPair) -> list[Comparison]:
    text = (files("pytest_llmdiff.suites.wiring") / "prompts.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    probes = [
        make_probe(row["prompt"], language=row["language"], generation={"max_new_tokens": 96})
        for row in rows
    ]
    return pair.run.comparer.compare(probes)


CHECKS: Mapping[str, Callable[[ModelPair], Findings]] = {
    "base": _of_files(wiring.base_findings),
    "keys": _of_files(wiring.key_findings),
    "values": _of_files(wiring.value_findings),
    "vocabulary": _of_files(wiring.vocabulary_findings),
    "special tokens": _of_files(wiring.special_findings),
    "question": _question,
    "stop tokens": _stop_tokens,
    "sampling": _sampling,
    "training": _training,
    "answers": _answers,
    "template": _template,
    "update": _update,
    "predictions": _predictions,
    "stops": lambda pair: stop_findings(_replies(pair)),
    "sound": lambda pair: sound_findings(_replies(pair)),
}
