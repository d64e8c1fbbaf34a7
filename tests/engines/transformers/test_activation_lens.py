"""The words in an adapter's activation difference, and turns that a model writes by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.errors import CapabilityError
from tests.support.engines import folder, pair

__all__ = ["folder"]

TEXTS = [[(7 * row + 3 * column) % 90 + 5 for column in range(8)] for row in range(10)]


def lens(engine: Any, **changes: int) -> dict[str, Any]:
    found: dict[str, Any] = engine.activation_words(TEXTS, **({"controls": 3, "seed": 0} | changes))
    return found


def test_words_are_ranked_and_the_adapter_stays_as_it_was(folder: Path, tmp_path: Path) -> None:
    import torch

    both: Any = pair(folder, "base", "adapter", tmp_path)
    item = Continuation(prompt_ids=(5, 6, 7), reply_ids=(8, 9))
    ((_, before),) = both.tuned.token_logits([item], 64)
    found = lens(both.tuned)
    values = [value for _, value in found["tokens"]]
    assert values == sorted(values, reverse=True)
    assert found["texts"] == len(TEXTS)
    assert found == lens(both.tuned)
    assert found["control"] != lens(both.tuned, seed=5)["control"]
    ((_, after),) = both.tuned.token_logits([item], 64)
    assert torch.equal(before, after)


def test_the_layer_that_is_read_is_where_the_adapter_points(folder: Path, tmp_path: Path) -> None:
    """The difference is that of two models which were loaded separately."""
    import torch

    from pytest_llmdiff.engines.transformers import activation_lens
    from tests.support.engines import loaded

    both: Any = pair(folder, "base", "adapter", tmp_path)
    weights = both.tuned.weights
    ids = [text[: activation_lens.LAST] for text in TEXTS]
    ours = activation_lens._states(weights, ids, adapted=True)
    ours = ours - activation_lens._states(weights, ids, adapted=False)
    taken = []
    for adapter in (folder / "adapter", None):
        model = loaded(folder / "base", adapter)
        plain = model.get_base_model() if adapter else model
        plain.model.norm.register_forward_pre_hook(lambda _, given: taken.append(given[0]))
        with torch.inference_mode():
            model(input_ids=torch.tensor(ids))
    expected = (taken[0] - taken[1])[:, activation_lens.FIRST :].mean(0)
    torch.testing.assert_close(ours[1], expected, atol=1e-4, rtol=1e-3)


def test_without_an_adapter_it_cannot_be_told(folder: Path, tmp_path: Path) -> None:
    both: Any = pair(folder, "base", "other", tmp_path)
    with pytest.raises(CapabilityError, match="it is read from a LoRA adapter"):
        lens(both.tuned)


def test_an_adapter_that_changes_nothing_is_about_nothing(folder: Path, tmp_path: Path) -> None:
    both: Any = pair(folder, "base", "noop", tmp_path)
    with pytest.raises(CapabilityError, match="moves no activation"):
        lens(both.tuned)


def test_continuations_depend_on_their_keys_alone(folder: Path, tmp_path: Path) -> None:
    engine: Any = pair(folder, "base", "adapter", tmp_path).base
    sampling = Sampling(max_new_tokens=12, temperature=1.0, top_p=0.95, seed=3)
    keys = [f"{number:012x}" for number in range(6)]
    prompts = [[5, 6, 7]] * 3 + [[8, 9]] * 3
    every = engine.continuations(prompts, keys, sampling)
    assert every == engine.continuations(prompts, keys, sampling)
    assert every[4:5] == engine.continuations(prompts[4:5], keys[4:5], sampling)
    assert all(text is None or isinstance(text, str) for text in every)
