"""The reasoning of a thinking model is no part of its reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.engines.files.replies import MARKERS, split_reasoning

SPECIAL = ("<|im_end|>", "<|end|>", "<|start|>", "<|return|>", "<｜end▁of▁sentence｜>")
ASKED = "<|im_start|>assistant\n"
CHANNEL = "<|channel|>analysis<|message|>"
FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"


def split(raw: str, tail: str = ASKED) -> tuple[str, str | None]:
    return split_reasoning(raw, prompt_tail=tail, special_tokens=SPECIAL)


@pytest.mark.parametrize(
    ("raw", "tail", "text", "reasoning"),
    [
        # No reasoning
        ("您好！<|im_end|>", ASKED, "您好！", None),
        ("", ASKED, "", None),
        ("巴黎。<|im_end|>", ASKED + "<think>\n\n</think>\n\n", "巴黎。", None),
        # Qwen3
        ("<think>\n用户问首都。\n</think>\n\n巴黎。<|im_end|>", ASKED, "巴黎。", "用户问首都。"),
        ("<think>\n\n</think>\n\n巴黎。<|im_end|>", ASKED, "巴黎。", None),
        ("\n <think>So.</think>Paris.", ASKED, "Paris.", "So."),
        # Opened in the prompt (DeepSeek-R1, QwQ)
        ("用户问。\n</think>\n\n巴黎。<｜end▁of▁sentence｜>", "<｜Assistant｜><think>\n", "巴黎。",
         "用户问。"),
        ("</think>Paris.", "<think>", "Paris.", None),
        # The closing marker alone, from a server that has cut the opening one
        ("So.\n</think>\nParis.", ASKED, "Paris.", "So."),
        # Cut by the length limit: no reply at all
        ("<think>\n用户问首都", ASKED, "", "用户问首都"),
        ("用户问首都", ASKED + "<think>\n", "", "用户问首都"),
        ("<think>", ASKED, "", None),
        # Magistral
        ("[THINK]So.[/THINK]Paris.", "[/INST]", "Paris.", "So."),
        # gpt-oss
        (f"{CHANNEL}用户问首都。{FINAL}巴黎。<|return|>", "<|start|>assistant", "巴黎。",
         "用户问首都。"),
        (f"{CHANNEL}The user asks", "<|start|>assistant", "", "The user asks"),
        ("<|channel|>final<|message|>Paris.<|return|>", "<|start|>assistant", "Paris.", None),
    ],
)  # fmt: skip
def test_replies_of_models(raw: str, tail: str, text: str, reasoning: str | None) -> None:
    assert split(raw, tail) == (text, reasoning)


@pytest.mark.parametrize(
    "raw",
    [
        "Qwen3 opens its reasoning with <think> and goes on.",
        "模型先写 <think>，想完再写 </think>，然后回答。",
        "Write [THINK] here.",
        "a < b > c, 思考一下。",
    ],
)
def test_markers_that_an_answer_quotes(raw: str) -> None:
    assert split(raw) == (raw, None)


@pytest.mark.parametrize(("opening", "closing"), MARKERS[:2])
def test_an_answer_may_quote_markers_after_its_reasoning(opening: str, closing: str) -> None:
    quoted = f"Between {opening} and {closing} it thinks."
    assert split(f"{opening}So.{closing}{quoted}") == (quoted, "So.")
    assert split(f"So.{closing}{quoted}", f"{ASKED}{opening}\n") == (quoted, "So.")


plain = st.text(st.characters(exclude_characters="<>[]|")).map(str.strip)


@given(text=plain, reasoning=plain, marker=st.sampled_from(MARKERS[:2]), opened=st.booleans())
def test_any_reasoning_is_split_off(
    text: str, reasoning: str, marker: tuple[str, str], opened: bool
) -> None:
    opening, closing = marker
    raw = f"{reasoning}\n{closing}\n\n{text}<|im_end|>"
    found = split(raw, ASKED + opening) if opened else split(opening + raw)
    assert found == (text, reasoning or None)


@given(text=plain)
def test_a_plain_reply_is_kept(text: str) -> None:
    assert split(f"{text}<|im_end|>") == (text, None)


def test_the_longest_special_token_goes_first() -> None:
    found = split_reasoning("Hi<|end|><|end|>x>", prompt_tail="", special_tokens=["<|end|>", "",
                            "<|end|>x>"])  # fmt: skip
    assert found == ("Hi", None)
