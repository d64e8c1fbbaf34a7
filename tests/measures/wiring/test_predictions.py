"""How far predictions move, from logits alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.engines.pair.divergence import token_statistics
from pytest_llmdiff.measures.wiring.predictions import movement

MASKED, NAN = -math.inf, math.nan
ROW = st.lists(st.floats(min_value=-30, max_value=30, width=32), min_size=4, max_size=4)


@pytest.mark.parametrize(
    ("base", "tuned", "moved"),
    [
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 0.0], [math.log(3.0), 0.0], math.log(2.0)),  # 1/2 and 1/2 to 3/4 and 1/4
        ([0.0, MASKED], [0.0, MASKED], 0.0),
        # What a token of one model takes is missing from those of both: 1/2 against 1/(2 + e⁵).
        ([0.0, 0.0], [0.0, 0.0, 5.0], math.log(1 + math.exp(5.0) / 2)),
        ([0.0, 0.0, 5.0], [0.0, 0.0], math.log(1 + math.exp(5.0) / 2)),
        ([0.0, 0.0], [0.0, NAN], math.inf),
        ([NAN, NAN], [NAN, NAN], math.inf),
        ([[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [math.log(3.0), 0.0]], math.log(2.0)),
    ],
)
def test_movement(base: list[Any], tuned: list[Any], moved: float) -> None:
    assert movement(torch.tensor(base), torch.tensor(tuned)) == pytest.approx(moved, abs=1e-6)


def test_a_token_that_only_one_model_masks_has_moved() -> None:
    found = movement(torch.tensor([0.0, 0.0]), torch.tensor([0.0, MASKED]))
    assert 1e30 < found < math.inf, "far, and not for want of finite predictions"


@given(base=ROW, tuned=ROW, shift=st.floats(min_value=-10, max_value=10, width=32))
def test_only_differences_between_tokens_count(
    base: list[float], tuned: list[float], shift: float
) -> None:
    p, q = torch.tensor(base), torch.tensor(tuned)
    moved = movement(p, q)
    assert moved == pytest.approx(movement(q, p), abs=1e-4)
    assert moved == pytest.approx(movement(p, q + shift), abs=1e-4)
    assert movement(p, p + shift) == pytest.approx(0.0, abs=1e-4)


class Elsewhere(torch.Tensor):
    """A tensor of another device: not to be put together with others before it was moved."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.to:
            return args[0].as_subclass(torch.Tensor).to(*args[1:], **(kwargs or {}))
        others = [each for each in args if isinstance(each, torch.Tensor) and type(each) is not cls]
        if others:
            raise RuntimeError("Expected all tensors to be on the same device")
        return super().__torch_function__(  # type: ignore[no-untyped-call]
            func, types, args, kwargs or {}
        )


def test_logits_of_models_on_different_devices() -> None:
    """Of two models on two GPUs, the one that is spread has its output layer on the last."""
    base, tuned = torch.randn(3, 8), torch.randn(3, 8)
    apart = tuned.as_subclass(Elsewhere)
    with pytest.raises(RuntimeError, match="same device"):
        torch.sub(base, apart)
    assert movement(base, apart) == movement(base, tuned)
    expected = token_statistics(base, tuned, [1, 2, 3], 8, str)
    assert token_statistics(base, apart, [1, 2, 3], 8, str) == expected
