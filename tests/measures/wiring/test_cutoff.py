"""Training answers cut by `cutoff_len`: by hand, by LLaMA-Factory's own code, and the check."""

from __future__ import annotations
import __future__

import ast
import json
import re
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.llamafactory.cutoff import (
    Cut,
    Cutoff,
    FactoryTurns,
    Form,
    Turn,
    after_stop,
    cut_answers,
    cut_example,
    cut_turns,
    fits,
    kept_lengths,
)
from pytest_llmdiff.data.llamafactory.datasets import Dataset, Example
from pytest_llmdiff.data.llamafactory.rendering import prepared
from pytest_llmdiff.data.llamafactory.slots import Kind
from pytest_llmdiff.data.llamafactory.templates import FactoryTemplate, NamedSlot
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.training.config import TrainingConfig
from pytest_llmdiff.data.training.template_source import TemplateSource
from pytest_llmdiff.data.training.training import TrainData, Training
from pytest_llmdiff.engines.files.rendering import AnyRenderer, FactoryRenderer, Renderer
from pytest_llmdiff.engines.scripted import ScriptedEngine
from pytest_llmdiff.errors import ModelError
from pytest_llmdiff.measures.wiring.cutoff import (
    CUT_ANSWERS,
    UNKNOWN,
    cutoff_content,
    cutoff_facts,
    cutoff_findings,
)
from pytest_llmdiff.measures.wiring.findings import Findings
from tests.support.tiny_models import llamafactory_files, save_adapter, save_model, save_tokenizer

PROCESSOR = Path(sys.prefix) / "llamafactory" / "llamafactory" / "data" / "processor"
needs_source = pytest.mark.skipif(
    not PROCESSOR.is_dir(),
    reason=f"no LLaMA-Factory source in {PROCESSOR}: `make test` puts it there",
)
EOS = 7
GLM = "Glm47ReasoningTemplate"


def turn(source: int, target: int, tail: int = 0) -> Turn:
    return Turn(source=source, target=target, end=target - tail)


# Lengths, by hand


@pytest.mark.parametrize(
    ("source", "target", "budget", "kept"),
    [
        (10, 10, 100, (10, 10)),
        (90, 40, 100, (60, 40)),  # a short answer stays whole, its long prompt gives way
        (40, 90, 100, (40, 60)),  # and the other way round
        (60, 90, 100, (40, 60)),  # both long: in proportion
        (50, 50, 100, (50, 50)),
        (100, 50, 100, (67, 33)),  # exactly half is long already: 100 · 50/150, rounded down
        (49, 200, 100, (49, 51)),
        (1000, 5, 10, (10, 0)),  # 10 · 5/1005 is less than a token: nothing of the answer is left
        (14, 30, 22, (8, 14)),  # 22 · 30/44 is 15, and 14 in floating point
        (0, 0, 10, (0, 0)),
        (5, 5, 0, (0, 0)),
    ],
)
def test_lengths_by_hand(source: int, target: int, budget: int, kept: tuple[int, int]) -> None:
    assert kept_lengths(source, target, budget) == kept


@pytest.mark.parametrize(
    ("turns", "cutoff", "expected"),
    [
        (
            [turn(10, 20)], Cutoff(length=30),
            Cut(tokens=30, answer=20, lost=0, unfinished=False),
        ),
        (
            [turn(10, 20)], Cutoff(length=29),
            Cut(tokens=30, answer=20, lost=1, unfinished=True),
        ),
        (  # the line break behind the end-of-sequence token is no loss
            [turn(10, 20, tail=1)], Cutoff(length=29),
            Cut(tokens=30, answer=19, lost=0, unfinished=False),
        ),
        (  # packing keeps one token back
            [turn(10, 20)], Cutoff(length=30, packing=True),
            Cut(tokens=30, answer=20, lost=1, unfinished=True),
        ),
        (  # so does the end-of-sequence token that is set behind the cut
            [turn(10, 20)], Cutoff(length=30, efficient_eos=True),
            Cut(tokens=31, answer=20, lost=1, unfinished=True),
        ),
        (  # the first turn uses the budget up: the second one is left out whole
            [turn(10, 20), turn(5, 8)], Cutoff(length=30),
            Cut(tokens=43, answer=28, lost=8, unfinished=False, prompt_lost=5),
        ),
        (  # the second turn has 10 left: 10 · 8/13 = 6
            [turn(10, 20), turn(5, 8)], Cutoff(length=40),
            Cut(tokens=43, answer=28, lost=2, unfinished=True, prompt_lost=1),
        ),
        (  # the last turn first, then 17 · 20/30 = 11 of an answer that is not learnt anyway
            [turn(10, 20), turn(5, 8)], Cutoff(length=30, mask_history=True),
            Cut(tokens=43, answer=8, lost=0, unfinished=False, prompt_lost=4),
        ),
        (
            [turn(10, 20), turn(5, 8)], Cutoff(length=12, mask_history=True),
            Cut(tokens=43, answer=8, lost=1, unfinished=True, prompt_lost=10),
        ),
        (
            [turn(1, 1)], Cutoff(length=1, packing=True, efficient_eos=True),
            Cut(tokens=3, answer=1, lost=1, unfinished=False, prompt_lost=1, dropped=True),
        ),
    ],
)  # fmt: skip
def test_supervised_examples_by_hand(turns: list[Turn], cutoff: Cutoff, expected: Cut) -> None:
    assert cut_turns(turns, cutoff) == expected
    assert expected.end_lost == (expected.lost > 0)


@pytest.mark.parametrize(
    ("answer", "rejected", "cutoff", "expected"),
    [
        (  # the longer answer decides for both: 20 · 30/42 = 14
            turn(12, 8), turn(12, 30), Cutoff(length=20, form="pair"),
            Cut(tokens=42, answer=8, lost=0, unfinished=False, prompt_lost=6, rejected_lost=16),
        ),
        (
            turn(2, 30), turn(2, 5), Cutoff(length=20, form="pair"),
            Cut(tokens=32, answer=30, lost=12, unfinished=True),
        ),
        (  # here the added token is one of the answer, and lost with its end
            turn(2, 18), turn(2, 5), Cutoff(length=20, form="pair", efficient_eos=True),
            Cut(tokens=21, answer=19, lost=1, unfinished=True),
        ),
        (
            turn(2, 30), None, Cutoff(length=20, form="single"),
            Cut(tokens=32, answer=30, lost=12, unfinished=True),
        ),
        (  # what is not desired shall not be learnt
            None, turn(2, 30), Cutoff(length=20, form="single"),
            Cut(tokens=32, answer=0, lost=0, unfinished=False, rejected_lost=12),
        ),
    ],
)  # fmt: skip
def test_preferences_by_hand(
    answer: Turn | None, rejected: Turn | None, cutoff: Cutoff, expected: Cut
) -> None:
    assert cut_answers(answer, rejected, cutoff) == expected


def test_preferences_without_an_answer() -> None:
    with pytest.raises(ValueError, match="needs an answer"):
        cut_answers(None, None, Cutoff(length=9))


# Lengths, by properties

TURNS = st.lists(
    st.builds(
        lambda source, target, tail: turn(source, target, min(tail, target)),
        st.integers(0, 60), st.integers(0, 60), st.integers(0, 2),
    ),
    min_size=1, max_size=5,
)  # fmt: skip
CUTOFFS = st.builds(
    Cutoff,
    length=st.integers(1, 200), mask_history=st.booleans(), packing=st.booleans(),
    efficient_eos=st.booleans(),
)  # fmt: skip


@given(TURNS, CUTOFFS)
def test_enough_is_enough(turns: list[Turn], cutoff: Cutoff) -> None:
    """With the `cutoff_len` that the check calls enough, nothing is lost."""
    needed = cut_turns(turns, cutoff).tokens + cutoff.packing
    cut = cut_turns(turns, replace(cutoff, length=needed))
    assert (cut.lost, cut.prompt_lost, cut.unfinished, cut.dropped) == (0, 0, False, False)
    pair = cut_answers(turns[0], turns[0], cutoff)
    enough = replace(cutoff, length=pair.tokens + cutoff.packing)
    assert cut_answers(turns[0], turns[0], enough).lost == 0


# LLaMA-Factory's own functions, out of its source: the package is not imported.


def own(file: str, *wanted: str, **names: Any) -> dict[str, Any]:
    """Functions and classes of a file by name; `names` stand for what it imports."""
    tree = ast.parse((PROCESSOR / file).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    nodes = [n for n in ast.walk(tree) if isinstance(n, kinds) and n.name in wanted]
    assert sorted(node.name for node in nodes) == sorted(wanted)
    # Annotations are left alone, whose names are not here.
    future = __future__.annotations.compiler_flag
    code = compile(ast.Module([*nodes], []), file, "exec", flags=future, dont_inherit=True)
    space: dict[str, Any] = {"__name__": __name__, "IGNORE_INDEX": -100, **names}
    exec(code, space)
    return space


def encoder(file: str) -> Callable[..., Any]:
    space = own(file, "_encode_data_example", infer_seqlen=infer_seqlen())
    return space["_encode_data_example"]  # type: ignore[no-any-return]


def infer_seqlen() -> Callable[..., tuple[int, int]]:
    return own("processor_utils.py", "infer_seqlen")["infer_seqlen"]  # type: ignore[no-any-return]


@needs_source
@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 5000))
def test_lengths_are_llamafactorys(source: int, target: int, budget: int) -> None:
    assert kept_lengths(source, target, budget) == infer_seqlen()(source, target, budget)


def processor(turns: Sequence[tuple[list[int], list[int]]], cutoff: Cutoff) -> SimpleNamespace:
    """What `_encode_data_example` needs of its processor; the template gives ids at once."""
    plugin = SimpleNamespace(
        process_messages=lambda messages, *_: messages,
        process_token_ids=lambda ids, labels, *_: (list(ids), labels),
    )
    template = SimpleNamespace(
        mm_plugin=plugin,
        preserve_thinking=False,
        efficient_eos=cutoff.efficient_eos,
        encode_multiturn=lambda *_: [(list(s), list(t)) for s, t in turns],
        encode_oneturn=lambda _, messages, *__: (list(turns[0][0]), list(messages[-1]["ids"])),
    )
    arguments = SimpleNamespace(
        cutoff_len=cutoff.budget, mask_history=cutoff.mask_history, train_on_prompt=False
    )
    tokenizer = SimpleNamespace(eos_token_id=EOS)
    return SimpleNamespace(
        template=template, data_args=arguments, tokenizer=tokenizer, processor=None
    )


def numbered(turns: Sequence[Turn]) -> list[tuple[list[int], list[int]]]:
    """Ids that say where they stand: each occurs once."""
    result, start = [], 1000
    for item in turns:
        middle, end = start + item.source, start + item.source + item.target
        result.append((list(range(start, middle)), list(range(middle, end))))
        start = end
    return result


@needs_source
@given(TURNS, CUTOFFS)
def test_supervised_examples_are_llamafactorys(turns: list[Turn], cutoff: Cutoff) -> None:
    encode = encoder("supervised.py")
    pairs = numbered(turns)
    ids, labels = encode(processor(pairs, cutoff), [], [], None, None, [], [], [])
    learnt = set(labels)
    answers = [
        target[: item.end] for (_, target), item in zip(pairs, turns, strict=True)
    ][-1 if cutoff.mask_history else 0 :]  # fmt: skip
    dropped = cutoff.packing and len(ids) > cutoff.budget
    found = cut_turns(turns, cutoff)
    assert found.dropped is dropped
    assert found.answer == sum(map(len, answers))
    if not dropped:
        assert found.lost == sum(token not in learnt for answer in answers for token in answer)
        assert found.unfinished == any(
            answer[0] in learnt and answer[-1] not in learnt for answer in answers if answer
        )
    assert found.prompt_lost == len({token for source, _ in pairs for token in source} - {*ids})
    assert (EOS in labels) is cutoff.efficient_eos, "never lost, wherever the cut is"


@needs_source
@given(st.integers(0, 60), st.integers(1, 60), st.integers(1, 60), CUTOFFS)
def test_preferences_are_llamafactorys(
    source: int, chosen: int, rejected: int, cutoff: Cutoff
) -> None:
    pairwise = encoder("pairwise.py")
    feedback = encoder("feedback.py")
    prompt = list(range(1000, 1000 + source))
    good, bad = (
        {"role": "assistant", "content": "a", "ids": list(range(start, start + length))}
        for start, length in ((2000, chosen), (3000, rejected))
    )
    end = [EOS] * cutoff.efficient_eos
    good_ids, bad_ids = ([*item["ids"], *end] for item in (good, bad))
    itself = processor([(prompt, [])], cutoff)

    ids, labels, bad_all, bad_labels = pairwise(itself, [], [good, bad], None, None, [], [], [])
    found = cut_answers(turn(source, chosen), turn(source, rejected), replace(cutoff, form="pair"))
    kept = [label for label in labels if label >= 0]
    assert found.lost == len(good_ids) - len(kept)
    assert found.rejected_lost == len(bad_ids) - sum(label >= 0 for label in bad_labels)
    assert found.prompt_lost == source - (len(ids) - len(kept)) == len({*prompt} - {*bad_all})

    empty = {"role": "assistant", "content": "", "ids": []}
    single = replace(cutoff, form="single")
    for responses, expected in (([good, empty], good_ids), ([empty, bad], bad_ids)):
        ids, labels, *_, tag = feedback(itself, [], responses, [good], None, None, [], [], [])
        found = cut_answers(
            turn(source, chosen) if tag else None, None if tag else turn(source, rejected), single
        )
        lost = len(expected) - sum(label >= 0 for label in labels)
        assert (found.lost, found.rejected_lost) == ((lost, 0) if tag else (0, lost))


# Conversations to lengths


def template(**changes: Any) -> FactoryTemplate:
    """`<u>`, the words, `<a>`; then the answer and the end-of-sequence token."""
    plain = FactoryTemplate(
        name="mine", kind="plain", user=("<u>{{content}}<a>",),
        assistant=("{{content}}", NamedSlot(names=("eos_token",))), system=("{{content}}",),
        observation=("<t>{{content}}<a>",), prefix=(), default_system="", stop_words=(),
        thought_words=("<think>", "</think>"), efficient_eos=False, replace_eos=False,
        replace_jinja_template=False,
    )  # fmt: skip
    return replace(plain, **changes)


def talk(*contents: str) -> list[Message]:
    return [
        Message(role="assistant" if number % 2 else "user", content=content)
        for number, content in enumerate(contents)
    ]


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer of one token per byte, and with <|im_end|> as its eos."""
    folder = tmp_path_factory.mktemp("letters")
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(letters: Path) -> Any:
    return Renderer(letters).tokenizer


def test_ends_of_answers(tokenizer: Any) -> None:
    cutoff = Cutoff(length=100)

    def turns(changed: FactoryTemplate) -> tuple[list[Turn], bool]:
        of = FactoryTurns(changed, prepared(tokenizer, changed))
        return of(talk("Hi", "Hello", "And?", "No."), cutoff), of.writes_stop

    assert turns(template()) == ([turn(8, 6), turn(10, 4)], True)
    behind = template(assistant=("{{content}}<|im_end|>\n",))
    assert turns(behind) == ([turn(8, 7, tail=1), turn(10, 5, tail=1)], True)
    without = template(assistant=("{{content}}\n",))
    assert turns(without) == ([turn(8, 6), turn(10, 4)], False)
    efficient = template(assistant=("{{content}}",), efficient_eos=True)
    assert turns(efficient) == ([turn(8, 5), turn(10, 3)], True)


@pytest.mark.parametrize(
    ("changes", "settings", "expected"),
    [
        # Thoughts are 15 tokens (<think></think>), with one letter in it 16.
        ({}, {}, [turn(7, 18), turn(7, 17)]),
        ({}, {"mask_history": True}, [turn(7, 2), turn(7, 17)]),
        ({}, {"form": "pair"}, [turn(7, 2), turn(7, 17)]),
        ({"preserve_thinking": True}, {"mask_history": True}, [turn(7, 18), turn(7, 17)]),
        ({"preserve_thinking": True}, {"form": "pair"}, [turn(7, 18), turn(7, 17)]),
        ({"enable_thinking": False}, {}, [turn(22, 2), turn(22, 2)]),
        ({"enable_thinking": False}, {"form": "single"}, [turn(7, 2), turn(22, 2)]),
    ],
)
def test_thoughts(
    tokenizer: Any, changes: dict[str, Any], settings: dict[str, Any], expected: list[Turn]
) -> None:
    of = FactoryTurns(template(kind="reasoning", **changes), tokenizer)
    found = of(talk("a", "<think>b</think>c", "d", "e"), Cutoff(length=100, **settings))
    assert found == expected


@needs_source
@given(
    st.lists(
        st.sampled_from(["a", "bc", "<think>d</think>e", "<think>f</think>\n<think>g</think>"]),
        min_size=1, max_size=3,
    ),
    st.sampled_from([True, False, None]), st.booleans(), st.booleans(),
    st.sampled_from(["turns", "pair", "single"]),
    st.sampled_from(["plain", "reasoning", "glm47"]),
)  # fmt: skip
def test_thoughts_are_llamafactorys(
    tokenizer: Any, answers: list[str], thinking: bool | None, preserve: bool, mask: bool,
    form: Form, kind: Kind,
) -> None:  # fmt: skip
    names = {"plain": "Template", "reasoning": "ReasoningTemplate", "glm47": GLM}
    space = own(
        "../template.py", *names.values(), dataclass=dataclass, deepcopy=deepcopy, re=re,
        override=lambda function: function,
        Role=SimpleNamespace(USER="user", ASSISTANT="assistant"),
    )  # fmt: skip

    def slots(write: Callable[[str], list[Any]]) -> SimpleNamespace:
        return SimpleNamespace(apply=lambda content="", **_: write(content))

    nothing = slots(lambda _: [])
    theirs = space[names[kind]](
        format_user=slots(lambda content: [f"<u>{content}<a>"]),
        format_assistant=slots(lambda content: [content, {"eos_token"}]),
        **dict.fromkeys(("format_system", "format_function", "format_observation"), nothing),
        **dict.fromkeys(("format_tools", "format_prefix"), nothing), default_system="",
        stop_words=[], thought_words=("<think>", "</think>"), tool_call_words=("", ""),
        efficient_eos=False, replace_eos=False, replace_jinja_template=False,
        enable_thinking=thinking, preserve_thinking=preserve, mm_plugin=None,
    )  # fmt: skip
    messages = talk(*(content for answer in answers for content in ("Hi", answer)))
    ours = template(kind=kind, enable_thinking=thinking, preserve_thinking=preserve)
    cutoff = Cutoff(length=100, form=form, mask_history=mask)
    turns = FactoryTurns(ours, tokenizer)(messages, cutoff)
    if form == "turns":
        pairs = theirs.encode_multiturn(tokenizer, messages, None, None, mask and not preserve)
        assert [(t.source, t.target) for t in turns] == [(len(s), len(t)) for s, t in pairs]
    else:
        prompt, answer = theirs.encode_oneturn(tokenizer, messages)
        assert (
            sum(t.source + t.target for t in turns) - turns[-1].target, turns[-1].target
        ) == (len(prompt), len(answer))  # fmt: skip


@given(st.lists(st.integers(0, 3), max_size=6))
def test_tokens_behind_the_stop(ids: list[int]) -> None:
    tail = after_stop(ids, (2, 3))
    if tail is None:
        assert not {2, 3} & {*ids}
    else:
        assert ids[len(ids) - tail - 1] in (2, 3)
        assert not {2, 3} & {*ids[len(ids) - tail :]}


@pytest.mark.parametrize(
    ("answer", "rejected", "forms"),
    [
        ("a", None, {"turns", "single"}), ("a", "b", {"turns", "pair", "single"}),
        (None, "b", {"single"}), (None, None, set()),
    ],
)  # fmt: skip
def test_examples_that_a_training_takes(
    tokenizer: Any, answer: str | None, rejected: str | None, forms: set[str]
) -> None:
    example = Example(
        number=1, messages=tuple(talk("Hi", "Hello", "And?")), answer=answer, rejected=rejected
    )
    of = FactoryTurns(template(), tokenizer)
    for form in ("turns", "pair", "single"):
        cutoff = Cutoff(length=100, form=form)
        assert fits(example, cutoff.form) is (form in forms)
        if form in forms:
            cut = cut_example(example, cutoff, of)
            assert (cut.tokens, cut.lost, cut.prompt_lost) == (8 + 6 + 10 + 2, 0, 0)


def test_feedback_reads_one_answer(tokenizer: Any) -> None:
    example = Example(number=1, messages=tuple(talk("Hi")), answer="a", rejected="b" * 60)
    of = FactoryTurns(template(), tokenizer)
    assert cut_example(example, Cutoff(length=40, form="single"), of).rejected_lost == 0
    assert cut_example(example, Cutoff(length=40, form="pair"), of).rejected_lost == 29


# The facts


def data(*answers: str | None, prompt: str = "Hi", name: str = "mine") -> TrainData:
    examples = tuple(
        Example(number=number, messages=tuple(talk(prompt)), answer=answer, rejected=None)
        for number, answer in enumerate(answers, 1)
    )
    found = Dataset(name=name, path=Path("mine.json"), examples=examples, skipped=())
    return TrainData(datasets=(found,), found_in="here")


def training(known: FactoryTemplate | None = None, **settings: Any) -> Training:
    source = None if known is None else TemplateSource(name="mine", factory=known)
    return Training(template=source, config=TrainingConfig(source="t.yaml", **settings))


class Tokenizing:
    """An engine that can render, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.renderer: AnyRenderer = Renderer(folder)


def judged(engine: Any, trained: Training, on: TrainData) -> Findings:
    facts = cutoff_facts(engine, trained, on)
    assert json.loads(json.dumps(facts)) == facts, "what the store gives back is the same"
    return cutoff_findings(facts)


LONG = "x" * 60


def test_few_cut_answers_are_a_note(letters: Path) -> None:
    engine = Tokenizing(letters)
    few = data(*["Hello"] * 19, LONG)
    found = judged(engine, training(template(), cutoff_len=40), few)
    assert found.problems == ()
    assert found.notes == (
        "the longest example, example 20 of mine, has 69 tokens; cutoff_len 40",
        "1 of 20 examples lose the end of an answer to cutoff_len 40: example 20 of mine has 69 "
        "tokens and loses 29 of the 61 tokens of its answers",
    )
    assert 1 / 20 <= CUT_ANSWERS < 2 / 20


def test_many_cut_answers_are_red(letters: Path) -> None:
    found = judged(
        Tokenizing(letters),
        training(template(), cutoff_len=40),
        data(*["Hello"] * 18, LONG, LONG + "yy"),
    )
    (problem,) = found.problems
    assert problem.cause == (
        "2 of 20 examples lose the end of an answer to cutoff_len 40: example 20 of mine has 71 "
        "tokens and loses 31 of the 63 tokens of its answers; the end-of-sequence token is "
        "lost, too, so that the model does not learn to stop"
    )
    assert "at least 71" in problem.step
    healed = training(template(), cutoff_len=71)
    assert judged(Tokenizing(letters), healed, data(LONG, LONG + "yy")).problems == ()
    packed = training(template(), cutoff_len=71, packing=True)
    (problem,) = judged(Tokenizing(letters), packed, data(LONG, LONG + "yy")).problems
    assert "at least 72" in problem.step


@pytest.mark.parametrize(
    ("changes", "settings", "prompt", "words"),
    [
        ({"assistant": ("{{content}}",), "efficient_eos": True}, {}, "Hi", "in mid-sentence"),
        (
            {"assistant": ("{{content}}",), "efficient_eos": True}, {"stage": "kto"}, "Hi",
            "does not learn to stop",
        ),
        ({"assistant": ("{{content}}\n",)}, {}, "Hi", "writes no end-of-sequence token"),
        ({}, {"cutoff_len": 2}, "x" * 200, "whole answers are missing"),
        (
            {"efficient_eos": True}, {"cutoff_len": 1, "packing": True}, "Hi",
            "are left out entirely",
        ),
    ],
)  # fmt: skip
def test_what_is_lost_is_said(
    letters: Path, changes: dict[str, Any], settings: dict[str, Any], prompt: str, words: str
) -> None:
    trained = training(template(**changes), **{"cutoff_len": 40, **settings})
    (problem,) = judged(Tokenizing(letters), trained, data(LONG, prompt=prompt)).problems
    assert words in problem.cause


def test_notes(letters: Path) -> None:
    engine = Tokenizing(letters)
    notes = " ".join(judged(engine, training(template()), data("Hello", None)).notes)
    assert "cutoff_len 2048 is LLaMA-Factory's default" in notes
    assert "1 examples are left out: they have no answer for this stage" in notes
    trained = training(template(), cutoff_len=40, packing=True)
    notes = " ".join(judged(engine, trained, data("Hello", prompt=LONG)).notes)
    assert "less one for packing" in notes
    assert "1 of 1 examples lose the end of a prompt" in notes
    wrong = Example(number=4, messages=(*talk("a"), *talk("b")), answer="c", rejected=None)
    mixed = data("Hello")
    mixed = replace(
        mixed, datasets=(replace(mixed.datasets[0], examples=(*mixed.datasets[0].examples, wrong)),)
    )
    notes = " ".join(judged(engine, trained, mixed).notes)
    assert "1 examples are not counted: example 4 of mine: message 2 has the role" in notes


def test_preferences(letters: Path) -> None:
    example = Example(number=1, messages=tuple(talk("Hi")), answer="Hello", rejected=LONG)
    on = data()
    on = replace(on, datasets=(replace(on.datasets[0], examples=(example,)),))
    found = judged(Tokenizing(letters), training(template(), cutoff_len=40, stage="dpo"), on)
    assert found.problems == ()
    assert "lose the end of a rejected answer" in found.notes[1]
    swapped = replace(example, answer=LONG, rejected="Hello")
    on = replace(on, datasets=(replace(on.datasets[0], examples=(swapped,)),))
    assert judged(Tokenizing(letters), training(template(), cutoff_len=40, stage="rm"), on).problems


def test_the_template_in_force_counts_where_none_is_known(letters: Path) -> None:
    """ChatML: the words of both, two tokens of markup per turn, roles and line breaks."""
    found = judged(Tokenizing(letters), training(cutoff_len=40), data("Hello"))
    assert found.problems == ()
    # <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n and Hello<|im_end|>\n
    assert found.notes[0].endswith(f"has {1 + 5 + 2 + 2 + 1 + 10 + 5 + 2} tokens; cutoff_len 40")
    assert "the template in use" in found.notes[1]
    # The line break behind the end-of-sequence token may go.
    long = data("x" * 40)  # 21 + 42 tokens
    assert not judged(Tokenizing(letters), training(cutoff_len=62), long).problems
    (problem,) = judged(Tokenizing(letters), training(cutoff_len=61), long).problems
    assert "does not learn to stop" in problem.cause

    example = Example(
        number=1, messages=tuple(talk("Hi", "Hello", "Hi")), answer="Hello", rejected=None
    )
    on = replace(data(), datasets=(replace(data().datasets[0], examples=(example,)),))
    for stage, form in (("sft", "turns"), ("kto", "single")):
        facts = cutoff_facts(Tokenizing(letters), training(cutoff_len=99, stage=stage), on)
        assert facts["longest"][1] == 2 * 28, form


def test_a_template_of_llamafactory_may_be_in_force(letters: Path) -> None:
    engine = Tokenizing(letters)
    efficient = template(assistant=("{{content}}",), efficient_eos=True)
    engine.renderer = FactoryRenderer(letters, template=efficient)
    found = judged(engine, training(cutoff_len=40), data(LONG))
    assert "in mid-sentence" in found.problems[0].cause
    assert "has 69 tokens" in found.notes[0]
    assert "the template in use" in found.notes[1]


@pytest.mark.parametrize(
    ("trained", "on", "reason"),
    [
        (Training(), data("a"), UNKNOWN),
        (training(stage="pt"), data("a"), "the stage of the training is 'pt'"),
        (training(), TrainData(unknown="not given"), "is unknown: not given"),
        (training(stage="dpo"), data("a"), "no example that the stage 'dpo' can train on"),
    ],
)
def test_reasons_to_skip(letters: Path, trained: Training, on: TrainData, reason: str) -> None:
    assert reason in (judged(Tokenizing(letters), trained, on).skipped or "")


def test_engines_without_a_template_skip(tmp_path: Path) -> None:
    scripted = judged(ScriptedEngine({}), training(), data("a"))
    assert scripted.skipped == "ScriptedEngine has no tokenizer to count the answers with"
    save_tokenizer(tmp_path, template=None)
    bare = judged(Tokenizing(tmp_path), training(), data("a"))
    assert "has no chat template" in (bare.skipped or "")
    with pytest.raises(ModelError):
        Renderer(tmp_path).ids(talk("a"))


def test_what_the_facts_depend_on() -> None:
    trained, on = training(template(), cutoff_len=40), data("a")
    contents = [
        cutoff_content(*both)
        for both in (
            (trained, on),
            (training(template(), cutoff_len=41), on),
            (training(template(), cutoff_len=40, packing=True), on),
            (training(template(), cutoff_len=40, mask_history=True), on),
            (training(template(), cutoff_len=40, stage="kto"), on),
            (training(template(efficient_eos=True), cutoff_len=40), on),
            (training(cutoff_len=40), on),
            (Training(), on),
            (trained, data("b")),
            (trained, data("a", name="other")),
            (trained, TrainData(unknown="lost")),
        )
    ]
    assert len({json.dumps(content) for content in contents}) == len(contents)
    assert cutoff_content(trained, data("a")) == contents[0]


# The check in a run

SUITE = ["--pyargs", "pytest_llmdiff.suites.wiring", "-rA", "-p", "no:cacheprovider"]
ONLY = ["-k", "training_answers_are_whole"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "base")
    save_adapter(folder / "tuned", folder / "base", scale=0.1)
    llamafactory_files(folder / "tuned")
    return folder


def test_the_check_is_red_where_answers_are_cut(
    pytester: pytest.Pytester, models: Path, mode: list[str]
) -> None:
    records = [{"instruction": "Hi", "output": text} for text in ("Hello", LONG, LONG)]
    (pytester.path / "mine.json").write_text(json.dumps(records), encoding="utf-8")
    config = pytester.path / "t.yaml"
    options = [
        f"--llm-base={models / 'base'}", f"--llm-tuned={models / 'tuned'}", *mode, *SUITE, *ONLY,
        f"--llmdiff-train-config={config}",
    ]  # fmt: skip
    config.write_text("stage: sft\ncutoff_len: 60\n", encoding="utf-8")
    skipped = pytester.runpytest_inprocess(*options)
    assert skipped.parseoutcomes()["skipped"] == 1
    assert "--llmdiff-train-data is not given" in skipped.stdout.str()

    options.append("--llmdiff-train-data=mine.json")
    red = pytester.runpytest_inprocess(*options)
    assert red.parseoutcomes()["failed"] == 1
    assert "2 of 3 examples lose the end of an answer to cutoff_len 60" in red.stdout.str()
    assert "raise cutoff_len to at least 83" in red.stdout.str()

    config.write_text("stage: sft\ncutoff_len: 83\n", encoding="utf-8")
    green = pytester.runpytest_inprocess(*options)
    assert green.parseoutcomes()["passed"] == 1
    assert "the longest example, example 2 of mine, has 83 tokens" in green.stdout.str()


def test_a_replay_needs_neither_data_nor_settings(pytester: pytest.Pytester, models: Path) -> None:
    records = [{"instruction": "Hi", "output": LONG}]
    (pytester.path / "mine.json").write_text(json.dumps(records), encoding="utf-8")
    (pytester.path / "t.yaml").write_text("cutoff_len: 60\n", encoding="utf-8")
    pytester.makepyfile(
        """
        from pytest_llmdiff import wiring

        def test_answers(llm_pair):
            assert llm_pair.base.generate("Hi")
            assert llm_pair.tuned.generate("Hi")
            (problem,) = wiring(llm_pair, "answers").details["problems"]
            assert "1 of 1 examples" in problem
        """
    )
    options = ["-p", "no:cacheprovider", "--llmdiff-max-new-tokens=2"]
    pytester.runpytest_inprocess(
        f"--llm-base={models / 'base'}", f"--llm-tuned={models / 'tuned'}", *options,
        "--llmdiff-train-config=t.yaml", "--llmdiff-train-data=mine.json",
        "--llmdiff-record=run.jsonl",
    ).assert_outcomes(passed=1)  # fmt: skip
    (pytester.path / "mine.json").unlink()
    pytester.runpytest_inprocess(
        "--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl", *options
    ).assert_outcomes(passed=1)
