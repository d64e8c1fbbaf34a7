"""The real small chat model and its adapter behind a server that speaks as vLLM's does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.data.tokens import Passage
from pytest_llmdiff.engines.opening import open_pair
from pytest_llmdiff.engines.pair.divergence import pair_divergences
from pytest_llmdiff.engines.pair.likelihoods import passage_logprobs
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.server.endpoint import Endpoint
from pytest_llmdiff.engines.server.raw import RawServerEngine
from pytest_llmdiff.store import Store
from tests.support.chat_server import running
from tests.support.engines import replies, request, settings
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import SUITE
from tests.support.token_server import TokenHandler, TokenServer, Weights

pytestmark = pytest.mark.slow

PROMPTS = ("Where is my parcel?",)


class Loaded(Weights):
    """One side of a pair that is loaded already; its forward pass is transformers' own."""

    def __init__(self, engine: Any, lock: threading.Lock) -> None:
        self.tokenizer = engine.tokenizer
        self._engine = engine
        self._lock = lock

    def rows(self, ids: Any) -> Any:
        import torch

        weights = self._engine.weights
        with self._lock, weights.model(adapted=self._engine.adapted) as model:
            return model(torch.tensor([list(ids)])).logits[0].log_softmax(-1).clone()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    expanded.into(folder / "store")
    specs = [
        parse_spec(text, option="--llm-base", folder=folder)
        for text in (BASE, str(SUITE / "adapters" / "good"))
    ]
    found = open_pair(specs[0], specs[1], settings(folder), Store(folder / "store"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def served(pair: Pair) -> Iterator[TokenServer]:
    lock = threading.Lock()
    sides = {name: Loaded(pair.side(name), lock) for name in ("base", "tuned")}
    with running(TokenServer(weights=sides), TokenHandler) as server:
        yield server


def behind(server: TokenServer, pair: Pair) -> Pair:
    def engine(name: str) -> RawServerEngine:
        ours: Any = pair.side(name)
        endpoint = Endpoint(url=server.url, model=name, role=name)
        return RawServerEngine(endpoint, renderer=ours.renderer, identity="x", retries=0)

    return Pair(base=engine("base"), tuned=engine("tuned"), resolved={})


def test_divergence_and_score_are_those_of_the_folders(
    pair: Pair, served: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_llmdiff.engines.server.chat.CANARY_TOKENS", 2)
    asked = [request(prompt, max_new_tokens=3) for prompt in PROMPTS]
    sides = zip(replies(pair.base, asked), replies(pair.tuned, asked), strict=True)
    items = [(r, base, tuned) for r, (base, tuned) in zip(asked, sides, strict=True)]
    exact = [found.mean for _, found in pair_divergences(pair, items)]
    passages = [Passage(text="It is Paris.", after=r.messages) for r in asked]
    scores = passage_logprobs(pair.tuned, passages, "cpu")

    likely = behind(served, pair)
    assert [g.reply for g in replies(likely.base, asked)] == [base.reply for _, base, _ in items]
    for theirs, ours in zip(passage_logprobs(likely.tuned, passages, "cpu"), scores, strict=True):
        assert theirs == pytest.approx(ours, abs=1e-4)
    for (_, found), mean in zip(pair_divergences(likely, items), exact, strict=True):
        assert found.at_least is not None
        assert 0.5 * mean < found.at_least <= mean + 1e-4

    served.max_logprobs = -1
    for (_, found), mean in zip(pair_divergences(behind(served, pair), items), exact, strict=True):
        assert found.mean == pytest.approx(mean, abs=1e-4)
