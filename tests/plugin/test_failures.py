"""What pytest shows of an error: one block without the plugin's own frames, and the reason in the
line of the short summary."""

from __future__ import annotations

import pytest

from tests.support.projects import Run

INTERNALS = ("*pytest_llmdiff/*.py:*", "*scores_of(*", "*direct cause*", "*During handling*")


def hides_internals(result: pytest.RunResult) -> None:
    for line in INTERNALS:
        result.stdout.no_fnmatch_line(line)


def test_an_error_of_a_scorer_is_one_block_at_the_users_line(
    project: pytest.Pytester, run: Run
) -> None:
    (project.path / "scorers.py").write_text("def rude(texts): return [7 for _ in texts]\n")
    project.makepyfile(
        test_it="""
        import pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.mark.llmdiff("How do I get a refund?")
        def test_it(comparison):
            assert_toxicity(comparison, at_most=0.2)
        """
    )
    result = run()
    assert result.ret == 1
    hides_internals(result)
    result.stdout.fnmatch_lines(
        [
            ">       assert_toxicity(comparison, at_most=0.2)",
            "E       *ScorerError: *returned 7.0; a score is from 0 to 1",
            "test_it.py:6: ScorerError",
            "FAILED *::test_it[[]how-do-i-get*] - the scorer *",
        ]
    )


def test_an_error_of_an_engine_is_its_message_alone(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        engines="""
        from pytest_llmdiff import ScriptedEngine
        class Silent(ScriptedEngine):
            def generate(self, requests):
                return []
        silent = Silent({}, default="x")
        """,
        test_it="""
        import pytest

        @pytest.mark.llmdiff("a", "b")
        def test_it(comparison):
            pass
        """,
    )
    result = run("--llm-tuned=python:engines:silent")
    assert result.ret == 1
    hides_internals(result)
    told = [line for line in result.outlines if line.startswith("E   ModelError: ")]
    assert told, result.stdout.str()
    assert len(result.outlines) < 40
    result.stdout.fnmatch_lines(["ERROR test_it.py::test_it[[]a*] - the engine of the tuned *"])


def test_the_same_error_is_told_once(project: pytest.Pytester) -> None:
    (project.path / "scorers.py").write_text("def rude(texts): return [7 for _ in texts]\n")
    project.makepyfile(
        test_it="""
        import pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.mark.llmdiff("a", "b", "c", "d")
        def test_it(comparison):
            assert_toxicity(comparison, at_most=0.2)
        """
    )
    models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
    result = project.runpytest_inprocess(*models)
    text = result.stdout.str()
    assert text.count("E       ") == 1
    assert text.count("\nthe same error as in test_it.py::") == 3
    assert sum(line.startswith("FAILED ") and "the scorer" in line for line in result.outlines) == 4


def test_code_of_the_project_that_the_plugin_calls_is_shown(
    project: pytest.Pytester, run: Run
) -> None:
    (project.path / "scorers.py").write_text(
        "def rude(texts):\n    return [1 / len(text.split('stupid')[5]) for text in texts]\n"
    )
    project.makepyfile(
        test_it="""
        import pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.mark.llmdiff("How do I get a refund?")
        def test_it(comparison):
            assert_toxicity(comparison, at_most=0.2)
        """
    )
    result = run()
    hides_internals(result)
    result.stdout.fnmatch_lines(
        [">       assert_toxicity(*", "*split('stupid')[[]5]*", "*scorers.py:2: IndexError"]
    )


def test_the_short_summary_has_the_reason(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    project.makepyfile(
        test_it="""
        import pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.mark.llmdiff("How do I get a refund?")
        def test_it(comparison):
            assert_toxicity(comparison, at_most=0.2)
        """
    )
    result = run("--junit-xml=junit.xml", "--llmdiff-json=report.json")
    result.stdout.fnmatch_lines(["FAILED *::test_it[[]*] - toxicity 0.90, limit 0.20 *"])
    assert '<failure message="toxicity 0.90, limit' in (project.path / "junit.xml").read_text()
    # The reports keep the whole text.
    assert "AssertionError: toxicity 0.90" in (project.path / "report.json").read_text()


def test_full_trace_shows_all_frames(project: pytest.Pytester) -> None:
    (project.path / "scorers.py").write_text("def rude(texts): return [7 for _ in texts]\n")
    project.makepyfile(
        test_it="""
        import pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.mark.llmdiff("a")
        def test_it(comparison):
            assert_toxicity(comparison, at_most=0.2)
        """
    )
    models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
    result = project.runpytest_inprocess(*models, "--full-trace")
    result.stdout.fnmatch_lines(["*pytest_llmdiff/measures/toxicity.py:*"])


def test_arguments_above_a_failure_are_short(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.llmdiff("a long question " * 100, "another one " * 100)
        class TestThem:
            def test_one(self, comparison):
                assert 0
            def test_all(self, comparisons):
                assert 0
        """
    )
    result = run()
    shown = [line for line in result.outlines if line.startswith("comparison")]
    assert len(shown) == 3
    assert all(len(line) < 180 for line in shown), shown


def test_an_expected_error_is_still_expected(project: pytest.Pytester, run: Run) -> None:
    (project.path / "scorers.py").write_text("def rude(texts): return [7 for _ in texts]\n")
    project.makepyfile(
        test_it="""
        import pytest
        from pytest_llmdiff import ScorerError, assert_toxicity

        @pytest.mark.xfail(raises=ScorerError, strict=True)
        @pytest.mark.llmdiff("a", "b", "c")
        def test_it(comparison):
            assert_toxicity(comparison, at_most=0.2)

        @pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
        @pytest.mark.llmdiff("a")
        def test_other(comparison):
            assert_toxicity(comparison, at_most=0.2)
        """
    )
    run().assert_outcomes(xfailed=3, failed=1)


ONE = """
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.mark.llmdiff("How do I get a refund?")
def test_it(comparison):
    assert_toxicity(comparison, at_most=0.2)
"""


@pytest.mark.parametrize(
    ("scorer", "told"),
    [
        (
            "raise RuntimeError('outer') from ValueError('REAL')",
            ["ValueError: REAL", "*direct cause*"],
        ),
        (
            "import multiprocessing\n    with multiprocessing.get_context('spawn').Pool(1) as pool:"
            "\n        return pool.map(int, ['REAL'])",
            ["*RemoteTraceback*", "*'REAL'*", "*direct cause*"],
        ),
        (
            "try: {}['REAL']\n    except KeyError: raise RuntimeError('outer')",
            ["*KeyError: 'REAL'", "*During handling*"],
        ),
        ("raise RuntimeError('outer') from None", ["*RuntimeError: outer"]),
    ],
)
def test_what_a_users_error_was_raised_from_is_shown(
    project: pytest.Pytester, run: Run, scorer: str, told: list[str]
) -> None:
    (project.path / "scorers.py").write_text(f"def rude(texts):\n    {scorer}\n")
    project.makepyfile(test_it=ONE)
    result = run()
    assert result.ret == 1
    result.stdout.no_fnmatch_line("*pytest_llmdiff/*.py:*")
    result.stdout.fnmatch_lines(told)


def test_a_class_elsewhere_says_where_and_from_what_it_raised(
    project: pytest.Pytester, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "judges.py").write_text(
        "class Judge:\n"
        "    def __init__(self):\n"
        "        try:\n"
        "            {}['REAL']\n"
        "        except KeyError as error:\n"
        "            raise RuntimeError('outer') from error\n"
    )
    project.makeconftest(f"import sys; sys.path.insert(0, {str(elsewhere)!r})")
    project.makepyfile(test_it=ONE)
    result = run("--llmdiff-toxicity=python:judges:Judge")
    assert result.ret == 1
    hides_internals(result)
    result.stdout.fnmatch_lines(
        [
            "E *RuntimeError when it was called without arguments: outer (*judges.py:6)",
            "E *from KeyError: 'REAL' (*judges.py:4)",
        ]
    )


def test_the_same_error_at_another_line_is_shown_there(project: pytest.Pytester) -> None:
    (project.path / "scorers.py").write_text("def rude(texts): return [7 for _ in texts]\n")
    project.makepyfile(
        test_it=ONE + "def other(comparison):\n    assert_toxicity(comparison, at_most=0.3)\n\n"
        '@pytest.mark.llmdiff("a", "b")\ndef test_other(comparison):\n    other(comparison)\n'
    )
    models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
    result = project.runpytest_inprocess(*models)
    result.stdout.fnmatch_lines([">   *at_most=0.2)", ">   *other(comparison)", "*at_most=0.3)"])
    assert result.stdout.str().count("\nthe same error as in test_it.py::test_other") == 1
