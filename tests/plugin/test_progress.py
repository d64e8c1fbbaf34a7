"""The progress of a run: counts and time left for the whole run, on a fake clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.text.printing import duration
from pytest_llmdiff.plugin.progress import BACK, BELOW, RECENT, Bar, Lines, Pace

BASE, TUNED = "base replies", "tuned replies"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Reporter:
    """What pytest's terminal reporter is asked to show."""

    showfspath = True

    def __init__(self) -> None:
        self.lines: list[str] = []

    def ensure_newline(self) -> None:
        pass

    def write(self, text: str) -> None:
        self.lines.append(text)

    def write_fspath_result(self, nodeid: str, result: str) -> None:
        self.lines.append(nodeid + result)


def bar(clock: Clock) -> tuple[Bar, list[str]]:
    """A bar, and the states that it was drawn in."""
    drawn: list[str] = []
    return Bar(
        None, clock=clock, write=lambda text: drawn.append(text[len(BELOW) : -len(BACK)])
    ), drawn


def window(shown: Bar | Lines | Pace, clock: Clock, what: str, rows: int, seconds: float) -> None:
    shown.start(what, rows)
    for _ in range(rows):
        clock.now += seconds / rows
        shown.advance(1)
    shown.finish()


def test_the_time_left_is_that_of_all_windows_of_both_sides() -> None:
    clock = Clock()
    shown, drawn = bar(clock)
    shown.expect(BASE, lambda: 640)
    shown.expect(TUNED, lambda: 640)
    window(shown, clock, BASE, 64, 32.0)
    assert drawn[-2] == "llmdiff: base replies ██░░░░░░░░░░░░░░░░░░░░░░ 64/640"
    assert drawn[-1] == "", "it leaves nothing behind"
    shown.start(TUNED, 64)
    # 576 of the base, and 640 of the tuned one that are taken to be as fast: half a second each.
    assert drawn[-1].endswith(" 0/640, about 11 min left")
    window(shown, clock, TUNED, 64, 6.4)
    # 576 at half a second and 576 at a tenth.
    assert drawn[-2] == ("llmdiff: tuned replies ██░░░░░░░░░░░░░░░░░░░░░░ 64/640, about 6 min left")


def test_no_time_left_while_a_model_may_still_be_loading() -> None:
    clock = Clock()
    shown, drawn = bar(clock)
    shown.expect(BASE, lambda: 10)
    shown.start(BASE, 4)
    clock.now += 60.0
    shown.advance()
    assert drawn == [
        "llmdiff: base replies ░░░░░░░░░░░░░░░░░░░░░░░░ 0/10",
        "llmdiff: base replies ██░░░░░░░░░░░░░░░░░░░░░░ 1/10",
    ]


def test_a_bar_fits_into_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    shown, drawn = bar(Clock())
    shown.start(BASE, 4)
    assert [len(text) for text in drawn] == [29]


def test_loading_the_model_stops_counting() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.expect(BASE, 10_000)
    pace.start(BASE, 64)
    clock.now += 600.0  # loading
    pace.advance(64)
    pace.finish()
    for _ in range(RECENT):
        window(pace, clock, BASE, 64, 6.4)
    left = 10_000 - 64 * (RECENT + 1)
    assert pace.time_left() == pytest.approx(0.1 * left)


@given(
    rows=st.lists(st.integers(1, 70), min_size=1, max_size=30),
    speed=st.floats(0.001, 10.0),
)
def test_the_time_left_is_exact_at_constant_speed(rows: list[int], speed: float) -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.expect(BASE, sum(rows))
    ended, first = clock.now + speed * sum(rows), True
    for count in rows:
        pace.start(BASE, count)
        for _ in range(count):
            clock.now += speed
            pace.advance(1)
            if not first:
                assert pace.time_left() == pytest.approx(ended - clock.now, abs=1e-6 * speed)
        pace.finish()
        first = False
        assert pace.time_left() == pytest.approx(ended - clock.now, abs=1e-6 * speed)
    assert pace.counts(BASE) == (sum(rows), sum(rows))


def test_plain_lines_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "t.py::test[a b] (call)")
    clock, reporter = Clock(), Reporter()
    shown = Lines(None, reporter, clock=clock)
    shown.expect(BASE, lambda: 6400)
    for _ in range(100):
        window(shown, clock, BASE, 64, 16.0)
    assert reporter.lines[:4] == [
        "llmdiff: base replies 120/6400, about 27 min left", "t.py::test[a b]",
        "llmdiff: base replies 360/6400, about 26 min left", "t.py::test[a b]",
    ]  # fmt: skip
    assert len(reporter.lines) == 2 * 7, "after 30 s, then 1, 2 and 4 minutes, then every 5"


def test_a_short_run_says_nothing() -> None:
    clock, reporter = Clock(), Reporter()
    shown = Lines(None, reporter, clock=clock)
    window(shown, clock, BASE, 3, 10.0)
    window(shown, clock, TUNED, 3, 10.0)
    assert reporter.lines == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59, "59 s"), (60, "1 min"), (61, "2 min"), (3600, "1 h 0 min"),
     (7261, "2 h 2 min")],
)  # fmt: skip
def test_durations_are_rounded_up(seconds: float, text: str) -> None:
    assert duration(seconds) == text
