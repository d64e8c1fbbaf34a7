"""Drafts, ties and independence on the real chat model, with adapters from none to collapsed."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.inputs import prompts
from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.engines.devices import limit_threads
from pytest_llmdiff.engines.transformers.decoding.drafts import Drafts, Ended
from pytest_llmdiff.engines.transformers.decoding.loop import Decoder
from pytest_llmdiff.engines.transformers.decoding.loop_check import check_loop
from pytest_llmdiff.engines.transformers.packing import pack
from tests.support import ROOT
from tests.support.expanded import Expanded

pytestmark = pytest.mark.slow

ADAPTERS = ROOT / "example_suites" / "support_bot" / "adapters"
LIMIT = 16
COUNT = 40
# By how much the good adapter's update is scaled; the rude one is taken as it is.
SCALES = {"none": 0.0, "2 %": 0.02, "10 %": 0.1, "100 %": 1.0, "collapsed": 60.0}


class Chat:
    def __init__(self, expanded: Expanded) -> None:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer

        limit_threads()
        tokenizer = AutoTokenizer.from_pretrained(expanded.tokenizer)
        base = AutoModelForCausalLM.from_pretrained(expanded.model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations between PEFT and transformers
            self.model = PeftModel.from_pretrained(base, str(ADAPTERS / "good"), "good")
            self.model.load_adapter(str(ADAPTERS / "rude"), "rude")
        self.model.eval()
        self.unpack = pack(self.model)
        self.stop = [int(tokenizer.eos_token_id)]
        self.prompts: list[list[int]] = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=True
            )["input_ids"]
            for text in prompts()[:COUNT]
        ]

    @contextmanager
    def adapter(self, name: str) -> Iterator[Any]:
        """The model as the base, with the rude adapter, or with the good one at a scale."""
        if name == "base":
            with self.model.disable_adapter():
                yield self.model
            return
        self.model.set_adapter("rude" if name == "rude" else "good")
        scaled = [
            layer for layer in self.model.modules() if name in SCALES and hasattr(layer, "lora_A")
        ]
        for layer in scaled:
            layer.set_scale("good", SCALES[name])
        try:
            yield self.model
        finally:
            for layer in scaled:
                layer.set_scale("good", 1.0)

    def run(
        self, name: str, rows: Sequence[int] = range(COUNT), *, slots: int = 64, **options: Any
    ) -> list[Ended]:
        import torch

        decoder = Decoder(
            [self.prompts[row] for row in rows], sampling=Sampling(max_new_tokens=LIMIT),
            keys=["0" * 12] * len(rows), stop_ids=self.stop, slots=slots, **options,
        )  # fmt: skip
        found: dict[int, Ended] = {}
        with self.adapter(name) as model, torch.inference_mode():
            while not decoder.done:
                found |= {row.index: row for row in decoder.advance(model)}
        return [found[number] for number in range(len(rows))]


@pytest.fixture(scope="module")
def chat(expanded: Expanded) -> Chat:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of third parties, while they load
        return Chat(expanded)


@pytest.fixture(scope="module")
def base(chat: Chat) -> list[list[int]]:
    return tokens(chat.run("base"))


def tokens(rows: Sequence[Ended]) -> list[list[int]]:
    return [row.tokens for row in rows]


def test_the_loop_says_what_generate_says(chat: Chat, base: list[list[int]]) -> None:
    import torch
    from transformers import GenerationConfig

    config = GenerationConfig(
        max_new_tokens=LIMIT, do_sample=False, eos_token_id=chat.stop, pad_token_id=0
    )
    for name, expected in (("base", base), ("100 %", tokens(chat.run("100 %")))):
        with chat.adapter(name) as model, torch.inference_mode():
            for prompt, ours in list(zip(chat.prompts, expected, strict=True))[::10]:
                ids = torch.tensor([prompt])
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # deprecations inside transformers
                    row = model.generate(
                        input_ids=ids, attention_mask=torch.ones_like(ids),
                        generation_config=config,
                    )  # fmt: skip
                assert row[0, len(prompt) :].tolist() == ours


@pytest.mark.parametrize("name", [*SCALES, "rude"])
def test_drafts_change_no_token(chat: Chat, base: list[list[int]], name: str) -> None:
    alone = tokens(chat.run(name))
    for drafts in (Drafts(replies=base), Drafts(replies=base, ahead=2, budget=16)):
        assert tokens(chat.run(name, drafts=drafts)) == alone
    same = sum(a == b for a, b in zip(alone, base, strict=True))
    # Else drafts that are kept, or refused, would not have been tried.
    assert same == COUNT if name == "none" else same < COUNT


def test_independence_and_ties_in_bfloat16(chat: Chat) -> None:
    """Last in this file: the model is not float32 any more afterwards."""
    import torch

    chat.unpack()
    chat.model.to(torch.bfloat16)
    with chat.adapter("base") as model, torch.inference_mode():
        check = check_loop(model)
    assert check.unserved is None
    # Some CPUs' kernels round bfloat16 alike in passes of every shape: nothing is to be tolerated.
    assert 0 <= check.tolerance < 2
    whole = tokens(chat.run("base", steady=2))
    generator = random.Random(5)
    different = compared = 0
    for slots in (1, 2, 7, 40):
        rows = generator.sample(range(COUNT), 10)
        part = tokens(chat.run("base", rows, slots=slots, steady=2))
        different += sum(part[n] != whole[row] for n, row in enumerate(rows))
        compared += len(rows)
    assert different <= compared / 100
    # The pass over the drafts rounds otherwise than the steps did: the draft's token stands.
    drafts = Drafts(replies=whole, tolerance=check.tolerance)
    assert tokens(chat.run("none", drafts=drafts, steady=2)) == whole
