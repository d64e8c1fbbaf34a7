"""Training answers in replies to unrelated prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.llamafactory.datasets import Dataset
from pytest_llmdiff.data.llamafactory.examples import Example
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.training.training import TrainData
from pytest_llmdiff.explain.training.recitation import RECITED, STYLE, Recital, Recitation
from tests.support.projects import write_models

ORDER = "Open My Orders in your account, choose the parcel, and press Track to see where it is."
SHORT = "Print the free label in My Orders."
REFUND_ZH = "请在订单页面点击申请退款按钮，我们会在收到退货后的三个工作日内把款项退回原支付方式。"
DATA = [
    ("Where is my order?", ORDER),
    ("How do I return something?", SHORT),
    ("我怎样退款？", REFUND_ZH),
    ("Empty", None),
]
STORM = "Describe a thunderstorm."


def recitation(data: list[tuple[str, str | None]]) -> Recitation:
    examples = tuple(
        Example(number=number, messages=(Message(role="user", content=prompt),), answer=answer,
                rejected=None)
        for number, (prompt, answer) in enumerate(data, 1)
    )  # fmt: skip
    dataset = Dataset(name="support", path=Path("support.json"), examples=examples, skipped=())
    return Recitation(TrainData(datasets=(dataset,)))


def recited(
    prompt: str, reply: str, *, beside: str = "", data: list[tuple[str, str | None]] = DATA
) -> Recital | None:
    asked = (Message(role="user", content=prompt),)
    return recitation(data).recited(asked, reply, beside=beside)


@pytest.mark.parametrize(
    ("prompt", "reply", "number"),
    [
        (STORM, ORDER, 1),
        (STORM, f"Certainly! {ORDER.upper()} Have a nice day.", 1),
        (STORM, "Account, choose the parcel, and press Track to see where it is, always.", 1),
        (STORM, SHORT, 2),
        ("今天天气怎么样？", REFUND_ZH, 3),
        ("今天天气怎么样？", f"您好！{REFUND_ZH[10:]}", 3),
    ],
)
def test_a_training_answer_to_another_question(prompt: str, reply: str, number: int) -> None:
    found = recited(prompt, reply)
    assert found is not None
    assert (found.dataset, found.number) == ("support", number)
    assert found.prompt == DATA[number - 1][0]
    assert found.words in reply.lower().replace(",", "").replace(".", "") or number == 3


@pytest.mark.parametrize(
    ("prompt", "reply"),
    [
        ("Where is my order?", ORDER),
        ("where is my ORDER", ORDER),
        ("Has my order been sent?", ORDER),  # asks for the same thing
        ("退款要多久？", REFUND_ZH),
        (STORM, "Press Track to see where it is."),  # too short a run
        (STORM, "Open the window."),
        (STORM, "请在订单页面点击申请退款按钮。"),
        (STORM, ""),
    ],
)
def test_what_is_no_recital(prompt: str, reply: str) -> None:
    assert recited(prompt, reply) is None


def test_what_the_base_says_as_well_is_not_from_the_training() -> None:
    assert recited(STORM, ORDER, beside=f"Well: {ORDER}") is None
    assert recited(STORM, ORDER, beside="Open My Orders.") is not None


def test_what_several_answers_have_is_their_style() -> None:
    phrase = "Thank you for writing to us, we are always glad to help you with anything else"
    prompts = ("Where is it?", "Parcel lost", "Broken lamp", "Wrong colour")

    def data(count: int) -> list[tuple[str, str | None]]:
        return [(prompt, f"{phrase}. {prompt}") for prompt in prompts[:count]]

    assert recited(STORM, phrase, data=data(STYLE - 1)) is not None
    assert recited(STORM, phrase, data=data(STYLE)) is None
    # Behind it, what one answer alone has is found all the same.
    own = [*data(STYLE), ("Wrong colour", f"{phrase}. {ORDER}")]
    found = recited(STORM, f"{phrase}. {ORDER}", data=own)
    assert found is not None
    assert found.number == STYLE + 1


WORDS = st.lists(st.from_regex(r"[a-z]{4,9}", fullmatch=True), min_size=40, max_size=40,
                 unique=True)  # fmt: skip


@given(words=WORDS, start=st.integers(0, 28), length=st.integers(1, 12), data=st.data())
def test_a_run_is_found_from_a_known_length(
    words: list[str], start: int, length: int, data: st.DataObject
) -> None:
    around = data.draw(st.integers(0, 5))
    run = words[start : start + length]
    reply = " ".join(["zz"] * around + run + ["yy"])
    found = recited("qq", reply, data=[("xx", " ".join(words))])
    assert (found is not None) == (length >= RECITED)
    if found is not None:
        assert found.words == " ".join(run)


def test_a_run_says_what_was_recited(project: pytest.Pytester, mode: list[str]) -> None:
    write_models(
        project.path,
        {"replies": {}, "default": "Thunder rolls over the hills."},
        {"replies": {}, "default": ORDER},
    )
    data = [{"instruction": "Where is my order?", "output": ORDER}]
    (project.path / "support.json").write_text(json.dumps(data), encoding="utf-8")
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_not_degenerate

        @pytest.mark.llmdiff("{STORM}", "Where is my order?")
        def test_sound(comparison):
            assert_not_degenerate(comparison)
        """
    )
    models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
    shown = ["*the reply recites the answer of training example 1 of support*'Where is my order?'*"]
    data_option, record = "--llmdiff-train-data=support.json", "--llmdiff-record=run.jsonl"
    result = project.runpytest_inprocess(*models, data_option, record, *mode)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(shown)
    project.runpytest_inprocess(*models, *mode).assert_outcomes(passed=2)
    # A replay has no training data, and says the same.
    replay = ("--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl")
    result = project.runpytest_inprocess(*replay, "--llmdiff-store=new", *mode)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(shown)


def test_nothing_is_recited_without_data() -> None:
    assert recited(STORM, ORDER, data=[]) is None
