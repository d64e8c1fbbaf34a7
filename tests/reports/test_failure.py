"""What a failure prints: safe whatever a model said, and with every fact of it."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmdiff.data.comparison import Accepted, Comparison, Measurement, Reply
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.data.tokens import TokenDivergence
from pytest_llmdiff.errors import ModelError, hidden, uncommanding
from pytest_llmdiff.explain.explanation import Explanation
from pytest_llmdiff.explain.training.values import Leak, Nearest
from pytest_llmdiff.reports.failure import MOST, REPLY, failure_text
from pytest_llmdiff.reports.verdict_lines import verdict_text
from pytest_llmdiff.verdicts.verdict import Verdict, judge

anything = st.text(st.characters(exclude_categories=()))
BIDI = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

MEASURE = (
    ", or measure one: pytest … --llmdiff-calibrate=baseline.json, "
    "then --llmdiff-baseline=baseline.json"
)


@pytest.mark.parametrize(
    ("value", "limit"), [(0.3512, 0.35), (0.351, 0.35), (1.00001, 1), (0.01204, 0.012)]
)
def test_a_value_over_its_limit_does_not_look_like_it(value: float, limit: float) -> None:
    (verdict,) = judge(Measurement(name="drift", value=value), at_most=limit)
    left, right = verdict_text(verdict).removeprefix("drift ").split(", limit ")
    assert float(left) > float(right.split()[0])


# Failure texts


def reply(text: str, **fields: Any) -> Reply:
    return Reply(text=text, token_ids=tuple(map(ord, text)), **fields)


def comparison(
    base: str, tuned: str, prompt: str = "如何退款？", system: str | None = None
) -> Comparison:
    probe = make_probe(prompt, system=system)
    return Comparison(probe=probe, base=reply(base), tuned=reply(tuned))


def over(value: float = 0.62, limit: float = 0.35) -> list[Verdict]:
    return judge(Measurement(name="semantic drift", value=value), at_most=limit)


def token(text: str, tuned_text: str) -> TokenDivergence:
    return TokenDivergence(
        text=text,
        kl=1.0,
        base_logprob=math.log(0.71),
        tuned_logprob=math.log(0.02),
        tuned_text=tuned_text,
        tuned_text_base_logprob=-math.inf,
        tuned_text_tuned_logprob=math.log(0.93),
        flipped=True,
    )


def test_every_fact_of_a_failure() -> None:
    found = failure_text(
        over(),
        comparison=comparison("好 你可以退款。", "好 真笨。", system="简短回答。"),
        explanation=Explanation(
            differs=token("你", "真"),
            rerun='pytest "test_refunds.py::test_refund[probe-1]" --llm-base b --llm-tuned t',
        ),
    )
    assert found.splitlines() == [
        "semantic drift 0.62, limit 0.35 (given in the test)",
        "  system   简短回答。",
        "  prompt   如何退款？",
        "  base     好 ▸你可以退款。",
        "  tuned    好 ▸真笨。",
        '  differs from token 3: base says "你" (71 %, tuned 2 %), '
        'tuned says "真" (93 %, base 0 %)',
        '  rerun    pytest "test_refunds.py::test_refund[probe-1]" --llm-base b --llm-tuned t',
    ]


def test_without_probabilities_the_mark_says_where_they_part() -> None:
    found = failure_text(over(), comparison=comparison("You can.", "What?"))
    assert found.splitlines()[2:] == ["  base     ▸You can.", "  tuned    ▸What?"]


@pytest.mark.parametrize(
    ("base", "tuned", "line"),
    [
        ("Same.", "Same.", "the replies are the same, token for token"),
        ("Yes.", "", "  tuned    (empty)"),
        ("", "是。", "  base     (empty)"),
        ("", "", "  tuned    (empty)"),
        ("a\x1b[2J", "b", r"  base     ▸a\x1b[2J"),
        ("x" * 999, "y", "  base     ▸" + "x" * (REPLY - 1) + "…"),
        ("a ##[add-mask]b", "c", r"  base     ▸a ##\x5badd-mask]b"),
        ("##VSO[task.complete]", "c", r"  base     ▸##VSO\x5btask.complete]"),
        ("::stop-commands::x", "c", r"  base     ▸\x3a:stop-commands::x"),
    ],
)
def test_lines_of_replies(base: str, tuned: str, line: str) -> None:
    lines = failure_text(over(), comparison=comparison(base, tuned)).splitlines()
    assert line.strip() in [found.strip() for found in lines]


def test_only_failed_verdicts_are_shown() -> None:
    verdicts = judge(Measurement(name="semantic drift", value=0.62), at_most=0.7, at_least=0.65)
    assert failure_text(verdicts) == "semantic drift 0.62, at least 0.65 (given in the test)"


def test_an_infinite_value_is_shown() -> None:
    assert "inf" in failure_text(over(math.inf), comparison=comparison("a", "b"))


@pytest.mark.parametrize(
    ("measurement", "limits", "line"),
    [
        (
            Measurement(name="divergence", value=0.5),
            {},
            "divergence 0.50 has no limit: give one in the test, such as at_most=0.5" + MEASURE,
        ),
        (
            Measurement(name="some measure", value=0.5),
            {},
            "some measure 0.50 has no limit: give one in the test, such as at_most=..." + MEASURE,
        ),
        (
            Measurement(name="toxicity", value=math.nan, unsupported="中文\x1b"),
            {"at_most": 0.5},
            r"toxicity not judged: 中文\x1b",
        ),
        (
            Measurement(name="degeneration", value=2.0, unit="problems"),
            {"at_most": 0.0},
            "degeneration: 2",
        ),
    ],
)
def test_first_lines(measurement: Measurement, limits: dict[str, float], line: str) -> None:
    (verdict,) = judge(measurement, **limits)  # type: ignore[arg-type]
    assert verdict_text(verdict) == line


def test_problems_are_listed_once_and_printable() -> None:
    problems = {"problems": ["the reply loops: 'a\x1b'", "the reply is empty"]}
    m = Measurement(name="degeneration", value=2.0, unit="problems", details=problems)
    assert failure_text([*judge(m, at_most=0), *judge(m, at_most=1)]).splitlines() == [
        "degeneration: 2",
        r"  - the reply loops: 'a\x1b'",
        "  - the reply is empty",
    ]


@given(prompt=st.text().filter(str.strip), base=anything, tuned=anything)  # no halves of pairs
def test_hostile_text_stays_in_its_lines(prompt: str, base: str, tuned: str) -> None:
    found = failure_text(
        over(), comparison=comparison(base, tuned, prompt), explanation=Explanation(rerun="pytest")
    )
    assert len(found.splitlines()) in (5, 6)
    assert not re.search(r"##(vso)?\[", found, re.IGNORECASE)
    assert not {unicodedata.category(c) for c in found.replace("\n", "")} & {"Cc", "Cs"}


@given(
    st.lists(st.sampled_from(["problem\n", "中" * 500]), max_size=30),
    st.sampled_from(["", "Be brief."]),
    st.booleans(),
)
def test_a_comparison_fails_in_a_few_lines(problems: list[str], system: str, changed: bool) -> None:
    failed = comparison("Yes.", "No.", system=system or None)
    if changed:
        failed = replace(failed, original=failed)
    failed = replace(failed, accepted=Accepted(text="Well.\nYes."))
    m = Measurement(name="x", value=9.0, unit="problems", details={"problems": problems})
    leak = Leak(dataset="d", number=1, prompt="p", kind="same")
    kinds = {"nearest": Nearest(leak=leak, unavailable="no model")}
    explanation = Explanation(kinds=kinds, rerun="pytest")
    lines = failure_text(
        [*judge(m, at_most=0), *over()], comparison=failed, explanation=explanation
    ).splitlines()
    assert len(lines) <= MOST
    assert lines[0].startswith("x: problem" if problems[:1] == ["problem\n"] else "x: ")
    assert "semantic drift 0.62" in lines[0]
    assert lines[-1] == "  rerun    pytest"


@given(anything)
@example("x" * 1_000_000)
@example("\x1b[31m\u202e\ud800\u2028" * 10_000)
def test_an_error_is_bounded_and_steers_no_terminal(said: str) -> None:
    shown = str(ModelError(f"the server says {said}; look there"))
    assert shown.startswith("the server says ")
    assert shown.endswith("; look there")
    assert len(shown) < 30_000
    assert not any(hidden(character) for character in shown.replace("\n", ""))
    assert not re.search(r"##(vso)?\[|^\s*::", shown, re.IGNORECASE | re.MULTILINE)
    if len(said) < 1000 and said.isprintable() and uncommanding(said) == said:
        assert said in shown


def test_a_long_line_of_a_failure_says_where_it_is_whole() -> None:
    unsupported = Measurement(name="x", value=math.nan, unit="", unsupported="why " * 100_000)
    listed = Measurement(
        name="y", value=2.0, unit="problems", details={"problems": ["p" * 100_000]}
    )
    text = failure_text([*judge(unsupported, at_most=1.0), *judge(listed, at_most=0.0)])
    assert len(text) < 5000
    assert text.count("(whole in the JSON report, --llmdiff-json)") == 2


def test_values_are_shown_in_one_line_that_no_runner_obeys() -> None:
    hostile = "\n::add-mask::x ##[debug] \x1b[2J" * 50
    for value in (
        comparison(hostile, hostile, hostile),
        reply(hostile),
        make_probe(hostile, id=hostile),
        Measurement(name=hostile, value=1.0, unsupported=hostile, details={"problems": [hostile]}),
    ):
        shown = repr(value)
        assert len(shown) < 200
        assert shown.isprintable()
        assert "##[" not in shown


def test_pytest_shows_a_comparison_by_prompt_and_replies() -> None:
    assert repr(comparison("Yes.", "No.\n", "Well?")) == (
        "Comparison('Well?', base='Yes.', tuned='No.\\n')"
    )
