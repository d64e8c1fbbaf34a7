"""The progress of a run: counts and time left for the whole run, on a fake clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.text.printing import duration
from pytest_llmdiff.plugin.progress import EVERY, RECENT, Pace, Terminal

BASE, TUNED = "base replies", "tuned replies"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Reporter:
    """What pytest's terminal reporter is asked to show."""

    def __init__(self) -> None:
        self.drawn: list[str] = []
        self.lines: list[str] = []

    def rewrite(self, text: str, **_: bool) -> None:
        self.drawn.append(text)

    def ensure_newline(self) -> None:
        pass

    def write_line(self, text: str) -> None:
        self.lines.append(text)


def window(shown: Terminal | Pace, clock: Clock, what: str, rows: int, seconds: float) -> None:
    shown.start(what, rows)
    for _ in range(rows):
        clock.now += seconds / rows
        shown.advance(1)
    shown.finish()


def test_the_time_left_is_that_of_all_windows_of_both_sides() -> None:
    clock, reporter = Clock(), Reporter()
    shown = Terminal(reporter, None, live=True, clock=clock)
    shown.expect(BASE, lambda: 640)
    shown.expect(TUNED, lambda: 640)
    window(shown, clock, BASE, 64, 32.0)
    # 576 of the base, and 640 of the tuned one that are taken to be as fast: half a second each.
    assert reporter.drawn[-2] == (
        "llmdiff: base replies ██░░░░░░░░░░░░░░░░░░░░░░ 64/640, about 11 min left"
    )
    assert reporter.drawn[-1] == "", "the dots of the tests take the line again"
    window(shown, clock, TUNED, 64, 6.4)
    # 576 at half a second and 576 at a tenth.
    assert reporter.drawn[-2] == (
        "llmdiff: tuned replies ██░░░░░░░░░░░░░░░░░░░░░░ 64/640, about 6 min left"
    )
    assert reporter.lines == []


def test_no_time_left_before_the_first_row() -> None:
    clock, reporter = Clock(), Reporter()
    shown = Terminal(reporter, None, live=True, clock=clock)
    shown.expect(BASE, lambda: 10)
    shown.start(BASE, 4)
    assert reporter.drawn == ["llmdiff: base replies ░░░░░░░░░░░░░░░░░░░░░░░░ 0/10"]


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
    ended = clock.now + speed * sum(rows)
    for count in rows:
        pace.start(BASE, count)
        for _ in range(count):
            clock.now += speed
            pace.advance(1)
            assert pace.time_left() == pytest.approx(ended - clock.now, abs=1e-6 * speed)
        pace.finish()
    assert pace.counts(BASE) == (sum(rows), sum(rows))


def test_plain_lines_come_now_and_then_and_at_the_end() -> None:
    clock, reporter = Clock(), Reporter()
    shown = Terminal(reporter, None, live=False, clock=clock)
    shown.expect(BASE, lambda: 640)
    for _ in range(10):
        window(shown, clock, BASE, 64, 16.0)
    assert reporter.drawn == []
    assert len(reporter.lines) == 160 // EVERY + 1
    assert reporter.lines[0] == "llmdiff: base replies 121/640 in 30.2 s, about 3 min left"
    assert reporter.lines[-1] == "llmdiff: base replies 640/640 in 160.0 s"


def test_prompts_of_run_time_are_counted_as_they_come() -> None:
    clock, reporter = Clock(), Reporter()
    shown = Terminal(reporter, None, live=False, clock=clock)
    window(shown, clock, BASE, 3, 1.0)
    window(shown, clock, BASE, 2, 1.0)
    assert reporter.lines == [
        "llmdiff: base replies 3/3 in 1.0 s",
        "llmdiff: base replies 5/5 in 2.0 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59, "59 s"), (60, "1 min"), (61, "2 min"), (3600, "1 h 0 min"),
     (7261, "2 h 2 min")],
)  # fmt: skip
def test_durations_are_rounded_up(seconds: float, text: str) -> None:
    assert duration(seconds) == text
