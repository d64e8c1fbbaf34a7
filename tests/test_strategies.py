"""Strategies for hypothesis: pools that are answered together, that shrink and come again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff import ConfigError, strategies
from pytest_llmdiff.data.pools import PooledPrompt
from tests.support.projects import INI, Run


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """With the plugin of hypothesis: its options and its word on how an example comes again."""
    monkeypatch.delenv("PYTEST_ADDOPTS")
    return pytester


# Engines that note what each call of `generate` is given, and an embedder that notes its texts.
ENGINES = """
import json
from pytest_llmdiff import ScriptedEngine

class Noting(ScriptedEngine):
    side = ""

    def generate(self, requests):
        with open("calls.jsonl", "a") as file:
            prompts = [request.messages[-1]["content"] for request in requests]
            file.write(json.dumps([self.side, prompts]) + "\\n")
        yield from super().generate(requests)

class Base(Noting):
    side = "base"
    def __init__(self): super().__init__({}, default="It is on its way.")

class Tuned(Noting):
    side = "tuned"
    def __init__(self): super().__init__({}, default="It is on its way!")

    def generate(self, requests):
        self.replies = {r.messages[-1]["content"]: "HOW RUDE!" for r in requests
                        if r.messages[-1]["content"].isupper()}
        yield from super().generate(requests)

class Letters:
    def encode(self, texts):
        with open("embedded.jsonl", "a") as file:
            file.write(json.dumps(texts) + "\\n")
        return [[t.lower().count(c) + 0.01 for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts]
"""
PAIRS = """
    from hypothesis import given, settings
    from pytest_llmdiff import assert_invariant, strategies

    pairs = strategies.pairs(
        "How do I {verb} my {thing}?", "Where is my {thing}?",
        verb=["return", "track", "change", "cancel"], thing=["order", "parcel", "new laptop"],
    )
    seen = []

    @settings(max_examples=100, deadline=None, database=None)
    @given(pair=pairs)
    def test_forms(llm_pair, pair):
        seen.append(pair)
        original, form = pair
        assert_invariant(llm_pair.compare(original), llm_pair.compare(form), at_most=2)

    def test_there_were_many():
        assert len(set(seen)) > 60
"""


@pytest.fixture
def noting(project: pytest.Pytester) -> pytest.Pytester:
    (project.path / "engines.py").write_text(ENGINES, encoding="utf-8")
    ini = project.path / INI
    text = ini.read_text(encoding="utf-8").replace("scorers:Letters", "engines:Letters")
    ini.write_text(text, encoding="utf-8")
    return project


def start(project: pytest.Pytester, *args: str) -> pytest.RunResult:
    return project.runpytest_inprocess(
        "--llm-base=python:engines:Base", "--llm-tuned=python:engines:Tuned", *args
    )


def lines(project: pytest.Pytester, name: str) -> list[list[object]]:
    text = (project.path / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_hundred_examples_are_one_batch(noting: pytest.Pytester) -> None:
    noting.makepyfile(PAIRS)
    start(noting, "-s").assert_outcomes(passed=2)
    calls = lines(noting, "calls.jsonl")
    assert [side for side, _ in calls] == ["base", "tuned"], "one call of each engine"
    prompts = calls[0][1]
    assert isinstance(prompts, list)
    assert 100 < len(prompts) == len(set(prompts)) < 150
    assert len(lines(noting, "embedded.jsonl")) == 1, "scores too come of one call"


def test_prompts_alone_are_one_batch_too(noting: pytest.Pytester, mode: list[str]) -> None:
    noting.makepyfile(
        """
        from hypothesis import given, settings
        from pytest_llmdiff import assert_semantic_drift, strategies

        numbers = [str(n) for n in range(500)]

        @settings(max_examples=100, deadline=None, database=None)
        @given(prompt=strategies.prompts("What is {a} + {b}?", a=numbers, b=numbers, size=120))
        def test_sums(llm_pair, prompt):
            assert_semantic_drift(llm_pair.compare(prompt), at_most=1e-9)
        """
    )
    start(noting, *mode).assert_outcomes(passed=1)
    assert Counter(side for side, _ in lines(noting, "calls.jsonl")) == {"base": 1, "tuned": 1}
    assert all(len(prompts) == 120 for _, prompts in lines(noting, "calls.jsonl")
               if isinstance(prompts, list))  # fmt: skip


def test_a_pool_is_read_with_its_neighbours_by_compare_all(noting: pytest.Pytester) -> None:
    noting.makepyfile(
        """
        from hypothesis import given, settings
        from pytest_llmdiff import assert_invariant, strategies

        @settings(max_examples=20, deadline=None, database=None)
        @given(pair=strategies.pairs("Hi, where is {it}?", it=["a", "b", "c"], size=15))
        def test_forms(llm_pair, pair):
            assert_invariant(*llm_pair.compare_all(pair), at_most=2)
        """
    )
    start(noting).assert_outcomes(passed=1)
    assert len(lines(noting, "calls.jsonl")) == 2


FAILING = PAIRS.replace("at_most=2", "at_most=0.2").replace(
    '"new laptop"],', '"new laptop"], size=1000,'
)


def test_a_failure_shrinks_to_the_smallest(noting: pytest.Pytester, mode: list[str]) -> None:
    noting.makepyfile(FAILING)
    result = start(noting, *mode)
    # Capitals are what the tuned model minds; this is the shortest prompt that has them.
    result.stdout.fnmatch_lines(
        ["E *invariance loss *", "E *original Where is my order?*",
         "E *changed  WHERE IS MY ORDER[?]*",
         "*pair=('Where is my order?', 'WHERE IS MY ORDER?'),*"]
    )  # fmt: skip


@pytest.mark.parametrize("options", [["--hypothesis-seed=7"], ["--hypothesis-profile=ci"]])
def test_runs_come_again_with_a_seed(noting: pytest.Pytester, options: list[str]) -> None:
    noting.makepyfile(PAIRS + "\n\n    def test_tell(): print('SEEN', ascii(seen))\n")
    found = []
    for _ in range(2):
        result = start(noting, "-s", *options)
        result.assert_outcomes(passed=3)
        found += [line.partition("SEEN")[2] for line in result.outlines if "SEEN" in line]
    assert found[0] == found[1]
    assert len(lines(noting, "calls.jsonl")) == 2, "the second run answers from the store"


def test_sampled_replies_come_again_with_the_run_s_seed(noting: pytest.Pytester) -> None:
    noting.makepyfile(PAIRS)
    options = ("--llmdiff-temperature=1", "--hypothesis-seed=1")
    for seed, calls in (("1", 2), ("1", 2), ("2", 4)):
        start(noting, *options, f"--llmdiff-seed={seed}").assert_outcomes(passed=2)
        assert len(lines(noting, "calls.jsonl")) == calls


def test_a_prompt_that_cannot_be_answered_fails_alone(project: pytest.Pytester, run: Run) -> None:
    known = {"replies": {"Hello": "Hi."}}
    for name in ("base", "tuned"):
        (project.path / f"{name}.json").write_text(json.dumps(known), encoding="utf-8")
    project.makepyfile(
        """
        import pytest
        from pytest_llmdiff import ProbeError
        from pytest_llmdiff.data.pools import Pool, PooledPrompt

        pool = Pool([PooledPrompt("Hello"), PooledPrompt("What?")])

        def test_known(llm_pair): assert llm_pair.compare(pool.prompts[0]).base.text == "Hi."

        def test_unknown(llm_pair):
            with pytest.raises(ProbeError): llm_pair.compare(pool.prompts[1])
        """
    )
    run().assert_outcomes(passed=2)


# Without models


def test_importing_it_loads_no_hypothesis() -> None:
    code = "import sys, pytest_llmdiff.strategies as s; s.fill('Hi'); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"hypothesis", "numpy", "torch"} & set(found.stdout.split())


@given(size=st.integers(1, 30), seed=st.integers(0, 5))
def test_fill_takes_so_many_and_the_same_again(size: int, seed: int) -> None:
    slots: dict[str, Any] = {"a": ["1", "22", "333"], "b": ["x", "yy", "zzz"]}
    whole = strategies.fill("{a} {b}", "only {a}", **slots)
    found = strategies.fill("{a} {b}", "only {a}", size=size, seed=seed, **slots)
    assert len(whole) == 12
    assert len(found) == min(size, 12)
    assert set(found) <= set(whole)
    assert found == sorted(found, key=lambda text: (len(text), text))
    assert found == strategies.fill("{a} {b}", "only {a}", size=size, seed=seed, **slots)


def test_fill_of_very_many_makes_only_what_is_taken() -> None:
    many = [str(n) for n in range(1000)]
    found = strategies.fill("{a}{b}{c}{d}{e}", size=5, a=many, b=many, c=many, d=many, e=many)
    assert len(found) == 5


def test_braces_are_texts_without_slots() -> None:
    assert strategies.fill("What does {} mean?") == ["What does {} mean?"]
    assert strategies.fill("{{}} in {it}?", it=["C"]) == ["{} in C?"]


@pytest.mark.parametrize(
    ("templates", "slots", "message"),
    [
        ((), {}, "give a template"),
        (("Where is my {thing}?",), {"thing": []}, "give the slot 'thing' a list of texts"),
        (("Where is my {thing}?",), {"thing": "order"}, "give the slot 'thing' a list of texts"),
        (
            ("Where is my {thing}?",),
            {"thingy": ["order"]},
            "has the slot 'thing', but the given slots are",
        ),
        (("Where is it?",), {"thing": ["order"]}, "no template has the slot thing"),
        (("Where {is it?",), {"thing": ["order"]}, "is not a valid template"),
    ],
)
def test_templates_that_are_none(
    templates: tuple[str, ...], slots: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        strategies.fill(*templates, **slots)


def test_pairs_that_nothing_changes() -> None:
    with pytest.raises(ConfigError, match="no function in by= changes"):
        strategies.pairs("你好", by=[strategies.homoglyphs])


@given(pair=strategies.pairs("Where is my {thing}?", thing=["order", "parcel"], size=7))
def test_a_pair_knows_what_changed_it(pair: tuple[str, str]) -> None:
    original, form = pair
    assert isinstance(form, PooledPrompt)
    assert form.original == original != form
    assert form.change in {perturbation.__name__ for perturbation in strategies.ENGLISH}
    assert original in form.pool.prompts
