"""How likely given texts are: against the model itself, in batches, and once."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.tokens import Passage
from pytest_llmdiff.engines.pair.likelihoods import passage_logprobs
from tests.support.engines import pair
from tests.support.tiny_models import save_adapter, save_model, save_tokenizer

ASKED = (Message(role="user", content="What is the capital of France?"),)
PASSAGES = [
    Passage(text="Paris it is", after=ASKED),
    Passage(text="The ferry leaves at nine in the morning."),
    Passage(text="Rome", after=ASKED),
    Passage(text="Bread"),
    Passage(text="Hello there", after=(Message(role="user", content="Hi"),)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    save_model(made / "base")
    save_tokenizer(made / "base")
    save_adapter(made / "adapter", made / "base")
    return made


def directly(folder: Path, prompt: list[int], text: list[int]) -> list[float]:
    """One text through a model of its own, the way a user would."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        scores = model(torch.tensor([[*prompt, *text]])).logits[0].log_softmax(-1)
    return [float(scores[len(prompt) + n - 1, token]) for n, token in enumerate(text)]


@pytest.mark.parametrize("bos", [True, False])
def test_they_are_those_of_the_model(folder: Path, tmp_path: Path, bos: bool) -> None:
    engine: Any = pair(folder, "base", "adapter", tmp_path).base
    if not bos:
        engine.tokenizer.bos_token = None
    elif engine.tokenizer.bos_token_id is None:
        engine.tokenizer.bos_token = engine.tokenizer.eos_token
    assert (engine.tokenizer.bos_token_id is not None) is bos
    found = passage_logprobs(engine, PASSAGES, "cpu")
    for passage, logprobs in zip(PASSAGES, found, strict=True):
        ids = engine.encode(passage.text)
        if passage.after:
            prompt = list(engine.render(passage.after))
        elif bos:
            prompt = [engine.tokenizer.bos_token_id]
        else:
            prompt, ids = ids[:1], ids[1:]
        assert logprobs == pytest.approx(directly(folder / "base", prompt, ids), abs=1e-4)


def test_the_sides_differ_and_each_text_is_its_own(folder: Path, tmp_path: Path) -> None:
    both = pair(folder, "base", "adapter", tmp_path)
    together = passage_logprobs(both.tuned, PASSAGES, "cpu")
    assert together != passage_logprobs(both.base, PASSAGES, "cpu")
    for passage, logprobs in zip(PASSAGES, together, strict=True):
        (alone,) = passage_logprobs(both.tuned, [passage], "cpu")
        assert alone == pytest.approx(logprobs, abs=1e-4)


def test_a_text_without_tokens_is_an_error(folder: Path, tmp_path: Path) -> None:
    engine = pair(folder, "base", "adapter", tmp_path).base
    none, some = passage_logprobs(engine, [Passage(text="", after=ASKED), PASSAGES[0]], "cpu")
    assert none == "a text without tokens to score cannot be scored: ''"
    assert [some] == passage_logprobs(engine, PASSAGES[:1], "cpu")


def test_a_text_beyond_the_context_is_no_likelihood(folder: Path, tmp_path: Path) -> None:
    engine: Any = pair(folder, "base", "adapter", tmp_path).base
    room = engine.context_length() - len(engine.render(ASKED))
    long, longest = (Passage(text="x" * count, after=ASKED) for count in (room + 1, room))
    beyond, within = passage_logprobs(engine, [long, longest], "cpu")
    assert isinstance(beyond, str)
    assert f"a text of {room + 1} tokens after a prompt" in beyond
    assert len(within) == room


def test_a_template_with_a_token_that_the_model_has_not(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "base", tmp_path / "base")
    tokenizer = save_tokenizer(tmp_path / "base", template="<|new|>{{ messages[0]['content'] }}")
    tokenizer.add_tokens(["<|new|>"], special_tokens=True)
    tokenizer.save_pretrained(tmp_path / "base")
    engine = pair(tmp_path, "base", str(folder / "adapter"), tmp_path / "store").base
    (found,) = passage_logprobs(engine, PASSAGES[:1], "cpu")
    assert isinstance(found, str)
    assert re.search(r"holds '<\|new\|>' .* embeddings end at token", found)
