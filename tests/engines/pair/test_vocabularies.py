"""Models whose vocabularies differ: grown by tokens, padded, or cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.tokens import Passage
from pytest_llmdiff.engines.pair.first_differences import Ending, first_differences
from pytest_llmdiff.engines.pair.likelihoods import passage_logprobs
from pytest_llmdiff.engines.pair.lower_bounds import NOTHING, lower_bounds
from pytest_llmdiff.engines.pair.vocabularies import readable, rows_of, vocabulary_note
from pytest_llmdiff.explain.attention.pair import attention_views
from pytest_llmdiff.explain.tokens.views import token_views
from pytest_llmdiff.measures.wiring.predictions import prediction_facts, prompts_of_both
from tests.support.engines import PROMPTS, generation, pair, request
from tests.support.tiny_models import save_model

NEW = ["<|tool|>", "<|think|>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`; `same` as it, but `grown` by two tokens, or `padded` to a multiple of 64."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("vocabularies")
    save_model(folder / "base")

    def changed(name: str, tokens: Sequence[str], rows: int | None = None) -> None:
        model = AutoModelForCausalLM.from_pretrained(folder / "base")
        tokenizer = AutoTokenizer.from_pretrained(folder / "base")
        tokenizer.add_special_tokens({"additional_special_tokens": list(tokens)})
        model.resize_token_embeddings(rows or len(tokenizer), mean_resizing=False)
        with torch.no_grad():
            for own in (model.get_input_embeddings(), model.get_output_embeddings()):
                own.weight[260:] = 0.0
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)

    changed("grown", NEW)
    changed("padded", [], 320)
    return folder


def divergences(folder: Path, base: str, tuned: str, store: Path, **changes: Any) -> Any:
    requests = [request(prompt) for prompt in PROMPTS[:3]]
    made = generation(pair(folder, base, tuned, store, **changes), store, requests)
    return made, made.divergences(requests)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("expected", [True, False], ids=["in one pass", "afterwards"])
def test_new_tokens_take_from_the_others(
    folder: Path, tmp_path: Path, dtype: str, expected: bool
) -> None:
    """The new rows are zeros, so each new token has the logit 0."""
    import torch

    requests = [request(prompt) for prompt in PROMPTS[:3]]
    both: Any = pair(folder, "base", "grown", tmp_path, dtype=dtype)
    made = generation(both, tmp_path, requests)
    made.windows.divergences_expected = expected
    found = made.divergences(requests)
    outcomes = made.outcomes(requests)
    for one, value in zip(requests, found, strict=True):
        assert value.unsupported is None
        reply = outcomes["base", one.key]
        item = _continuation(reply)
        ((_, logits),) = both.base.token_logits([item], 64)
        whole = logits.float().logsumexp(-1)
        taken = (whole.exp() + 2).log() - whole
        torch.testing.assert_close(
            torch.tensor([t.kl for t in value.tokens]), taken,
            atol=1e-5 if dtype == "float32" else 1e-2, rtol=1e-3,
        )  # fmt: skip
    (note,) = [note for note in made.windows.notes if "vocabular" in note]
    assert "260 token ids are in both" in note
    assert "2 tokens (<|tool|>, <|think|>)" in note


def _continuation(generated: Any) -> Any:
    from pytest_llmdiff.engines import Continuation

    return Continuation(prompt_ids=generated.prompt_ids, reply_ids=generated.reply.token_ids)


def test_padding_is_told_apart(folder: Path, tmp_path: Path) -> None:
    both: Any = pair(folder, "base", "padded", tmp_path / "a")
    note = vocabulary_note(both.base, both.tuned)
    assert note is not None
    assert "60 only in the tuned model" in note
    assert "60 rows of padding that no token uses" in note
    assert vocabulary_note(both.base, both.base) is None
    # Padding that the tuned model has cut off changes nothing: no token is missing.
    _, found = divergences(folder, "padded", "base", tmp_path / "b")
    assert [v.mean for v in found] == pytest.approx([0.0] * 3, abs=1e-6)


def test_a_base_with_more_tokens(folder: Path, tmp_path: Path) -> None:
    """What the base gives to a token that the tuned model has not is lost to it."""
    made, found = divergences(folder, "grown", "base", tmp_path)
    assert all(v.mean > 1e-3 for v in found)
    assert any("2 only in the base" in note for note in made.windows.notes)


def test_a_reply_is_read_up_to_a_token_that_the_tuned_model_has_not(
    folder: Path, tmp_path: Path
) -> None:
    both: Any = pair(folder, "grown", "base", tmp_path)
    assert readable([30, 40, 261, 50], rows_of(both.tuned)) == (30, 40)
    assert readable([30, 40, 261, 50], rows_of(both.base)) == (30, 40, 261, 50)
    own = Ending(text="ab", token_ids=(30, 40, 261, 50))
    other = Ending(text="ac", token_ids=(30, 41))
    messages = request("Hi").messages
    (view,) = token_views(both, [(messages, own, other)])
    assert [len(view[side]) for side in ("base", "tuned")] == [2, 2]
    (attention,) = attention_views(both, [(messages, own)])
    assert "unsupported" not in attention or attention["unsupported"] is None


def test_a_first_difference_at_a_token_that_the_engine_has_not(
    folder: Path, tmp_path: Path
) -> None:
    both: Any = pair(folder, "base", "grown", tmp_path)
    own = Ending(text="ab", token_ids=(30, 40))
    other = Ending(text="a<|tool|>", token_ids=(30, 260))
    (found,) = first_differences(both.base, [(request("Hi").messages, own, other)], "cpu")
    assert found.at == 1
    assert found.margin > 60
    assert found.margin < -NOTHING


def test_prompts_that_both_read(folder: Path, tmp_path: Path) -> None:
    """A template of the tuned model may write tokens that the base has not."""
    from transformers import AutoTokenizer

    both: Any = pair(folder, "base", "grown", tmp_path)
    both.tuned.renderer._given = "{{ '<|tool|>' + messages[0]['content'] }}"
    conversation = request("Hi").messages
    tokenizer = AutoTokenizer.from_pretrained(folder / "grown")
    assert max(both.tuned.render(conversation)) == tokenizer.convert_tokens_to_ids("<|tool|>")
    found = prompts_of_both(both, [conversation])
    assert found == [both.base.render(conversation)]
    facts = prediction_facts(both, found)
    assert 0 < facts["moved"] < 1, "the new tokens take a little from all others"


def test_a_text_with_a_token_that_the_model_has_not(folder: Path, tmp_path: Path) -> None:
    both: Any = pair(folder, "base", "grown", tmp_path)
    both.base.renderer.__dict__["tokenizer"] = both.tuned.tokenizer
    texts = [Passage(text=text, after=request("Hi").messages) for text in ("a<|tool|>", "ab")]
    refused, scored = passage_logprobs(both.base, texts, "cpu")
    assert "<|tool|>" in str(refused)
    assert len(scored) == 2


class Likely:
    """A server that returns the likeliest tokens of each place."""

    def __init__(self, rows: list[dict[int, float]]) -> None:
        self._rows = rows

    def likely_tokens(self, items: Sequence[Any]) -> Any:
        for index in range(len(items)):
            yield index, self._rows


class Whole:
    """A model that returns all its logits."""

    def __init__(self, probabilities: list[float]) -> None:
        self._probabilities = probabilities

    def token_logits(self, items: Sequence[Any], rows: int) -> Any:
        import torch

        assert rows
        for index in range(len(items)):
            yield index, torch.tensor([self._probabilities]).log()


def test_a_served_model_that_says_a_new_token() -> None:
    """99 % on a token that the base has not: at least log(1 / .01) nats."""
    from pytest_llmdiff.engines import Continuation

    item = Continuation(prompt_ids=(1,), reply_ids=(0,))
    served = Likely([{2: math.log(0.99), 0: math.log(0.006)}])
    ((_, found),) = lower_bounds(Whole([0.6, 0.4]), served, [(item, item)], 64)
    assert found.at_least == pytest.approx(-math.log(0.01), rel=1e-3)
    ((_, found),) = lower_bounds(
        Likely([{2: math.log(0.5), 0: math.log(0.3)}]), Whole([0.6, 0.4]), [(item, item)], 64
    )
    assert found.at_least is not None
    assert found.at_least > 40
