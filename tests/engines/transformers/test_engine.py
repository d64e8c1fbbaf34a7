"""The transformers engine on small real models: decoding, adapters, stops, memory, divergence."""

from __future__ import annotations

import gc
import json
import math
import shutil
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request, Sampling
from pytest_llmdiff.data.training.template_source import TemplateSource
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.engines.files.rendering import Renderer, with_template
from pytest_llmdiff.engines.files.sources import template_note
from pytest_llmdiff.engines.pair.divergence import pair_divergences
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.scripted import ScriptedEngine
from pytest_llmdiff.engines.transformers.decoding.batch_size import BatchSize, in_batches
from pytest_llmdiff.engines.transformers.decoding.completion import Completion
from pytest_llmdiff.engines.transformers.decoding.loop_check import LoopCheck, check_loop
from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from pytest_llmdiff.errors import ConfigError, MissingPackageError, ModelError
from pytest_llmdiff.generation.loaded import LoadedModels
from pytest_llmdiff.store import Store
from tests.support.engines import (
    PROMPTS,
    exact_divergence,
    generation,
    loaded,
    pair,
    replies,
    request,
    settings,
    tokens,
)
from tests.support.engines import folder as folder
from tests.support.tiny_models import CHATML, CONTEXT, save_model


def plain_generate(folder: Path, adapter: Path | None, prompt_ids: Sequence[int]) -> list[int]:
    """One prompt through a separately loaded model, the way a user would."""
    import torch

    model = loaded(folder, adapter)
    ids = torch.tensor([list(prompt_ids)])
    output = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False
    )
    found: list[int] = output[0, ids.shape[1] :].tolist()
    return found


def test_adapter_toggling_equals_separately_loaded_models(folder: Path, tmp_path: Path) -> None:
    both = pair(folder, "base", "adapter", tmp_path)
    assert isinstance(both.base, TransformersEngine)
    assert isinstance(both.tuned, TransformersEngine)
    assert both.base.weights is both.tuned.weights, "the base's weights are in memory once"
    requests = [request(prompt) for prompt in PROMPTS]
    base, tuned = tokens(both.base, requests), tokens(both.tuned, requests)
    assert base != tuned
    for prompt, ours, theirs in zip(requests, base, tuned, strict=True):
        ids = both.base.render(prompt.messages)
        assert list(ours) == plain_generate(folder / "base", None, ids)
        assert list(theirs) == plain_generate(folder / "base", folder / "adapter", ids)


def test_sides_used_in_turns_do_not_disturb_each_other(folder: Path, tmp_path: Path) -> None:
    both = pair(folder, "base", "adapter", tmp_path, batch_size=1)
    requests = [request(prompt) for prompt in PROMPTS]
    expected = [tokens(both.base, requests), tokens(both.tuned, requests)]
    a, b = both.base.generate(requests), both.tuned.generate(requests)
    found: list[dict[int, Any]] = [{}, {}]
    for (i, ours), (j, theirs) in zip(a, b, strict=True):
        found[0][i], found[1][j] = ours, theirs
    for side, outcomes in enumerate(found):
        assert [outcomes[i].reply.token_ids for i in range(len(requests))] == expected[side]


@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_replies_do_not_depend_on_the_batch(
    folder: Path, tmp_path: Path, batch_size: int | None
) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    one = pair(folder, "base", "adapter", tmp_path, batch_size=batch_size)
    reference = pair(folder, "base", "adapter", tmp_path, batch_size=2)
    for side in ("base", "tuned"):
        backwards = tokens(reference.side(side), requests[::-1])
        assert tokens(one.side(side), requests) == backwards[::-1]


def test_sampling_is_reproducible_and_does_not_depend_on_the_batch(
    folder: Path, tmp_path: Path
) -> None:
    both = pair(folder, "base", "adapter", tmp_path)
    drawn = {
        seed: tokens(
            both.base, [request(p, temperature=1.0, top_p=0.9, seed=seed) for p in PROMPTS]
        )
        for seed in (0, 1)
    }
    assert drawn[0] != drawn[1]
    for prompt, ids in zip(PROMPTS, drawn[0], strict=True):
        alone = [request(prompt, temperature=1.0, top_p=0.9, seed=0)]
        assert tokens(both.base, alone) == [ids]


def test_sampling_follows_the_distribution(folder: Path, tmp_path: Path) -> None:
    """First tokens of many draws against the model's own probabilities (chi-squared)."""
    from collections import Counter

    from scipy.stats import chisquare

    from pytest_llmdiff.engines import Continuation

    engine = pair(folder, "base", "adapter", tmp_path, batch_size=64).base
    assert isinstance(engine, TransformersEngine)
    ids = tuple(engine.render(request("Hi").messages))
    ((_, logits),) = engine.token_logits([Continuation(prompt_ids=ids, reply_ids=(5,))], 64)
    p = (logits[0] / 0.7).softmax(-1).tolist()
    draws = 1200
    drawn = tokens(
        engine,
        [request("Hi", max_new_tokens=1, temperature=0.7, seed=seed) for seed in range(draws)],
    )
    counts = Counter(row[0] for row in drawn)
    common = [token for token in range(len(p)) if p[token] * draws >= 8]
    observed = [counts[token] for token in common]
    expected = [p[token] * draws for token in common]
    observed.append(draws - sum(observed))
    expected.append(draws - sum(expected))
    assert chisquare(observed, expected).pvalue > 1e-4


def test_the_model_s_own_generation_config_changes_nothing_but_the_stops(
    folder: Path, tmp_path: Path
) -> None:
    eager = {
        "do_sample": True, "temperature": 5.0, "repetition_penalty": 9.0, "no_repeat_ngram_size": 1,
        "num_beams": 3, "max_length": 5, "suppress_tokens": [40, 41, 42], "eos_token_id": [2, 99],
    }  # fmt: skip
    save_model(tmp_path / "eager", generation=eager)
    requests = [request(prompt) for prompt in PROMPTS]
    plain = tokens(pair(folder, "base", "adapter", tmp_path).base, requests)
    own = pair(tmp_path, "eager", str(folder / "adapter"), tmp_path).base
    assert isinstance(own, TransformersEngine)
    found = tokens(own, requests)
    assert own.stop_ids() == (2, 99)
    assert own.declared_stop_ids() == (2, 99)
    for ours, theirs in zip(found, plain, strict=True):
        cut = theirs.index(99) + 1 if 99 in theirs else len(theirs)
        assert ours == theirs[:cut]


def test_a_reply_ends_with_its_stop_token(folder: Path, tmp_path: Path) -> None:
    found = tokens(pair(folder, "base", "adapter", tmp_path).base, [request("x")])[0]
    stop = found[3]
    generation = {"eos_token_id": [stop]}
    save_model(tmp_path / "stopping", generation=generation)
    engine = pair(tmp_path, "stopping", str(folder / "adapter"), tmp_path).base
    (reply,) = [g.reply for g in replies(engine, [request("x")])]
    assert reply is not None
    assert reply.token_ids == found[: found.index(stop) + 1]
    assert reply.finish_reason == "stop"


def test_prompts_beyond_the_context_fail_alone(folder: Path, tmp_path: Path) -> None:
    engine = pair(folder, "base", "adapter", tmp_path).base
    overhead = len(engine.render(request("").messages))
    prompts = ["Hi", "y" * CONTEXT, "y" * (CONTEXT - overhead - 3), "y" * (CONTEXT - overhead)]
    short, beyond, tight, exact = replies(engine, [request(p) for p in prompts])
    assert short.reply is not None
    assert beyond.reply is None
    assert f"context of the model {CONTEXT}" in (beyond.error or "")
    assert exact.reply is None
    # With room for three tokens only, three are generated.
    assert tight.reply is not None
    assert len(tight.reply.token_ids) <= 3


def test_rendering_adds_no_second_bos(tmp_path: Path) -> None:
    save_model(tmp_path / "base", template="{{ '<|endoftext|>' }}" + CHATML)
    file = tmp_path / "base" / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config |= {"bos_token": "<|endoftext|>", "add_bos_token": True}
    file.write_text(json.dumps(config), encoding="utf-8")
    engine = pair(tmp_path, "base", "base", tmp_path / "store").base
    ids = engine.render(request("Hi").messages)
    assert ids.count(0) == 1
    assert ids[0] == 0


def test_template_option_and_kwargs_reach_both_sides(folder: Path, tmp_path: Path) -> None:
    template = tmp_path / "own.jinja"
    template.write_text("{{ greeting }}{{ messages[0]['content'] }}", encoding="utf-8")
    both = pair(
        folder, "base", "adapter", tmp_path, template=str(template),
        template_kwargs={"greeting": "Yo "},
    )  # fmt: skip
    for engine in (both.base, both.tuned):
        assert isinstance(engine, TransformersEngine)
        assert engine.tokenizer.decode(engine.render(request("Hi").messages)) == "Yo Hi"


# In the form of LLaMA-Factory's template file.
FACTORY = """
register_template(
    name="marked",
    format_user=StringFormatter(slots=["[{{content}}]"]),
    format_assistant=StringFormatter(slots=["{{content}}", {"eos_token"}]),
    format_system=StringFormatter(slots=["({{content}})"]),
    default_system="Be kind.",
    stop_words=["<|endoftext|>"],
)
register_template(name="adding", stop_words=["<|new|>"], default_system="<|new|>")
"""


def test_a_template_of_llamafactory(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "template.py"
    source.write_text(FACTORY, encoding="utf-8")
    both = pair(
        folder, "base", "adapter", tmp_path, template="llamafactory:marked", llamafactory=source
    )
    own = pair(folder, "base", "adapter", tmp_path)
    for engine, plain in ((both.base, own.base), (both.tuned, own.tuned)):
        assert isinstance(engine, TransformersEngine)
        decode = engine.tokenizer.decode
        assert decode(engine.render(request("Hi").messages)) == "(Be kind.)[Hi]"
        answered = (*request("Hi").messages, Message(role="assistant", content="Yo"))
        assert decode(engine.renderer.ids(answered)) == "(Be kind.)[Hi]Yo<|im_end|>"
        assert engine.stop_ids() == (0, 2), "the stop word counts, next to the end of sequence"
        assert engine.fingerprint() != plain.fingerprint()
        assert len(tokens(engine, [request("Hi")])) == 1


def test_a_template_with_a_token_that_the_model_has_not(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "template.py"
    source.write_text(FACTORY, encoding="utf-8")
    both = pair(
        folder, "base", "adapter", tmp_path, template="llamafactory:adding", llamafactory=source
    )
    (found,) = replies(both.tuned, [request("Hi")])
    assert "the prompt holds '<|new|>'" in str(found.error)


def test_another_template_leaves_the_rest_as_it_is(folder: Path) -> None:
    """The code of a tokenizer, say, runs there too where it may."""
    template = TemplateSource(name="x", jinja="x")
    for trusted in (True, False):
        ours = Renderer(folder / "base", kwargs={"a": 1}, trust_remote_code=trusted)
        other = with_template(ours, template)
        assert (other.path, other.kwargs) == (ours.path, ours.kwargs)
        assert other.trust_remote_code is trusted


def test_a_base_without_a_template_is_asked_in_the_tuned_one_s(
    folder: Path, tmp_path: Path
) -> None:
    save_model(tmp_path / "bare", template=None)
    both = pair(tmp_path, "bare", str(folder / "other"), tmp_path)
    messages = request("Hi").messages
    assert both.base.render(messages) == both.tuned.render(messages)
    lonely = pair(tmp_path, "bare", "bare", tmp_path)
    with pytest.raises(ModelError, match="--llmdiff-template"):
        lonely.base.render(messages)


@pytest.mark.parametrize(
    ("base", "tuned", "note"),
    [
        ("base", "other", None),
        ("bare", "other", "the tuned model's is used on both sides"),
        ("bare", "bare", "give one with --llmdiff-template"),
    ],
)
def test_the_header_says_whose_template_is_used(
    folder: Path, tmp_path: Path, base: str, tuned: str, note: str | None
) -> None:
    save_model(tmp_path / "bare", template=None)
    places = {"base": folder / "base", "other": folder / "other", "bare": tmp_path / "bare"}
    specs = [
        parse_spec(str(places[name]), option="--llm-base", folder=folder) for name in (base, tuned)
    ]
    found = template_note(specs[0], specs[1], settings(folder))
    assert found is None if note is None else note in str(found)


def test_a_template_that_refuses_a_role_fails_the_probe_alone(tmp_path: Path) -> None:
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}"
    refusing += "{% endif %}"
    save_model(tmp_path / "base", template=refusing + CHATML)
    engine = pair(tmp_path, "base", "base", tmp_path / "store").base
    system = Request(
        (Message(role="system", content="s"), *request("Hi").messages), Sampling(max_new_tokens=4)
    )
    refused, answered = replies(engine, [system, request("Hi")])
    assert "no system" in (refused.error or "")
    assert answered.reply is not None


def test_divergence_is_exact(folder: Path, tmp_path: Path) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    both = pair(folder, "base", "adapter", tmp_path)
    found = generation(both, tmp_path, requests).divergences(requests)
    base = tokens(both.base, requests)
    for r, reply, value in zip(requests, base, found, strict=True):
        expected = exact_divergence(
            folder / "base", folder / "adapter", both.base.render(r.messages), reply
        )
        assert [token.kl for token in value.tokens] == pytest.approx(expected, rel=1e-3, abs=1e-5)
        assert value.mean == pytest.approx(sum(expected) / len(expected), rel=1e-3)


def test_a_no_op_adapter_diverges_by_nothing(folder: Path, tmp_path: Path) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    both = pair(folder, "base", "noop", tmp_path)
    for value in generation(both, tmp_path, requests).divergences(requests):
        # The base's side is from its decoding, token by token, the tuned model's from one pass.
        assert value.mean < 1e-6
        assert value.first_flip is None
    assert tokens(both.base, requests) == tokens(both.tuned, requests)


def test_prompts_known_at_run_time_only_are_generated_together(tmp_path: Path) -> None:
    calls: list[int] = []

    class Counting(ScriptedEngine):
        def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
            calls.append(len(requests))
            yield from super().generate(requests)

    engine = Counting({}, default="Yes.")
    both = Pair(base=engine, tuned=engine, resolved={})
    planned, *loose = [request(f"{n}?") for n in range(5)]
    generation(both, tmp_path, [planned]).outcomes([planned, *loose], sides=("base",))
    assert sorted(calls) == [1, 4], "its own window, and one for the rest"


def test_two_models_that_do_not_fit_run_one_after_the_other(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    together = generation(pair(folder, "base", "other", tmp_path), tmp_path / "a", requests)
    expected = together.divergences(requests)
    monkeypatch.setattr("pytest_llmdiff.engines.devices.free_memory", lambda _device: 1.0)
    both = pair(folder, "base", "other", tmp_path)
    loaded: list[str] = []
    for name in ("base", "tuned"):
        weights = both.side(name).weights  # type: ignore[attr-defined]
        monkeypatch.setattr(
            weights, "load", _announcing(weights.load, name, loaded, both), raising=True
        )
    apart = generation(both, tmp_path / "b", requests, window=2)
    outcomes = apart.outcomes(requests[:1])
    assert loaded == ["base", "tuned"], "each side goes over the whole plan at once"
    outcomes = apart.outcomes(requests)
    assert loaded == ["base", "tuned"]
    assert apart.windows.notes == [
        "both models do not fit in memory together: they run one after the other"
    ]
    found = apart.divergences(requests)
    assert loaded == ["base", "tuned"] * 2
    assert [v.mean for v in found] == pytest.approx([v.mean for v in expected], rel=1e-5)
    for r in requests:
        assert outcomes["tuned", r.key].reply == together.outcomes(requests)["tuned", r.key].reply


def _announcing(
    load: Callable[[], Any], name: str, log: list[str], both: Pair
) -> Callable[[], Any]:
    def announced() -> Any:
        own, other = both.side(name), both.side("tuned" if name == "base" else "base")
        assert other.weights._model is None, "the other model is still in memory"  # type: ignore[attr-defined]
        if own.weights._model is None:  # type: ignore[attr-defined]
            log.append(name)
        return load()

    return announced


def test_batches_halve_when_memory_runs_out() -> None:
    import torch

    sizes = []

    def run(batch: Sequence[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [10 * item for item in batch]

    found = [value for _, values in in_batches(range(10), BatchSize(8), run) for value in values]
    assert found == [10 * item for item in range(10)]
    assert sizes == [8, 4, 2, 3, 3, 2], "it grows again, but not to what was too much"
    with pytest.raises(ModelError, match="memory runs out with a single prompt"):
        list(in_batches(range(2), BatchSize(2), _always_full))
    with pytest.raises(RuntimeError, match="something else"):
        list(in_batches(range(2), BatchSize(2), _broken))


class Small:
    """A device on which a step of more than so many rows takes too much memory."""

    def __init__(self, folder: Path, most: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.rows: list[int] = []
        self._most = most
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self._model.register_forward_pre_hook(self._full, with_kwargs=True)

    def _full(self, _: Any, __: Any, given: dict[str, Any]) -> None:
        import torch

        self.rows.append(len(given["input_ids"]))
        if self.rows[-1] > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    @contextmanager
    def opened(self) -> Iterator[Any]:
        import torch

        with torch.inference_mode():
            yield self._model


def test_steps_of_steady_rows_get_smaller_too_when_memory_runs_out(folder: Path) -> None:
    prompts = [[5 + row, 6, 7] for row in range(10)]

    def run(most: int) -> tuple[dict[int, list[int]], set[int], set[str]]:
        device, notes = Small(folder / "base", most), set[str]()
        completion = Completion(
            opened=device.opened, device="cuda", loop_check=LoopCheck(unserved=None, plain=True),
            window=None, steady=True, stop_ids=(), pad_id=0, batch=BatchSize(8), note=notes.add,
        )  # fmt: skip
        ended = completion(
            prompts, ["0" * 12] * 10, Sampling(max_new_tokens=4), None, keep_states=False
        )
        return {place: row.tokens for place, row in ended}, set(device.rows), notes

    found, rows, notes = run(most=4)
    assert (rows, len(notes)) == ({1, 64, 4}, 1)
    assert "memory has no room for steps of 64 rows" in notes.pop()
    roomy, rows, notes = run(most=64)
    assert (rows, notes) == ({1, 64}, set())
    assert found.keys() == roomy.keys()
    with pytest.raises(ModelError, match="memory runs out with a single prompt"):
        run(most=0)


def test_a_device_that_is_full_says_nothing_of_the_model(folder: Path) -> None:
    """Else it would be remembered as one that the decode loop cannot serve."""
    with (
        Small(folder / "base", 0).opened() as model,
        pytest.raises(ModelError, match="memory runs out as the model reads a few tokens"),
    ):
        check_loop(model)


def test_what_failed_once_holds_no_memory_and_reads_the_same_each_time(tmp_path: Path) -> None:
    class Weights:
        pass

    loaded = LoadedModels(lambda: Pair(base=None, tuned=None, resolved={}), Store(tmp_path))  # type: ignore[arg-type]

    def load(held: Weights) -> None:  # noqa: ARG001
        with loaded.failing("base"):
            raise MissingPackageError(["x"], "this", "pip install x")

    weights = Weights()
    alive, texts, frames = weakref.ref(weights), set(), set()
    for _ in range(4):
        with pytest.raises(MissingPackageError) as caught:
            load(weights)
        texts.add(str(caught.value))
        frames.add(len(caught.traceback))
        del caught
    del weights
    gc.collect()
    assert alive() is None
    assert texts == {"this needs the package x: pip install x"}
    assert max(frames) < 10


def test_a_closed_engine_holds_no_memory(folder: Path, tmp_path: Path) -> None:
    engine: Any = pair(folder, "base", "adapter", tmp_path).base
    engine.keep_states = True
    replies(engine, [request("Hi")])
    assert engine.states
    engine.close()
    assert not engine.states


@pytest.mark.parametrize("cut", ["base", "adapter"])
def test_weights_that_are_cut_short_are_an_error_of_the_model(
    folder: Path, tmp_path: Path, cut: str
) -> None:
    for name in ("base", "adapter"):
        shutil.copytree(folder / name, tmp_path / name)
    (file,) = (tmp_path / cut).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    engine = pair(tmp_path, "base", "adapter", tmp_path / "store").tuned
    with pytest.raises(ModelError, match="not fully covered"):
        replies(engine, [request("Hi")])


@pytest.mark.parametrize("layers", [1, 3])
def test_a_configuration_with_other_layers_than_the_weights(
    folder: Path, tmp_path: Path, layers: int
) -> None:
    """transformers makes up what is missing and leaves out what is too much, with a warning."""
    shutil.copytree(folder / "base", tmp_path / "base")
    config = tmp_path / "base" / "config.json"
    told = json.loads(config.read_text(encoding="utf-8")) | {"num_hidden_layers": layers}
    config.write_text(json.dumps(told), encoding="utf-8")
    both = pair(tmp_path, "base", "base", tmp_path / "store")
    if layers == 3:
        with pytest.raises(ModelError, match=r"would replace them: 9, such as model\.layers\.2"):
            replies(both.base, [request("Hi")])
        return
    replies(both.base, [request("Hi")])
    (note,) = both.notes
    assert "base: weights that do not belong to its configuration are not used: 9" in note


def test_a_prompt_without_tokens_fails_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bare.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")
    both = pair(folder, "base", "adapter", tmp_path, template=str(tmp_path / "bare.jinja"))
    empty, other = replies(both.base, [request(""), request("Hi")])
    assert empty.error == "the chat template makes no tokens of this conversation"
    assert other.reply is not None


def test_replies_whose_tokens_are_not_told_have_no_divergence(folder: Path, tmp_path: Path) -> None:
    """Servers of texts tell none, and have whole rows of probabilities all the same."""
    both = pair(folder, "base", "adapter", tmp_path)
    requests = [request("Hi"), request("x")]
    outcomes = generation(both, tmp_path, requests).outcomes(requests)
    items = [(r, outcomes["base", r.key], outcomes["tuned", r.key]) for r in requests]
    bare = Reply(text="Hello there.")
    items[0] = (requests[0], replace(items[0][1], reply=bare), items[0][2])
    found = dict(pair_divergences(both, items))
    assert "does not return them" in (found[requests[0]].unsupported or "")
    assert found[requests[1]].tokens


def _always_full(_batch: Sequence[int]) -> None:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


def _broken(_batch: Sequence[int]) -> None:
    raise RuntimeError("something else")


def test_the_fingerprint_follows_content_not_place(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "base", tmp_path / "b")
    shutil.copytree(folder / "adapter", tmp_path / "a")
    here = pair(folder, "base", "adapter", tmp_path / "store")
    there = pair(tmp_path, "b", "a", tmp_path / "store")
    assert here.base.fingerprint() == there.base.fingerprint()
    assert here.tuned.fingerprint() == there.tuned.fingerprint()
    assert here.base.fingerprint() != here.tuned.fingerprint()
    changed = [
        pair(tmp_path, "b", "a", tmp_path / "store", dtype="bfloat16"),
        pair(tmp_path, "b", "a", tmp_path / "store", template_kwargs={"a": 1}),
        pair(tmp_path, "b", str(folder / "noop"), tmp_path / "store"),
    ]
    assert len({p.tuned.fingerprint() for p in [here, *changed]}) == 4


def test_quantisation_without_its_package_names_the_install_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pytest_llmdiff.engines.files.quantization.installed_version", lambda _name: None
    )
    engine = pair(folder, "base", "adapter", tmp_path, quantization="4bit").base
    with pytest.raises(ConfigError, match=r'pip install "pytest-llmdiff\[quantization\]"'):
        list(engine.generate([request("Hi")]))


def test_an_adapter_for_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    wrong = tmp_path / "wrong"
    wrong.mkdir()
    for file in (folder / "adapter").iterdir():
        (wrong / file.name).write_bytes(file.read_bytes())
    weights = load_file(wrong / "adapter_model.safetensors")
    save_file(
        {name: torch.zeros(t.shape[0], t.shape[1] + 8) for name, t in weights.items()},
        wrong / "adapter_model.safetensors",
    )
    engine = pair(folder, "base", str(wrong), tmp_path).tuned
    with pytest.raises(ModelError, match="does not fit the base"):
        list(engine.generate([request("Hi")]))


def test_code_of_a_model_does_not_run_unless_asked(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "base", tmp_path / "custom")
    config = json.loads((tmp_path / "custom" / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "own_kind", "auto_map": {
        "AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}}  # fmt: skip
    (tmp_path / "custom" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "custom" / "own.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nclass OwnConfig: ...\nclass OwnModel: ...\n",
        encoding="utf-8",
    )
    engine = pair(tmp_path, "custom", "custom", tmp_path / "store").base
    with pytest.raises(ModelError, match="trust_remote_code"):
        list(engine.generate([request("Hi")]))
    assert not (tmp_path / "ran").exists()


def test_a_nan_model_never_passes(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from pytest_llmdiff.measures.wiring.adapter import adapter_measurement, logits_moved
    from pytest_llmdiff.verdicts.verdict import judge

    shutil.copytree(folder / "adapter", tmp_path / "nan")
    file = tmp_path / "nan" / "adapter_model.safetensors"
    weights = load_file(file)
    for tensor in weights.values():
        tensor.fill_(math.nan)
    save_file(weights, file)
    both = pair(folder, "base", str(tmp_path / "nan"), tmp_path)
    requests = [request("Hi")]
    (value,) = generation(both, tmp_path, requests).divergences(requests)
    assert math.isnan(value.mean)
    assert isinstance(both.tuned, TransformersEngine)
    health = both.tuned.adapter_health()
    assert health is not None
    assert len(health.not_finite) == len(weights)
    facts = {"problems": health.problems(), "norms": {}, "left_out": {}}
    (verdict,) = judge(adapter_measurement(facts, logits_moved(both)), at_most=0)
    assert verdict.outcome == "regressed"


@pytest.mark.parametrize(("name", "problems"), [("adapter", 0), ("noop", 2)])
def test_adapter_health(folder: Path, tmp_path: Path, name: str, problems: int) -> None:
    from pytest_llmdiff.measures.wiring.adapter import adapter_measurement, logits_moved

    both = pair(folder, "base", name, tmp_path)
    assert isinstance(both.tuned, TransformersEngine)
    health = both.tuned.adapter_health()
    assert health is not None
    assert len(health.norms) == 4
    facts = {"problems": health.problems(), "norms": health.norms, "left_out": {}}
    m = adapter_measurement(facts, logits_moved(both))
    assert m.value == problems, m.details


def test_an_adapter_whose_names_bind_to_nothing_is_seen(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder / "adapter", tmp_path / "renamed")
    file = tmp_path / "renamed" / "adapter_model.safetensors"
    save_file(
        {name.replace("model.layers", "model.blocks"): t for name, t in load_file(file).items()},
        file,
    )
    engine = pair(folder, "base", str(tmp_path / "renamed"), tmp_path).tuned
    assert isinstance(engine, TransformersEngine)
    health = engine.adapter_health()
    assert health is not None
    assert len(health.unbound) == len(health.missing) == 8
    assert len(health.problems()) == 3


def test_tokenizers_that_differ_make_the_divergence_unsupported(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "other", tmp_path / "other")
    file = tmp_path / "other" / "tokenizer.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = data["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    file.write_text(json.dumps(data), encoding="utf-8")
    requests = [request("Hi")]
    both = pair(tmp_path, str(folder / "base"), "other", tmp_path / "store")
    (value,) = generation(both, tmp_path, requests).divergences(requests)
    assert value.unsupported is not None
    assert "tokenizers" in value.unsupported


def test_a_different_window_changes_no_outcome(folder: Path, tmp_path: Path) -> None:
    requests = [request(prompt) for prompt in PROMPTS]
    both = pair(folder, "base", "adapter", tmp_path)
    whole = generation(both, tmp_path / "a", requests)
    single = generation(both, tmp_path / "b", requests, window=1)
    ours, theirs = whole.outcomes(requests), single.outcomes(requests)
    for key, outcome in ours.items():
        assert replace(outcome, margin=None) == replace(theirs[key], margin=None)
        assert key[0] == "base" or outcome.margin == pytest.approx(theirs[key].margin, rel=1e-4)
    for one, other in zip(whole.divergences(requests), single.divergences(requests), strict=True):
        assert one.mean == pytest.approx(other.mean, rel=1e-4, abs=1e-6)
        assert [token.text for token in one.tokens] == [token.text for token in other.tokens]


SUITE = """
import pytest
import torch
from pytest_llmdiff import (
    assert_adapter_effective,
    assert_divergence,
    assert_template_consistent,
)

def test_adapter(llm_pair):
    assert_adapter_effective(llm_pair)

def test_own_template(llm_tuned):
    assert_template_consistent(llm_tuned)

def test_training_template(llm_tuned):
    assert_template_consistent(llm_tuned, template="alpaca.jinja")

def test_score(llm_base):
    from transformers import AutoModelForCausalLM

    found = llm_base.score("Hi", "abc")
    prompt, reply = llm_base.render("Hi"), llm_base.tokenizer("abc")["input_ids"]
    model = AutoModelForCausalLM.from_pretrained("base")
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *reply]])).logits[0].log_softmax(-1)
    expected = [float(logits[len(prompt) - 1 + i, token]) for i, token in enumerate(reply)]
    assert found.token_logprobs == pytest.approx(expected, rel=1e-3)
    assert found.log_likelihood == pytest.approx(sum(expected), rel=1e-3)
    assert found.mean == pytest.approx(sum(expected) / 3, rel=1e-3)

def test_scores(llm_base):
    pairs = [("Hi", "abc"), ("Hi", "abd and more"), ("What is it?", "x"), ("Hi", "abc")]
    found = llm_base.score_all(iter(pairs))
    for (prompt, reply), score in zip(pairs, found, strict=True):
        (alone,) = llm_base.score_all([(prompt, reply)])
        assert alone == score
        prompt, ids = llm_base.render(prompt), llm_base.tokenizer(reply)["input_ids"]
        from transformers import AutoModelForCausalLM
        model = AutoModelForCausalLM.from_pretrained("base")
        with torch.inference_mode():
            logits = model(torch.tensor([[*prompt, *ids]])).logits[0]
        own = [float(logits.log_softmax(-1)[len(prompt) - 1 + i, t]) for i, t in enumerate(ids)]
        assert score.token_logprobs == pytest.approx(own, rel=1e-3, abs=1e-5)
    assert llm_base.score_all([]) == []
    with pytest.raises(Exception, match="a text without tokens to score cannot be scored"):
        llm_base.score_all([("Hi", "abc"), ("Hi", "")])

@pytest.mark.llmdiff("Hi", "y" * 400)
def test_divergence(comparison):
    assert_divergence(comparison, at_most=100)
"""
ALPACA = (
    "{% for message in messages %}{{ '### ' + message['role'] + ':\\n' }}"
    "{{ message['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant:\\n' }}{% endif %}"
)


@pytest.mark.parametrize("adapter", ["adapter", "noop"])
def test_checks_of_files_and_weights_in_a_run(
    folder: Path, pytester: pytest.Pytester, adapter: str
) -> None:
    """All of it through pytest, then again from the store, and from a recording, without torch."""
    shutil.copytree(folder, pytester.path, dirs_exist_ok=True)
    (pytester.path / "alpaca.jinja").write_text(ALPACA, encoding="utf-8")
    pytester.makepyfile(SUITE)
    models = ("--llm-base=base", f"--llm-tuned={adapter}", "--llmdiff-max-new-tokens=8")
    bad = 1 if adapter == "noop" else 0
    first = pytester.runpytest_inprocess(*models, "--llmdiff-record=run.jsonl")
    first.assert_outcomes(passed=5 - bad, failed=1 + bad, errors=1)
    first.stdout.fnmatch_lines(
        [
            "*ProbeError: the base model cannot answer this probe: the prompt has 4?? tokens and *",
            "E         - user ('What is the capital of F'): differs from token 1: *in the other*",
        ]
    )
    if bad:
        first.stdout.fnmatch_lines(
            ["E         - it changes nothing: *", "E         - it does not*"]
        )
    replay = ("--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl", *models[2:])
    again = pytester.runpytest_inprocess(*replay, "--llmdiff-store=fresh", "-k", "not test_scores")
    # `score` was recorded too; only the suite's own use of the tokenizer needs a live model.
    again.assert_outcomes(passed=3 - bad, failed=2 + bad, errors=1)
    again.stdout.fnmatch_lines(["*CapabilityError: ReplayEngine has no tokenizer*"])


@pytest.mark.parametrize("adapted", [True, False])
def test_gradients_are_those_of_the_model_as_it_is_loaded_elsewhere(
    folder: Path, tmp_path: Path, adapted: bool
) -> None:
    import torch

    engine: Any = pair(folder, "base", "adapter", tmp_path).tuned
    replies(engine, [request("Hi")])  # nothing that inference leaves behind stands in the way
    ids = torch.tensor([[5, 9, 12, 7, 30]])

    def gradients(model: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        adapter = {n: p for n, p in model.named_parameters() if "lora_" in n and adapted}
        for parameter in adapter.values():
            parameter.requires_grad_(True)
        rows = model.get_input_embeddings()(ids).detach().requires_grad_(True)
        loss = model(inputs_embeds=rows, use_cache=False).logits.float().log_softmax(-1)[0, 3, 8]
        found = torch.autograd.grad(loss, [rows, *adapter.values()])
        return found[0], dict(zip(adapter, found[1:], strict=True))

    with engine.weights.model(adapted=adapted, gradients=True) as model:
        assert not any(parameter.requires_grad for parameter in model.parameters())
        own = gradients(model)
    elsewhere = loaded(folder / "base", folder / "adapter" if adapted else None).eval()
    other = gradients(elsewhere)
    torch.testing.assert_close(own[0], other[0], rtol=1e-3, atol=1e-5)
    assert own[1].keys() == other[1].keys()
    assert bool(own[1]) == adapted
    for name, gradient in own[1].items():
        assert float(gradient.abs().max()) > 0, name
        torch.testing.assert_close(gradient, other[1][name], rtol=1e-3, atol=1e-5)
