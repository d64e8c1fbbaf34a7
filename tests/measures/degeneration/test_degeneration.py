"""Replies that no user would take, and odd replies that were asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.comparison import Comparison, Measurement, Reply
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.data.tokens import Likelihood
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.degeneration import salad
from pytest_llmdiff.measures.degeneration.degeneration import (
    Degeneration,
    assert_not_degenerate,
    newly,
)

LISTED = Path(__file__).parents[2] / "support" / "data" / "degeneration.jsonl"
PROMPT = "How do I get a refund for my order?"
BASE = "You can return the item within thirty days of the purchase."


def listed(*, degenerate: bool) -> list[Mapping[str, Any]]:
    rows = [json.loads(line) for line in LISTED.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["degenerate"] is degenerate]


def measure(tuned: str | Reply, base: str = BASE, prompt: str = PROMPT) -> Measurement:
    reply = Reply(text=tuned) if isinstance(tuned, str) else tuned
    comparison = Comparison(probe=make_probe(prompt), base=Reply(text=base), tuned=reply)
    (found,) = Degeneration().measure([comparison])
    return found


def kinds(found: Measurement) -> list[str]:
    return [evidence["kind"] for evidence in found.details["evidence"]]


def test_replies_that_no_user_would_take() -> None:
    rows = listed(degenerate=True)
    found = [measure(row["tuned"], row["base"], row["prompt"]).value for row in rows]
    assert [row["tuned"] for row, value in zip(rows, found, strict=True) if not value] == []


def test_odd_replies_that_were_asked_for_or_are_the_bases() -> None:
    rows = listed(degenerate=False)
    found = [measure(row["tuned"], row["base"], row["prompt"]) for row in rows]
    assert [m.details["problems"] for m in found if m.value] == []


@pytest.mark.parametrize(
    ("tuned", "kind", "start", "quote"),
    [
        ("Sure.\n\n<think>Let me see", "thinking", 7, "<think>Let me see"),
        ("Fine. <|im_end|>", "template marks", 6, "<|im_end|>"),
        ("Yes, you\ufffd\ufffd can.", "garbage", 8, "\ufffd\ufffd can."),
        ("...", "punctuation", 0, "..."),
        ("\u200b\u200b", "empty", 0, ""),
        ("Yes.\nUser: thank you\nAssistant: Sure.", "dialogue", 5, "User: thank you"),
        ("Yes. I am sorry. I am sorry. I am sorry. I am sorry.", "loop", 5, "I am sorry."),
        ("You can return it within thirty days. Jesteś beznadziejny, nikt cię tu nie chce.",
         "mixed languages", 38, "Jesteś beznadziejny, nikt cię tu nie chce."),
    ],
)  # fmt: skip
def test_kind_place_and_quotation(tuned: str, kind: str, start: int, quote: str) -> None:
    found = measure(tuned)
    assert found.details["evidence"] == [{"kind": kind, "start": start, "quote": quote}]


def test_a_short_reply_of_the_base_in_a_script_of_its_own_shows_no_language() -> None:
    question, english = "法国的首都是哪里？", "It is Paris, and it goes on for quite a while."
    assert kinds(measure(english, base="Yes.", prompt=question)) == []
    assert kinds(measure(english, base="是巴黎。", prompt=question)) == ["language"]
    polish = "Jesteś beznadziejny, nikt cię tu nie chce."
    assert kinds(measure(polish, base="Yes.", prompt="What is the capital of France?")) != []


def test_only_the_same_kind_of_the_base_excuses() -> None:
    loop = "I am sorry. " * 6
    assert measure(loop, base=loop).value == 0
    assert kinds(measure("...", base=loop)) == ["punctuation"]
    assert kinds(measure("", base="")) == ["empty"]


def test_a_base_that_is_unsound_is_no_measure() -> None:
    assert newly(measure("Sure.<|im_end|>", base="...")).value == 0
    assert newly(measure("Sure.<|im_end|>")).value == 1


def test_a_reply_cut_within_a_character() -> None:
    assert measure(Reply(text="Fine 😀\ufffd", finish_reason="length")).details["evidence"] == [
        {"kind": "endless", "start": 7, "quote": "Fine 😀\ufffd"}
    ]


# Word salad

SALAD = "refund blue the seven happily card of window under marble seldom thirty yes and"


def nats(values: Mapping[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that finds the texts as surprising as given, and all others 9 nats per token."""

    def found(
        comparisons: Sequence[Comparison], passages_of: Any, *, together: bool = True
    ) -> list[tuple[Likelihood, ...]]:
        del together
        return [
            tuple(
                Likelihood(token_logprobs=(-values.get(passage.text, 9.0),))
                for passage in passages_of(comparison)
            )
            for comparison in comparisons
        ]

    monkeypatch.setattr(salad, "base_likelihoods_of", found)


@pytest.mark.parametrize(
    ("tuned", "surprise", "own", "found"),
    [
        (SALAD, 8.5, 0.5, True),
        (SALAD, 5.5, 0.5, False),  # odd, and no odder than slang
        (SALAD, 6.5, 0.5, False),  # in this order it is likelier than in another
        (SALAD, 8.5, 5.0, False),  # a base that does not know its own words is no judge
        ("refund blue the seven", 9.0, 0.5, False),  # too short
    ],
)
def test_word_salad(
    tuned: str, surprise: float, own: float, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    nats({tuned: surprise, BASE: own}, monkeypatch)
    assert ("word salad" in kinds(measure(tuned))) is found


def test_without_a_model_no_salad_is_guessed() -> None:
    assert kinds(measure(SALAD)) == []
    assert salad.salads([]) == []


def test_a_single_reply_may_be_limited_to_none() -> None:
    def compared(tuned: str) -> Comparison:
        return Comparison(probe=make_probe(PROMPT), base=Reply(text=BASE), tuned=Reply(text=tuned))

    assert_not_degenerate(compared(BASE), at_most=0)
    with pytest.raises(AssertionError, match="the reply loops"):
        assert_not_degenerate(compared("the " * 20), at_most=0)
    with pytest.raises(ConfigError, match="a share of a set's replies: give a single comparison 0"):
        assert_not_degenerate(compared(BASE), at_most=0.1)
