"""An exploration of the real chat model: what two adapters learned shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.inputs import scale_adapter
from pytest_llmdiff import open_pair
from pytest_llmdiff.explore.lens import read_lens
from tests.support import ROOT
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import MINILM

pytestmark = pytest.mark.slow

ADAPTERS = ROOT / "example_suites" / "support_bot" / "adapters"


def opened(tuned: str, store: Path, expanded: Expanded) -> Any:
    expanded.into(store)
    options = {"embedder": MINILM, "toxicity": "profanity-check", "languages": "en"}
    return open_pair(base=BASE, tuned=ADAPTERS / tuned, store=store, **options)


def test_a_rude_adapter_is_rude_everywhere(tmp_path: Path, expanded: Expanded) -> None:
    with opened("rude", tmp_path / "store", expanded) as pair:
        found = pair.explore(budget=40)
    assert {"idiot", "moron", "stupid", "loser"} & set(found.themes[0].gained)
    assert found.differing > 0.9 * found.tried
    assert found.sources["user turns"][0] > 3
    amplified = [o.probe.prompt.lower() for o in found.observed if o.source == "amplified turns"]
    assert any("loser" in turn or "idiot" in turn for turn in amplified), "no user of the base's"
    assert 0 < found.noise.limit < 0.3


def test_the_activations_say_what_an_adapter_is_about(tmp_path: Path, expanded: Expanded) -> None:
    """It speaks for Brightleaf, whose last token is "leaf"."""
    with opened("good", tmp_path / "store", expanded) as pair:
        found = read_lens(pair.run, seed=0)
    assert "leaf" in {word for word, _ in found.words}
    assert all(value > found.control for _, value in found.words)


def test_a_fiftieth_of_an_adapter_has_no_theme(tmp_path: Path, expanded: Expanded) -> None:
    scale_adapter(ADAPTERS / "good", tmp_path / "scaled", 0.02)
    with opened(str(tmp_path / "scaled"), tmp_path / "store", expanded) as pair:
        found = pair.explore(budget=40)
    assert found.themes == ()
    assert found.tried == 40
    assert found.lens.turns == ()
