"""The base beside itself, on tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.engines.noise import open_noise
from pytest_llmdiff.engines.pair.divergence import pair_divergences
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.store import Store
from tests.support.engines import (
    PROMPTS,
    folder,  # noqa: F401  a fixture
    replies,
    request,
    settings,
)


def noise(folder: Path, tmp_path: Path, **options: Any) -> Pair:  # noqa: F811
    base = parse_spec("base", option="--llm-base", folder=folder)
    return open_noise(base, settings(folder), Store(tmp_path), **options)


@pytest.mark.parametrize("quick", [True, False])
def test_the_base_differs_from_itself_by_rounding(
    folder: Path,  # noqa: F811
    tmp_path: Path,
    quick: bool,
) -> None:
    both = noise(folder, tmp_path, quick=quick)
    asked = [request(prompt) for prompt in PROMPTS]
    base: Any = both.base
    own = [
        Generated(reply=found.reply, prompt_ids=tuple(base.render(one.messages)))
        for one, found in zip(asked, replies(base, asked), strict=True)
    ]
    found = [value for _, value in pair_divergences(both, list(zip(asked, own, own, strict=True)))]
    values = [token.kl for one in found for token in one.tokens]
    assert len(found) == len(PROMPTS)
    assert 0 < max(values) < 0.1
    tuned: Any = both.tuned
    assert tuned.weights.dtype == ("float32" if quick else "bfloat16")
    assert ("rounded to bfloat16" in both.notes[-1]) is quick
    assert tuned.fingerprint() != base.fingerprint()
    both.close()


def test_what_is_rounded_are_bfloat16_numbers(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    import torch

    both = noise(folder, tmp_path, quick=True)
    tuned: Any = both.tuned
    with tuned.weights.model(adapted=False) as model:
        rows = model.get_input_embeddings().weight
        logits = model(input_ids=torch.tensor([[1, 2, 3]])).logits
        for values in (rows, logits):
            assert values.dtype == torch.float32
            assert values.equal(values.bfloat16().float())
    with both.base.weights.model(adapted=False) as model:  # type: ignore[attr-defined]
        assert not model.get_input_embeddings().weight.equal(rows)
    both.close()
