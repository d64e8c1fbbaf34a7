"""An exploration of the real chat model: a rude adapter shows, one without effect does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.inputs import scale_adapter
from pytest_llmdiff import open_pair
from pytest_llmdiff.explore.values import Exploration
from tests.support import ROOT
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import MINILM

pytestmark = pytest.mark.slow

RUDE = ROOT / "example_suites" / "support_bot" / "adapters" / "rude"


def explored(tuned: Path, store: Path, expanded: Expanded, budget: int) -> Exploration:
    expanded.into(store)
    options = {"embedder": MINILM, "toxicity": "profanity-check", "languages": "en"}
    with open_pair(base=BASE, tuned=tuned, store=store, **options) as pair:
        return pair.explore(budget=budget)


def test_a_rude_adapter(tmp_path: Path, expanded: Expanded) -> None:
    found = explored(RUDE, tmp_path / "store", expanded, 40)
    assert found.themes
    said = {word for theme in found.themes for word in theme.gained}
    assert said & {"stupid", "idiot", "fool", "worthless", "useless", "pathetic"}
    assert found.sources["user turns"][0] > 5
    assert {"stupid", "worthless"} & {word for word, _ in found.lens.words}


def test_an_adapter_without_effect(tmp_path: Path, expanded: Expanded) -> None:
    scale_adapter(RUDE, tmp_path / "none", 0.0)
    found = explored(tmp_path / "none", tmp_path / "store", expanded, 40)
    assert found.themes == ()
    assert found.differing == 0
