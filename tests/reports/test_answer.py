"""What a run comes to: the answer as a value, at the end of every report, and in the terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.text.printing import columns
from pytest_llmdiff.reports.answer import CAUSES, Answer, answer_of
from pytest_llmdiff.reports.files.json_report import report
from pytest_llmdiff.reports.files.markdown import LARGEST, markdown_text
from pytest_llmdiff.reports.html.page import page
from pytest_llmdiff.reports.terminal.answer import answer_lines
from tests.support.every_outcome import run_every_outcome, write_every_outcome
from tests.support.projects import CAPITAL, REFUND, Run
from tests.support.reports import facts_of, hostile_rows, regressed, row_of, rows_of, settings_of

Row = dict[str, Any]


def passed(name: str = "t.py::ok") -> Row:
    return row_of(name, value=0.1, limit=0.2)


def of_kind(kind: str, name: str) -> Row:
    row = passed(name)
    (verdict,) = row["verdicts"]
    if kind == "regressed":
        return regressed(name, value=0.9)
    if kind in ("inconclusive", "not judged"):
        verdict |= {"outcome": kind, "unsupported": "too long" if kind == "not judged" else None}
    if kind in ("failed", "error"):
        row["phases"]["call" if kind == "failed" else "setup"] = "failed"
        row["message"] = "AssertionError: no"
    if kind == "skipped":
        row |= {"phases": {"setup": "skipped"}, "verdicts": []}
    if kind in ("inconclusive", "not judged"):
        row["phases"]["call"] = "failed"
    return row


def answered(*rows: Row, exit_code: int, **settings: Any) -> Answer:
    facts = facts_of(rows_of(rows), exit_code=exit_code, settings=settings_of(**settings))
    found = answer_of(facts)
    assert found is not None
    return found


KINDS = ("passed", "regressed", "inconclusive", "not judged", "failed", "error", "skipped")


@given(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=8), code=st.integers(0, 9))
def test_the_answer_never_contradicts_the_exit_code(kinds: list[str], code: int) -> None:
    rows = [of_kind(kind, f"t.py::test[{number}]") for number, kind in enumerate(kinds)]
    answer = answered(*rows, exit_code=code)
    if answer.decision == "merge":
        assert code == 0
        assert not {"regressed", "failed", "error"} & set(kinds)
        assert {"passed", "inconclusive"} & set(kinds)
    else:
        assert answer.causes, "a reader is told why"
    if answer.decision == "do not merge":
        assert code != 0
    assert len(answer.causes) <= CAUSES
    assert sum(cause.tests for cause in answer.causes) <= len(rows)


@pytest.mark.parametrize(
    ("kinds", "code", "decision", "cause"),
    [
        (["passed"], 0, "merge", None),
        (["passed", "regressed"], 1, "do not merge", "replies are toxic: toxicity 0.90, limit 0.2"),
        (["failed"], 1, "do not merge", "an assertion of the test's own failed: AssertionError"),
        (["passed", "inconclusive"], 1, "undecided", "inconclusive: too few probes to decide"),
        (["passed", "not judged"], 1, "undecided", "not judged: too long"),
        (["error", "passed"], 1, "undecided", "there is no result because of an error"),
        (["passed"], 1, "undecided", "exit code 1, and no test with models is the reason"),
        (["passed"], 2, "undecided", "the run was interrupted"),
        (["passed"], 3, "undecided", "pytest failed with an internal error"),
        (["regressed"], 2, "do not merge", "replies are toxic"),
        (["skipped"], 0, "undecided", "nothing was judged"),
        (["regressed", "passed"], 0, "undecided", "replies are toxic"),
    ],
)
def test_decisions(kinds: list[str], code: int, decision: str, cause: str | None) -> None:
    rows = [of_kind(kind, f"t.py::test[{number}]") for number, kind in enumerate(kinds)]
    answer = answered(*rows, exit_code=code)
    assert answer.decision == decision
    assert answer.causes[0].text.startswith(cause) if cause else not answer.causes


def test_what_a_green_gate_let_through_is_said() -> None:
    rows = [passed(), of_kind("inconclusive", "t.py::open")]
    rows[1]["phases"]["call"] = "passed"
    answer = answered(*rows, exit_code=0, inconclusive="pass")
    assert answer.decision == "merge"
    (cause,) = answer.causes
    assert cause.text.endswith("let through by llmdiff_inconclusive = pass")
    assert cause.tests == 1


def test_what_an_option_would_let_be_checked_is_said() -> None:
    lacking = of_kind("skipped", "t.py::lacking")
    lacking["skipped"] = "the training is unknown; give --llmdiff-train-config"
    elsewhere = {**of_kind("skipped", "t.py::elsewhere"), "skipped": "no such system"}
    (cause,) = answered(passed(), lacking, elsewhere, exit_code=0).causes
    assert cause.text == f"not checked: {lacking['skipped']}"
    assert cause.tests == 1


def test_causes_are_what_is_wrong_and_not_tests() -> None:
    rows = [regressed(f"t.py::test[{number}]", value=0.5) for number in range(9)]
    drifted, wired = regressed("t.py::far", value=0.8), regressed("t.py::wired", value=0.3)
    drifted["verdicts"][0]["name"] = "divergence"
    wired["verdicts"][0] |= {"name": "wiring (update)", "details": {"problems": ["it is nil"]}}
    answer = answered(*rows, drifted, wired, exit_code=1)
    assert [(cause.text.partition(":")[0], cause.tests) for cause in answer.causes] == [
        ("it is nil", 1), ("replies are toxic", 9), ("behaviour moved beyond its limit", 1),
    ]  # fmt: skip


def test_more_causes_than_are_named_are_counted() -> None:
    rows = [regressed(f"t.py::test[{number}]", value=0.5) for number in range(9)]
    for number, row in enumerate(rows):
        row["verdicts"][0]["name"] = f"own measure {number}"
    answer = answered(*rows, exit_code=1)
    assert (len(answer.causes), answer.more) == (CAUSES, 4)
    assert list(answer.lines())[-1] == "and 4 other causes"


def test_too_little_change_is_not_too_much() -> None:
    row = regressed("t.py::test", value=0.5)
    row["verdicts"][0] |= {"name": "divergence", "bound": "at_least", "limit": 0.9}
    (cause,) = answered(row, exit_code=1).causes
    assert cause.text == "less changed than was wanted: divergence 0.50, at least 0.90"


def test_a_model_that_changes_nothing_is_told_in_every_report() -> None:
    rows = [row_of(f"t.py::{n}", value=0.1, limit=0.2, base="Hi.", tuned="Hi.") for n in range(3)]
    facts = facts_of(rows_of(rows))
    said = "every reply equals the base's: the tuned model changes nothing"
    answer = answer_of(facts)
    assert answer is not None
    assert said in "\n".join(map(str, answer_lines(answer, 80)))
    assert said.partition("'")[0] in markdown_text(facts, LARGEST)
    assert said.replace("'", "&#39;") in page(facts)
    assert said in json.dumps(report(facts))


def test_no_answer_where_nothing_was_asked(tmp_path: Any) -> None:
    assert answer_of(facts_of({})) is None
    calibrating = settings_of(calibrate=tmp_path / "limits.json")
    assert answer_of(facts_of(rows_of([passed()]), settings=calibrating)) is None


def test_nothing_hostile_gets_into_the_terminal() -> None:
    answer = answer_of(facts_of(hostile_rows()))
    assert answer is not None
    for line in map(str, answer_lines(answer, 80)):
        assert line.isprintable()
        assert columns(line) < 1000


# In a run

MEASURED = f"""
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_it(comparison):
    assert_toxicity(comparison, at_most=0.2)
"""


def last_lines(result: pytest.RunResult) -> list[str]:
    """What follows pytest's own last line."""
    lines = [line for line in result.outlines if line]
    ends = [number for number, line in enumerate(lines) if " in " in line and line[-2:] in
            ("s=", "==")]  # fmt: skip
    return lines[ends[-1] + 1 :]


def test_it_comes_last(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_it=MEASURED)
    red = last_lines(run("--llmdiff-html=out/page.html"))
    assert red[:3] == [
        "llmdiff: Do not merge", "because:",
        "  - replies are toxic: toxicity 0.90, limit 0.20 (1 test)",
    ]  # fmt: skip
    assert red[3] == "next:"
    assert red[-2].startswith('rerun the worst: pytest "test_it.py::test_it[how-do-i-get')
    assert red[-1] == "report: out/page.html"
    assert last_lines(run("-k", "not refund")) == [
        "llmdiff: Merge", "keep in mind:", "  - only some of the tests ran: -k 'not refund'",
    ]  # fmt: skip


def test_quietly(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_it=MEASURED)
    quiet = run("-q").outlines
    assert "llmdiff: Do not merge" in quiet[quiet.index(next(x for x in quiet if " in " in x)) :]
    project.makepyfile(test_it=MEASURED.replace("0.2", "1"))
    assert run("-qq").outlines[-1] == "llmdiff: Merge"


def test_a_run_that_is_cut_short(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_it=MEASURED)
    project.makeconftest("""
        runs = []

        def pytest_sessionstart(session):
            runs.append(session)

        def pytest_runtest_logfinish():
            runs[-1].shouldstop = "enough"
    """)
    result = run("-k", "capital")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "llmdiff: Undecided" in result.outlines
    assert "  - the run was interrupted, so that some tests have no result" in result.outlines


def test_the_exit_code_that_others_set_counts(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_it=MEASURED)
    project.makeconftest("""
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish(session):
            session.exitstatus = 1
    """)
    assert "llmdiff: Undecided" in last_lines(run("-k", "capital", "--llmdiff-json=r.json"))
    written = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    assert (written["exit_code"], written["answer"]["decision"]) == (1, "undecided")


GREEN = MEASURED.replace("0.2", "1")
EXPECTED = """
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.mark.llmdiff("How do I get a refund?")
def test_swallowed(comparison):
    with pytest.raises(AssertionError):
        assert_toxicity(comparison, at_most=0.1)

@pytest.mark.xfail
@pytest.mark.llmdiff("How do I get a refund?")
def test_may_fail(comparison):
    assert_toxicity(comparison, at_most=0.1)

@pytest.mark.llmdiff("How do I get a refund?")
def test_good(comparison):
    assert_toxicity(comparison, at_most=1)
"""


def test_a_broken_limit_that_is_let_through_is_told(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_it=EXPECTED)
    told = last_lines(run())
    assert told[:3] == [
        "llmdiff: Merge", "keep in mind:",
        "  - a limit is broken, and the test passes or may fail (2 tests)",
    ]  # fmt: skip
    assert "next:" not in told


def test_what_fails_besides_is_named(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_it=GREEN, test_own="def test_own(): assert 0")
    told = last_lines(run())
    assert told[0] == "llmdiff: Do not merge"
    assert "  - test_own.py::test_own, which uses no models, failed" in told
    project.makepyfile(test_own="import nothing_of_that_name")
    told = last_lines(run("--continue-on-collection-errors"))
    assert told[0] == "llmdiff: Undecided"
    assert "  - test_own.py could not be collected" in told


WITHOUT_LIMIT = "from pytest_llmdiff import assert_refusal; assert_refusal(comparison)"


@pytest.mark.parametrize("body", ["nothing_of_that_name", WITHOUT_LIMIT], ids=["name", "limit"])
def test_an_error_in_the_test_is_no_verdict(project: pytest.Pytester, run: Run, body: str) -> None:
    project.makepyfile(
        f"""
        import pytest

        @pytest.mark.llmdiff("How do I get a refund?")
        def test_it(comparison):
            {body}
        """
    )
    told = last_lines(run())
    assert told[0] == "llmdiff: Undecided"
    assert any("there is no result because of an error" in line for line in told)


@pytest.mark.parametrize("options", [("-m", "llmdiff"), ("--deselect", "test_it.py::test_x")])
def test_a_run_of_some_tests_says_so(
    project: pytest.Pytester, run: Run, options: tuple[str, str]
) -> None:
    project.makepyfile(test_it=GREEN)
    told = last_lines(run(*options))
    (line,) = (line for line in told if "only some of the tests ran" in line)
    assert options[0] in line


def test_a_signal_while_reports_are_written(project: pytest.Pytester) -> None:
    """The reports that are there by then said that the run was green."""
    project.makepyfile(test_it=GREEN)
    project.makeconftest("""
        import os, signal
        from pytest_llmdiff.reports.files import json_report

        write = json_report.write_json

        def interrupted(*arguments):
            if not os.path.exists("sent"):
                open("sent", "w").close()
                os.kill(os.getpid(), signal.SIGINT)
            write(*arguments)

        json_report.write_json = interrupted
    """)
    result = project.runpytest_subprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json",
        "--llmdiff-json=r.json", "--llmdiff-markdown=r.md",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    written = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    assert (written["exit_code"], written["answer"]["decision"]) == (2, "undecided")
    assert "Undecided" in (project.path / "r.md").read_text(encoding="utf-8").splitlines()[0]


def test_the_summary_of_a_workflow_follows_the_exit_code(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = project.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    project.makepyfile(test_it=GREEN)
    (project.path / "gone").mkdir()
    project.makeconftest(GONE)
    run("--llmdiff-html=gone/page.html")
    assert "Undecided" in summary.read_text(encoding="utf-8").splitlines()[0]


GONE = """
    import shutil

    def pytest_runtest_teardown(item):
        shutil.rmtree("gone", ignore_errors=True)
        open("gone", "w").close()
"""


def test_none_without_models(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_it="def test_own(): assert 0")
    assert last_lines(run()) == []
    assert "llmdiff: " not in run("--llm-bse=x").stdout.str()


def test_a_report_that_cannot_be_written_is_told_in_the_others(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(test_it=MEASURED)
    (project.path / "gone").mkdir()
    project.makeconftest(GONE)
    result = run("-k", "capital", "--llmdiff-json=r.json", "--llmdiff-html=gone/page.html")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    written = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    assert written["answer"]["decision"] == "undecided"
    assert "  - not written: html" in last_lines(result)
    assert "report: r.json" in last_lines(result)


def test_every_outcome_at_once(project: pytest.Pytester, mode: list[str]) -> None:
    write_every_outcome(project.path)
    result = run_every_outcome(project, *mode)
    assert "llmdiff: Do not merge" in result.outlines
    assert "  - an assertion of the test's own failed: " in result.stdout.str()


def test_causes_are_in_the_order_of_the_advice() -> None:
    """What is to be mended first is named first, however far beyond its limit the rest is."""
    rows = []
    for name, value in (("divergence", 9.0), ("degeneration", 2.0), ("toxicity", 0.3)):
        row = regressed(f"t.py::{name}", value=value)
        row["verdicts"][0]["name"] = name
        rows.append(row)
    first, second, third = (cause.text for cause in answered(*rows, exit_code=1).causes)
    assert first.startswith("replies are toxic")
    assert second.startswith("replies are degenerate")
    assert third.startswith("behaviour moved")


def test_a_run_that_was_cut_off_before_any_test_ended_is_undecided() -> None:
    found = answer_of(facts_of({}, exit_code=2))
    assert found is not None
    assert found.decision == "undecided"
    assert [cause.text for cause in found.causes] == [
        "the run was interrupted, so that some tests have no result"
    ]
    assert found.rerun is None
    assert answer_of(facts_of({}, exit_code=2, uncollected=["a.py"])) is None
    assert answer_of(facts_of({}, exit_code=5)) is None
