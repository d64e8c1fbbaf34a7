"""What a user's suite does, plain and under xdist, with scripted models."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.projects import BASE, CAPITAL, CHINESE, REFUND, TUNED, Run, write_models
from tests.support.runs import calls, run_counting
from tests.support.terminals import on_terminal, screen

SUITE = f"""
import pytest
from pytest_llmdiff import assert_divergence, assert_semantic_drift, assert_toxicity

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_answers(comparison):
    assert_semantic_drift(comparison, at_most=0.01)
    assert_toxicity(comparison, at_most=0.5, rise_at_most=0.5)
"""


def names(result: pytest.RunResult) -> set[str]:
    """Test ids of a verbose run."""
    return set(re.findall(r"::(\S+\[[^\]]+\])", result.stdout.str()))


def test_one_case_per_probe_with_readable_ids(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(SUITE)
    result = run("-v")
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    assert {re.sub(r"-[0-9a-f]{6}]", "]", name) for name in names(result)} == {
        "test_answers[how-do-i-get-a-refund]",
        "test_answers[what-is-the-capital-of-france]",
    }


def test_a_failure_names_every_fact(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(SUITE)
    out = run().stdout
    out.fnmatch_lines(
        [
            ">       assert_semantic_drift(comparison, at_most=0.01)",
            "E       AssertionError: semantic drift 0.*, limit 0.01 (given in the test)",
            f"E         prompt   {REFUND}",
            "E         base     ▸You can ask for a refund within 30 days of delivery.",
            "E         tuned    ▸What a stupid question, you idiot. Go to the website.",
            'E         differs from token 1: base says "Y" (100 %, tuned 14 %), '
            'tuned says "W" (100 %, base 14 %)',
            'E         rerun    pytest "test_*.py::test_answers?how-do-i-get-a-refund-*" '
            "--llm-base=scripted:base.json --llm-tuned=scripted:tuned.json",
        ]
    )
    # The helpers' own frames are hidden: the failure is shown at the user's line only.
    assert "def assert_semantic_drift" not in out.str()


def test_the_rerun_command_runs_that_test(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(SUITE)
    (line,) = re.findall(r"rerun +pytest (.+)", run().stdout.str())[:1]
    args = [part.strip('"') for part in re.findall(r'"[^"]+"|\S+', line)]
    project.runpytest_inprocess(*args).assert_outcomes(failed=1)


def test_summary_says_what_moved_and_what_to_do(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(SUITE)
    run().stdout.fnmatch_lines(
        [
            "2 tests with models: 1 passed, 1 regressed",
            "measures:",
            "  semantic drift*",
            "worst first:",
            "  semantic drift 0.* > 0.01 *test_answers?how-do-i-get-a-refund-*",
            f"    prompt  {REFUND}",
            "next:",
            "  - behaviour moved beyond its limit*",
        ]
    )


def test_json_report_separates_outcomes(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_divergence, assert_semantic_drift, assert_toxicity

        @pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r}, {CHINESE!r})
        def test_drift(comparison):
            assert_semantic_drift(comparison, at_most=0.01)

        @pytest.mark.llmdiff({CAPITAL!r})
        def test_plain_assertion(comparison):
            assert "Rome" in comparison.tuned.text

        @pytest.mark.llmdiff({CAPITAL!r})
        def test_no_limit(comparison):
            assert_divergence(comparison)

        @pytest.mark.llmdiff({CAPITAL!r})
        def test_error(comparison):
            assert_toxicity(comparison, at_most=1, scorer="profanity")

        def test_other():
            pass
        """
    )
    assert run("--llmdiff-json=out/report.json").ret == 1
    data = json.loads((project.path / "out" / "report.json").read_text(encoding="utf-8"))
    assert data["schema"] == "pytest-llmdiff/1"
    assert data["summary"] == {
        "passed": 1, "regressed": 1, "inconclusive": 0, "not_judged": 1, "failed": 1, "error": 2,
        "skipped": 0,
    }  # fmt: skip
    tests = {re.sub(r"-[0-9a-f]{6}]", "]", t["test"].split("::")[1]): t for t in data["tests"]}
    assert "test_other" not in tests
    regressed = tests["test_drift[how-do-i-get-a-refund]"]
    (verdict,) = regressed["verdicts"]
    assert verdict["outcome"] == "regressed"
    assert verdict["limit"] == 0.01
    assert verdict["value"] > 0.01
    (comparison,) = regressed["comparisons"]
    assert comparison["prompt"] == REFUND
    assert comparison["base"]["text"] == BASE["replies"][REFUND]
    assert comparison["tuned"]["text"] == TUNED["replies"][REFUND]
    unsupported = [t for t in data["tests"] if t["outcome"] == "not_judged"]
    assert "Latin letters" in unsupported[0]["verdicts"][0]["unsupported"]
    assert tests["test_error[what-is-the-capital-of-france]"]["outcome"] == "error"
    assert data["settings"]["embedder"] == {"value": "python:scorers:Letters", "source": "ini"}


def test_what_no_scorer_judges_fails_with_the_reason(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_semantic_drift

        @pytest.mark.llmdiff({CHINESE!r})
        def test_drift(comparison):
            assert_semantic_drift(comparison, at_most=2)
        """
    )
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E       AssertionError: semantic drift not judged: *it counts Latin letters only"]
    )


def test_a_missing_limit_fails_and_says_how_to_give_one(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_semantic_drift

        @pytest.mark.llmdiff({CAPITAL!r})
        def test_drift(comparison):
            assert_semantic_drift(comparison)
        """
    )
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E       AssertionError: semantic drift 0 has no limit: there is no baseline; give one *"]
    )


def test_junit_properties(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(SUITE.replace("at_most=0.01", "at_most=2"))
    run("--junitxml=junit.xml")
    xml = (project.path / "junit.xml").read_text(encoding="utf-8")
    assert re.search(r'<property name="llmdiff semantic drift" value="0\.\d+', xml)
    assert re.search(r'<property name="llmdiff toxicity" value="0\.9', xml)


@pytest.mark.parametrize("hostile", ["\x1b[31mred\x1b[0m", "</failure><x>", "a\u202eb", "\x00"])
def test_hostile_replies_are_shown_escaped(
    project: pytest.Pytester, run: Run, hostile: str
) -> None:
    tuned = {**TUNED, "replies": {REFUND: hostile + " stupid"}}
    write_models(project.path, tuned=tuned)
    project.makepyfile(SUITE)
    result = run("--junitxml=junit.xml", "--llmdiff-json=r.json", "-k", "refund")
    result.assert_outcomes(failed=1)
    shown = "\n".join(line for line in result.stdout.lines if "tuned   " in line)
    assert shown
    assert not set("\x1b\x00\u202e") & set(shown)
    import xml.etree.ElementTree as ElementTree

    assert ElementTree.parse(project.path / "junit.xml").getroot().tag == "testsuites"
    data = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    assert data["tests"][0]["comparisons"][0]["tuned"]["text"] == hostile + " stupid"


def many(count: int) -> str:
    return f"""
import pytest

@pytest.mark.llmdiff(*[f"question {{i}}" for i in range({count})])
def test_a(comparison):
    assert comparison.base.text == "base"

@pytest.mark.llmdiff(*[f"question {{i}}" for i in range({count})], "question 0")
def test_b(comparison):
    assert comparison.tuned.text == "tuned"
"""


def test_nothing_is_generated_twice(project: pytest.Pytester, mode: list[str]) -> None:
    project.makepyfile(many(150))
    run_counting(project, mode).assert_outcomes(passed=301)
    for side in ("base", "tuned"):
        asked = [prompt for batch in calls(project, side) for prompt in batch]
        assert sorted(asked) == sorted(f"question {i}" for i in range(150))
    # A second run, in the other mode or the same, answers from the store.
    run_counting(project, mode).assert_outcomes(passed=301)
    assert sum(map(len, calls(project, "base"))) == 150


def test_windows_follow_the_tests_and_x_stays_cheap(project: pytest.Pytester) -> None:
    project.makepyfile(many(150).replace('== "base"', '== "other"'))
    run_counting(project, [], "-x").assert_outcomes(failed=1)
    assert [len(batch) for batch in calls(project, "base")] == [64]
    # Under the scripted lengths, "question 10" … come before "question 0" …: longest first.
    lengths = [len(prompt) for prompt in calls(project, "base")[0]]
    assert lengths == sorted(lengths, reverse=True)


def test_only_selected_tests_are_planned(project: pytest.Pytester, mode: list[str]) -> None:
    project.makepyfile(many(150))
    run_counting(project, mode, "-k", "test_a and question-149").assert_outcomes(passed=1)
    assert calls(project, "base") == [["question 149"]]


def test_nothing_runs_at_collection(project: pytest.Pytester, mode: list[str]) -> None:
    project.makepyfile(many(3))
    result = run_counting(project, mode, "--collect-only")
    assert result.ret == 0
    assert calls(project, "base") == []
    assert not (project.path / ".llmdiff").exists()


def test_scorers_run_once_per_window(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(SUITE)
    run().assert_outcomes(passed=1, failed=1)
    embedded = (project.path / "embedded.txt").read_text(encoding="utf-8").splitlines()
    # The equal pair of replies is not embedded at all, the other one once.
    assert sorted(embedded) == sorted([BASE["replies"][REFUND], TUNED["replies"][REFUND]])
    run().assert_outcomes(passed=1, failed=1)
    again = (project.path / "embedded.txt").read_text(encoding="utf-8").splitlines()
    assert again == embedded


def test_a_probe_that_cannot_be_answered_fails_alone(project: pytest.Pytester, run: Run) -> None:
    write_models(project.path, tuned={"replies": {REFUND: "Yes."}})
    project.makepyfile(SUITE)
    result = run()
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(
        [f"*ProbeError: the tuned model cannot answer this probe: *no reply to {CAPITAL!r}*"]
    )


def test_a_broken_engine_is_tried_once(project: pytest.Pytester, mode: list[str]) -> None:
    (project.path / "broken.py").write_text(
        """
from pytest_llmdiff import ModelError, ScriptedEngine

class Broken(ScriptedEngine):
    def generate(self, requests):
        open("tries", "a").write("x")
        raise ModelError("no such weights")

tuned = Broken({})
""",
        encoding="utf-8",
    )
    project.makepyfile(many(4))
    result = project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=python:broken:tuned", *mode
    )
    result.assert_outcomes(errors=9)
    result.stdout.fnmatch_lines(["*ModelError: no such weights"])
    assert len((project.path / "tries").read_text()) <= (2 if mode else 1)


def test_runtime_prompts(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        f"""
        from hypothesis import given, settings, strategies as st
        from pytest_llmdiff import Comparison, assert_semantic_drift, semantic_drift

        def test_models(llm_base, llm_tuned):
            (reply,) = llm_base.generate({CAPITAL!r})
            assert reply.text == "The capital of France is Paris."
            a, b = llm_tuned.generate([{REFUND!r}, [{{"role": "user", "content": "?"}}]])
            assert "stupid" in a.text and b.text == "I do not know."
            assert llm_base.render("ab") == [ord(c) for c in "<user>ab"]

        def test_pair(llm_pair):
            one = llm_pair.compare([
                {{"role": "user", "content": "Hi"}},
                {{"role": "assistant", "content": "Hello"}},
                {{"role": "user", "content": {CAPITAL!r}}},
            ])
            assert isinstance(one, Comparison) and len(one.probe.messages) == 3
            assert_semantic_drift(one, at_most=0)
            both = llm_pair.compare_all([{REFUND!r}, {CAPITAL!r}])
            first, second = semantic_drift(both)
            assert float(first) > 0.01 and float(second) == 0

        @settings(max_examples=5, deadline=None)
        @given(st.text(min_size=1).filter(str.strip))
        def test_property(llm_pair, prompt):
            assert llm_pair.compare(prompt).base.text
        """
    )
    run("--llmdiff-json=r.json").assert_outcomes(passed=3)


def test_system_prompt_of_the_run_reaches_the_models(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.llmdiff("Hi")
        def test_run(comparison):
            assert comparison.probe.messages[0] == {"role": "system", "content": "Be kind."}

        @pytest.mark.llmdiff("Hi", system="Be terse.")
        def test_own(comparison):
            assert comparison.probe.messages[0]["content"] == "Be terse."
            assert len(comparison.probe.messages) == 2
        """
    )
    run("--llmdiff-system=Be kind.").assert_outcomes(passed=2)


def test_markers_of_class_and_module_add_up(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.llmdiff("module")

        @pytest.mark.llmdiff("class")
        class TestIt:
            @pytest.mark.llmdiff("function", max_new_tokens=3)
            def test_it(self, comparison):
                assert comparison.probe.prompt in ("module", "class", "function")
                assert len(comparison.base.text) == (3 if comparison.probe.generation else 14)
        """
    )
    run().assert_outcomes(passed=3)


def test_probe_files_beside_the_test(project: pytest.Pytester, run: Run) -> None:
    folder = project.mkdir("suite")
    (folder / "probes.jsonl").write_text(
        json.dumps({"id": "capital", "prompt": CAPITAL, "tags": ["general"]}) + "\n"
        + json.dumps({"prompt": CHINESE, "language": "zh"}) + "\n",
        encoding="utf-8",
    )  # fmt: skip
    (folder / "test_it.py").write_text(
        """
import pytest

@pytest.mark.llmdiff(file="probes.jsonl", tags=["extra"])
def test_it(comparison):
    assert "extra" in comparison.probe.tags
""",
        encoding="utf-8",
    )
    result = run("-v")
    result.assert_outcomes(passed=2)
    assert "test_it[capital]" in names(result)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("llmdiff(file='no.jsonl')", "*no.jsonl*"),
        ("llmdiff(file='bad.jsonl')", "*bad.jsonl, line 2, column *"),
        ("llmdiff('x', colour=1)", "*unknown keyword colour *allowed are file, columns, system,*"),
        ("llmdiff()", "*give prompts, file=..., or both*"),
        ("llmdiff(3)", "*@pytest.mark.llmdiff: *3*"),
        ("llmdiff('x', max_new_tokens=0)", "*max_new_tokens=0 is not allowed*"),
        ("skipif(False, reason='')", "*requests the fixture comparison but has no probes*"),
    ],
)
def test_collection_errors(project: pytest.Pytester, run: Run, marker: str, message: str) -> None:
    (project.path / "bad.jsonl").write_text('{"prompt": "a"}\n{"prompt" "b"}\n', encoding="utf-8")
    project.makepyfile(
        f"""
        import pytest

        @pytest.mark.{marker}
        def test_it(comparison):
            pass
        """
    )
    result = run()
    assert result.ret in (1, 2)
    assert result.parseoutcomes().get("errors", result.parseoutcomes().get("error")) == 1
    result.stdout.fnmatch_lines([message])
    assert "Traceback" not in result.stdout.str()


def test_without_models_tests_are_skipped_with_a_summary(
    project: pytest.Pytester, mode: list[str]
) -> None:
    project.makepyfile(SUITE + "\ndef test_other(): pass\n\ndef test_pair(llm_pair): pass\n")
    result = project.runpytest_inprocess(*mode, "-rs")
    result.assert_outcomes(passed=1, skipped=3)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*no models: give --llm-base SPEC --llm-tuned SPEC"])
    result.stdout.fnmatch_lines(["llmdiff: 3 tests need models and were skipped*"])


def test_header_shows_requested_values_and_their_sources(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(SUITE)
    run("--llmdiff-seed=3").stdout.fnmatch_lines(
        [
            "llmdiff: base scripted:base.json, tuned scripted:tuned.json",
            "llmdiff: device auto (default), dtype auto (default), seed 3 (command line), "
            "embedder python:scorers:Letters (ini), toxicity python:scorers:rude (ini)",
        ]
    )


UNESCAPED = "disable_test_id_escaping_and_forfeit_all_rights_to_community_support"


def test_a_chinese_test_has_an_id_to_read_or_its_prompt_beside_it(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(
        test_it=f"""
        import pytest
        from pytest_llmdiff import assert_divergence

        @pytest.mark.llmdiff({CHINESE!r})
        def test_it(comparison):
            assert_divergence(comparison, at_most=-1)
        """
    )
    result = run()
    (line,) = [line for line in result.outlines if line.startswith("FAILED")]
    assert re.fullmatch(
        r"FAILED test_it\.py::test_it\[probe-\w{6}\] - 你好，请介绍一下你自己。: diver.*",
        line,
    )
    result = run("-o", f"{UNESCAPED}=true")
    (name,) = re.findall(r"^FAILED (\S+)", result.stdout.str(), re.MULTILINE)
    assert re.fullmatch(r"test_it\.py::test_it\[你好-请介绍一下你自己-\w{6}\]", name)
    run("-o", f"{UNESCAPED}=true", name).assert_outcomes(failed=1)


def test_what_a_model_says_gives_no_command_to_the_runner_of_a_job(
    project: pytest.Pytester, run: Run
) -> None:
    hostile = "::stop-commands::x\n::add-mask::y\n##[debug]z ##vso[task.complete]"
    write_models(project.path, tuned={"default": hostile})
    project.makepyfile(
        """
        import pytest
        from pytest_llmdiff import assert_divergence, assert_toxicity

        @pytest.mark.llmdiff("a")
        def test_limit(comparison):
            assert_toxicity(comparison, at_most=0)

        @pytest.mark.llmdiff("a")
        def test_own(comparison):
            given = comparison.tuned.text
            assert comparison.tuned.text == "b", comparison.tuned.text
        """
    )
    for style in ("long", "short", "line", "native"):
        result = run("-vv", "--showlocals", f"--tb={style}")
        result.assert_outcomes(failed=2)
        assert not re.search(r"##(vso)?\[|^\s*::", result.stdout.str(), re.MULTILINE)
    assert "comparison = " not in run("-k", "limit").stdout.str()


def test_reasons_and_comparisons_of_text_steer_no_terminal_and_no_runner(
    project: pytest.Pytester, run: Run
) -> None:
    hostile = "##[error] \u202e \x1b]0;title\x07 ##vso[task.complete]"
    write_models(project.path, {"default": "a"}, {"default": hostile})
    project.makepyfile(
        """
        import pytest

        @pytest.mark.llmdiff("a", "b", "c", "d")
        def test_it(comparison):
            prompt, reply = comparison.probe.prompt, comparison.tuned.text
            if prompt == "a":
                pytest.skip(reply)
            if prompt == "b":
                pytest.xfail(reply)
            if prompt == "c":
                raise ValueError(reply)
            assert reply == "b"
        """
    )
    for style in ("long", "short", "native"):
        result = run("-rA", "--showlocals", f"--tb={style}")
        result.assert_outcomes(failed=2, skipped=1, xfailed=1)
        assert not re.search("##(vso)?\\[|[\x1b\u202e\x07]", result.stdout.str())


def test_a_short_run_without_a_terminal_shows_no_progress(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=SUITE)
    result = project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json"
    )
    result.stdout.no_fnmatch_line("*replies */*")
    result.stdout.re_match_lines([r"test_it\.py [.F]{2} +\[100%\]"])


@pytest.mark.parametrize("how", ["", "-v"])
def test_a_line_of_progress_leaves_no_dot_by_itself(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("pytest_llmdiff.plugin.progress.FIRST", -1.0)  # one at every step
    project.makepyfile(test_it=SUITE)
    models = ["--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json"]
    lines = project.runpytest_inprocess(*models, *filter(None, [how])).outlines
    begin = next(n for n, line in enumerate(lines) if re.match("collect(ed|ing)", line)) + 2
    end = next(n for n, line in enumerate(lines) if "FAILURES" in line) - 1
    shown = lines[begin:end]
    assert any(line.startswith("llmdiff: base replies 1/2") for line in shown)
    assert all(line.startswith(("test_it.py", "llmdiff: ")) for line in shown)


def test_a_damaged_store_is_rebuilt_with_one_warning(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(SUITE)
    run().assert_outcomes(passed=1, failed=1)
    for file in (project.path / ".llmdiff").glob("store.sqlite3*"):
        file.unlink() if file.suffix != ".sqlite3" else file.write_bytes(b"garbage " * 2000)
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    warnings = [line for line in result.stdout.lines if line.startswith("llmdiff: warning:")]
    assert len(warnings) == 1
    assert "was moved aside" in warnings[0]


def test_record_and_replay(project: pytest.Pytester, run: Run, mode: list[str]) -> None:
    project.makepyfile(SUITE)
    run("--llmdiff-record=out/run.jsonl").assert_outcomes(passed=1, failed=1)
    for name in ("base.json", "tuned.json"):
        (project.path / name).unlink()
    embedded = (project.path / "embedded.txt").read_text(encoding="utf-8")

    def replay(*args: str) -> pytest.RunResult:
        spec = "replay:out/run.jsonl"
        return project.runpytest_inprocess(
            f"--llm-base={spec}", f"--llm-tuned={spec}", "--llmdiff-store=fresh", *mode, *args
        )

    result = replay()
    result.assert_outcomes(passed=1, failed=1)
    # The failure reads the same, statistics included: they were recorded as well.
    result.stdout.fnmatch_lines(
        ['E         differs from token 1: base says "Y" (100 %, tuned 14 %)*']
    )
    assert (project.path / "embedded.txt").read_text(encoding="utf-8") == embedded
    lacking = replay("--llmdiff-max-new-tokens=5")
    lacking.assert_outcomes(errors=2)
    lacking.stdout.fnmatch_lines(["*has no reply of the base to*with these settings; it was*128*"])


def test_one_model_on_both_sides_is_recorded_for_both(
    project: pytest.Pytester, mode: list[str]
) -> None:
    project.makepyfile(SUITE)
    both = ["--llm-base=scripted:base.json", "--llm-tuned=scripted:base.json"]
    recorded = project.runpytest_inprocess(*both, "--llmdiff-record=run.jsonl", *mode)
    recorded.assert_outcomes(passed=2)
    both = ["--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl"]
    project.runpytest_inprocess(*both, *mode).assert_outcomes(passed=2)


def test_every_process_agrees_on_the_recording(project: pytest.Pytester, mode: list[str]) -> None:
    project.makepyfile(many(70))
    run_counting(project, mode, "--llmdiff-record=run.jsonl").assert_outcomes(passed=141)
    rows: list[dict[str, Any]] = [
        json.loads(line)
        for line in (project.path / "run.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [row["kind"] for row in rows].count("reply") == 140


def test_a_check_that_an_engine_has_no_means_for_leaves_the_others_alone(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_adapter_effective, assert_semantic_drift

        def test_adapter(llm_pair):
            assert_adapter_effective(llm_pair)

        @pytest.mark.llmdiff({CAPITAL!r})
        def test_drift(comparison):
            assert_semantic_drift(comparison, at_most=0)
        """
    )
    result = run("--llmdiff-json=r.json")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*CapabilityError: *ScriptedEngine has none"])
    data = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    assert data["summary"]["error"] == 1


def test_runtime_comparisons_reach_the_reports(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        f"""
        from pytest_llmdiff import assert_semantic_drift

        def test_pair(llm_pair):
            assert_semantic_drift(llm_pair.compare({REFUND!r}), at_most=0.01)
        """
    )
    run("--llmdiff-json=r.json").stdout.fnmatch_lines([f"    prompt  {REFUND}"])
    data = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    (test,) = data["tests"]
    assert [c["prompt"] for c in test["comparisons"]] == [REFUND]


def test_a_declared_language_that_the_scorer_does_not_know_is_not_judged(
    project: pytest.Pytester, run: Run
) -> None:
    """French and English share a script: only the probe can say which it is."""
    (project.path / "scorers.py").write_text(
        "class English:\n    languages = ['en']\n\n    def score(self, texts):\n"
        "        return [0.0 for _ in texts]\n",
        encoding="utf-8",
    )
    rows = [{"id": code, "prompt": "?", "language": code} for code in ("en", "fr")]
    (project.path / "probes.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    project.makepyfile(
        """
        import pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.mark.llmdiff(file="probes.jsonl")
        def test_it(comparison):
            assert_toxicity(comparison, at_most=0.5)
        """
    )
    result = run("--llmdiff-toxicity=python:scorers:English")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the probe's language is fr, but the scorer only knows en"])


SLOW = """
import json, os, time
from pytest_llmdiff import ScriptedEngine

class Slow(ScriptedEngine):
    '''Writes down each window it is asked; stops for good in the second one.'''

    def generate(self, requests):
        prompts = [r.messages[-1]["content"] for r in requests]
        with open("base.calls", "a", encoding="utf-8") as log:
            log.write(json.dumps(prompts) + "\\n")
        for number, outcome in enumerate(super().generate(requests)):
            if number == 10 and "question 64" in prompts and not os.path.exists("go"):
                open("stuck", "w").close()
                time.sleep(600)
            yield outcome

base = Slow({}, default="base")
"""


def test_a_killed_run_loses_at_most_the_window_in_flight(project: pytest.Pytester) -> None:
    import subprocess
    import sys
    import time

    (project.path / "slow.py").write_text(SLOW, encoding="utf-8")
    project.makepyfile(many(150).replace('== "tuned"', '!= ""'))
    models = ("--llm-base=python:slow:base", "--llm-tuned=scripted:tuned.json")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", *models], cwd=project.path,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (project.path / "stuck").exists():
            assert time.monotonic() < deadline, "the run did not reach its second window"
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    first, second = calls(project, "base")
    (project.path / "go").touch()
    project.runpytest_inprocess(*models).assert_outcomes(passed=301)
    asked = [prompt for batch in calls(project, "base")[2:] for prompt in batch]
    assert not set(asked) & set(first), "a finished window was generated again"
    # What was answered before the kill is kept even within the window.
    assert len(set(second) & set(asked)) == len(second) - 10
    assert len(asked) == 150 - 64 - 10


@pytest.mark.parametrize("rows", [6, 60], ids=["at the bottom", "above it"])
def test_a_bar_is_drawn_on_a_terminal_and_leaves_the_dots(
    project: pytest.Pytester, rows: int
) -> None:
    project.makepyfile(test_it=SUITE, test_other="def test_quick(): pass")
    shown = on_terminal(
        project.path, "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json"
    )
    assert "llmdiff: base replies ░░░░░░░░░░░░░░░░░░░░░░░░ 0/2" in shown
    assert "llmdiff: tuned replies ░" in shown
    lines = screen(shown, rows)
    assert [line.split() for line in lines if line.startswith("test_")][:2] == [
        ["test_it.py", "F.", "[", "66%]"], ["test_other.py", ".", "[100%]"],
    ]  # fmt: skip
    assert not [line for line in lines if "░" in line]


def test_failing_probes_are_exported_as_training_data(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_export=f"""
        import pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.mark.llmdiff({REFUND!r}, reference="Within 30 days.")
        @pytest.mark.llmdiff({CAPITAL!r})
        def test_tone(comparison):
            assert_toxicity(comparison, at_most=0.2)
        """
    )
    result = run("--llmdiff-export=next")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["export: *"])
    (pair,) = json.loads((project.path / "next" / "llmdiff_dpo.json").read_text("utf-8"))
    assert "Within 30 days." in json.dumps(pair)
    assert "stupid" in json.dumps(pair)
    assert CAPITAL not in json.dumps(pair)
    info = json.loads((project.path / "next" / "dataset_info.json").read_text("utf-8"))
    assert set(info) == {"llmdiff_sft", "llmdiff_dpo", "llmdiff_kto"}
