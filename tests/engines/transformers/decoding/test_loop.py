"""The decode loop by itself, on small real models: rows, drafts, ties, shapes."""

from __future__ import annotations

import gc
import random
import warnings
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.engines.transformers.decoding.drafts import Drafts, Ended
from pytest_llmdiff.engines.transformers.decoding.forward import Forward
from pytest_llmdiff.engines.transformers.decoding.kv_cache import KVCache
from pytest_llmdiff.engines.transformers.decoding.loop import PADDING, Decoder
from tests.support.tiny_models import save_adapter, save_model

if TYPE_CHECKING:
    import torch

LIMIT = 16
SCALES = {"none": 0.0, "2 %": 0.02, "10 %": 0.1, "100 %": 1.0, "collapsed": 40.0}
PROMPTS = [[4 + (7 * row + 3 * place + row * place) % 250 for place in range(5 + row % 9)]
           for row in range(48)]  # fmt: skip
# Half of them begin alike, as chat prompts do.
PROMPTS[::2] = [[9, 8, 7, 6, 5, 4, *prompt] for prompt in PROMPTS[::2]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The base, and that base with the same adapter at several scales."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "base")
    found = {"base": AutoModelForCausalLM.from_pretrained(folder / "base").eval()}
    for name, scale in SCALES.items():
        save_adapter(folder / name, folder / "base", scale=scale)
        model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations between PEFT and transformers
            found[name] = PeftModel.from_pretrained(model, str(folder / name)).eval()
    return found


def run(
    model: Any,
    prompts: Sequence[Sequence[int]] = PROMPTS,
    *,
    stops: Sequence[int] = (),
    limit: int = LIMIT,
    slots: int = 64,
    **options: Any,
) -> list[Ended]:
    import torch

    decoder = Decoder(
        prompts, sampling=Sampling(max_new_tokens=limit), keys=["0" * 12] * len(prompts),
        stop_ids=stops, slots=slots, **options,
    )  # fmt: skip
    found: dict[int, Ended] = {}
    with torch.inference_mode():
        while not decoder.done:
            found |= {row.index: row for row in decoder.advance(model)}
    return [found[index] for index in range(len(prompts))]


def plain(
    model: Any,
    prompts: Sequence[Sequence[int]] = PROMPTS,
    *,
    stops: Sequence[int] = (),
    limit: int = LIMIT,
) -> list[list[int]]:
    """Greedy decoding one prompt and one whole forward pass at a time, in plain terms."""
    import torch

    found = []
    for prompt in prompts:
        ids = list(prompt)
        with torch.inference_mode():
            while len(ids) - len(prompt) < limit and not (ids[len(prompt) :] and ids[-1] in stops):
                ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        found.append(ids[len(prompt) :])
    return found


def tokens(rows: Sequence[Ended]) -> list[list[int]]:
    return [row.tokens for row in rows]


@pytest.fixture(scope="module")
def expected(models: dict[str, Any]) -> dict[str, list[list[int]]]:
    return {name: plain(model) for name, model in models.items()}


@pytest.mark.parametrize("slots", [1, 2, 5, 64])
def test_rows_that_come_and_go_say_what_plain_decoding_says(
    models: dict[str, Any], slots: int
) -> None:
    stops = sorted({row[6] for row in plain(models["base"])})[:3]  # some end early
    assert tokens(run(models["base"], stops=stops, slots=slots)) == plain(
        models["base"], stops=stops
    )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("options", [{}, {"ahead": 0}, {"ahead": 3, "budget": 8}, {"budget": 64}])
def test_drafts_change_no_token(
    models: dict[str, Any],
    expected: dict[str, list[list[int]]],
    scale: str,
    options: dict[str, Any],
) -> None:
    drafts = Drafts(replies=expected["base"], **options)
    for slots in (3, 64):
        assert tokens(run(models[scale], slots=slots, drafts=drafts)) == expected[scale]


@pytest.mark.parametrize("ahead", [0, 3])
def test_a_row_that_is_almost_done_beside_one_that_tries_many_tokens(
    models: dict[str, Any], ahead: int
) -> None:
    """Its padding then goes beyond the last column that there is."""
    first, second, third = PROMPTS[1][:4] * 4, PROMPTS[3], PROMPTS[5][:4]
    stops = [plain(models["base"], [second])[0][9]]
    prompts = [first, second, third]  # the third takes the place of the second
    expected = plain(models["base"], prompts, stops=stops)
    assert [len(row) for row in expected][::2] == [LIMIT, LIMIT]
    assert len(expected[1]) == 10
    drafts = Drafts(replies=[(), (), expected[2]], ahead=ahead, budget=16)
    found = run(models["base"], prompts, stops=stops, slots=2, drafts=drafts)
    assert tokens(found) == expected


def test_the_adapters_agree_with_the_base_to_different_degrees(
    expected: dict[str, list[list[int]]],
) -> None:
    """Else the test above would try accepted or refused drafts only."""
    same = {
        name: sum(a == b for a, b in zip(rows, expected["base"], strict=True))
        for name, rows in expected.items()
    }
    assert same["none"] == len(PROMPTS)
    assert len(PROMPTS) > same["2 %"] > same["10 %"] > same["100 %"]


@pytest.mark.parametrize("scale", ["none", "10 %", "100 %"])
@pytest.mark.parametrize("limit", [1, 2, 7, 8, 9])
def test_both_sides_of_a_draft_s_end(
    models: dict[str, Any], expected: dict[str, list[list[int]]], scale: str, limit: int
) -> None:
    """A draft as long as the limit, one shorter, one longer, empty, or a stop token alone."""
    stops = sorted({row[5] for row in expected["base"]})[:4]
    base = plain(models["base"], stops=stops, limit=8)
    replies = [
        [row[:0], row[:1], row, [*row, *row], [stops[0]]][number % 5]
        for number, row in enumerate(base)
    ]
    wanted = plain(models[scale], stops=stops, limit=limit)
    for drafts in (Drafts(replies=replies), Drafts(replies=replies, ahead=2, budget=32)):
        assert tokens(run(models[scale], stops=stops, limit=limit, drafts=drafts)) == wanted


def test_a_tie_is_not_a_change(
    models: dict[str, Any], expected: dict[str, list[list[int]]]
) -> None:
    """Another token of the draft stands within the tolerance, and only within it."""
    import torch

    (prompt,) = PROMPTS[:1]
    with torch.inference_mode():
        logits = models["base"](input_ids=torch.tensor([prompt])).logits[0, -1]
    best, second = logits.topk(2).indices.tolist()
    gap = float(logits[best] - logits[second])
    draft = [[second]]
    (kept,) = run(
        models["base"], [prompt], limit=3, drafts=Drafts(replies=draft, tolerance=1.01 * gap)
    )
    assert kept.tokens[0] == second
    assert kept.ties == 1
    assert kept.margin is None
    (changed,) = run(
        models["base"], [prompt], limit=3, drafts=Drafts(replies=draft, tolerance=0.99 * gap)
    )
    assert changed.tokens == expected["base"][0][:3]
    assert changed.ties == 0
    assert changed.margin == pytest.approx(gap, rel=1e-4)


def test_the_margin_of_the_first_other_token(
    models: dict[str, Any], expected: dict[str, list[list[int]]]
) -> None:
    import torch

    model = models["100 %"]
    drafted = run(model, drafts=Drafts(replies=expected["base"]))
    changed = 0
    for prompt, row, base in zip(PROMPTS, drafted, expected["base"], strict=True):
        at = next(
            (n for n, (a, b) in enumerate(zip(row.tokens, base, strict=True)) if a != b), None
        )
        if at is None:
            assert row.margin is None
            continue
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*prompt, *base[:at]]])).logits[0, -1]
        assert row.margin == pytest.approx(float(logits.max() - logits[base[at]]), abs=1e-4)
        changed += 1
    assert changed > len(PROMPTS) // 2


def test_the_watch_hears_every_token_of_the_drafts(
    models: dict[str, Any], expected: dict[str, list[list[int]]]
) -> None:
    """Whether the model agrees with them or not; logits are those of a plain pass."""
    import torch

    heard: dict[tuple[int, int], torch.Tensor] = {}

    def watch(places: Sequence[tuple[int, int]], logits: torch.Tensor) -> None:
        heard.update(zip(places, logits, strict=True))

    model = models["100 %"]
    run(model, slots=7, drafts=Drafts(replies=expected["base"], watch=watch))
    assert set(heard) == {(row, place) for row in range(len(PROMPTS)) for place in range(LIMIT)}
    for row, (prompt, draft) in enumerate(zip(PROMPTS, expected["base"], strict=True)):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*prompt, *draft]])).logits[0]
        for place in range(LIMIT):
            torch.testing.assert_close(
                heard[row, place], logits[len(prompt) + place - 1], atol=1e-4, rtol=1e-4
            )


def test_states_are_what_the_output_layer_turned_into_the_tokens(
    models: dict[str, Any], expected: dict[str, list[list[int]]]
) -> None:
    import torch

    model = models["10 %"]
    for drafts in (None, Drafts(replies=expected["base"], budget=64)):
        for row in run(model, slots=9, drafts=drafts, keep_states=True):
            with torch.inference_mode():
                logits = model.get_output_embeddings()(torch.stack(list(row.states)))
            assert logits.argmax(-1).tolist() == row.tokens


def test_where_the_logits_are_changed_behind_the_output_layer(
    models: dict[str, Any], expected: dict[str, list[list[int]]]
) -> None:
    """`plain=False`: the model's own forward pass makes all logits, in bounded numbers."""
    drafts = Drafts(replies=expected["base"], budget=64)
    assert tokens(run(models["10 %"], drafts=drafts, plain=False)) == expected["10 %"]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40)
def test_a_reply_depends_on_nothing_else_in_the_batch(
    models: dict[str, Any], expected: dict[str, list[list[int]]], seed: int
) -> None:
    """Any subset in any order, in batches of any size, with or without drafts."""
    rng = random.Random(seed)
    rows = rng.sample(range(len(PROMPTS)), rng.randint(1, 12))
    scale = rng.choice(["none", "10 %", "100 %"])
    drafts = None
    if rng.random() < 0.5:
        ahead = rng.choice([None, 0, 1, 4])
        replies = [expected["base"][row] for row in rows]
        drafts = Drafts(replies=replies, ahead=ahead, budget=rng.choice([0, 16]))
    prompts = [PROMPTS[row] for row in rows]
    found = run(models[scale], prompts, slots=rng.randint(1, 12), drafts=drafts)
    assert tokens(found) == [expected[scale][row] for row in rows]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40)
def test_in_bfloat16_too_where_the_passes_have_steady_shapes(
    narrow: tuple[Any, list[list[int]]], seed: int
) -> None:
    rng, (model, replies) = random.Random(seed), narrow
    rows = rng.sample(range(len(PROMPTS)), 10)
    found = run(model, [PROMPTS[row] for row in rows], slots=rng.randint(1, 12), steady=2)
    assert tokens(found) == [replies[row] for row in rows]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[list[int]]]:
    import torch
    from transformers import AutoModelForCausalLM

    folder = save_model(tmp_path_factory.mktemp("narrow") / "base")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    return model, tokens(run(model, steady=2))


def test_a_no_op_in_bfloat16_says_what_the_base_says(narrow: tuple[Any, list[list[int]]]) -> None:
    """Its pass over the drafts has other shapes than the base's decoding: ties stand."""
    import torch

    from pytest_llmdiff.engines.transformers.decoding.loop_check import check_loop

    model, replies = narrow
    with torch.inference_mode():
        check = check_loop(model)
    assert check.unserved is None
    drafts = Drafts(replies=replies, tolerance=check.tolerance)
    assert tokens(run(model, steady=2, drafts=drafts)) == replies


def test_the_noise_of_float32_is_next_to_nothing(models: dict[str, Any]) -> None:
    import torch

    from pytest_llmdiff.engines.transformers.decoding.loop_check import check_loop

    with torch.inference_mode():
        check = check_loop(models["base"])
    assert check.plain
    # None where the kernels add up alike for 8 and 256 rows, as on some CPUs with AVX-512.
    assert 0 <= check.tolerance < 1e-3


def test_passes_that_round_otherwise_are_noticed(models: dict[str, Any]) -> None:
    import torch

    from pytest_llmdiff.engines.transformers.decoding.loop_check import check_loop

    def rounded(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        rows = output.shape[:-1].numel()  # more in a pass than in a step
        return output + 1e-6 * rows * torch.arange(output.shape[-1])

    hook = models["base"].lm_head.register_forward_hook(rounded)
    try:
        with torch.inference_mode():
            check = check_loop(models["base"])
    finally:
        hook.remove()
    assert check.unserved is None
    assert check.tolerance > 1e-3


def test_prompts_of_unlike_length_do_not_pad_each_other_much(
    models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[list[int]] = []

    def watched(self: Forward, cache: Any, start: int, feeds: Any, *given: Any, **more: Any) -> Any:
        passes.append([len(feed) for feed in feeds])
        return forward(self, cache, start, feeds, *given, **more)

    forward = Forward.__call__
    monkeypatch.setattr(Forward, "__call__", watched)
    prompts = [[4 + (3 * row + place) % 250 for place in range(40 - row)] for row in range(36)]
    drafts = Drafts(replies=[[5, 6, 7, 8]] * len(prompts))
    run(models["base"], prompts, drafts=drafts)
    lengths = [own for own in passes if max(own) > 1]
    assert max(len(own) * max(own) - sum(own) for own in lengths) <= PADDING
    assert len(lengths) < 8, "a pass has its price as well"


def test_a_row_s_memory_is_free_when_the_decoder_goes(models: dict[str, Any]) -> None:
    """Not when Python next looks for cycles: batches follow one another."""
    import torch

    gc.disable()
    try:
        decoder = Decoder(
            PROMPTS, sampling=Sampling(max_new_tokens=2), keys=["0" * 12] * len(PROMPTS),
            stop_ids=(), slots=4,
        )  # fmt: skip
        with torch.inference_mode():
            decoder.advance(models["base"])
        held = weakref.ref(decoder._cache.past.layers[0])
        assert held() is not None
        del decoder
        assert held() is None
    finally:
        gc.enable()


def test_what_was_never_written_is_read_as_zero() -> None:
    """Room comes unwritten, and may hold NaN, which a mask does not hide."""
    import torch

    cache = KVCache(2, 40, grain=16)
    cache.place(0, torch.arange(3).expand(2, 3), 3)
    keys, values = cache.past.update(torch.ones(2, 1, 3, 4), torch.ones(2, 1, 3, 4), 0)
    assert keys.shape == values.shape == (2, 1, 16, 4)
    assert keys[:, :, 3:].eq(0).all()
    layer = cache.past.layers[0]
    layer.keys[:, :, 16:] = torch.nan
    cache.place(0, torch.tensor([[20], [3]]), 21)
    keys, _ = cache.past.update(torch.ones(2, 1, 1, 4), torch.ones(2, 1, 1, 4), 0)
    assert keys.shape == (2, 1, 32, 4)
    assert keys[0, :, 20].eq(1).all()
    assert keys[1, :, 3].eq(1).all()
    assert keys[0, :, 16:20].eq(0).all()


def test_rows_that_ended_take_no_more_memory() -> None:
    """What is read is cleaned row by row, and a row that moves brings what it has read along."""
    import torch

    cache = KVCache(3, 40, grain=16)
    ones = torch.ones(3, 1, 1, 4)
    cache.place(0, torch.zeros(3, 1, dtype=torch.int64), 1)
    cache.past.update(ones, ones, 0)
    layer = cache.past.layers[0]
    layer.keys[:, :, 16:] = torch.nan  # as unwritten memory may be
    cache.place(0, torch.tensor([[17], [18]]), 19)
    cache.past.update(ones[:2], ones[:2], 0)
    assert layer.keys[2, :, 16:].isnan().all(), "the row that is not in the pass was written"
    cache.move(1, 2)
    cache.place(1, torch.tensor([[19], [20]]), 40)
    keys, _ = cache.past.update(ones[:2], ones[:2], 0)
    assert keys.isfinite().all()
    assert keys[1, :, [18, 20]].eq(1).all()
    assert keys.shape[2] == 48
