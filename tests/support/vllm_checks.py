"""What vLLM's engine must hold, asked in one process: `python vllm_checks.py MODELS ADAPTER`.

It prints what it found as one line of JSON. It runs where pytest's own tests cannot: by an
interpreter that has vLLM.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.options import OPTIONS
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request, Sampling
from pytest_llmdiff.engines.opening import open_pair
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.store import Store

SMALL = {"kv_cache_memory_bytes": 1 << 28, "max_model_len": 128}
PROMPTS = ("What is the capital of France?", "Where is my parcel?", "Name three colours.", "你好")


def opened(folder: Path, tuned: str, **arguments: Any) -> Pair:
    values = {option.name: option.default for option in OPTIONS}
    values |= {"store": folder / "store", "vllm": SMALL | arguments}
    settings = Settings(
        base="base", tuned="tuned", sources=dict.fromkeys(values, "command line"), folder=folder,
        ini_folder=folder, **values,
    )  # fmt: skip
    specs = [parse_spec(text, option="--llm-tuned", folder=folder) for text in ("vllm:base", tuned)]
    return open_pair(specs[0], specs[1], settings, Store(folder / "store"))


def asked(text: str, **sampling: Any) -> Request:
    return Request(
        (Message(role="user", content=text),), Sampling(**{"max_new_tokens": 12} | sampling)
    )


def tokens(engine: Any, requests: Sequence[Request]) -> list[Any]:
    found = dict(engine.generate(requests))
    replies = [found[index].reply for index in range(len(requests))]
    return [found[i].error if r is None else list(r.token_ids) for i, r in enumerate(replies)]


def refused(folder: Path, tuned: str, **arguments: Any) -> str:
    try:
        tokens(opened(folder, tuned, **arguments).base, [asked("Hi")])
    except LLMDiffError as error:
        return str(error)
    return "nothing was refused"


def checks(folder: Path, adapter: str) -> dict[str, Any]:
    found: dict[str, Any] = {"unknown": refused(folder, "vllm:merged", tensor_paralel_size=2)}
    pair = opened(folder, f"vllm:{adapter}")
    greedy = [asked(prompt) for prompt in PROMPTS]
    found["base"], found["tuned"] = tokens(pair.base, greedy), tokens(pair.tuned, greedy)
    drawn = [asked(prompt, temperature=0.9, top_p=0.95, seed=3) for prompt in PROMPTS]
    other = [asked(prompt, temperature=0.9, top_p=0.95, seed=4) for prompt in PROMPTS]
    found["drawn"], found["others"] = tokens(pair.tuned, drawn), tokens(pair.tuned, other)
    found["drawn alone"] = [tokens(pair.tuned, [request])[0] for request in reversed(drawn)][::-1]
    long = asked("a " * 200), asked("a " * 50, max_new_tokens=500)
    found["long"] = tokens(pair.base, [greedy[0], *long])
    found["prompt of long"] = len(pair.base.render(long[1].messages))
    broken_off: Any = pair.base.generate([asked(prompt, max_new_tokens=40) for prompt in PROMPTS])
    next(broken_off)
    broken_off.close()
    found["after breaking off"] = tokens(pair.base, greedy)
    pair.close()
    two = opened(folder, "vllm:merged")
    found["fits"] = two.fits
    found["merged"] = tokens(two.tuned, greedy)
    found["beside merged"] = tokens(two.base, greedy)
    two.base.close()
    found["merged after the other closed"] = tokens(two.tuned, greedy)
    two.close()
    return found


if __name__ == "__main__":
    print(json.dumps(checks(Path(sys.argv[1]), sys.argv[2])))
