"""What a reviewer sees of a run without its log: Markdown, GitHub's annotations, JUnit."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_llmdiff.reports.files.markdown import LARGEST, append_markdown, markdown_text
from pytest_llmdiff.reports.files.markup import escaped
from tests.support.every_outcome import HOSTILE, run_every_outcome, write_every_outcome
from tests.support.projects import CAPITAL, REFUND, Run
from tests.support.reports import facts_of, regressed, row_of, rows_of

MARKDOWN = MarkdownIt("commonmark").enable("table")
SUITE = f"""
import pytest
from pytest_llmdiff import assert_semantic_drift, assert_toxicity

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_it(comparison):
    assert_toxicity(
        comparison,
        at_most=0.2,
    )

@pytest.mark.llmdiff({REFUND!r})
def test_drift(comparison):
    assert_semantic_drift(comparison, at_most=0.1)
"""


# Markdown


def test_a_table_with_the_worst_first(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_refunds=SUITE)
    run("--llmdiff-markdown=out/summary.md").assert_outcomes(passed=1, failed=2)
    text = (project.path / "out" / "summary.md").read_text(encoding="utf-8")
    assert text.startswith("## ❌ llmdiff: Do not merge (exit code 1)\n\n- replies are toxic")
    assert "\n3 tests with models: 1 passed, 2 regressed\n" in text
    # One pair of replies: both tests failed by the same.
    assert text.count("| base | tuned |") == 1
    assert text.index("| base | tuned |") < text.index("<details>")
    table = [line for line in text.splitlines() if re.match(r"\| \d", line)]
    assert len(table) == 2
    assert "| 1 | ❌ regressed | toxicity | 0.90 | ≤ 0.20 |" in table[0]
    assert "| 2 | ❌ regressed | semantic drift |" in table[1]
    assert "How do I get a refund?" in table[1]
    command = re.search(r'\$ (pytest "test_refunds.py::test_it\[how-do-i.+)  # 1', text)
    assert command is not None
    assert "--llm-tuned=scripted:tuned.json" in command[1]


def test_it_is_added_to_the_summary_of_a_workflow(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(test_refunds=SUITE)
    summary = project.path / "summary.md"
    summary.write_text("# Another step\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    result = run("-k", "capital")
    result.assert_outcomes(passed=1)
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("# Another step\n## ✅ llmdiff: Merge (exit code 0)\n\n- only some")
    assert "::error" not in result.stdout.str()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path))  # no file
    result = run("-k", "capital")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["markdown: GITHUB_STEP_SUMMARY cannot be written to*"])


def test_a_run_that_judged_nothing_is_no_success() -> None:
    skipped = row_of("test_a.py::test_it", value=None, limit=None)
    skipped |= {"phases": {"setup": "skipped"}, "verdicts": [], "comparisons": []}
    for rows, title in (
        ({}, "## ➖ llmdiff: no test used the models\n"),
        (rows_of([skipped]), "## ❔ llmdiff: Undecided (exit code 0)\n"),
    ):
        assert markdown_text(facts_of(rows), LARGEST).startswith(title)


def test_a_hostile_run(project: pytest.Pytester, mode: list[str]) -> None:
    write_every_outcome(project.path)
    run_every_outcome(project, "--llmdiff-markdown=s.md", "--junit-xml=j.xml", *mode)
    text = (project.path / "s.md").read_text(encoding="utf-8")
    shown = MARKDOWN.render(text)
    tags = set(re.findall(r"<(\w+)", shown))
    assert tags <= {
        "h2", "p", "code", "table", "thead", "tbody", "tr", "th", "td", "br", "strong", "ul", "li",
        "details", "summary", "pre", "b",
    }  # fmt: skip
    bodies = [table.partition("</tbody>")[0] for table in shown.split("<tbody>")[1:]]
    tables = [body.strip().split("</tr>")[:-1] for body in bodies]
    cells = [{row.count("<td") for row in rows} for rows in tables]
    assert cells == [{5}, *[{2}] * 5, {7}], "sets, five pairs of replies, tests"
    tree = ElementTree.parse(project.path / "j.xml")
    held = {p.get("name"): p.get("value") for p in tree.iterfind(".//property")}
    assert set(held) >= {"llmdiff outcome", "llmdiff verdict", "llmdiff prompt", "llmdiff rerun"}


@given(text=st.text())
def test_no_text_means_anything_in_markdown(text: str) -> None:
    shown = MARKDOWN.render(f"| a | b |\n|---|---|\n| <code>{escaped(text)}</code> | c |\n")
    assert set(re.findall(r"<(\w+)", shown)) <= {
        "table", "thead", "tbody", "tr", "th", "td", "code",
    }  # fmt: skip
    assert shown.count("<td>") == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_github_acts_on_is_left(text: str) -> None:
    found = escaped(text)
    assert not re.search(r"@|://|www\.|[<>|`*_\n\r\x1b\u202e]", found)


@pytest.mark.parametrize("most", [LARGEST, 20_000, 3_000, 1_200, 0])
def test_it_has_room(most: int) -> None:
    facts = facts_of(rows_of(regressed(f"t.py::test[{n}]", value=n + 1) for n in range(5000)))
    text = markdown_text(facts, most)
    assert len(text.encode()) <= most
    if text:
        assert text.startswith("## ❌ llmdiff: Do not merge (exit code 1)\n")
        assert re.search(r"5000 tests did not pass \(\d+ of them not here, but in the other", text)
    if most >= 20_000:
        assert "| 1 | ❌ regressed | toxicity | 5000 | ≤ 0.20 |" in text


def test_the_words_that_differ_are_bold() -> None:
    row = regressed("t.py::a", value=1, base="You can ask.\nNow.", tuned="You may ask.\nNow.")
    other = regressed("t.py::b", value=0.9, base="是的，可以退款。", tuned="<b>No</b> @me")
    text = markdown_text(facts_of(rows_of([row, other])), LARGEST)
    assert "\n| You <b>can</b> ask.<br>Now. | You <b>may</b> ask.<br>Now. |\n" in text
    assert "\n| 是的，可以退款。 | &#60;b&#62;No&#60;&#47;b" not in text
    assert "\n| 是的，可以退款。 | &#60;b&#62;No&#60;/b&#62; &#64;me |\n" in text


def test_the_exit_code_decides_the_mark() -> None:
    row = regressed("t.py::test", value=1)
    row["verdicts"][0]["outcome"] = "inconclusive"
    row["phases"]["call"] = "passed"
    text = markdown_text(facts_of(rows_of([row]), exit_code=0), LARGEST)
    assert text.startswith("## ✅ llmdiff: Merge (exit code 0)\n\n- inconclusive")
    assert "❌" not in text


def test_an_adapter_without_effect_gets_a_warning() -> None:
    same = [row_of(f"t.py::test[{n}]", value=0, limit=1, base="a", tuned="a") for n in range(2)]
    text = markdown_text(facts_of(rows_of(same)), LARGEST)
    assert text.startswith(
        "## ⚠️ llmdiff: Merge (exit code 0)\n\n- every reply equals the base&#39;s"
    )


def test_findings_come_with_their_cause_and_remedy() -> None:
    row = regressed("t.py::wired", value=6.0)
    row["verdicts"][0] |= {
        "name": "wiring (update)", "unit": "problems", "probe": None,
        "details": {"problems": ["6 layers are nil", "b"], "next": ["train again"]},
    }  # fmt: skip
    row["comparisons"] = []
    facts = facts_of(rows_of([row]))
    text = markdown_text(facts, LARGEST)
    told = "- wiring &#40;update&#41;: 6 layers are nil &#40;and 1 more&#41;. **train again**\n"
    assert told in text
    assert "| ≤ 0.20 |" not in text


def test_a_summary_that_is_full_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_bytes(b"x" * (LARGEST - 10))
    append_markdown(facts_of(rows_of([regressed("t.py::test", value=1)])), file)
    assert file.stat().st_size == LARGEST - 10


# Annotations


def test_an_annotation_at_the_line_of_the_test(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "checks").mkdir()
    (project.path / "checks" / "test_refunds.py").write_text(SUITE, encoding="utf-8")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path))
    found = [line for line in run().outlines if line.startswith("::")]
    assert len(found) == 2
    line = SUITE.splitlines().index("    assert_toxicity(") + 1
    start, _, message = found[0].partition("::test_refunds.py::test_it[")
    assert start == (
        f"::error file=checks/test_refunds.py,line={line},"
        "title=llmdiff%3A toxicity 0.90%2C limit 0.20"
    )
    assert "%0A  prompt   How do I get a refund?%0A" in message
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path / "elsewhere"))
    found = [line for line in run().outlines if line.startswith("::")]
    assert all(line.startswith("::error title=") for line in found)


def test_cases_of_one_line_are_one_annotation_and_ten_are_shown() -> None:
    from pytest_llmdiff.reports.files.annotations import annotation_lines

    rows = [
        regressed("t.py::test[a]", value=1, line=3),
        regressed("t.py::test[b]", value=2, line=3),
    ]
    rows += [regressed(f"t.py::test_{n}", value=0.5, line=n + 10) for n in range(30)]
    rows[0]["message"] = "a\nb%\n::error::c\x1b"
    found = list(annotation_lines(facts_of(rows_of(rows)), Path("/r"), Path("/r")))
    assert len(found) == 10
    assert found[0].startswith("::error file=t.py,line=3,title=")
    assert "(and 1 more cases)::" in found[0]
    assert all("\n" not in line for line in found)


def test_what_a_run_lets_pass_is_a_warning() -> None:
    from pytest_llmdiff.reports.files.annotations import annotation_lines

    row = regressed("t.py::test", value=1)
    row["verdicts"][0]["outcome"] = "inconclusive"
    row["phases"]["call"] = "passed"
    (found,) = annotation_lines(facts_of(rows_of([row])), Path("/r"), Path("/r"))
    assert found.startswith("::warning file=t.py,line=1,")


# JUnit


def test_properties_of_a_junit_file(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_refunds=SUITE)
    run("--junitxml=junit.xml", "-o", "junit_family=xunit1")
    cases = {
        case.get("name", ""): case
        for case in ElementTree.parse(project.path / "junit.xml").iterfind(".//testcase")
    }
    (failed,) = (case for name, case in cases.items() if name.startswith("test_it[how"))
    held = {p.get("name"): p.get("value") or "" for p in failed.iterfind(".//property")}
    assert held.pop("llmdiff rerun").startswith('pytest "test_refunds.py::test_it[how-do-i-')
    assert held == {
        "llmdiff toxicity": "0.9",
        "llmdiff outcome": "regressed",
        "llmdiff verdict": "toxicity 0.90, limit 0.20",
        "llmdiff prompt": REFUND,
    }
    assert failed.get("file") == "test_refunds.py"
    (passed,) = (case for name, case in cases.items() if name.startswith("test_it[what"))
    names = [p.get("name") for p in passed.iterfind(".//property")]
    assert names == ["llmdiff toxicity", "llmdiff outcome", "llmdiff verdict", "llmdiff prompt"]
