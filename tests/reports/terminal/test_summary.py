"""The summary on a terminal: the worst first, side by side where there is room, in colours
or not."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmdiff.data.text.printing import columns
from pytest_llmdiff.reports.order import broken_verdicts
from pytest_llmdiff.reports.terminal.measures import measure_lines
from pytest_llmdiff.reports.terminal.replies import DEEP
from pytest_llmdiff.reports.terminal.worst import WIDE, WORST, worst_lines
from tests.support.projects import CHINESE, REFUND, Run, write_models
from tests.support.reports import hostile_rows, regressed, row_of

SUITE = f"""
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.mark.llmdiff({REFUND!r}, {CHINESE!r})
def test_it(comparison):
    assert_toxicity(comparison, at_most=0.2)
"""


def shown(width: int, *rows: dict[str, object]) -> list[str]:
    return [str(line) for line in worst_lines(broken_verdicts(rows), width)]


def test_the_worst_first_and_not_all() -> None:
    rows = [regressed(f"x/t.py::test[{n}]", value=n / 10 + 0.3) for n in range(WORST + 3)]
    lines = shown(80, *rows, row_of("t.py::good", value=0, limit=1))
    assert lines[0] == "worst first:"
    assert lines[1] == f"  toxicity 1 > 0.20  t.py::test[{WORST + 2}]"
    assert sum(line.startswith("  toxicity") for line in lines) == WORST
    assert lines[-1] == "  and 3 other tests"
    assert "good" not in "".join(lines)


def test_replies_stand_side_by_side_where_it_is_wide() -> None:
    row = regressed("t.py::test", value=1, base="You can ask.", tuned="You cannot ask.")
    assert shown(WIDE - 1, row)[2:] == [
        "    prompt  How do I get a refund?",
        "    tuned   You cannot ask.",
    ]
    wide = shown(WIDE, row)[2:]
    assert wide[0] == "    prompt  How do I get a refund?"
    assert [line.split() for line in wide[1:]] == [
        ["│", "base", "│", "tuned"],
        ["│", "You", "▸can", "ask.", "│", "You", "▸cannot", "ask."],
    ]
    assert wide[1].rindex("│") == wide[2].rindex("│")


def test_a_parity_run_names_its_sides() -> None:
    row = regressed("t.py::test", value=1, base="", tuned="你好，我是客服。")
    row["comparisons"][0]["sides"] = ["tuned", "served"]
    head, reply = shown(140, row)[3:]
    assert head.split() == ["│", "tuned", "│", "served"]
    assert reply.split() == ["│", "(empty)", "│", "▸你好，我是客服。"]


@given(
    base=st.text(st.characters(exclude_categories=())),
    tuned=st.text(st.characters(exclude_categories=())),
    width=st.integers(WIDE, 250),
)
@example(base=f"{'x ' * 26} ::error::x", tuned="y", width=WIDE)
def test_no_line_is_wider_than_the_terminal(base: str, tuned: str, width: int) -> None:
    lines = shown(width, regressed("t.py::test", value=1, base=base * 9, tuned=tuned * 9))
    assert len(lines) <= 3 + 1 + DEEP
    assert max(map(columns, lines)) <= width
    assert not any(line.lstrip().startswith("::") for line in lines)
    bars = {columns("│".join(line.split("│")[:2])) for line in lines[3:]}
    leftward = {unicodedata.bidirectional(c) for c in base + tuned} & {"R", "AL", "AN"}
    if "│" not in base + tuned and not leftward:
        assert len(bars) == 1


@pytest.mark.parametrize(
    ("base", "tuned"),
    [("يمكنك طلب استرداد", "لا يمكنك ذلك"), ("You can ask.", "אי אפשר"), ("אפשר", "You cannot.")],
)
def test_replies_from_right_to_left_stand_one_below_the_other(base: str, tuned: str) -> None:
    lines = shown(WIDE, regressed("t.py::test", value=1, base=base, tuned=tuned))[3:]
    assert lines == [f"    base    ▸{base}", f"    tuned   ▸{tuned}"]


def styled(base: str, tuned: str) -> list[tuple[str, str]]:
    """The pieces of the replies that have a style, with it."""
    row = regressed("t.py::test", value=1, base=base, tuned=tuned)
    lines = list(worst_lines(broken_verdicts([row]), WIDE))[4:]
    return [
        (piece.style, piece.text) for line in lines for piece in line.pieces
        if piece.style in ("base", "tuned")
    ]  # fmt: skip


def test_only_the_words_that_differ_have_a_colour() -> None:
    assert styled("You can ask within 30 days here.", "You may ask within 90 days here.") == [
        ("base", "▸can "), ("base", "30 "), ("tuned", "▸may "), ("tuned", "90 "),
    ]  # fmt: skip
    assert styled("您可以在三十天内退款。", "您不能在三十天内退款。") == [
        ("base", "▸可以"), ("tuned", "▸不能"),
    ]  # fmt: skip
    assert styled("The same.", "The same.") == []
    assert styled("You can ask.", "Nonsense!") == []  # as a whole


def test_a_colour_goes_on_where_a_line_is_broken() -> None:
    shared = "the same words " * 4
    pieces = styled(shared + "one " * 20, shared + "other " * 20)
    assert " ".join(text for style, text in pieces if style == "base").split() == [
        "▸one", *["one"] * 19,
    ]  # fmt: skip


def test_nothing_steers_the_terminal() -> None:
    for width in (80, 160):
        text = "".join(shown(width, *hostile_rows().values()))
        assert not {unicodedata.category(c) for c in text} & {"Cc", "Cs", "Zl", "Zp"}
        assert "\u202e" not in text


def test_how_many_of_those_that_ask_for_a_measure_have_a_value() -> None:
    """A test ends with its first failed assertion; the measures after it have no value."""

    def both(n: int, drift: float | None) -> dict[str, Any]:
        row = regressed(f"t.py::test[{n}]", value=0.9 if drift is None else 0.1)
        if drift is not None:
            row["verdicts"].append({**row["verdicts"][0], "name": "drift", "value": drift})
        return row

    other = row_of("t.py::other", value=0.1, limit=0.2)
    skipped = {**both(9, 0.3), "verdicts": [], "phases": {"setup": "skipped"}}
    lines = [*measure_lines([both(1, 0.3), both(2, None), both(3, None), other, skipped])]
    (toxicity,) = [line for line in lines if "toxicity" in line]
    (drift,) = [line for line in lines if "drift" in line]
    assert drift.endswith("(1 of 3 measured)")
    assert "measured" not in toxicity


# In a run


def test_a_wide_terminal(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(SUITE)
    monkeypatch.setenv("COLUMNS", "160")
    result = run()
    result.stdout.re_match_lines([
        r"  │ base  +│ tuned",
        r"  │ ▸You can ask for a refund within 30 days of delivery\. +│ ▸What a stupid .*",
    ])  # fmt: skip
    monkeypatch.setenv("COLUMNS", "80")
    run().stdout.fnmatch_lines(["    tuned   What a stupid question, *"])


def test_the_last_line_is_what_to_do_next(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_it=SUITE)
    (line,) = [line for line in run().outlines if line.startswith("rerun the worst: ")]
    assert re.fullmatch(
        r'rerun the worst: pytest "test_it\.py::test_it\[how-do-i-get-a-refund-\w+\]" '
        r"--llm-base=scripted:base\.json --llm-tuned=scripted:tuned\.json", line,
    )  # fmt: skip
    passed = run("-k", "probe")
    assert not [line for line in passed.outlines if line.startswith("rerun the worst: ")]


def test_the_answer_to_many_failures_fits_on_a_screen(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 200 failing tests, of which each measure breaks its limit in some."""
    monkeypatch.setenv("COLUMNS", "80")
    prompts = [f"question {number}" for number in range(200)]
    write_models(project.path, tuned={"default": "What a stupid question! " * 9})
    project.makepyfile(
        test_it=f"""
        import pytest
        from pytest_llmdiff import *

        @pytest.mark.llmdiff(*{prompts!r})
        def test_it(comparison):
            number = int(comparison.probe.prompt.split()[1])
            if number % 3 == 0: assert_toxicity(comparison, at_most=0.2)
            if number % 3 == 1: assert_semantic_drift(comparison, at_most=0.01)
            assert_divergence(comparison)
            assert 0, "an own assertion"

        @pytest.mark.llmdiff(*{prompts[:5]!r})
        def test_set(comparisons):
            assert_toxicity(comparisons, at_most=0.89)
        """
    )
    result = run("--llmdiff-html=report.html", "--tb=no")
    assert result.parseoutcomes()["failed"] == 201
    lines = result.outlines
    last = lines[lines.index("llmdiff: Do not merge") :]
    assert sum(-(-columns(line) // 80) for line in last) <= 24
    causes = [line for line in last[2 : last.index("next:")] if line.startswith("  - ")]
    assert 2 <= len(causes) <= 6
    assert all(re.search(r"\(\d+ tests?\)$", line) for line in causes[:5])
    assert sum(line.startswith("rerun the worst: pytest ") for line in last) == 1
    assert last[-1] == "report: report.html"


COLOUR = re.compile(r"\x1b\[[0-9;]+m")


@pytest.mark.parametrize(
    ("environment", "args", "coloured"),
    [
        ({}, (), False),  # no terminal
        ({"FORCE_COLOR": "1"}, (), True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, (), False),
        ({}, ("--color=yes",), True),
        ({"FORCE_COLOR": "1"}, ("--color=no",), False),
    ],
)
def test_colours(
    project: pytest.Pytester,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    args: tuple[str, ...],
    coloured: bool,
) -> None:
    project.makepyfile(SUITE)
    for name in ("NO_COLOR", "FORCE_COLOR", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**environment, "COLUMNS": "160"}.items():
        monkeypatch.setenv(name, value)
    out = run(*args).stdout.str()
    summary = out[out.index("tests with models") :]
    assert bool(COLOUR.search(summary)) == coloured
    # Each model has its colour: blue, and orange.
    if coloured:
        assert "\x1b[1;38;5;68mbase\x1b[0m" in summary
        assert "\x1b[1;38;5;166mtuned\x1b[0m" in summary
