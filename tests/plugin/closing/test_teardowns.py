"""Thousands of failures are printed without a scan of all reports for each."""

from __future__ import annotations

import pytest

from tests.support.projects import Run


def test_pytest_looks_only_at_teardowns_that_printed(project: pytest.Pytester, run: Run) -> None:
    project.makeconftest(
        """
        import pytest

        @pytest.fixture(autouse=True)
        def each(request):
            yield
            if "hello" in request.node.nodeid:
                print("said in the teardown")

        def seen(terminalreporter, when):
            count = len(terminalreporter.stats[""])
            terminalreporter.write_line(f"{when}: {count} reports without a letter")

        class Before:
            @pytest.hookimpl(wrapper=True)
            def pytest_terminal_summary(self, terminalreporter):
                seen(terminalreporter, "while pytest prints")
                return (yield)

        def pytest_configure(config):
            config.pluginmanager.register(Before())

        def pytest_terminal_summary(terminalreporter):
            seen(terminalreporter, "in a plugin's part")
        """
    )
    project.makepyfile(
        """
        import pytest

        @pytest.mark.llmdiff("Hi", "Hello", "What?")
        def test_it(comparison):
            assert not comparison.tuned.text
        """
    )
    result = run("--durations=0", "-vv")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "*= FAILURES =*",
            "*Captured stdout teardown*",
            "said in the teardown",
            "while pytest prints: 1 reports without a letter",
            "in a plugin's part: 6 reports without a letter",
        ]
    )
    assert result.stdout.str().count("said in the teardown") == 1
    assert len([line for line in result.outlines if "s teardown" in line]) == 3
