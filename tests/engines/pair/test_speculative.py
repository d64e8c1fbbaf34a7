"""The base's replies as drafts for the tuned model's, through the engines and a whole run."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.pair.speculative import FIRST_AHEAD, VERIFIED_COST, SpeculativeDecoding
from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from pytest_llmdiff.engines.transformers.hidden_states import HiddenStateCache
from pytest_llmdiff.plugin.marker import asks_for_divergence
from pytest_llmdiff.store import Store
from tests.support.engines import (
    PROMPTS,
    exact_divergence,
    generation,
    pair,
    replies,
    request,
    tokens,
)
from tests.support.tiny_models import save_adapter, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    save_model(folder / "base")
    save_model(folder / "other", seed=5)
    for name, scale in {"noop": 0.0, "slight": 0.05, "adapter": 1.0}.items():
        save_adapter(folder / name, folder / "base", scale=scale)
    save_adapter(folder / "second", folder / "base", seed=9)
    return folder


class Counting:
    """Counts the forward passes of both sides, and the requests that each was given."""

    def __init__(self, both: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        self.generated: list[tuple[str, int]] = []
        for side in ("base", "tuned"):
            engine: Any = both.side(side)
            monkeypatch.setattr(
                engine, "generate_drafted", self._counted(side, engine.generate_drafted)
            )
        for engine in (both.base, both.tuned):
            monkeypatch.setattr(engine, "token_logits", self._refused)

    def _counted(self, side: str, run: Any) -> Any:
        def counted(requests: Sequence[Any], along: Any) -> Any:
            self.generated.append((side, len(requests)))
            return run(requests, along)

        return counted

    def _refused(self, *_: Any) -> Any:
        raise AssertionError("the divergence takes passes of its own")


@pytest.mark.parametrize("name", ["noop", "slight", "adapter", "other"])
def test_replies_along_are_the_replies_alone(folder: Path, tmp_path: Path, name: str) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    alone = tokens(pair(folder, "base", name, tmp_path).tuned, requests)
    for expected in (False, True):
        both = generation(
            pair(folder, "base", name, tmp_path), tmp_path / str(expected), requests, window=3
        )
        both.windows.divergences_expected = expected
        outcomes = both.outcomes(requests)
        assert [outcomes["tuned", r.key].reply.token_ids for r in requests] == alone  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["slight", "adapter", "other"])
def test_the_divergence_comes_along_with_the_replies(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    both = pair(folder, "base", name, tmp_path)
    found = generation(both, tmp_path, requests)
    found.windows.divergences_expected = True
    counting = Counting(both, monkeypatch)
    values = found.divergences(requests)
    assert counting.generated == [("base", len(PROMPTS)), ("tuned", len(PROMPTS))]
    for r, value in zip(requests, values, strict=True):
        reply = found.outcomes([r])["base", r.key].reply
        assert reply is not None
        # Another full model, or the base under the adapter.
        model, adapter = ("other", None) if name == "other" else ("base", name)
        if adapter is None:
            assert math.isfinite(value.mean)
            assert value.mean > 0.01
            continue
        exact = exact_divergence(
            folder / model, folder / adapter, both.base.render(r.messages), reply.token_ids
        )
        assert [t.kl for t in value.tokens] == pytest.approx(exact, rel=2e-3, abs=1e-5)


def test_a_new_adapter_takes_the_base_s_replies_from_the_store(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    generation(pair(folder, "base", "adapter", tmp_path), tmp_path, requests).outcomes(requests)
    both = pair(folder, "base", "second", tmp_path)
    later = generation(both, tmp_path, requests)
    later.windows.divergences_expected = True
    counting = Counting(both, monkeypatch)
    values = later.divergences(requests)
    assert counting.generated == [("tuned", len(PROMPTS))]
    for r, value in zip(requests, values, strict=True):
        reply = later.outcomes([r])["base", r.key].reply
        assert reply is not None
        exact = exact_divergence(
            folder / "base", folder / "second", both.base.render(r.messages), reply.token_ids
        )
        assert [t.kl for t in value.tokens] == pytest.approx(exact, rel=2e-3, abs=1e-5)


def test_only_where_rounding_is_coarse_a_reply_depends_on_the_base(
    folder: Path, tmp_path: Path
) -> None:
    (r,) = [request("Hi")]
    keys = {}
    for dtype in ("float32", "bfloat16"):
        for base in ("base", "other"):
            both = pair(folder, base, "second", tmp_path, dtype=dtype)
            keys[dtype, base] = generation(both, tmp_path, [r]).keys.reply("tuned", r)
    assert keys["bfloat16", "base"] != keys["bfloat16", "other"]
    # Weights of another base make another tuned model; the same tuned model alone does not.
    one = pair(folder, "base", str(folder / "other"), tmp_path)
    two = pair(folder, "other", str(folder / "other"), tmp_path)
    assert generation(one, tmp_path, [r]).keys.reply("tuned", r) == generation(
        two, tmp_path, [r]
    ).keys.reply("tuned", r)


def test_in_bfloat16_a_no_op_is_no_change_and_no_divergence(folder: Path, tmp_path: Path) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    both = generation(pair(folder, "base", "noop", tmp_path, dtype="bfloat16"), tmp_path, requests)
    both.windows.divergences_expected = True
    for value in both.divergences(requests):
        assert value.mean == 0, "both sides go through the model in passes of the same shape"
    outcomes = both.outcomes(requests)
    for r in requests:
        base, tuned = (outcomes[side, r.key].reply for side in ("base", "tuned"))
        assert base is not None
        assert tuned is not None
        assert base.token_ids == tuned.token_ids


def test_the_tuned_side_alone_gives_the_same_reply(folder: Path, tmp_path: Path) -> None:
    """In bfloat16 too, where it takes the base's reply to settle ties."""
    requests = [request(prompt) for prompt in PROMPTS]
    for dtype in ("float32", "bfloat16"):
        both = pair(folder, "base", "slight", tmp_path, dtype=dtype)
        alone = generation(both, tmp_path / "a" / dtype, requests).outcomes(requests, ("tuned",))
        along = generation(both, tmp_path / "b" / dtype, requests).outcomes(requests)
        for r in requests:
            assert alone["tuned", r.key].reply == along["tuned", r.key].reply


def test_how_many_tokens_are_tried_follows_how_far_the_models_agree(
    folder: Path, tmp_path: Path
) -> None:
    requests = [request(prompt) for prompt in PROMPTS * 2]
    ahead = {}
    for name in ("noop", "slight", "adapter"):
        speculative = SpeculativeDecoding(pair(folder, "base", name, tmp_path))
        assert speculative._ahead() == FIRST_AHEAD
        base = {
            r.key: g for r, g in zip(requests, replies(speculative._base, requests), strict=True)
        }
        list(speculative.tuned(requests, base, divergences=False))
        ahead[name] = speculative._ahead()
        agreed = speculative._agreed / (speculative._agreed + speculative._parted)
        if 0 < agreed < 1:
            # One more token would be right less often than it costs.
            assert agreed ** (ahead[name] + 1) < VERIFIED_COST["cpu"] <= agreed ** ahead[name]
    assert ahead["noop"] > 1000
    assert ahead["noop"] > ahead["slight"] > ahead["adapter"]


def test_engines_of_another_kind_are_asked_as_ever(folder: Path, tmp_path: Path) -> None:
    from pytest_llmdiff.engines.scripted import ScriptedEngine

    both = Pair(base=ScriptedEngine({}, default="a"), tuned=ScriptedEngine({}, default="b"),
                resolved={})  # fmt: skip
    assert not SpeculativeDecoding(both).possible
    found = generation(both, tmp_path, [request("Hi")]).outcomes([request("Hi")])
    assert {generated.reply.text for generated in found.values() if generated.reply} == {"a", "b"}
    assert SpeculativeDecoding(pair(folder, "base", "adapter", tmp_path)).possible


def test_the_noise_of_rounding_is_measured_once_per_model(folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = pair(folder, "base", "adapter", store).base
    assert isinstance(first, TransformersEngine)
    check = first.loop_check
    again = pair(folder, "base", "adapter", store).base
    assert isinstance(again, TransformersEngine)
    assert again.loop_check == check
    assert again.weights._model is None, "no weights are loaded for what is known"
    assert len(Store(store).keys("fact")) >= 1


def asks(comparison: Any) -> None:
    from pytest_llmdiff import assert_divergence

    assert_divergence(comparison, at_most=1)


def test_a_test_that_names_the_divergence_is_foreseen() -> None:
    assert asks_for_divergence(asks)
    assert not asks_for_divergence(test_a_test_that_names_the_divergence_is_foreseen)
    assert not asks_for_divergence(None)


SUITE = """
import pytest
from pytest_llmdiff import assert_not_degenerate

@pytest.mark.llmdiff("Hi", "What is the capital of France?", "Tell me a story!", "x", "yes")
def test_reply(comparison):
    if comparison.base.token_ids == comparison.tuned.token_ids:
        assert comparison.margin is None
    else:
        assert comparison.margin > 0
"""


def test_a_run_says_what_rounding_can_do(
    folder: Path, pytester: pytest.Pytester, mode: list[str]
) -> None:
    import json

    pytester.makepyfile(SUITE)
    found = pytester.runpytest_inprocess(
        f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / 'slight'}", *mode,
        "--llmdiff-max-new-tokens=8", "--llmdiff-json=out.json", "--llmdiff-dtype=bfloat16",
    )  # fmt: skip
    found.assert_outcomes(passed=5)
    found.stdout.re_match_lines([r"ran on device cpu, dtype bfloat16, tolerance [0-9.e-]+ nats"])
    data = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
    rows = [c for test in data["tests"] for c in test["comparisons"]]
    assert len(rows) == 5
    ties = sum(row["near_tie"] for row in rows)
    text = found.stdout.str()
    assert (f"note: {ties} of 5 tuned replies contain a near-tie" in text) == (ties > 0)


def base_passes(both: Pair) -> list[int]:
    """Grows by the tokens of every forward pass that runs with the adapter switched off."""
    found: list[int] = []
    model: Any = both.base.weights.load()  # type: ignore[attr-defined]
    layer = next(m for m in model.modules() if hasattr(m, "lora_A"))

    def count(_: Any, __: Any, output: Any) -> None:
        if layer.disable_adapters:
            found.append(output.last_hidden_state.shape[1])

    model.get_base_model().model.register_forward_hook(count)
    return found


def diverged(both: Pair, store: Path, requests: Sequence[Any]) -> list[Any]:
    found = generation(both, store, requests, window=3)
    found.windows.divergences_expected = True
    return found.divergences(requests)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_second_adapter_runs_no_pass_of_the_base(
    folder: Path, tmp_path: Path, dtype: str
) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    first, second = tmp_path / "first", tmp_path / "second"
    alone = diverged(pair(folder, "base", "second", first, dtype=dtype), first, requests)
    diverged(pair(folder, "base", "adapter", second, dtype=dtype), second, requests)
    both = pair(folder, "base", "second", second, dtype=dtype)
    passes = base_passes(both)
    again = diverged(both, second, requests)
    assert passes == []
    for before, after in zip(alone, again, strict=True):
        assert [t.kl for t in after.tokens] == pytest.approx(
            [t.kl for t in before.tokens], rel=1e-4, abs=1e-6
        )


@pytest.mark.parametrize("damage", ["gone", "short", "changed"])
def test_states_that_are_missing_or_damaged_are_found_by_a_pass(
    folder: Path, tmp_path: Path, damage: str
) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    alone = diverged(pair(folder, "base", "second", tmp_path / "x"), tmp_path / "x", requests)
    diverged(pair(folder, "base", "adapter", tmp_path), tmp_path, requests)
    file = sqlite3.connect(tmp_path / "store.sqlite3")
    with file:
        (count,) = file.execute("SELECT count(*) FROM rows WHERE kind LIKE 'states %'").fetchone()
        assert count == len(PROMPTS)
        changes = {
            "gone": "DELETE FROM rows WHERE kind LIKE 'states %'",
            "changed": "UPDATE rows SET value = zeroblob(96) WHERE kind LIKE 'states %'",
        }
        (kind,) = file.execute(
            "SELECT DISTINCT kind FROM rows WHERE kind LIKE 'states %'"
        ).fetchone()
        if damage in changes:
            file.execute(changes[damage])
    file.close()
    if damage == "short":  # and signed
        store = Store(tmp_path)
        store.put_blobs(kind, dict.fromkeys(store.keys(kind), bytes(6)), limit=1 << 30)
        store.close()
    both = pair(folder, "base", "second", tmp_path)
    passes = base_passes(both)
    again = diverged(both, tmp_path, requests)
    assert passes
    for before, after in zip(alone, again, strict=True):
        assert [t.kl for t in after.tokens] == pytest.approx(
            [t.kl for t in before.tokens], rel=1e-4, abs=1e-6
        )


def test_states_are_kept_only_where_a_divergence_is_asked_and_there_is_room(
    folder: Path, tmp_path: Path
) -> None:
    import torch

    requests = [request(prompt) for prompt in PROMPTS]
    store = Store(tmp_path)
    generation(pair(folder, "base", "adapter", tmp_path), tmp_path, requests).outcomes(requests)
    assert store.size("states") == 0
    item = Continuation(prompt_ids=(1, 2), reply_ids=(3, 4))
    rows = torch.arange(8.0).view(2, 4)  # 32 bytes

    def kept(identity: str) -> HiddenStateCache:
        return HiddenStateCache(store, identity, dtype="float32", place=lambda: "cpu", limit=70)

    kept("old").put([(item, rows)])
    assert torch.equal(kept("old").get({"x": item})["x"], rows)
    assert kept("new").get({"x": item}) == {}
    others = [replace(item, prompt_ids=(number,)) for number in range(3)]
    kept("new").put([(other, rows) for other in others[:2]])
    assert kept("old").get({"x": item}) == {}, "another model's states give way"
    kept("new").put([(others[2], rows)])
    assert store.size("states") == 64
    assert set(kept("new").get({str(n): o for n, o in enumerate(others)})) == {"0", "1"}


def test_states_in_another_dtype_are_not_kept(tmp_path: Path) -> None:
    """They would be read back as other numbers."""
    import torch

    kept = HiddenStateCache(Store(tmp_path), "model", dtype="bfloat16", place=lambda: "cpu")
    item = Continuation(prompt_ids=(1,), reply_ids=(2, 3))
    for dtype in (torch.float16, torch.float32):
        kept.put([(item, torch.ones(2, 4, dtype=dtype))])
        assert kept.get({"it": item}) == {}
    kept.put([(item, torch.ones(2, 4, dtype=torch.bfloat16))])
    assert kept.get({"it": item})["it"].tolist() == [[1.0] * 4] * 2
