"""What LLaMA-Factory's `cutoff_len` leaves of a training example, computed from token counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pytest_llmdiff.data.llamafactory.examples import Example
from pytest_llmdiff.data.llamafactory.rendering import stop_ids, training_pairs
from pytest_llmdiff.data.llamafactory.templates import FactoryTemplate
from pytest_llmdiff.data.messages import Message

CUTOFF_LEN = 2048  # LLaMA-Factory's default
# How the stages that train on answers cut: turn by turn, a pair of answers, or a single answer.
Form = Literal["turns", "pair", "single"]
FORMS: dict[str, Form] = {"sft": "turns", "dpo": "pair", "rm": "pair", "kto": "single"}


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The number of tokens of a prompt (`source`) and of its answer (`target`).

    `end` counts the target's tokens up to and including its end-of-sequence token, or up to its
    last word if it has none: some templates write a line break after it.
    """

    source: int
    target: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Cutoff:
    """The settings of a training that decide the cut. `length` is `cutoff_len`, in tokens."""

    length: int
    form: Form = "turns"
    mask_history: bool = False
    packing: bool = False
    efficient_eos: bool = False

    @property
    def budget(self) -> int:
        """The tokens that one example may have: packing reserves one."""
        return self.length - self.packing


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What the cut does to one example; all numbers are tokens.

    `tokens` is the uncut length. `answer` counts the answers that are learnt, up to their ends, and
    `lost` what is cut off from them. `unfinished` says that an answer is learnt in part.
    `prompt_lost` and `rejected_lost` count what is cut off from prompts and rejected answers.
    `dropped` says that the example is left out entirely.
    """

    tokens: int
    answer: int
    lost: int
    unfinished: bool
    prompt_lost: int = 0
    rejected_lost: int = 0
    dropped: bool = False

    @property
    def end_lost(self) -> bool:
        return self.lost > 0


# By lengths


def kept_lengths(source: int, target: int, budget: int) -> tuple[int, int]:
    """How many tokens of a prompt and of its answer are kept; both are cut at the end.

    The longer one is cut. If both exceed half of the budget, they are cut in proportion.
    """
    if budget <= 0:
        return 0, 0
    if 2 * target < budget:
        room = target
    elif 2 * source < budget:
        room = budget - source
    else:
        # The order of operations is LLaMA-Factory's: a different one rounds differently.
        room = int(budget * (target / (source + target)))
    kept = min(room, target)
    return min(source, budget - kept), kept


def cut_turns(turns: Sequence[Turn], cutoff: Cutoff) -> Cut:
    """The cut of supervised training: turn by turn, until the budget is used up.

    With `mask_history`, the last turn comes first, and only its answer is learnt.
    """
    # The token of `efficient_eos` is appended after the cut, and is never lost.
    used = extra = int(cutoff.efficient_eos)
    order = turns[::-1] if cutoff.mask_history else turns
    kept = []
    for turn in order:
        kept.append(kept_lengths(turn.source, turn.target, cutoff.budget - used))
        used += sum(kept[-1])
    learnt = [
        (turn.end, answer)
        for turn, (_, answer) in list(zip(order, kept, strict=True))[
            : 1 if cutoff.mask_history else None
        ]
    ]
    answer = sum(end for end, _ in learnt)
    # An example is too long to be packed only if `cutoff_len` is uselessly small.
    dropped = cutoff.packing and used > cutoff.budget
    return Cut(
        tokens=extra + sum(turn.source + turn.target for turn in turns),
        answer=answer,
        lost=answer if dropped else sum(max(end - length, 0) for end, length in learnt),
        unfinished=not dropped and any(0 < length < end for end, length in learnt),
        prompt_lost=sum(
            turn.source - source for turn, (source, _) in zip(order, kept, strict=True)
        ),
        dropped=dropped,
    )


def cut_answers(answer: Turn | None, rejected: Turn | None, cutoff: Cutoff) -> Cut:
    """The cut of training on preferences: the prompt is cut along with its longer answer.

    Raises:
        ValueError: there is no answer.
    """
    # Here the token of `efficient_eos` is part of the answer, and is cut with it.
    given = [
        _with_eos(turn) if cutoff.efficient_eos else turn for turn in (answer, rejected) if turn
    ]
    if not given:
        raise ValueError("an example needs an answer, a rejected one, or both")
    source, longest = given[0].source, max(turn.target for turn in given)
    kept_source, kept = kept_lengths(source, longest, cutoff.budget)
    lost = [max(turn.end - kept, 0) for turn in given]
    learnt = given[0].end if answer else 0
    return Cut(
        tokens=source + longest,
        answer=learnt,
        lost=lost[0] if answer else 0,
        unfinished=0 < kept < learnt,
        prompt_lost=source - kept_source,
        rejected_lost=lost[-1] if rejected else 0,
    )


def _with_eos(turn: Turn) -> Turn:
    return replace(turn, target=turn.target + 1, end=turn.target + 1)


# By examples


class FactoryTurns:
    """The lengths of conversations as a training with a LLaMA-Factory template encodes them."""

    def __init__(self, template: FactoryTemplate, tokenizer_prepared: Any) -> None:
        # `cut_turns` and `cut_answers` add the token of `efficient_eos`.
        self._template = replace(template, efficient_eos=False)
        self._tokenizer = tokenizer_prepared
        probe = [Message(role="user", content="a"), Message(role="assistant", content="a")]
        ((_, target),) = training_pairs(self._template, tokenizer_prepared, probe)
        tail = after_stop(target, stop_ids(tokenizer_prepared, template))
        self.writes_stop = template.efficient_eos or tail is not None
        self._tail = 0 if template.efficient_eos or tail is None else tail

    def __call__(self, messages: Sequence[Message], cutoff: Cutoff) -> list[Turn]:
        """The turns of a conversation that ends in an answer.

        Raises:
            ProbeError: LLaMA-Factory cannot express the conversation.
            ModelError: the tokenizer lacks a token that the template names.
        """
        pairs = self._pairs(self._template, messages)
        if len(pairs) > 1 and self._last_thought_alone(cutoff):
            bare = replace(self._template, kind="plain")
            sources = self._pairs(bare, messages)
            thoughtless = replace(self._template, enable_thinking=False)
            targets = sources
            if not self._template.preserve_thinking:
                targets = self._pairs(thoughtless, messages)
            earlier = zip(sources[:-1], targets[:-1], strict=True)
            pairs = [*((source, target) for (source, _), (_, target) in earlier), pairs[-1]]
        return [
            Turn(source=len(source), target=len(target), end=max(len(target) - self._tail, 0))
            for source, target in pairs
        ]

    def _pairs(
        self, template: FactoryTemplate, messages: Sequence[Message]
    ) -> list[tuple[list[int], list[int]]]:
        return training_pairs(template, self._tokenizer, messages)

    def _last_thought_alone(self, cutoff: Cutoff) -> bool:
        """Whether only the last turn gets an empty thought or keeps its own thought."""
        if self._template.kind not in ("reasoning", "glm47"):
            return False
        return cutoff.form != "turns" or (
            cutoff.mask_history and not self._template.preserve_thinking
        )


def after_stop(target: Sequence[int], stops: Sequence[int]) -> int | None:
    """How many tokens follow the last stop token of an answer; None if it has none."""
    return next((n for n, token in enumerate(reversed(target)) if token in stops), None)


def fits(example: Example, form: Form) -> bool:
    """Whether a training of this form uses the example; it leaves out others."""
    if form == "turns":
        return example.answer is not None
    if form == "pair":
        return example.answer is not None and example.rejected is not None
    return example.answer is not None or example.rejected is not None


def cut_example(example: Example, cutoff: Cutoff, turns_of: Any) -> Cut:
    """What the cut does to an example that `fits`; `turns_of` returns the turns of a conversation.

    Raises:
        ProbeError: the template cannot express the conversation.
    """

    def turns(answer: str) -> list[Turn]:
        last = Message(role="assistant", content=answer)
        return list(turns_of((*example.messages, last), cutoff))

    def joined(answer: str | None) -> Turn | None:
        if answer is None:
            return None
        *earlier, last = turns(answer)
        before = sum(turn.source + turn.target for turn in earlier)
        return replace(last, source=before + last.source)

    if cutoff.form == "turns":
        return cut_turns(turns(example.answer or ""), cutoff)
    answer = joined(example.answer)
    # Only one answer of a feedback record is used, whether desired or not.
    alone = cutoff.form == "single" and answer is not None
    return cut_answers(answer, None if alone else joined(example.rejected), cutoff)
