"""Tiny models behind engines: settings, pairs, requests, and what they reply."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.options import OPTIONS
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request, Sampling
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.engines.opening import open_pair
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.plan import cut_windows
from pytest_llmdiff.plugin.progress import Silent
from pytest_llmdiff.store import Store
from tests.support.tiny_models import save_adapter, save_model

PROMPTS = ["Hi", "What is the capital of France?", "你好", "a " * 20, "x", "Tell me a story!"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, `other` (full models), `adapter` over base, `noop` adapter."""
    folder = tmp_path_factory.mktemp("tiny")
    save_model(folder / "base")
    save_model(folder / "other", seed=5)
    save_adapter(folder / "adapter", folder / "base")
    save_adapter(folder / "noop", folder / "base", scale=0.0)
    return folder


def settings(folder: Path, **changes: Any) -> Settings:
    values = {option.name: option.default for option in OPTIONS}
    values |= {"store": folder / "store", "max_new_tokens": 24} | changes
    return Settings(
        base="base",
        tuned="tuned",
        sources=dict.fromkeys(values, "command line"),
        folder=folder,
        ini_folder=folder,
        **values,
    )


def pair(folder: Path, base: str, tuned: str, store: Path, **changes: Any) -> Pair:
    specs = [parse_spec(text, option="--llm-base", folder=folder) for text in (base, tuned)]
    return open_pair(specs[0], specs[1], settings(folder, **changes), Store(store))


def request(prompt: str, **sampling: Any) -> Request:
    return Request(
        (Message(role="user", content=prompt),), Sampling(**{"max_new_tokens": 24} | sampling)
    )


def replies(engine: Any, requests: Sequence[Request]) -> list[Generated]:
    found = dict(engine.generate(requests))
    return [found[index] for index in range(len(requests))]


def tokens(engine: Any, requests: Sequence[Request]) -> list[tuple[int, ...]]:
    return [g.reply.token_ids for g in replies(engine, requests) if g.reply is not None]


def loaded(model: Any, adapter: Path | None) -> Any:
    """A model with or without an adapter, through transformers and PEFT alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if isinstance(model, Path):
        model = AutoModelForCausalLM.from_pretrained(model)
    if adapter is None:
        return model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between PEFT and transformers
        return PeftModel.from_pretrained(model, str(adapter))


def generation(
    both: Pair, store: Path, requests: Sequence[Request], window: int = 64
) -> ReplyGenerator:
    windows = cut_windows(requests, repeat(window))
    return ReplyGenerator(lambda: both, Store(store), windows, eager=False, progress=Silent())


def exact_divergence(
    folder: Path, adapter: Path, prompt: Sequence[int], reply: Sequence[int]
) -> list[float]:
    """KL per token from two separately loaded models, one unpadded sequence, in plain terms."""
    import torch

    rows = []
    with torch.inference_mode():
        for own in (None, adapter):
            logits = loaded(folder, own)(torch.tensor([[*prompt, *reply]])).logits[0]
            rows.append(logits[len(prompt) - 1 : -1].double().log_softmax(-1))
    p, q = rows
    found: list[float] = (p.exp() * (p - q)).sum(-1).tolist()
    return found
