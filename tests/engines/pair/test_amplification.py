"""Texts from both models together, the difference amplified, on tiny models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff import ScriptedEngine
from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.engines.pair.amplification import (
    PLAUSIBLE,
    STRENGTH,
    amplified,
    amplified_scores,
    check_amplifiable,
)
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from pytest_llmdiff.errors import CapabilityError
from tests.support.engines import folder, loaded, pair  # noqa: F401  a fixture
from tests.support.tiny_models import CONTEXT

HEADS = [([5, 6, 7], [5, 6, 7]), ([8, 9], [8, 9, 10, 11])]
TOKENS = 12


def test_what_tuning_made_likelier_is_amplified() -> None:
    import torch

    base = torch.tensor([[2.0, 0.0, 1.0, -9.0]])
    tuned = torch.tensor([[2.0, 1.0, 1.0, -7.0, 5.0]])
    scores = amplified_scores(base, tuned)
    assert scores[0, :3].tolist() == [2.0, 1.0 + STRENGTH, 1.0]
    assert scores[0, 3] == -math.inf, "it rose most, and is as good as impossible"
    assert scores.shape == (1, 4), "the base has no row for the last one"
    least = 2.0 + math.log(PLAUSIBLE)
    kept = amplified_scores(base, torch.tensor([[2.0, least + 1e-3, least - 1e-3, -7.0]]))
    assert kept.isfinite()[0].tolist() == [True, True, False, False]


@pytest.mark.parametrize("tuned", ["other", "adapter"])
def test_texts_are_those_of_plain_passes(
    folder: Path,  # noqa: F811
    tmp_path: Path,
    tuned: str,
) -> None:
    import torch

    both = pair(folder, "base", tuned, tmp_path)
    sampling = Sampling(max_new_tokens=TOKENS, temperature=0)
    found = amplified(both, HEADS, ["00", "01"], sampling)
    engine: Any = both.tuned
    stops = engine.stop_ids()
    models = [
        loaded(folder / "base", None),
        loaded(folder / "other", None) if tuned == "other" else
        loaded(folder / "base", folder / "adapter"),
    ]  # fmt: skip
    for heads, text in zip(HEADS, found, strict=True):
        tokens: list[int] = []
        while len(tokens) < TOKENS and not (tokens and tokens[-1] in stops):
            with torch.inference_mode():
                ours, theirs = (
                    model(torch.tensor([[*head, *tokens]])).logits[:, -1]
                    for model, head in zip(models, heads, strict=True)
                )
            tokens.append(int(amplified_scores(ours, theirs).argmax()))
        ended = tokens[-1] in stops
        expected = engine.tokenizer.decode(tokens[:-1], skip_special_tokens=True)
        assert text == (expected if ended else None)
    both.close()


def test_a_row_is_drawn_by_its_key_alone(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    both = pair(folder, "base", "other", tmp_path)
    sampling = Sampling(max_new_tokens=64, temperature=1.0, seed=3)
    keys = [f"{number:012x}" for number in range(12)]
    heads = [HEADS[number % 2] for number in range(12)]
    found = amplified(both, heads, keys, sampling)
    assert len(set(filter(None, found))) > 2
    assert amplified(both, heads[::-1], keys[::-1], sampling)[::-1] == found
    assert amplified(both, heads[:2], keys[:2], sampling) == found[:2]
    both.close()


def unlike(both: Pair, monkeypatch: pytest.MonkeyPatch) -> Sequence[Any]:
    monkeypatch.setattr(
        "pytest_llmdiff.engines.pair.amplification.unlike_tokenizers", lambda *_: "other tokens"
    )
    return both, HEADS, TOKENS


def large(both: Pair, monkeypatch: pytest.MonkeyPatch) -> Sequence[Any]:
    monkeypatch.setattr(Pair, "fits", False)
    monkeypatch.setattr(TransformersEngine, "loop_check", None)  # it loads a model
    return both, HEADS, TOKENS


def long(both: Pair, _: pytest.MonkeyPatch) -> Sequence[Any]:
    return both, HEADS, CONTEXT


def headless(both: Pair, _: pytest.MonkeyPatch) -> Sequence[Any]:
    return both, [([], [1])], TOKENS


def scripted(both: Pair, _: pytest.MonkeyPatch) -> Sequence[Any]:
    other = ScriptedEngine({}, default="Hi")
    return Pair(base=both.base, tuned=other, resolved={}), HEADS, TOKENS


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (unlike, "other tokens"),
        (large, "do not fit in memory together"),
        (long, f"{CONTEXT + 4} tokens are too many for a context of {CONTEXT}"),
        (headless, "nothing before the user's own text"),
        (scripted, "ScriptedEngine cannot be sampled along another model"),
    ],
)
def test_what_cannot_be_sampled_together_says_why(
    folder: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: Callable[[Pair, pytest.MonkeyPatch], Sequence[Any]],
    message: str,
) -> None:
    both = pair(folder, "base", "other", tmp_path)
    asked = case(both, monkeypatch)
    with pytest.raises(CapabilityError, match=message):
        check_amplifiable(*asked)
    both.close()
