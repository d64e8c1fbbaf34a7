"""A failure by training data: the nearest examples, and those that push towards the reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.plain_json import plain
from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.data.text.printing import marked, number, printable, shortened
from pytest_llmdiff.explain.blocks import Block, bars
from pytest_llmdiff.explain.kind import Budget, Kind, Sources
from pytest_llmdiff.explain.training.influence import influences
from pytest_llmdiff.explain.training.values import Influences, Leak, Nearest, Neighbour

LONGEST = 120  # columns of the prompt and of the answer of a near example
SHORTER = 80  # the same of an example that pushes
NAMED = 3  # examples that push, in a line
CHECKED = 24  # nearest examples whose gradients are computed for a failure
REPORTED = 10  # examples that push, in the JSON report
ADVICE = {
    "few": "a few examples taught this reply ({alike} of {judged} checked): read them and similar "
    "ones before changing training parameters",
    "most": "most examples push towards this reply ({alike} of {judged} checked): it is what they "
    "have in common; change the data as a whole, or train more gently",
    "none": "none of the {judged} examples checked pushes towards this reply (the highest score is "
    "{first}): if the base would not give it either, check chat template, learning rate and epochs "
    "before the data",
}


def _nearest(sources: Sources, comparison: Comparison) -> Nearest | None:
    if sources.neighbours is None:
        return None
    return sources.neighbours.explain(comparison.probe.messages)


def _nearest_lines(nearest: Nearest, comparison: Comparison) -> list[str]:
    texts = []
    if nearest.leak is not None:
        texts.append(f"  leak     {_leak(comparison.probe.prompt, nearest.leak)}")
    texts += [f"  trained  {_trained(example)}" for example in nearest.examples[:1]]
    if nearest.unavailable:
        what = "not all examples" if nearest.examples else "no nearest examples"
        texts.append(f"  trained  {what}: {shortened(printable(nearest.unavailable))}")
    return texts


def _trained(example: Neighbour) -> str:
    prompt = shortened(printable(example.prompt), LONGEST)
    answer = "no answer to learn"
    if example.answer is not None:
        answer = f'"{shortened(printable(example.answer), LONGEST)}"'
    return f'"{prompt}" → {answer} (similarity {example.similarity:.2f}, {_place(vars(example))})'


def _leak(prompt: str, leak: Leak) -> str:
    example = _place(vars(leak))
    if leak.more:
        example += f" and {leak.more} more"
    if leak.kind == "same":
        return f"this prompt is in the training data: {example} (same)"
    there = marked(leak.prompt, first_difference(prompt, leak.prompt))
    return f"nearly this prompt is in the training data: {example} (near-same): {there}"


def _nearest_row(nearest: Nearest) -> dict[str, Any]:
    return {
        "leak": None if nearest.leak is None else nearest.leak.row,
        "nearest": plain([asdict(example) for example in nearest.examples]) or None,
    }


def _nearest_page(comparison: Mapping[str, Any]) -> Iterator[Block]:
    yield bars(
        "Training examples that ask a similar question",
        "Similarity of meaning, 1 for the same (cosine of the embeddings of both prompts).",
        ("similarity", "example", "prompt", "answer to learn"),
        [(near["similarity"], _told(near)) for near in comparison["nearest"]],
    )


def _told(example: Mapping[str, Any]) -> tuple[object, ...]:
    return _place(example), example["prompt"], example["answer"]


def _learnt(sources: Sources, comparison: Comparison) -> Influences | None:
    if sources.examples is None:
        return None
    return influences(
        sources.generation, comparison, sources.examples,
        reply="tuned", examples=CHECKED, at="start",
    )  # fmt: skip


def _learnt_lines(found: Influences, _: Comparison) -> list[str]:
    if not found.examples:
        return []
    first, *others = found.examples[:NAMED]
    prompt, answer = (shortened(printable(t), SHORTER) for t in (first.prompt, first.answer))
    named = [f'"{prompt}" → "{answer}" (gradient {first.score:.2f}, {_place(vars(first))})']
    named += [f"{_place(vars(other))} ({other.score:.2f})" for other in others]
    return [f"  learnt   {', '.join(named)}"]


def next_step(learnt: Mapping[str, Any]) -> str:
    """What to do next, from the row of the JSON report; empty where the scores show no clear
    pattern."""
    if learnt["pattern"] is None or not learnt["examples"]:
        return ""
    first = number(learnt["examples"][0]["score"])
    text = ADVICE[learnt["pattern"]]
    return text.format(alike=learnt["alike"], judged=learnt["judged"], first=first)


def _learnt_row(found: Influences) -> dict[str, Any]:
    row = asdict(replace(found, examples=found.examples[:REPORTED]))
    return {"learnt": {**plain(row), "pattern": found.pattern}}


def _learnt_page(comparison: Mapping[str, Any]) -> Iterator[Block]:
    if comparison["learnt"]["examples"]:
        yield _pushing_block(comparison["learnt"])


def _pushing_block(learnt: Mapping[str, Any]) -> Block:
    """Examples by how much they push, from the row of the JSON report."""
    advice = next_step(learnt)
    about = (
        "How much learning the example makes this reply likelier: 1 the same way as the reply "
        "itself, 0 not at all, below 0 less likely (cosine of the gradients). "
        f"{learnt['judged']} of {learnt['known']} examples were checked."
    )
    return bars(
        "Training examples that push towards this reply",
        f"{about} {advice[:1].upper()}{advice[1:]}".strip(),
        ("push", "example", "prompt", "answer to learn"),
        [(example["score"], _told(example)) for example in learnt["examples"]],
    )


def influences_blocks(found: Influences) -> list[Block]:
    """What a notebook shows of them."""
    return [_pushing_block(_learnt_row(found)["learnt"])]


def _place(example: Mapping[str, Any]) -> str:
    return f"{printable(example['dataset'])} {example['number']}"


NEAREST = Kind(
    title="by nearest examples", tab="origin", budget=None, brief=True, of_training=True,
    compute=_nearest, lines=_nearest_lines, row=_nearest_row, page=_nearest_page,
)  # fmt: skip
LEARNT = Kind(
    title="by training examples", tab="origin", budget=Budget(least=2, per=100, most=5),
    of_training=True, compute=_learnt, lines=_learnt_lines, row=_learnt_row, page=_learnt_page,
)  # fmt: skip
