"""Attributions on the real chat model and its adapter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.data.comparison import Comparison, Reply
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.engines.opening import open_pair
from pytest_llmdiff.explain.attribution.attribution import attribution
from pytest_llmdiff.explain.attribution.values import Terms
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.plugin.progress import Silent
from pytest_llmdiff.store import Store
from tests.support.attribution import Lab
from tests.support.engines import settings
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import SUITE

pytestmark = pytest.mark.slow

PROMPT = "How do I get a refund?"
COMPARISON = Comparison(
    probe=make_probe(PROMPT),
    base=Reply(text="You need to visit the shop."),
    tuned=Reply(text="Happy to help! We will send you a refund within 30 days."),
)


class RealLab(Lab):
    def __init__(self, store: Path) -> None:
        base, tuned = (
            parse_spec(text, option="--llm-base", folder=SUITE) for text in (BASE, "adapters/good")
        )
        self.pair = open_pair(base, tuned, settings(SUITE, store=store), Store(store))
        self.generation = ReplyGenerator(
            lambda: self.pair, Store(store), [], eager=False, progress=Silent()
        )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Iterator[RealLab]:
    store = tmp_path_factory.mktemp("store")
    expanded.into(store)
    made = RealLab(store)
    yield made
    made.generation.loaded.close()


def test_the_word_that_was_asked_about_counts_for_most(lab: RealLab) -> None:
    import torch

    found = attribution(lab, COMPARISON, Terms())
    (method,) = found.methods
    for side in (method.base, method.tuned):
        scores = dict(zip((word.text for word in found.words), side.scores, strict=True))
        assert max(scores, key=scores.__getitem__) == "refund"
    engine: Any = lab.pair.tuned
    worth = []
    for prompt in (PROMPT, "How do I get a?"):
        before = engine.render(make_probe(prompt).messages)
        reply = engine.encode(COMPARISON.tuned.text)
        with engine.weights.model(adapted=True) as model:
            logits = model(torch.tensor([before + reply])).logits[0, len(before) - 1 : -1]
        rows = logits.log_softmax(-1).gather(-1, torch.tensor(reply)[:, None])
        worth.append(float(rows.sum()))
    assert method.tuned.whole == pytest.approx(worth[0], abs=1e-2)
    assert method.tuned.scores[5] == pytest.approx(worth[0] - worth[1], abs=1e-2)


def test_integrated_gradients_add_up(lab: RealLab) -> None:
    terms = Terms(methods=("integrated-gradients",), steps=16, most_words=3)
    (method,) = attribution(lab, COMPARISON, terms).methods
    assert method.base.scores != method.tuned.scores
    side = method.tuned
    assert sum(side.scores) == pytest.approx(side.whole - side.without, rel=0.25)
    leaving = attribution(lab, COMPARISON, Terms()).methods[0].tuned
    assert side.whole == pytest.approx(leaving.whole, abs=1e-2), "another way to the same value"
