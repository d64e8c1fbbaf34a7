"""Checks of how a tuned model is put together, by the facts from its files (plain JSON)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmdiff.engines.transformers.adapters.misfits import Kind, misfits, same_name
from pytest_llmdiff.measures.wiring.findings import Findings, Problem

Facts = Mapping[str, Any]


def base_findings(facts: Facts) -> Findings:
    """Is the base the one that was tuned? Another shape is a problem, another name a note."""
    base, tuned, adapter = facts["base"], facts["tuned"], facts["adapter"]
    problems, notes = [], []
    if adapter is None:
        ours, theirs = tuned["dimensions"], base["dimensions"]
        differing = [name for name in ours if ours[name] != theirs[name]]
        if differing:
            shown = ", ".join(f"{name} {theirs[name]} and {ours[name]}" for name in differing)
            problems.append(Problem(
                cause=f"base and tuned model have different shapes: {shown}",
                step="give the model that was tuned as --llm-base",
            ))  # fmt: skip
        return Findings(problems=tuple(problems))
    if "unbound" not in adapter:
        return Findings(skipped=_unbuilt(adapter))
    problems = _misfits(facts, "base")
    if not problems and adapter["base"] and not same_name(adapter["base"], base["name"]):
        notes.append(
            f"the adapter names {adapter['base']} as its base, but --llm-base is {base['name']}; "
            "the shapes match"
        )
    return Findings(problems=tuple(problems), notes=tuple(notes))


def key_findings(facts: Facts) -> Findings:
    """Do all of the adapter's tensors bind to modules of the base?"""
    adapter = facts["adapter"]
    if adapter is None:
        return Findings(skipped="the tuned model is not an adapter")
    if "unbound" not in adapter:
        return Findings(skipped=_unbuilt(adapter))
    problems = _misfits(facts, "rank")
    unbound, missing = adapter["unbound"], adapter["missing"]
    if unbound:
        why = f" ({adapter['unknown']})" if adapter["unknown"] else ""
        problems.append(Problem(
            cause=f"{len(unbound)} of the adapter's {adapter['tensors']} tensors bind to no module "
            f"of the base: {', '.join(unbound[:2])}{why}",
            step=_unbound_step(unbound, adapter),
        ))  # fmt: skip
    if missing:
        problems.append(Problem(
            cause=f"{len(missing)} tensors that adapter_config.json promises are not in "
            f"adapter_model.safetensors: {', '.join(missing[:2])}",
            step="the file is truncated or from a different configuration: copy the whole output "
            "folder of the training again",
        ))  # fmt: skip
    return Findings(problems=tuple(problems))


def value_findings(facts: Facts) -> Findings:
    """Are the adapter's weights finite, and not all zero?"""
    adapter = facts["adapter"]
    if adapter is None:
        return Findings(skipped="the tuned model is not an adapter")
    problems = _misfits(facts, "empty")
    if adapter["not finite"]:
        problems.append(Problem(
            cause=f"{len(adapter['not finite'])} of the adapter's tensors contain NaN or infinity: "
            f"{', '.join(adapter['not finite'][:2])}",
            step="training diverged: lower learning_rate, clip gradients (max_grad_norm: 1.0), "
            "train in bf16 instead of fp16",
        ))  # fmt: skip
    if adapter["zero"]:
        problems.append(Problem(
            cause="every B matrix of the adapter is zero: it adds nothing to the base",
            step="no training step changed the adapter: check steps and learning rate in the "
            "training log, and that the folder was not saved before training",
        ))  # fmt: skip
    return Findings(problems=tuple(problems))


def vocabulary_findings(facts: Facts) -> Findings:
    """Do tokenizers and embeddings fit together?

    More embedding rows than tokens are normal, since the rows are padded to a multiple.
    """
    tuned, adapter = facts["tuned"], facts["adapter"]
    problems, notes = [], []
    if facts["tokens"]["other ids"]:
        problems.append(Problem(
            cause="base and tuned tokenizer give different ids to the same tokens: "
            + ", ".join(map(repr, facts["tokens"]["other ids"])),
            step="use the tokenizer of the training for both models",
        ))  # fmt: skip
    rows = tuned["embedding rows"]
    saved = _misfits(facts, "rows") if adapter else []
    problems += saved
    # If the embeddings were resized, it follows which tokens there are.
    if not saved and tuned["last token"] >= rows:
        problems.append(Problem(
            cause=f"the tuned tokenizer has token {tuned['last token']}, but the embeddings end at "
            f"{rows - 1}: added tokens are {', '.join(map(repr, facts['tokens']['added']))}",
            step="train with resize_vocab: true, or drop the template or option that adds tokens",
        ))  # fmt: skip
    elif not saved and facts["tokens"]["added"]:
        notes.append(
            "the tuned tokenizer has tokens that the base's lacks: "
            + ", ".join(map(repr, facts["tokens"]["added"]))
        )
    return Findings(problems=tuple(problems), notes=tuple(notes))


def special_findings(facts: Facts) -> Findings:
    """Do the special tokens of base and tuned model agree with each other and their vocabulary?

    A tuned model may end its turns in a different token than the base: that is a note.
    """
    problems, notes = [], []
    base, tuned = facts["base"], facts["tuned"]
    for role in ("bos", "eos", "pad"):
        (text, own), (other_text, other) = base["special"][role], tuned["special"][role]
        if text is not None and text == other_text and own != other:
            problems.append(Problem(
                cause=f"the {role} token {text!r} has id {own} in the base and {other} in the "
                "tuned model",
                step="use one tokenizer for training and inference",
            ))  # fmt: skip
        elif own != other and role != "pad":
            notes.append(f"the {role} token is {text!r} in the base, {other_text!r} tuned")
    for side in (base, tuned):
        outside = [i for i in side["stop ids"] if i >= side["embedding rows"]]
        if outside:
            problems.append(Problem(
                cause=f"stop token {outside[0]} of {side['name']} is beyond its vocabulary of "
                f"{side['embedding rows']}",
                step="correct eos_token_id in generation_config.json",
            ))  # fmt: skip
    if not tuned["stop ids"]:
        problems.append(Problem(
            cause="the tuned model has no stop token: its replies never end",
            step="set eos_token_id in generation_config.json",
        ))  # fmt: skip
    return Findings(problems=tuple(problems), notes=tuple(notes))


def sampling_findings(facts: Facts, used: Mapping[str, Any]) -> Findings:
    """Notes on sampling defaults of the models that differ from the settings of this run."""
    notes = []
    for side in ("base", "tuned"):
        own = facts[side]["sampling"]
        if own.get("do_sample") and not used["temperature"]:
            shown = ", ".join(f"{name} {value}" for name, value in own.items())
            notes.append(
                f"a server that follows the {side}'s generation_config.json samples ({shown}); "
                "this run is greedy"
            )
        elif own.get("repetition_penalty", 1.0) != 1.0:
            notes.append(
                f"the {side}'s generation_config.json sets repetition_penalty "
                f"{own['repetition_penalty']}; this run sets none"
            )
    return Findings(notes=tuple(notes))


def _unbuilt(adapter: Facts) -> str:
    return f"PEFT cannot build this adapter without weights: {adapter['unknown']}"


def _misfits(facts: Facts, kind: Kind) -> list[Problem]:
    found = misfits(facts["adapter"], facts["base"]["name"])
    return [Problem(cause=each.cause, step=each.step) for each in found if each.kind == kind]


def _unbound_step(unbound: Sequence[str], adapter: Facts) -> str:
    """Multimodal classes of transformers keep their text model in `language_model`."""
    trained_multimodal = any(".language_model." in name for name in unbound)
    if trained_multimodal and not adapter["multimodal"]:
        return (
            "the adapter was trained over a multimodal model, and this base is its text model "
            "alone: give that multimodal model as --llm-base"
        )
    if adapter["multimodal"] and not trained_multimodal:
        return (
            "the adapter was trained over a text model, and this base is multimodal: give that "
            "text model as --llm-base, or train with AutoModelForImageTextToText"
        )
    return (
        "PEFT ignores such tensors silently: save the adapter with save_pretrained of the "
        "PEFT model, from the same library versions and base that it is loaded with"
    )
