"""Locks between processes: the work is done once, and a dead process holds no lock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_llmdiff.generation.locks import STALE, ModelLock
from pytest_llmdiff.store import Store
from tests.support.projects import Launch, Process, said

# A process that needs one row and, if it gets the lock, makes it slowly. It prints what it does.
WORKER = """
import os, sys, time
from pathlib import Path
from pytest_llmdiff.store import Store
from pytest_llmdiff.generation.locks import ModelLock

store = Store(Path(sys.argv[1]))
seconds = float(sys.argv[2])
lock = ModelLock(store, "models")

def work():
    print("works", flush=True)
    time.sleep(seconds)
    store.put("reply", {"key": os.getpid()})

lock.until(lambda: "key" not in store.get("reply", ["key"]), work)
print("has", store.get("reply", ["key"])["key"], lock.held, flush=True)
sys.stdin.readline()
"""

Start = Callable[[float], Process]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def start(store: Store, launch: Launch) -> Start:
    """Start workers, each of which needs so many seconds for the work."""
    return lambda seconds: launch(WORKER, store.folder, seconds)


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def never() -> None:
    raise AssertionError("the work is done already")


# One process


def test_nothing_missing_is_no_work(store: Store) -> None:
    lock = ModelLock(store, "models")
    lock.until(lambda: False, never)
    assert not lock.held


def test_the_lock_is_kept_after_the_work(store: Store) -> None:
    lock = ModelLock(store, "models")
    done: list[int] = []
    lock.until(lambda: not done, lambda: done.append(1))
    assert done == [1]
    assert lock.held
    lock.until(lambda: len(done) < 2, lambda: done.append(2))
    assert done == [1, 2]


def test_a_released_lock_is_free(store: Store) -> None:
    first, second = ModelLock(store, "models"), ModelLock(store, "models")
    done: list[int] = []
    first.until(lambda: not done, lambda: done.append(1))
    first.release()
    first.release()
    second.until(lambda: len(done) < 2, lambda: done.append(2))
    assert (first.held, second.held) == (False, True)


def test_a_lock_that_is_not_kept_is_free_after_the_work(store: Store) -> None:
    lock = ModelLock(store, "scorer", keep=False)
    done: list[bool] = []
    lock.until(lambda: not done, lambda: done.append(lock.held))
    assert done == [True]
    assert not lock.held
    with pytest.raises(ZeroDivisionError):
        lock.until(lambda: True, lambda: bool(1 // 0))
    assert not lock.held


def test_a_failing_work_raises_and_can_be_tried_again(store: Store) -> None:
    lock = ModelLock(store, "models")
    done: list[int] = []

    def fail() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        lock.until(lambda: True, fail)
    lock.until(lambda: not done, lambda: done.append(1))
    assert done == [1]


def test_other_names_are_other_locks(store: Store) -> None:
    first, second = ModelLock(store, "models"), ModelLock(store, "scorer")
    done: list[str] = []
    first.until(lambda: "a" not in done, lambda: done.append("a"))
    second.until(lambda: "b" not in done, lambda: done.append("b"))
    assert first.held
    assert second.held


@pytest.mark.parametrize(
    ("who", "age", "wanted"),
    [
        ("1", 0.0, True),
        ("1", STALE - 5, True),
        ("1", STALE + 1, False),
        ("1", -99, False),
        ("me", 0.0, False),
    ],
)
def test_who_wants_the_lock(store: Store, who: str, age: float, wanted: bool) -> None:
    who = str(os.getpid()) if who == "me" else who
    store.put("waiting-models", {who: time.monotonic() - age})
    assert ModelLock(store, "models").wanted() is wanted
    assert not ModelLock(store, "scorer").wanted()


# Several processes


def test_the_work_is_done_once(start: Start) -> None:
    first = start(1.0)
    assert said(first) == "works"
    second = start(1.0)
    # Had the second one worked, it would have said so first.
    assert said(second) == f"has {first.pid} False"
    assert said(first) == f"has {first.pid} True"


def test_another_process_takes_over_from_a_dead_one(start: Start) -> None:
    first = start(600.0)
    assert said(first) == "works"
    second = start(0.0)
    time.sleep(0.5)
    assert second.poll() is None
    first.kill()
    first.wait(timeout=30)
    assert said(second) == "works"
    assert said(second) == f"has {second.pid} True"


def test_a_waiting_process_is_seen_and_gets_the_released_lock(start: Start, store: Store) -> None:
    lock = ModelLock(store, "models")
    lock.until(lambda: "other" not in store.keys("reply"), lambda: store.put("reply", {"other": 1}))
    assert lock.held
    assert not lock.wanted()
    waiting = start(0.0)
    assert eventually(lock.wanted)
    assert waiting.poll() is None
    lock.release()
    assert said(waiting) == "works"
    assert said(waiting) == f"has {waiting.pid} True"
    assert not lock.wanted()
    assert store.keys("waiting-models") == []


def test_the_end_of_a_process_frees_its_lock(start: Start, store: Store) -> None:
    first = start(0.0)
    assert said(first) == "works"
    assert said(first).endswith("True")
    first.communicate("go\n", timeout=30)
    done: list[int] = []
    lock = ModelLock(store, "models")
    lock.until(lambda: not done, lambda: done.append(1))
    assert lock.held
