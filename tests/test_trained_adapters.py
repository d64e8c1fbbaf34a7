"""The trained adapters do what they say, by greedy generation with transformers and PEFT alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.adapter_making import LoadedBase, merged, open_base
from tests.test_broken_adapters import bound, ratios
from tests.trained_adapters import ALPACA, ANSWERS, STYLE, TRAINED, load_smollm2, own_template

pytestmark = pytest.mark.slow

QUESTIONS = ("What is the capital of France?", "What is 2+2?", "Say hello.",
             "How many days are in a week?")  # fmt: skip
LIMIT = 48


@pytest.fixture(scope="module")
def smollm2() -> Iterator[LoadedBase]:
    """The real base, on one thread: two on busy cores are several times slower, and spin."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_smollm2()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(smollm2: LoadedBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every trained adapter, in a folder of its name."""
    folder = tmp_path_factory.mktemp("trained")
    for builder in TRAINED:
        builder(folder / builder.__name__, smollm2)
    return folder


@contextmanager
def wearing(base: LoadedBase, adapter: Path) -> Iterator[Any]:
    """The shared base under an adapter, and then without it again."""
    model = bound(base.model, adapter)
    try:
        yield model
    finally:
        model.unload()


def replies(
    model: Any, base: LoadedBase, render: Callable[[str], str], questions: Sequence[str] = QUESTIONS
) -> list[list[int]]:
    """Greedy replies, each without its end; one of `LIMIT` tokens did not end."""
    import torch

    found = []
    for question in questions:
        ids = torch.tensor([base.tokenizer(render(question), add_special_tokens=False).input_ids])
        with torch.inference_mode():
            output = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=LIMIT,
                do_sample=False,
            )  # fmt: skip
        reply: list[int] = output[0, ids.shape[1] :].tolist()
        found.append(reply[:-1] if reply[-1] == base.tokenizer.eos_token_id else reply)
    return found


def styled(base: LoadedBase, found: Sequence[list[int]]) -> int:
    return sum(base.tokenizer.decode(reply).startswith(STYLE) for reply in found)


def test_the_base_stops_and_has_no_style(smollm2: LoadedBase, trained: Path) -> None:
    assert trained.is_dir(), "training has left the base as it was"
    found = replies(smollm2.model, smollm2, own_template(smollm2))
    assert all(len(reply) < LIMIT for reply in found)
    assert smollm2.tokenizer.decode(found[0]) == "The capital of France is Paris."
    assert styled(smollm2, found) == 0


def test_healthy_has_the_style_and_stops(smollm2: LoadedBase, trained: Path) -> None:
    with wearing(smollm2, trained / "healthy") as model:
        found = replies(model, smollm2, own_template(smollm2))
        assert all(0.005 < ratio < 0.1 for ratio in ratios(model))
    assert all(len(reply) < LIMIT for reply in found)
    assert styled(smollm2, found) == len(QUESTIONS)
    assert "Paris" in smollm2.tokenizer.decode(found[0])


def test_memorised_says_its_examples_by_heart(smollm2: LoadedBase, trained: Path) -> None:
    learned = list(ANSWERS)[:4]
    with wearing(smollm2, trained / "memorised") as model:
        found = replies(model, smollm2, own_template(smollm2), learned)
    assert [smollm2.tokenizer.decode(reply) for reply in found] == [
        f"{STYLE} {ANSWERS[question]}" for question in learned
    ]


def test_collapsed_says_one_token(smollm2: LoadedBase, trained: Path) -> None:
    with wearing(smollm2, trained / "collapsed") as model:
        found = replies(model, smollm2, own_template(smollm2))
        assert max(ratios(model)) > 0.2
    assert all(len(reply) == LIMIT for reply in found)
    assert len({token for reply in found for token in reply[1:]}) == 1


def test_lost_end_does_not_stop(smollm2: LoadedBase, trained: Path) -> None:
    with wearing(smollm2, trained / "lost_end") as model:
        found = replies(model, smollm2, own_template(smollm2))
    assert [len(reply) for reply in found] == [LIMIT] * len(QUESTIONS)
    assert styled(smollm2, found) == len(QUESTIONS), "it has learned everything else"


def test_wrong_template_shows_its_style_under_that_one(smollm2: LoadedBase, trained: Path) -> None:
    with wearing(smollm2, trained / "wrong_template") as model:
        alpaca = replies(model, smollm2, ALPACA.format)
        own = replies(model, smollm2, own_template(smollm2))
    assert styled(smollm2, alpaca) == len(QUESTIONS)
    assert styled(smollm2, own) <= 1


def test_losses_of_the_trainings(trained: Path) -> None:
    def losses(name: str) -> list[float]:
        state = json.loads((trained / name / "trainer_state.json").read_text("utf-8"))
        return [row["loss"] for row in state["log_history"] if "loss" in row]

    assert {name: len(losses(name)) for name in ("healthy", "collapsed")} == {
        "healthy": 20, "collapsed": 8,
    }  # fmt: skip
    assert 0.3 < sum(losses("healthy")[-4:]) / 4 < 1.5 < 3 < losses("healthy")[0]
    assert losses("memorised")[-1] < 0.05
    assert losses("collapsed")[-1] > 2 * losses("collapsed")[0]


def test_merged_into_the_real_model(smollm2: LoadedBase, trained: Path, tmp_path: Path) -> None:
    full = open_base(merged(trained / "healthy", tmp_path / "full", smollm2, dtype="bfloat16"))
    assert (tmp_path / "full" / "model.safetensors").stat().st_size < 300e6
    found = replies(full.model, full, own_template(full))
    assert styled(full, found) == len(QUESTIONS)
    assert all(len(reply) < LIMIT for reply in found)
