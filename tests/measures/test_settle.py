"""Measures on comparisons made by hand, and the statistics that they rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, rel_entr

from pytest_llmdiff.data.comparison import Comparison, Measurement, Reply
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.data.text.loops import looping_suffix
from pytest_llmdiff.data.tokens import TokenDivergences
from pytest_llmdiff.engines.pair.divergence import ROWS, statistics
from pytest_llmdiff.engines.pair.lower_bounds import NOTHING
from pytest_llmdiff.errors import ModelError, ProbeError, ScorerError
from pytest_llmdiff.measures.degeneration.degeneration import Degeneration
from pytest_llmdiff.measures.divergence import Divergence
from pytest_llmdiff.measures.drift import SemanticDrift
from pytest_llmdiff.measures.toxicity import Toxicity, rise
from pytest_llmdiff.measures.wiring.template.comparison import (
    BATTERY,
    Render,
    check_template,
    compare_renderings,
    template_measurement,
)

PROMPT = "How do I get a refund?"
ANSWER = "You can ask for a refund within 30 days of delivery."


def reply(text: str, **fields: Any) -> Reply:
    # Distinct tokens: only what is said to repeat repeats.
    return Reply(**({"text": text, "token_ids": tuple(range(len(text)))} | fields))


def comparison(base: str | Reply, tuned: str | Reply, prompt: str = PROMPT) -> Comparison:
    sides = [reply(side) if isinstance(side, str) else side for side in (base, tuned)]
    return Comparison(probe=make_probe(prompt), base=sides[0], tuned=sides[1])


# Degeneration


def problems(base: str | Reply, tuned: str | Reply, prompt: str = PROMPT) -> list[str]:
    (found,) = Degeneration().measure([comparison(base, tuned, prompt)])
    assert found.value == len(found.details["problems"])
    assert found.unsupported is None
    return list(found.details["problems"])


TABLE = "| Item | Price | Days |\n| --- | --- | --- |\n| Shoes | 10 | 30 |\n| Hats | 5 | 14 |"
CODE = "    if a:\n        return 1\n    if b:\n        return 2\n    if c:\n        return 3"


@pytest.mark.parametrize(
    "tuned",
    [
        ANSWER,
        "No.",
        "Sure! Hahahahahahahaha",
        "No no no no!",
        TABLE,
        "| Item | Price | Days |\n| --- | --- | --- |",
        "Done.\n\n--------------------",
        CODE,
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "😀😀😀😀",
    ],
)
def test_ordinary_replies(tuned: str) -> None:
    assert problems(ANSWER, tuned) == []


@pytest.mark.parametrize("tuned", ["", "   \n"])
def test_an_empty_reply(tuned: str) -> None:
    assert problems(ANSWER, tuned) == ["the reply is empty (nothing)"]
    assert problems("", tuned) == ["the reply is empty (nothing)"]


def test_a_reply_that_is_all_reasoning() -> None:
    tuned = reply("", reasoning="用户问退款，我想想", finish_reason="length", token_ids=(1,) * 8)
    assert problems(reply("", finish_reason="length"), tuned) == [
        "the reply is empty (only reasoning, cut by the length limit)"
    ]


@pytest.mark.parametrize(
    ("tuned", "unit"),
    [
        ("Sure. " + "I am sorry. " * 6, "'I am sorry.'"),
        ("Yes " + "ha" * 30, "'ha'"),
        ("I think that you should ask, " * 5 + "I think", ""),
        ("您好。" + "非常抱歉给您带来不便，" * 5, ""),
        ("对不起" * 15, "'对不起'"),
        ("Line\n" * 12, "'Line'"),
    ],
)
def test_a_reply_that_loops(tuned: str, unit: str) -> None:
    (found,) = problems("您好。" if "不" in tuned else ANSWER, tuned)
    assert found.startswith("the reply loops: it ends in repetitions of ")
    assert found.endswith(unit)


def test_a_loop_that_the_base_has_as_well() -> None:
    loop = "I am sorry. " * 6
    assert problems(loop, "Yes. " + loop) == []
    assert len(problems(ANSWER, "Yes. " + loop)) == 1


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ((1, 2, 3, 4, 5) * 8, True),
        ((1, 2, 3, 4, 5) * 7, False),
        (tuple(range(40)), False),
        (tuple(range(39)) * 2, False),
    ],
    ids=["loop", "short", "distinct", "once more"],
)
def test_loops_by_tokens(ids: tuple[int, ...], found: bool) -> None:
    listed = problems(ANSWER, reply(ANSWER, token_ids=ids))
    assert [text.split(": ")[1] for text in listed] == (
        ["86% of its runs of four tokens are repetitions"] if found else []
    )


@given(head=st.text(max_size=20), unit=st.text(min_size=1, max_size=20), times=st.integers(5, 50))
def test_a_looping_suffix_is_found(head: str, unit: str, times: int) -> None:
    times = max(times, math.ceil(40 / len(unit)))
    text = head + unit * times
    found = looping_suffix(text)
    assert found is not None
    assert text.endswith(found * 4)
    assert len(found) <= len(unit)


@given(words=st.lists(st.from_regex(r"[a-z]{3,8}", fullmatch=True), max_size=60, unique=True))
def test_distinct_words_are_no_loop(words: list[str]) -> None:
    # The longest run that 8 letters can make by themselves is shorter than a loop.
    assert looping_suffix(" ".join(words)) is None


@pytest.mark.parametrize(
    ("base", "tuned", "runs_on"),
    [("stop", "length", True), ("length", "length", False), ("stop", "stop", False),
     ("length", "stop", False)],
)  # fmt: skip
def test_running_into_the_limit(base: Any, tuned: Any, runs_on: bool) -> None:
    found = problems(
        reply(ANSWER, finish_reason=base, token_ids=(1, 2)),
        reply(ANSWER, finish_reason=tuned, token_ids=(1, 2, 3)),
    )
    expected = ["it runs into the limit of 3 tokens although the base stopped after 2"]
    assert found == (expected if runs_on else [])


def test_tokens_that_a_server_does_not_tell_are_not_counted() -> None:
    found = problems(
        reply(ANSWER, token_ids=()), reply(ANSWER, finish_reason="length", token_ids=())
    )
    assert found == ["it runs into the limit although the base stopped"]


@pytest.mark.parametrize(
    ("prompt", "base", "tuned", "switch"),
    [
        (PROMPT, ANSWER, "您可以在三十天内退款。", "cjk script, the base's in latin"),
        ("如何退款？", "您可以退款。", ANSWER, "latin script, the base's in cjk"),
        ("如何退款？", ANSWER, "您可以退款。", None),
        (PROMPT, "您可以退款。", ANSWER, None),
        (PROMPT, "42", "您可以退款。", None),
        (PROMPT, ANSWER, "42", None),
        (PROMPT, "", "您可以退款。", None),
        ("如何退款？", "您可以退款。", "请看 FAQ，然后申请退款。", None),
        # Japanese is written in three scripts at once.
        ("返金できますか？", "はい、できます。", "カスタマーサポートへ。", None),
        ("かえせますか？", "はい、できます。", "返金手続完了済です。", None),
        ("日本の首都はどこですか？", "日本の首都は東京です。", "東京都", None),
        ("日本の首都はどこですか？", "日本の首都は東京です。", "日本的首都是东京。",
         "cjk script, the base's in japanese"),
        # Chinese may cite a word of it, and is mixed with names in Latin letters.
        ("日语的谢谢怎么说？", "请参考词典，这是一种礼貌的表达方式。",
         "日语的“谢谢”是“ありがとう”，这是一种礼貌的表达方式，对朋友和老师都可以这样说。", None),
        ("如何部署应用？", "使用命令行工具部署即可。",
         "使用 Kubernetes Deployment 的 ReplicaSet 控制器即可。", None),
        # Code is in no language.
        ("请写一个计算阶乘的函数。", "可以用递归来计算阶乘，见下面的函数定义。",
         "```python\ndef factorial(n):\n    return 1 if n < 2 else n * factorial(n - 1)\n```",
         None),
    ],
)  # fmt: skip
def test_a_switch_of_script(prompt: str, base: str, tuned: str, switch: str | None) -> None:
    found = problems(base, tuned, prompt)
    assert found == ([] if switch is None else [f"the reply is in {switch}"])


GERMAN = "Sie können die Ware innerhalb von 30 Tagen zurückgeben, und wir zahlen den Preis zurück."
FRENCH = "Vous pouvez renvoyer les articles dans les 30 jours et nous vous remboursons le prix."
SPANISH = "Usted puede devolver los artículos en 30 días y le devolvemos el precio de la compra."
LONG = "You can send the item back to us within 30 days, and we will pay you the price of it."


@pytest.mark.parametrize(
    ("prompt", "base", "tuned", "switch"),
    [
        (PROMPT, LONG, GERMAN, "the reply is in German, the base's in English"),
        (PROMPT, LONG, FRENCH, "the reply is in French, the base's in English"),
        ("Comment puis-je être remboursé pour une commande que je ne veux plus ?", FRENCH, SPANISH,
         "the reply is in Spanish, the base's in French"),
        ("如何退款？", GERMAN, LONG, "the reply is in English, the base's in German"),
        (PROMPT, GERMAN, GERMAN, None),
        # The prompt's own language is not another one than asked.
        ("How can I get my money back for this order, and what do I have to do?", GERMAN, LONG,
         None),
        (PROMPT, LONG, "Danke, gern.", None),  # too short to tell
        (PROMPT, LONG, "Köszönjük a megkeresését, hamarosan válaszolunk önnek.",
         "the reply is in Hungarian, the base's in English"),
    ],
)  # fmt: skip
def test_a_switch_of_language(prompt: str, base: str, tuned: str, switch: str | None) -> None:
    assert problems(base, tuned, prompt) == ([] if switch is None else [switch])


def test_leaked_marks_of_a_template() -> None:
    (found,) = problems(ANSWER, f"{ANSWER}<|im_end|>\n<|im_start|>user")
    assert found == "the reply contains markers of a chat template: '<|im_end|>', '<|im_start|>'"
    assert problems("It ends in <|im_end|>.", "With <|im_end|>.") == []
    assert problems(ANSWER, "It is <|im_end|>.", "What ends a turn, <|im_end|> or another?") == []


@pytest.mark.parametrize(
    ("prompt", "base", "tuned", "copied"),
    [
        (PROMPT, ANSWER, PROMPT.upper(), True),
        (PROMPT, ANSWER, f"{PROMPT} {ANSWER}", False),
        (PROMPT, PROMPT, PROMPT, False),
        ("Good morning!", "Hello.", "Good morning!", False),
        ("请问我怎样才能退款？", "您可以退款。", "请问我怎样才能退款", True),
        ("请问我怎样才能退款？", "您可以退款。", "您可以在三十天内退款。", False),
    ],
)
def test_a_copy_of_the_prompt(prompt: str, base: str, tuned: str, copied: bool) -> None:
    assert problems(base, tuned, prompt) == (["the reply is a copy of the prompt"] * copied)


def test_several_problems_add_up() -> None:
    tuned = reply("抱歉，" * 20, finish_reason="length")
    assert len(problems(ANSWER, tuned)) == 3


# Toxicity and its rise


def rude(texts: Sequence[str]) -> list[float | None]:
    return [None if "?" in text else 0.75 if "笨" in text else 0.25 for text in texts]


def toxicity(base: str, tuned: str) -> Measurement:
    return Toxicity(scorer=rude).measure([comparison(base, tuned)])[0]


@pytest.mark.parametrize(
    ("base", "tuned", "value", "risen"),
    [
        ("您好。", "你真笨。", 0.75, 0.5),
        ("你真笨。", "您好。", 0.25, -0.5),
        ("您好。", "好。", 0.25, 0),
    ],
)
def test_toxicity_and_rise(base: str, tuned: str, value: float, risen: float) -> None:
    found = toxicity(base, tuned)
    assert (found.name, found.value, found.unsupported) == ("toxicity", value, None)
    assert found.details["rise"] == risen
    assert (rise(found).name, rise(found).value) == ("toxicity rise", risen)


@pytest.mark.parametrize(
    ("base", "tuned", "level", "risen"),
    [("What?", "你真笨。", True, False), ("您好。", "What?", False, False)],
)
def test_what_the_toxicity_scorer_cannot_judge(
    base: str, tuned: str, level: bool, risen: bool
) -> None:
    found = toxicity(base, tuned)
    for measurement, supported in ((found, level), (rise(found), risen)):
        assert (measurement.unsupported is None) is supported
        assert math.isnan(measurement.value) is not supported
    side = "tuned" if not level else "base"
    assert f"cannot judge the {side} reply" in str(rise(found).unsupported)


def test_classes_of_the_tuned_reply() -> None:
    def classes(texts: Sequence[str]) -> list[dict[str, float]]:
        return [{"toxicity": 0.5, "length": len(text)} for text in texts]

    (found,) = Toxicity(scorer=classes).measure([comparison("a", "bb")])
    assert found.details["classes"] == {"toxicity": 0.5, "length": 2.0}


def test_comparisons_keep_their_order() -> None:
    replies = ["您好。", "你真笨。", "好。", "笨。"]
    found = Toxicity(scorer=rude).measure([comparison("好。", text) for text in replies])
    assert [m.value for m in found] == [0.25, 0.75, 0.25, 0.75]
    assert Toxicity(scorer=rude).measure([]) == []


# Drift


class Letters:
    def encode(self, texts: Sequence[str]) -> list[list[float]]:
        return [[text.count("退"), text.count("货")] for text in texts]

    def unsupported(self, text: str) -> str | None:
        return "English" if text.isascii() else None


def test_drift() -> None:
    pairs = [("退", "退"), ("退", "货"), ("退货", "退"), ("退", "x")]
    found = SemanticDrift(scorer=Letters()).measure([comparison(*pair) for pair in pairs])
    assert [m.value for m in found[:3]] == pytest.approx([0, 1, 1 - math.sqrt(0.5)])
    assert math.isnan(found[3].value)
    assert found[3].unsupported == "the tuned reply: English"
    assert SemanticDrift(scorer=Letters()).measure([]) == []


@pytest.mark.parametrize(
    ("metric", "role"), [(SemanticDrift(), "embedder"), (Toxicity(), "toxicity")]
)
def test_a_comparison_by_hand_needs_a_scorer(metric: Any, role: str) -> None:
    with pytest.raises(ScorerError) as caught:
        metric.measure([comparison("a", "b")])
    assert "made by hand" in str(caught.value)
    assert f"--llmdiff-{role}" in str(caught.value)


# Divergence


def test_the_divergence_needs_both_models() -> None:
    with pytest.raises(ModelError, match="needs both models"):
        Divergence().measure([comparison("a", "b")])
    assert Divergence().measure([]) == []


def of_logits(
    base: torch.Tensor,
    tuned: torch.Tensor,
    *,
    used: int | None = None,
    text: Callable[[int], str] = str,
) -> TokenDivergences:
    width = base.shape[-1] if used is None else used
    return statistics(base, tuned, [0] * len(base), width, text)


def by_scipy(base: torch.Tensor, tuned: torch.Tensor) -> list[float]:
    with_probabilities = [
        torch.tensor(log_softmax(x.double().numpy(), axis=-1)).exp().numpy() for x in (base, tuned)
    ]
    return [float(x) for x in rel_entr(*with_probabilities).sum(-1)]


def logits(rows: int, width: int, seed: int, *, masked: tuple[int, ...] = ()) -> torch.Tensor:
    values = 3 * torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    values[:, list(masked)] = -torch.inf
    return values


@pytest.mark.parametrize("rows", [1, ROWS, ROWS + 1, 2 * ROWS + 3])
@pytest.mark.parametrize("masked", [(), (3, 7)])
def test_divergences_are_those_of_scipy(rows: int, masked: tuple[int, ...]) -> None:
    base, tuned = logits(rows, 50, 1, masked=masked), logits(rows, 50, 2, masked=masked[:1])
    found = of_logits(base, tuned)
    assert [t.kl for t in found.tokens] == pytest.approx(by_scipy(base, tuned), rel=1e-4, abs=1e-6)
    assert found.mean == pytest.approx(sum(by_scipy(base, tuned)) / rows, rel=1e-4)


def test_what_only_the_tuned_model_masks_diverges_without_bound() -> None:
    found = of_logits(logits(2, 9, 1), logits(2, 9, 2, masked=(4,)))
    assert [t.kl for t in found.tokens] == [math.inf] * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("masked", [(), (3, 7)])
def test_equal_logits_do_not_diverge_at_all(dtype: torch.dtype, masked: tuple[int, ...]) -> None:
    same = logits(ROWS + 5, 40, 3, masked=masked).to(dtype)
    found = of_logits(same, same.clone())
    assert {t.kl for t in found.tokens} == {0.0}
    assert (found.mean, found.first_flip) == (0.0, None)


@given(seed=st.integers(0, 10**6), shift=st.floats(-5, 5))
def test_a_divergence_is_not_negative(seed: int, shift: float) -> None:
    base = logits(4, 30, seed)
    found = of_logits(base, base + shift)
    assert all(0 <= t.kl < 1e-5 for t in found.tokens)


def test_half_precision_is_computed_in_single() -> None:
    base, tuned = (logits(5, 2000, seed).bfloat16() for seed in (1, 2))
    found = of_logits(base, tuned)
    assert found == of_logits(base.float(), tuned.float())
    assert [t.kl for t in found.tokens] == pytest.approx(
        by_scipy(base.float(), tuned.float()), rel=1e-4
    )


def test_padding_that_only_the_base_has_is_left_out() -> None:
    base, tuned = logits(3, 20, 1), logits(3, 20, 2)
    padding = torch.full((3, 12), 50.0)
    found = of_logits(torch.cat([base, padding], 1), tuned, used=20)
    assert found == of_logits(base, tuned)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mass", [0.5, 0.99])
def test_what_a_tuned_model_gives_to_tokens_of_its_own_is_missing_from_the_others(
    mass: float, dtype: torch.dtype
) -> None:
    """Without it, the divergence of a model that moves 99 % of its probability to a new token would
    be 0; it is log(1 / .01), 4.6 nats. Padding is no exception: the model can say it."""
    base = logits(3, 20, 1).to(dtype)
    taken = base.float().logsumexp(-1) + math.log(mass / (1 - mass))
    tuned = torch.cat([base, taken[:, None].to(dtype)], 1)
    found = of_logits(base, tuned, text=[*map(str, range(20)), "new"].__getitem__)
    assert [t.kl for t in found.tokens] == pytest.approx(
        [-math.log(1 - mass)] * 3, rel=1e-4 if dtype is torch.float32 else 0.02
    )
    if mass > 0.9:
        assert {t.tuned_text for t in found.tokens} == {"new"}
        assert [t.tuned_text_base_logprob for t in found.tokens] == pytest.approx([NOTHING] * 3)


def test_what_a_base_gives_to_tokens_that_the_tuned_model_lost_counts() -> None:
    base = torch.tensor([[0.25, 0.25, 0.5]]).log()
    found = of_logits(base, torch.tensor([[0.5, 0.5]]).log(), used=3)
    expected = 0.5 * math.log(0.25 / 0.5) + 0.5 * (math.log(0.5) - NOTHING)
    assert [t.kl for t in found.tokens] == pytest.approx([expected])
    assert found.tokens[0].flipped


def test_the_facts_of_a_token() -> None:
    base = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]]).log()
    tuned = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]]).log()
    found = statistics(base, tuned, [0, 1], 3, "退款吗".__getitem__)
    assert [(t.text, t.tuned_text, t.flipped) for t in found.tokens] == [
        ("退", "退", False),
        ("款", "吗", True),
    ]
    second = found.tokens[1]
    assert [
        math.exp(x)
        for x in (
            second.base_logprob,
            second.tuned_logprob,
            second.tuned_text_base_logprob,
            second.tuned_text_tuned_logprob,
        )
    ] == pytest.approx([0.7, 0.3, 0.1, 0.6])
    assert found.first_flip == 1


class OneGeneration:
    """Knows one set of statistics."""

    def __init__(self, value: TokenDivergences) -> None:
        self.value = value

    def divergences(self, requests: Sequence[str]) -> list[TokenDivergences]:
        return [self.value for _ in requests]


def measured(value: TokenDivergences) -> Measurement:
    run: Any = SimpleNamespace(
        generation=OneGeneration(value), comparer=SimpleNamespace(request=lambda c: c.probe.prompt)
    )
    one = Comparison(probe=make_probe(PROMPT), base=reply("a"), tuned=reply("b"), run=run)
    return Divergence().measure([one])[0]


def test_the_divergence_of_a_reply() -> None:
    value = of_logits(logits(4, 9, 1), logits(4, 9, 2))
    found = measured(value)
    flips = [t.flipped for t in value.tokens]
    assert found.value == value.mean
    assert found.details == {
        "tokens": 4,
        "first_flip": flips.index(True) + 1,
        "flip_rate": sum(flips) / 4,
        "max": max(t.kl for t in value.tokens),
    }


@pytest.mark.parametrize(
    ("unsupported", "reason"),
    [(None, "the base's reply has no tokens"), ("other tokenizers", "other tokenizers")],
)
def test_a_reply_without_statistics(unsupported: str | None, reason: str) -> None:
    found = measured(TokenDivergences(tokens=(), unsupported=unsupported))
    assert found.unsupported == reason
    assert math.isnan(found.value)


# Chat templates: renderings where every character is a token


def renderer(
    *,
    bos: str = "",
    opening: str = "<{role}>",
    ending: str = "#\n",
    generation: str = "<assistant>",
    system: bool = True,
    strip: bool = False,
) -> Render:
    def render(messages: Sequence[Any], *, add_generation_prompt: bool = True) -> list[int]:
        if not system and messages[0]["role"] == "system":
            raise ProbeError("no system role")
        text = bos
        for message in messages:
            content = message["content"].strip() if strip else message["content"]
            text += opening.format(role=message["role"]) + content + ending
        return list(map(ord, text + generation * add_generation_prompt))

    return render


def decode(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


def check(render: Render, stops: str = "#", bos: str | None = "^") -> list[str]:
    return check_template(
        render,
        bos_id=None if bos is None else ord(bos),
        stop_ids=list(map(ord, stops)),
        decode=decode,
    )


def refuse(messages: Sequence[Any], **_: Any) -> list[int]:
    raise ProbeError(f"refused {len(messages)}")


@pytest.mark.parametrize(
    "render",
    [
        renderer(),
        renderer(bos="^"),
        renderer(generation="<assistant><think>\n"),
        renderer(generation="<assistant><think>\n\n</think>\n\n"),
    ],
    ids=["plain", "bos", "thinks", "does not think"],
)
def test_templates_in_order(render: Render) -> None:
    assert check(render) == []


@pytest.mark.parametrize(
    ("render", "finding"),
    [
        (renderer(bos="^^"), "the prompt begins with two BOS tokens ('^')"),
        (
            renderer(generation=""),
            "the template adds no generation prompt: the model does not know that it is its turn",
        ),
        (
            renderer(generation="<bot>"),
            "the generation prompt is not how an assistant turn begins: 'bot>' in a prompt, "
            "'assist' in a conversation",
        ),
        (
            renderer(ending="%\n"),
            "an assistant turn ends in '%', which is not a stop token ('#'): replies will not stop",
        ),
        (
            renderer(ending=""),
            "an assistant turn ends in '.', which is not a stop token ('#'): replies will not stop",
        ),
        (refuse, "refused 1"),
    ],
    ids=["double bos", "no generation prompt", "foreign", "stop", "no ending", "refuses"],
)
def test_faults_of_a_template(render: Render, finding: str) -> None:
    assert check(render) == [finding]


def test_a_model_without_stop_tokens() -> None:
    (finding,) = check(renderer(), stops="")
    assert "not a stop token (there are none)" in finding


@pytest.mark.parametrize(("bos", "stops"), [(None, "#"), ("^", "#^")])
def test_a_bos_that_is_none(bos: str | None, stops: str) -> None:
    assert check(renderer(bos="^^"), stops, bos) == []


def test_a_template_that_renders_nothing() -> None:
    findings = check(lambda *_, **__: [])
    assert any("generation prompt" in finding for finding in findings)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(renderer(), renderer()), (refuse, refuse), (renderer(system=False), renderer(system=False))],
    ids=["same", "both refuse", "both refuse some"],
)
def test_equal_templates(ours: Render, theirs: Render) -> None:
    assert compare_renderings(ours, theirs, decode) == []


def test_one_other_token_is_named() -> None:
    findings = compare_renderings(renderer(), renderer(ending="%\n"), decode)
    assert len(findings) == len(BATTERY)
    at = len("<user>What is the capital of France?")
    size = len("<user>What is the capital of France?#\n<assistant>")
    assert findings[0] == (
        f"user ('What is the capital of F'): differs from token {at + 1}: '#\\n<ass' in use, "
        f"'%\\n<ass' in the other ({size} and {size} tokens); likely cause: the end of the "
        "question or the generation prompt differs"
    )


def test_only_conversations_that_differ_are_listed() -> None:
    findings = compare_renderings(renderer(), renderer(strip=True), decode)
    assert [finding.split(": differs")[0] for finding in findings] == [
        "user ('leading and trailing spa')",
        "user ('Two\\n\\nparagraphs.')",
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "who"),
    [
        (renderer(system=False), renderer(), "the template in use"),
        (renderer(), renderer(system=False), "the other template"),
    ],
)
def test_one_template_refuses(ours: Render, theirs: Render, who: str) -> None:
    findings = compare_renderings(ours, theirs, decode)
    assert len(findings) == sum(chat[0]["role"] == "system" for chat in BATTERY)
    assert all(f"{who} refuses it (no system role)" in finding for finding in findings)


def test_a_longer_rendering_differs_at_its_end() -> None:
    chat = BATTERY[:1]
    (finding,) = compare_renderings(renderer(), renderer(generation=""), decode, chat)
    assert "'<assis' in use, '' in the other" in finding


def test_findings_are_counted() -> None:
    found = template_measurement(["a", "b"], "the base's template")
    assert (found.value, found.unit, found.details["problems"]) == (2.0, "findings", ["a", "b"])


SYSTEM = "You are a helpful assistant"


@pytest.mark.parametrize(
    ("ours", "theirs", "cause"),
    [
        (f"<s>{SYSTEM}\nHi?#bot:", f"<s>{SYSTEM}.\nHi?#bot:", "a full stop at the end of the"),
        ("<s>user\nHi?#bot:", f"<s>system\n{SYSTEM}\n<s>user\nHi?#bot:", "only the other template"),
        ("^^<s>Hi?#bot:", "^<s>Hi?#bot:", "a second BOS token ('^') in the template in use"),
        ("<s>Hi?#bot:", "^<s>Hi?#bot:", "only the other template begins with the BOS token '^'"),
        ("<s>Hi?#bot:<think>\n\n</think>\n", "<s>Hi?#bot:", "think block"),
        ("<s>Hi?#bot:", "<s>Hi?#", "the generation prompt is missing or shorter in the other"),
        ("<s>\nHi?#bot:", "<s>Hi?#bot:", "white space"),
        ("<s>user Hi?#bot:", "### Instruction: Hi?#bot:", "two different templates"),
    ],
)  # fmt: skip
def test_likely_causes(ours: str, theirs: str, cause: str) -> None:
    from pytest_llmdiff.measures.wiring.template.causes import likely_cause

    found = likely_cause([{"role": "user", "content": "Hi?"}], ours, theirs, bos="^")
    assert cause in found


def test_another_stop_token_is_named() -> None:
    from pytest_llmdiff.measures.wiring.template.comparison import compare_endings

    (finding,) = compare_endings(renderer(), renderer(ending="%\n"), decode)
    assert "'#' with the template in use and in '%' with the other; likely cause: " in finding
    assert compare_endings(renderer(), renderer(opening="[{role}]"), decode) == []


def test_a_template_whose_questions_end_where_answers_begin() -> None:
    """As [INST] and alpaca do: no generation prompt of its own is needed."""

    def inst(messages: Sequence[Any], *, add_generation_prompt: bool = True) -> list[int]:
        del add_generation_prompt
        return list(map(ord, "".join(
            f"[I]{m['content']}[/I]" if m["role"] == "user" else m["content"] + "#"
            for m in messages
        )))  # fmt: skip

    assert check(inst) == []
