"""Where the models look: against transformers' own attentions, and through the helpers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff import CapabilityError
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.text.spans import tokens_in, user_span, word_spans
from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.pair.first_differences import Ending
from pytest_llmdiff.engines.transformers.attention import NAME, AttentionTap, read, tapped
from pytest_llmdiff.explain.attention import pair as views
from pytest_llmdiff.explain.attention.distances import divergence_bits, entropy_bits, fold
from pytest_llmdiff.explain.attention.pair import (
    attention_maps,
    attention_moves,
    attention_views,
)
from pytest_llmdiff.explain.attention.values import (
    AttentionMap,
    moved_words,
    view_from_json,
    word_shares,
)
from tests.support.attention import view_of
from tests.support.engines import folder as folder
from tests.support.engines import loaded, pair
from tests.support.tiny_models import save_adapter, save_model

ASKED = (Message(role="user", content="Tell me a story!"),)
REPLY = Ending(text="Once upon a time")
ALL = range(99)


def eager(model: Any) -> Any:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    base.set_attn_implementation("eager")
    return model.eval()


def expected(model: Any, item: Continuation) -> list[Any]:
    """Weighted attention `[heads, tokens, keys]` of each layer the long way: attentions that
    transformers gives, values caught on their way, and the output projection cut by heads."""
    import torch

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    values: list[Any] = []
    handles = [
        layer.self_attn.v_proj.register_forward_hook(lambda *given: values.append(given[2]))
        for layer in base.model.layers
    ]
    ids = torch.tensor([[*item.prompt_ids, *item.reply_ids[:-1]]])
    with torch.no_grad():
        attentions = model(input_ids=ids, output_attentions=True).attentions
    for handle in handles:
        handle.remove()
    heads, groups = base.config.num_attention_heads, base.config.num_key_value_heads
    found = []
    for layer, attention, value in zip(base.model.layers, attentions, values, strict=True):
        project = layer.self_attn.o_proj
        whole = getattr(project, "base_layer", project).weight.detach()
        if hasattr(project, "lora_A"):
            whole = whole + project.get_delta_weight("default").detach()
        width = whole.shape[1] // heads
        rows = []
        for head in range(heads):
            kv = head * groups // heads
            own = value[0, :, kv * width : (kv + 1) * width]
            passed = own @ whole[:, head * width : (head + 1) * width].T  # v_j W_O^h
            weight = attention[0, head, len(item.prompt_ids) - 1 :]
            lengths = (weight[:, :, None] * passed[None]).norm(dim=-1)
            rows.append(lengths / lengths.sum(-1, keepdim=True))
        found.append(torch.stack(rows))
    return found


@pytest.fixture(scope="module")
def more(folder: Path) -> Path:
    """Adds an adapter over all of the attention, a model whose heads have their own keys and
    values, one with an additional layer, and one with a different template."""
    names = ["q_proj", "k_proj", "v_proj", "o_proj"]
    save_adapter(folder / "full", folder / "base", seed=3, modules=names)
    save_model(folder / "many", groups=4)
    save_model(folder / "deep", layers=3)
    save_model(folder / "said", template="{{ messages[-1]['content'] }}")
    return folder


def item_of(engine: Any) -> Continuation:
    return Continuation(
        prompt_ids=tuple(engine.render(ASKED)), reply_ids=tuple(engine.encode(REPLY.text))
    )


@pytest.mark.parametrize("tuned", ["adapter", "full", "other", "many"])
def test_it_is_what_transformers_computes(more: Path, tmp_path: Path, tuned: str) -> None:
    import torch

    folder, where = more, more / tuned
    both = pair(folder, "base", tuned, tmp_path)
    adapter = tuned in ("adapter", "full")
    sides: list[tuple[Any, Any]] = [
        (both.base, loaded(folder / "base", None)),
        (both.tuned, loaded(folder / "base", where) if adapter else loaded(where, None)),
    ]
    for engine, model in sides:
        item = item_of(engine)
        wanted = expected(eager(model), item)
        found = engine.attentions(item, ALL)
        assert [layer.layer for layer in found] == [0, 1]
        for ours, theirs in zip(found, wanted, strict=True):
            assert torch.allclose(ours.weighted(), theirs.double(), atol=2e-5)
        (last,) = engine.attentions(item, range(1, 2))
        assert torch.equal(last.weights, found[1].weights)
        again = engine.attentions(item, ALL, again=True)
        assert torch.allclose(again[1].weighted(), found[1].weighted(), atol=1e-5)


def test_a_view_is_the_mean_of_what_the_models_do(folder: Path, tmp_path: Path) -> None:
    import torch

    both = pair(folder, "base", "adapter", tmp_path)
    (found,) = attention_views(both, [(ASKED, REPLY)])
    view = view_from_json(found)
    base: Any = both.base
    # A reply that came to an end has its stop token.
    item = item_of(base)
    stop = next(iter(base.stop_ids()))
    item = Continuation(prompt_ids=item.prompt_ids, reply_ids=(*item.reply_ids, stop))
    models = loaded(folder / "base", None), loaded(folder / "base", folder / "adapter")
    ours, theirs = (torch.stack(expected(eager(m), item)).double() for m in models)
    middle = (ours + theirs) / 2
    log = [(side.clamp(min=1e-30) / middle.clamp(min=1e-30)).log2() for side in (ours, theirs)]
    moved = (ours * log[0] + theirs * log[1]).sum(-1) / 2  # [layers, heads, tokens]
    assert view.shift == pytest.approx(float(moved.mean()), abs=1e-5)
    assert view.shift > 0.01
    assert view.noise < 1e-9
    assert view.by_layer == pytest.approx(moved.mean((1, 2)).tolist(), abs=1e-5)
    assert view.by_token == pytest.approx(moved.mean((0, 1)).tolist(), abs=1e-5)
    assert view.grid.moved == view.by_head
    spreads = [torch.special.entr(side).sum(-1).mean(-1) / math.log(2) for side in (ours, theirs)]
    assert view.spread is not None
    for spread, wanted in zip(view.spread, spreads, strict=True):
        assert torch.allclose(torch.tensor(spread), wanted.float(), atol=1e-4), "entropy in bits"
    old = {key: value for key, value in found.items() if key != "spread"}
    assert view_from_json(old).grid.spread is None, "a row of an earlier version"
    at = divmod(int(moved.mean(-1).argmax()), moved.shape[1])
    most = view.most_moved()[0]
    assert (most.layer, most.head) == at
    assert most.value == pytest.approx(float(moved.mean(-1).max()), abs=1e-5)
    for side, mass in zip((ours, theirs), view.mass, strict=True):
        prompt = len(item.prompt_ids)
        assert mass == pytest.approx(side.mean((0, 1, 2))[:prompt].tolist(), abs=1e-5)
    assert "".join(view.pieces) == base.renderer.text(ASKED)


def test_batch_composition_does_not_change_it(folder: Path, tmp_path: Path) -> None:
    both = pair(folder, "base", "adapter", tmp_path)
    other = (Message(role="user", content="Hi"),)
    (alone,) = attention_views(both, [(ASKED, REPLY)])
    assert attention_views(both, [(other, Ending(text="Hello there")), (ASKED, REPLY)])[1] == alone


def test_long_prompts_take_some_layers_at_a_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = pair(folder, "base", "adapter", tmp_path)
    whole = attention_views(both, [(ASKED, REPLY)])
    changed = (Message(role="user", content="Tell me a tale!"),)
    moves = attention_moves(both, [(ASKED, REPLY, changed)])
    monkeypatch.setattr(views, "HELD", 1)
    assert attention_views(both, [(ASKED, REPLY)]) == whole
    assert attention_moves(both, [(ASKED, REPLY, changed)]) == moves


def test_models_that_take_turns_in_memory_look_at_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for fits in (True, False):
        both = pair(folder, "base", "other", tmp_path / str(fits))
        monkeypatch.setitem(both.__dict__, "fits", fits)
        found.append(
            (
                attention_views(both, [(ASKED, REPLY)]),
                attention_maps(both, [(ASKED, REPLY, [(1, 2)])]),
            )
        )
    assert found[0] == found[1]


def test_an_adapter_that_does_nothing_moves_nothing(folder: Path, tmp_path: Path) -> None:
    both = pair(folder, "base", "noop", tmp_path)
    (found,) = attention_views(both, [(ASKED, REPLY)])
    assert found["shift"] <= max(found["noise"], 1e-12)


def test_the_pass_says_what_the_model_says_and_leaves_it_as_it_was(
    folder: Path, tmp_path: Path
) -> None:
    import torch

    both = pair(folder, "base", "adapter", tmp_path)
    engine: Any = both.tuned
    ids = engine.render(ASKED)
    with engine.weights.model(adapted=True) as model:
        before = model.get_base_model().config._attn_implementation
        usual = model(input_ids=torch.tensor([ids])).logits[0, -1]
        seen: list[int] = []
        with tapped(model, lambda _, layer, *__: seen.append(layer)) as base:
            assert base.config._attn_implementation == NAME
            told = read(base, model, [ids]).logits[0, -1]
            padded = read(base, model, [ids, [*ids, 5, 6]]).logits[0, -1]
        assert seen == [0, 1, 0, 1]
        assert base.config._attn_implementation == before
        scale = usual.abs().max()
        assert (told - usual).abs().max() < 1e-5 * scale
        assert (padded - usual).abs().max() < 1e-5 * scale
        after = model(input_ids=torch.tensor([ids])).logits[0, -1]
        assert torch.equal(after, usual)


def test_maps_of_a_head_add_up(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    both = pair(folder, "base", "adapter", tmp_path)
    passes: list[object] = []
    engine: Any = both.tuned
    attentions = engine.attentions

    def counted(item: Continuation, layers: Any, **options: Any) -> Any:
        passes.append(item)
        return attentions(item, layers, **options)

    monkeypatch.setattr(engine, "attentions", counted)
    ((found, other_layer, *outside),) = attention_maps(
        both, [(ASKED, REPLY, [(1, 2), (0, 3), (1, 4), (2, 0)])]
    )
    assert len(passes) == 1, "the model reads the text once for all heads"
    assert other_layer["base"] != found["base"]
    for other, said in zip(outside, ("no head 4 in layer 1", "no head 0 in layer 2"), strict=True):
        assert other["unsupported"].startswith(said)
        assert "2 layers of 4 heads" in other["unsupported"]
    engine = both.base
    layer = engine.attentions(
        Continuation(
            prompt_ids=tuple(engine.render(ASKED)),
            reply_ids=(*engine.encode(REPLY.text), next(iter(engine.stop_ids()))),
        ),
        range(1, 2),
    )[0]
    assert torch.allclose(torch.tensor(found["base"]), layer.weighted()[2].float(), atol=1e-5)
    assert [sum(row) for row in found["tuned"]] == pytest.approx(
        [1.0] * len(found["reply"]),
        abs=1e-5,  # sums in float32
    )
    assert "".join(found["reply"]) == REPLY.text + "<|im_end|>"
    assert len(found["keys"]) == len(found["base"][0])


def test_models_that_cannot_be_compared_say_why(more: Path, tmp_path: Path) -> None:
    deeper, said = (pair(more, "base", name, tmp_path / name) for name in ("deep", "said"))
    (found,) = attention_views(deeper, [(ASKED, REPLY)])
    assert "different numbers of layers" in found["unsupported"]
    ((found,),) = attention_maps(deeper, [(ASKED, REPLY, [(2, 0)])])
    assert "no head 0 in layer 2" in found["unsupported"]
    (found,) = attention_views(said, [(ASKED, REPLY)])
    assert "to different tokens" in found["unsupported"]
    (found,) = attention_views(said, [(ASKED, Ending(text="", ended=False))])
    assert "has no tokens" in found["unsupported"]
    (found,) = attention_moves(deeper, [(ASKED, REPLY, ASKED)])
    assert "the same tokens" in found["unsupported"]


SIZES = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 64, "initializer_range": 0.4,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
OTHERS = {
    "gemma2": GROUPED | {"query_pre_attn_scalar": 8, "sliding_window": 4},  # caps, and a window
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},  # one projection for all
    "gpt_neox": {},
    "gpt_oss": GROUPED | {"num_local_experts": 2, "num_experts_per_tok": 1},  # learned sinks
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},  # biases
    "deepseek_v3": {  # values narrower than keys
        "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4,
        "v_head_dim": 6, "n_routed_experts": 2, "num_experts_per_tok": 1, "n_group": 1,
        "topk_group": 1, "first_k_dense_replace": 2, "num_key_value_heads": 4,
    },
}  # fmt: skip


def of_architecture(name: str, **more: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **SIZES | more)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures(name: str) -> None:
    import torch

    model = of_architecture(name, **OTHERS[name])
    item = Continuation(prompt_ids=tuple(range(5, 17)), reply_ids=tuple(range(20, 26)))
    caught: dict[int, tuple[Any, Any]] = {}
    with torch.inference_mode():
        found = AttentionTap().taken(model, item, ALL)
        with tapped(model, lambda m, n, value, _: caught.update({n: (m, value[0])})) as base:
            read(base, model, [[*item.prompt_ids, *item.reply_ids[:-1]]])
        ids = torch.tensor([[*item.prompt_ids, *item.reply_ids[:-1]]])
        model.set_attn_implementation("eager")
        attentions = model(input_ids=ids, output_attentions=True, use_cache=False).attentions
        for layer, whole in zip(found, attentions, strict=True):
            assert torch.allclose(layer.weights, whole[0, :, 11:].float(), atol=1e-6)
            module, values = caught[layer.layer]
            heads, width = len(layer.weights), values.shape[-1]
            project = getattr(module, "o_proj", None) or next(
                child for name, child in module.named_children()
                if name in ("c_proj", "dense", "out_proj")
            )  # fmt: skip
            for head in range(heads):
                alone = torch.zeros(len(values[0]), heads * width)
                alone[:, head * width : (head + 1) * width] = values[head * len(values) // heads]
                passed = project(alone) - project(torch.zeros_like(alone))
                assert torch.allclose(layer.norms[head], passed.norm(dim=-1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["bloom", "diffllama"])
def test_unsupported_architectures(name: str) -> None:
    model = of_architecture(name, **{"n_layer": 2, "n_head": 4} if name == "bloom" else {})
    item = Continuation(prompt_ids=(5, 6, 7), reply_ids=(8, 9))
    with pytest.raises(CapabilityError, match="does not compute its attention through"):
        AttentionTap().taken(model, item, ALL)


def test_an_architecture_that_goes_its_own_way_says_so(folder: Path, tmp_path: Path) -> None:
    both = pair(folder, "base", "noop", tmp_path)
    engine: Any = both.base
    model = engine.weights.load().get_base_model()
    attention = model.model.layers[0].self_attn
    lone = type("LoneAttention", (type(attention),), {"__module__": "tests.nowhere"})
    attention.__class__ = lone
    with pytest.raises(CapabilityError, match="does not compute its attention through"):
        attention_views(both, [(ASKED, REPLY)])
    attention.__class__ = lone.__mro__[1]
    attention.renamed = attention.o_proj
    del attention.o_proj
    with pytest.raises(CapabilityError, match="output projection of LlamaAttention"):
        engine.attentions(item_of(engine), range(1))


@pytest.mark.parametrize("bits", [0, 1])
def test_prompts_that_differ_in_a_word_are_compared(
    folder: Path, tmp_path: Path, bits: int
) -> None:
    import torch

    both = pair(folder, "base", "adapter", tmp_path)
    changed = (Message(role="user", content="Tell me a riddle now!" if bits else "Tell me a!"),)
    (found,) = attention_moves(both, [(ASKED, REPLY, changed)])
    by_head = []
    engine: Any = both.base
    ours, theirs = engine.render(ASKED), engine.render(changed)
    begin = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
    same = next(i for i, (a, b) in enumerate(zip(ours[::-1], theirs[::-1], strict=False)) if a != b)
    same = min(same, len(ours) - begin, len(theirs) - begin)
    ids = (*engine.encode(REPLY.text), next(iter(engine.stop_ids())))
    for side, adapter in (("base", None), ("tuned", folder / "adapter")):
        model = eager(loaded(folder / "base", adapter))
        layers = []
        for prompt in (ours, theirs):
            item = Continuation(prompt_ids=tuple(prompt), reply_ids=ids)
            whole = torch.stack(expected(model, item)).double()
            end = len(prompt) - same
            span = whole[..., begin:end].sum(-1, keepdim=True)
            layers.append(torch.cat([whole[..., :begin], span, whole[..., end:]], -1))
        by_head.append(divergence_bits(*layers).mean(-1))  # [layers, heads]
        assert found[side] == pytest.approx(float(by_head[-1].mean()), abs=1e-5)
        assert found[side] > 0
    more = by_head[1] - by_head[0]
    layer, head, most = found["most"]
    assert (layer, head) == divmod(int(more.argmax()), more.shape[1])
    assert most == pytest.approx(float(more.max()), abs=1e-5)


distributions = st.integers(2, 6).flatmap(
    lambda size: st.tuples(*[st.lists(st.floats(0.001, 1), min_size=size, max_size=size)] * 2)
)


@given(distributions)
def test_divergence_is_symmetric_and_between_its_ends(
    found: tuple[Sequence[float], Sequence[float]],
) -> None:
    import torch

    p, q = (torch.tensor(side, dtype=torch.float64) / sum(side) for side in found)
    there, back = divergence_bits(p, q), divergence_bits(q, p)
    assert float(there) == pytest.approx(float(back), abs=1e-12)
    assert 0 <= float(there) <= 1
    assert float(divergence_bits(p, p)) == pytest.approx(0, abs=1e-12)
    gone = torch.zeros_like(p)
    assert float(divergence_bits(torch.cat([p, gone]), torch.cat([gone, q]))) == pytest.approx(1)
    folded = divergence_bits(fold(p, 0, 2), fold(q, 0, 2))
    assert float(folded) <= float(there) + 1e-12, "what is told apart less differs less"


def test_entropy_is_in_bits() -> None:
    import torch

    assert float(entropy_bits(torch.full((8,), 1 / 8, dtype=torch.float64))) == pytest.approx(3)
    assert float(entropy_bits(torch.tensor([1.0, 0.0]))) == 0


def test_words_are_found_as_they_stand() -> None:
    text = "The refund? they: REFUND of 退款 and refunds"
    assert [text[a:b] for a, b in word_spans(text, ["refund"])] == ["refund", "REFUND"]
    assert [text[a:b] for a, b in word_spans(text, ["the", "退"])] == ["The", "退"]
    assert not list(word_spans(text, ["hey"]))


def test_tokens_that_are_part_of_a_character_go_with_it() -> None:
    pieces = ["<", "a", "", "", "好", " day"]
    assert user_span(pieces, " 好 day ") == (2, 7)
    assert tokens_in(pieces, [(2, 3)]) == {2, 3, 4}
    assert tokens_in(pieces, [(4, 5)]) == {5}
    assert user_span(pieces, "night") is None


def test_shares_leave_the_sink_and_the_template_out() -> None:
    pieces = ["<s>", "How", " to", " refund", "</s>"]
    view = view_of(pieces, [0.5, 0.1, 0.1, 0.2, 0.1], [0.6, 0.2, 0.1, 0.1, 0.0])
    found = word_shares(view, "How to refund", ["refund"])
    assert found is not None
    assert [found.base, found.tuned] == pytest.approx([0.5, 0.25])
    moved = moved_words(view, "How to refund", 2)
    assert [word.word for word in moved] == ["how", "refund"]
    bare = view_of(["How", " to"], [0.9, 0.1], [0.9, 0.1])
    found = word_shares(bare, "How to", ["how"])
    assert found is not None
    assert found.tuned == 0, "the first token is the sink, whatever its text"
    assert word_shares(view, "Elsewhere", ["refund"]) is None
    silent = view_of(pieces, [1.0, 0, 0, 0, 0], [1.0, 0, 0, 0, 0])
    assert word_shares(silent, "How to refund", ["refund"]) is None


def test_a_map_knows_its_difference() -> None:
    found = AttentionMap(
        layer=0, head=0, keys=("a", "b"), reply=("c",), base=((0.25, 0.75),), tuned=((0.75, 0.25),)
    )
    assert found.difference == ((0.5, -0.5),)


def test_a_chinese_word_in_several_tokens(folder: Path, tmp_path: Path) -> None:
    both = pair(folder, "base", "adapter", tmp_path)
    content = "请问如何退款？"
    messages = (Message(role="user", content=content),)
    (found,) = attention_views(both, [(messages, Ending(text="好"))])
    view = view_from_json(found)
    whole = word_shares(view, content, ["退款"])
    parts = [word_shares(view, content, [character]) for character in "退款"]
    assert whole is not None
    assert 0 < whole.tuned < 1
    assert whole.tuned == pytest.approx(sum(part.tuned for part in parts if part is not None))
    moved = moved_words(view, content, 9)
    mark = word_shares(view, content, ["？"])
    assert mark is not None
    assert sum(word.tuned for word in moved) + mark.tuned == pytest.approx(1)
    assert len(moved) < len(content) - 1, "words, and not characters"
    everything = word_shares(view, content, list(content))
    assert everything is not None
    assert everything.base == pytest.approx(1)
