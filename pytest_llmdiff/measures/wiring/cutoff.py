"""Are the training answers complete, or does `cutoff_len` cut off their ends?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.llamafactory.cutoff import (
    CUTOFF_LEN,
    FORMS,
    Cut,
    Cutoff,
    FactoryTurns,
    Turn,
    after_stop,
    cut_example,
    fits,
)
from pytest_llmdiff.data.llamafactory.templates import FactoryTemplate
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.training.training import TrainData, Training
from pytest_llmdiff.engines import capability
from pytest_llmdiff.engines.files.rendering import AnyRenderer, FactoryRenderer
from pytest_llmdiff.errors import LLMDiffError, ProbeError
from pytest_llmdiff.measures.wiring.findings import Findings, Problem
from pytest_llmdiff.store import content_key

# Share of the examples. Many sound trainings cut some long examples, and the others still teach the
# model to stop. The value is a judgement, not the result of a study.
CUT_ANSWERS = 0.05
UNKNOWN = "cutoff_len of the training is unknown; give it with --llmdiff-train-config"


def cutoff_content(training: Training, data: TrainData) -> list[Any]:
    """Plain JSON of everything that the facts depend on, apart from the engine and its template."""
    template, config = training.template, training.config
    return [
        None if template is None or template.factory is None else template.content(),
        None
        if config is None
        else [config.cutoff_len, config.stage, config.mask_history, config.packing],
        data.unknown,
        [
            # Hashed one by one, so that a large data set is not held in memory a second time.
            [
                dataset.name,
                content_key([content_key(vars(e)) for e in dataset.examples]),
                list(dataset.skipped),
            ]
            for dataset in data.datasets
        ],
    ]


def cutoff_facts(engine: Any, training: Training, data: TrainData) -> dict[str, Any]:
    """Plain JSON: why the check is `skipped`, or how many examples lose what."""
    config = training.config
    if config is None:
        return {"skipped": UNKNOWN}
    stage = config.stage or "sft"
    if stage not in FORMS:
        return {
            "skipped": f"the stage of the training is {stage!r}; the check knows {', '.join(FORMS)}"
        }
    if data.unknown:
        return {"skipped": f"the data of the training is unknown: {data.unknown}"}
    ours: AnyRenderer | None = capability(engine, "renderer")
    if ours is None:
        return {"skipped": f"{type(engine).__name__} has no tokenizer to count the answers with"}
    known = training.template.factory if training.template is not None else None
    template = known or (ours.factory if isinstance(ours, FactoryRenderer) else None)
    cutoff = Cutoff(
        length=CUTOFF_LEN if config.cutoff_len is None else config.cutoff_len,
        form=FORMS[stage],
        mask_history=config.mask_history,
        packing=bool(config.packing),
        efficient_eos=template is not None and template.efficient_eos,
    )
    try:
        turns = _turns(engine, ours, template)
        facts = _counted(data, cutoff, turns)
    except LLMDiffError as error:
        # If it were raised, it would count as a failure of the engine and fail all later checks.
        return {"skipped": f"the data of the training cannot be rendered: {error}"}
    facts["left out"] = data.left_out()
    if not facts["examples"]:
        return {
            "skipped": f"the data has no example that the stage {stage!r} can train on"
            + (f" ({facts['refused'][1]})" if facts["refused"][0] else "")
        }
    return {
        "skipped": None,
        **facts,
        "cutoff_len": cutoff.length,
        "given": config.cutoff_len is not None,
        "packing": cutoff.packing,
        "stop": turns.writes_stop,
        # In trainings on preferences, the token is part of the answer and is cut like any other.
        "stop behind the cut": cutoff.efficient_eos and cutoff.form == "turns",
        "in force": known is None,
    }


def cutoff_findings(facts: Mapping[str, Any]) -> Findings:
    """A problem if more than a few answers lose their ends; a note has the longest example."""
    if facts["skipped"] is not None:
        return Findings(skipped=facts["skipped"])
    total, cut = facts["examples"], facts["cut"]
    length = f"cutoff_len {facts['cutoff_len']}"
    notes = [
        f"the longest example, {facts['longest'][0]}, has {facts['longest'][1]} tokens; {length}"
        + ("" if facts["given"] else " is LLaMA-Factory's default")
        + (" less one for packing" if facts["packing"] else "")
    ]
    if facts["in force"]:
        notes.append(
            "lengths are computed with the template in use, since that of the training is unknown"
        )
    notes += facts["left out"]
    for count, text in (
        (facts["prompts"], "lose the end of a prompt, which may be the question itself"),
        (facts["rejected"], "lose the end of a rejected answer"),
        (facts["dropped"], "are left out entirely"),
    ):
        if count:
            notes.append(f"{count} of {total} examples {text} ({length})")
    if facts["refused"][0]:
        notes.append(f"{facts['refused'][0]} examples are not counted: {facts['refused'][1]}")
    if facts["unfit"]:
        notes.append(f"{facts['unfit']} examples are left out: they have no answer for this stage")
    if not cut:
        return Findings(notes=tuple(notes))
    worst = facts["worst"]
    cause = (
        f"{cut} of {total} examples lose the end of an answer to {length}: {worst['where']} has "
        f"{worst['tokens']} tokens and loses {worst['lost']} of the {worst['answer']} tokens of "
        "its answers"
    )
    if cut <= CUT_ANSWERS * total:
        return Findings(notes=(*notes, cause))
    problem = Problem(
        cause=cause + _harm(facts),
        step=f"raise cutoff_len to at least {facts['needed']}, or shorten or split these answers, "
        "and train again",
    )
    return Findings(problems=(problem,), notes=tuple(notes))


def _harm(facts: Mapping[str, Any]) -> str:
    if facts["dropped"] == facts["cut"]:
        return "; they are left out entirely"
    if not facts["unfinished"]:
        return "; whole answers are missing"
    if facts["stop behind the cut"]:
        return (
            "; LLaMA-Factory puts the end-of-sequence token after the cut (efficient_eos), so that "
            "the model learns to stop in mid-sentence"
        )
    if not facts["stop"]:
        return "; this template writes no end-of-sequence token, so only their words are lost"
    return "; the end-of-sequence token is lost, too, so that the model does not learn to stop"


# Counting


class _RenderedTurns:
    """Lengths under the template in use, for templates that are not LLaMA-Factory's."""

    def __init__(self, ours: AnyRenderer, stops: Sequence[int]) -> None:
        self._ours = ours
        prompt = [Message(role="user", content="a")]
        whole = self._whole([*prompt, Message(role="assistant", content="a")])
        tail = after_stop(whole[len(ours.ids(prompt)) :], stops)
        self.writes_stop = tail is not None
        self._tail = tail or 0

    def __call__(self, messages: Sequence[Message], cutoff: Cutoff) -> list[Turn]:
        ends = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        if cutoff.form != "turns":
            ends = ends[-1:]  # everything before the last answer is one prompt
        turns: list[Turn] = []
        done = 0
        for end in ends:
            prompt = len(self._ours.ids(messages[:end]))
            whole = len(self._whole(messages[: end + 1]))
            # A template may drop the thoughts of earlier answers: avoid negative lengths then.
            target = max(whole - prompt, 0)
            turns.append(
                Turn(
                    source=max(prompt - done, 0), target=target, end=max(target - self._tail, 0)
                )
            )  # fmt: skip
            done = whole
        return turns

    def _whole(self, messages: Sequence[Message]) -> list[int]:
        return self._ours.ids(messages, add_generation_prompt=False)


def _turns(
    engine: Any, ours: AnyRenderer, template: FactoryTemplate | None
) -> FactoryTurns | _RenderedTurns:
    if template is not None:
        theirs = FactoryRenderer(ours.path, template=template, conversions=ours.conversions)
        return FactoryTurns(template, theirs.tokenizer)
    declared: Callable[[], Sequence[int]] | None = capability(engine, "declared_stop_ids")
    return _RenderedTurns(ours, ours.stop_ids() if declared is None else declared())


def _counted(
    data: TrainData, cutoff: Cutoff, turns: FactoryTurns | _RenderedTurns
) -> dict[str, Any]:
    """Counts over all examples, rendered one at a time to save memory."""
    counts = dict.fromkeys(
        ("examples", "cut", "unfinished", "prompts", "rejected", "dropped", "unfit"), 0
    )
    refused, reason, needed = 0, "", 0
    longest: tuple[str, int] = ("", -1)
    worst: tuple[str, Cut] | None = None
    for dataset in data.datasets:
        for example in dataset.examples:
            if not fits(example, cutoff.form):
                counts["unfit"] += 1
                continue
            where = f"example {example.number} of {dataset.name}"
            try:
                cut = cut_example(example, cutoff, turns)
            except ProbeError as error:
                refused, reason = refused + 1, reason or f"{where}: {error}"
                continue
            counts["examples"] += 1
            counts["cut"] += cut.end_lost
            counts["unfinished"] += cut.unfinished
            counts["prompts"] += cut.prompt_lost > 0
            counts["rejected"] += cut.rejected_lost > 0
            counts["dropped"] += cut.dropped
            if cut.tokens > longest[1]:
                longest = where, cut.tokens
            if cut.end_lost:
                needed = max(needed, cut.tokens + cutoff.packing)
                if worst is None or cut.lost > worst[1].lost:
                    worst = where, cut
    return {
        **counts,
        "refused": [refused, reason],
        "longest": list(longest),
        "needed": needed,
        "worst": worst
        and {
            "where": worst[0],
            "tokens": worst[1].tokens,
            "answer": worst[1].answer,
            "lost": worst[1].lost,
        },
    }
