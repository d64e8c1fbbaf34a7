"""Beside pytest-timeout: the time in which models answer is no test's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from pytest_llmdiff.plugin.timer import LEAST, Timer

# Real models, scorers and tests that write down whether a timer runs beside them.
ENGINE = """
    import signal
    from pytest_llmdiff import ScriptedEngine

    def note(who):
        state = "runs" if signal.getitimer(signal.ITIMER_REAL)[0] else "stands still"
        with open("timer.txt", "a", encoding="utf-8") as file:
            file.write(f"{who}: {state}\\n")

    class Watching(ScriptedEngine):
        def fingerprint(self):
            note("fingerprint")
            return super().fingerprint()

        def generate(self, requests):
            note("replies")
            yield from super().generate(requests)

    def scorer(texts):
        note("scorer")
        return [0.0 for _ in texts]

    base = Watching({}, default="base")
    tuned = Watching({}, default="tuned")
    broken = Watching({}, default="tuned")
    broken.generate = None
"""
TESTS = """
    import pytest
    from pytest_llmdiff import assert_toxicity
    from watching import note

    @pytest.mark.llmdiff("one", "two", "three")
    def test_each(comparison):
        note("test")
        assert_toxicity(comparison, at_most=1)
        note("test")

    @pytest.mark.llmdiff("four", "five")
    def test_set(comparisons):
        assert_toxicity(comparisons, at_most=1)
        note("test")

    def test_at_run_time(llm_pair):
        llm_pair.compare("six")
        note("test")
"""
MODELS = (
    "--llm-base=python:watching:base",
    "--llm-tuned=python:watching:tuned",
    "--llmdiff-toxicity=python:watching:scorer",
)


@pytest.mark.parametrize("func_only", ["false", "true"])
def test_models_answer_while_the_timer_stands_still(
    project: pytest.Pytester, mode: list[str], func_only: str
) -> None:
    pytest.importorskip("pytest_timeout")
    project.makepyfile(watching=ENGINE, test_watched=TESTS)
    options = ("--timeout=600", "-o", f"timeout_func_only={func_only}")
    result = project.runpytest_inprocess(*MODELS, *options, *mode)
    result.assert_outcomes(passed=5)
    noted = set((project.path / "timer.txt").read_text(encoding="utf-8").splitlines())
    still = {"fingerprint: stands still", "replies: stands still", "scorer: stands still"}
    assert noted == {"test: runs", *still}


def test_a_test_that_hangs_still_ends(project: pytest.Pytester) -> None:
    pytest.importorskip("pytest_timeout")
    project.makepyfile(
        watching=ENGINE,
        test_hangs="""
        import time
        import pytest

        @pytest.mark.llmdiff("one")
        @pytest.mark.timeout(2)
        def test_it(comparison):
            time.sleep(600)
        """,
    )
    result = project.runpytest_inprocess(*MODELS)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Timeout*"])


class Settings(NamedTuple):
    timeout: float


class Hooks:
    """pytest's, as pytest-timeout answers them; `calls` is what became of the timer."""

    def __init__(self, timer: Timer) -> None:
        self.timer = timer
        self.calls: list[object] = []

    def pytest_timeout_cancel_timer(self, **_: Any) -> None:
        self.calls.append("cancelled")
        self.timer.ended()

    def pytest_timeout_set_timer(self, item: Any, settings: Settings) -> None:
        self.calls.append(settings.timeout)
        self.timer.began(item, settings)


def test_what_is_left_of_the_time() -> None:
    now = 0.0
    timer = Timer(lambda: now)
    hooks = Hooks(timer)
    item: Any = SimpleNamespace(config=SimpleNamespace(hook=hooks))
    with timer.stopped():
        pass
    assert hooks.calls == []
    timer.began(item, Settings(60))
    now += 10
    with timer.stopped(), timer.stopped():
        now += 1000
    assert hooks.calls == ["cancelled", 50]
    now += 49.9
    with pytest.raises(KeyError), timer.stopped():
        raise KeyError
    assert hooks.calls[2:] == ["cancelled", LEAST]
