"""A base that one pair of models hands over to the next: who holds it and its lock, how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdiff.engines.devices import Placement
from pytest_llmdiff.generation.loaded import LoadedModels
from pytest_llmdiff.store import Store


class Base:
    """A base in memory, between two pairs."""

    place = Placement(device="cpu")
    freed = False

    def close(self) -> None:
        self.freed = True


class Pair:
    """Models that may leave their base to others."""

    def __init__(self, base: Base | None, *, fails: bool = False) -> None:
        self.base, self.fails, self.closed = base, fails, False

    def place(self) -> Placement:
        return Placement(device="cpu")

    def keep_base(self) -> Base | None:
        return self.base

    def close(self) -> None:
        if self.fails:
            self.fails = False
            raise RuntimeError("no")
        self.closed = True


def loaded(store: Path, pair: Pair) -> LoadedModels:
    """Models with their lock held."""
    found = LoadedModels(lambda: pair, Store(store))  # type: ignore[arg-type,return-value]
    missing = iter([True, True, False])
    found.lock.until(lambda: next(missing), lambda: None)
    assert found.lock.held
    return found


def is_free(store: Path) -> bool:
    """Whether another process could take the lock."""
    from filelock import Timeout

    lock = Store(store).lock("models")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    lock.release()
    return True


def test_the_lock_goes_with_the_base_and_is_given_up_with_it(tmp_path: Path) -> None:
    base = Base()
    first = Pair(base)
    handed = loaded(tmp_path, first).hand_over()
    assert handed is not None
    assert handed.base is base
    assert (first.closed, base.freed) == (True, False)
    assert not is_free(tmp_path)
    # The next pair has not even been opened when another process asks for the models.
    second = LoadedModels(lambda: pytest.fail("opened"), Store(tmp_path), handed=handed)
    assert not second.wanted()
    second.close()
    assert base.freed
    assert is_free(tmp_path)


def test_it_is_handed_on_by_a_pair_that_had_no_need_of_it(tmp_path: Path) -> None:
    base = Base()
    handed = loaded(tmp_path, Pair(base)).hand_over()
    second = LoadedModels(lambda: pytest.fail("opened"), Store(tmp_path), handed=handed)
    again = second.hand_over()
    assert again is not None
    assert again.base is base
    assert not base.freed
    assert not is_free(tmp_path)


@pytest.mark.parametrize("fails", [False, True])
def test_where_none_is_left_the_lock_is_given_up(tmp_path: Path, fails: bool) -> None:
    base = Base() if fails else None
    pair = Pair(base, fails=fails)
    models = loaded(tmp_path, pair)
    if fails:
        with pytest.raises(RuntimeError):
            models.hand_over()
        assert base is not None
        assert base.freed
    else:
        assert models.hand_over() is None
    assert pair.closed
    assert is_free(tmp_path)
