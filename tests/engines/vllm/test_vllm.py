"""What the plugin makes of vLLM without running it: SPECs, arguments, and what comes back."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pytest_llmdiff.config.specs import Spec, parse_spec
from pytest_llmdiff.engines.opening import open_pair
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.spec_checks import check_pair, check_served
from pytest_llmdiff.engines.vllm.arguments import (
    OURS,
    check_arguments,
    computing,
    engine_arguments,
    kernel_rank,
    target_modules,
)
from pytest_llmdiff.engines.vllm.engine import VLLMEngine
from pytest_llmdiff.errors import (
    CapabilityError,
    ConfigError,
    MissingPackageError,
    ModelError,
    ProbeError,
)
from pytest_llmdiff.store import Store
from tests.support.adapter_making import random_lora
from tests.support.engines import request, settings, tokens
from tests.support.tiny_models import CONTEXT, save_adapter, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vllm")
    save_model(folder / "base")
    save_model(folder / "other", seed=5)
    save_adapter(folder / "adapter", folder / "base")
    random_lora(folder / "head", folder / "base", target_modules=["q_proj", "lm_head"], r=5)
    return folder


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the package were there."""
    stand_in = ModuleType("vllm")
    stand_in.__spec__ = importlib.util.find_spec("json")
    monkeypatch.setitem(sys.modules, "vllm", stand_in)


def spec(folder: Path, text: str) -> Spec:
    return parse_spec(text, option="--llm-base", folder=folder)


# SPECs


def test_a_missing_package_names_its_install_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingPackageError) as caught:
        spec(folder, "vllm:base")
    assert str(caught.value) == (
        '--llm-base: vllm:base needs the package vllm: pip install "pytest-llmdiff[vllm]"'
    )


@pytest.mark.usefixtures("installed")
def test_a_location_is_what_it_is_without_vllm(folder: Path) -> None:
    for text, kind in (("base", "weights"), ("adapter", "adapter")):
        plain, ours = spec(folder, text), spec(folder, f"vllm:{text}")
        assert (ours.kind, ours.path, ours.runtime) == (kind, plain.path, "vllm")
        assert (ours.text, plain.runtime) == (f"vllm:{text}", "transformers")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("base", "tuned", "changes", "message"),
    [
        ("vllm:base", "adapter", {}, "vLLM runs the base: write vllm: before both or neither"),
        ("base", "vllm:adapter", {}, "transformers runs the base: write vllm: before both"),
        ("vllm:adapter", "vllm:adapter", {}, "is a PEFT adapter; the base is the model"),
        ("vllm:base", "vllm:other", {"quantization": "4bit"}, "does not reach vLLM"),
        ("vllm:base", "vllm:other", {"device": "cuda:1"}, "set CUDA_VISIBLE_DEVICES instead"),
        ("vllm:base", "vllm:other", {"vllm": {"seed": 3}}, "'seed' is set by this plugin"),
    ],
)
def test_what_does_not_go_together(
    folder: Path, base: str, tuned: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_pair(spec(folder, base), spec(folder, tuned), settings(folder, **changes))


@pytest.mark.usefixtures("installed")
def test_a_served_adapter_may_lie_over_another_runtime(folder: Path) -> None:
    check_served(spec(folder, "vllm:adapter"), spec(folder, "base"), settings(folder))
    gguf = Spec(text="b.gguf", kind="gguf", path=folder / "b.gguf")
    with pytest.raises(ConfigError, match=r"vLLM reads no GGUF files"):
        check_served(spec(folder, "vllm:adapter"), gguf, settings(folder))
    quantized = settings(folder, quantization="4bit", served_quantization="none")
    check_served(spec(folder, "vllm:base"), spec(folder, "base"), quantized)


# Engine arguments


def arguments(folder: Path, adapter: str | None = None, **more: Any) -> dict[str, Any]:
    device = more.pop("device", "cpu")
    return engine_arguments(
        settings(folder, **more), path=folder / "base", dtype="float32", device=device,
        adapter=None if adapter is None else folder / adapter,
    )  # fmt: skip


def test_every_argument_of_ours_is_refused() -> None:
    for name in OURS:
        with pytest.raises(ConfigError, match=f"--llmdiff-vllm: '{name}' is set by this plugin"):
            check_arguments({name: 1})
    check_arguments({"tensor_parallel_size": 4, "distributed_executor_backend": "ray"})


def test_the_model_s_own_generation_config_is_left_out(folder: Path) -> None:
    found = arguments(folder, seed=7)
    assert found["generation_config"] == "vllm"
    assert (found["seed"], found["dtype"], found["max_logprobs"]) == (7, "float32", -1)
    assert "enable_lora" not in found


def test_an_adapter_has_a_slot_more_than_there_are_adapters(folder: Path) -> None:
    """The kernels for CPUs answer requests without an adapter by the last slot."""
    found = arguments(folder, "adapter")
    assert (found["enable_lora"], found["max_loras"], found["max_lora_rank"]) == (True, 2, 8)
    assert found["lora_target_modules"] == ["q_proj", "v_proj"], "the output layer stays as it is"
    assert arguments(folder, "adapter", device="cuda")["max_loras"] == 1


def test_what_is_given_stands_before_what_is_usual(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = arguments(folder, batch_size=7)
    assert (usual["max_num_seqs"], usual["enforce_eager"]) == (7, True)
    assert usual["kv_cache_memory_bytes"] == 4 << 30
    own = arguments(folder, vllm={"enforce_eager": False, "gpu_memory_utilization": 0.3})
    assert own["enforce_eager"] is False
    assert "kv_cache_memory_bytes" not in own, "that would undo the share that was given"
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "2")
    assert "kv_cache_memory_bytes" not in arguments(folder)
    gpu = arguments(folder, device="cuda")
    assert not {"enforce_eager", "kv_cache_memory_bytes", "max_num_seqs"} & gpu.keys()
    many = arguments(folder, batch_size=4000)
    assert many["max_num_batched_tokens"] >= many["max_num_seqs"]


def test_replies_are_kept_under_what_they_depend_on() -> None:
    where = {"gpu_memory_utilization": 0.5, "distributed_executor_backend": "ray"}
    assert computing(where) == computing({})
    assert computing({"tensor_parallel_size": 2}) != computing({})
    assert computing({"a": 1, "b": 2}) == computing({"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("config", "rank"),
    [({"r": 8}, 8), ({"r": 9}, 16), ({"r": 4, "rank_pattern": {"q_proj": 40}}, 64)],
)
def test_the_rank_is_one_that_there_are_kernels_for(
    tmp_path: Path, config: dict[str, Any], rank: int
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert kernel_rank(tmp_path) == rank


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"r": 600}, "merge it into its base"),
        ({}, "has no rank `r`"),
        ({"r": 8, "init_lora_weights": "pissa_niter_16"}, "PEFT takes a part out of the base"),
    ],
)
def test_an_adapter_that_vllm_cannot_run(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        kernel_rank(tmp_path)


def test_modules_are_those_of_the_file(folder: Path) -> None:
    assert target_modules(folder / "adapter") == {"q_proj", "v_proj"}
    assert target_modules(folder / "head") == {"q_proj", "lm_head"}


# Replies and log-probabilities, by a double that computes with transformers


class Double:
    """The part of vLLM that is used, over transformers: one request after the other."""

    FIELDS = ("model", "max_model_len")
    fails = False
    lists = False
    started: list[dict[str, Any]]

    def __init__(self, given: dict[str, Any]) -> None:
        from transformers import AutoModelForCausalLM

        self.started.append(given)
        self.waiting: dict[str, Any] = {}
        self.base = AutoModelForCausalLM.from_pretrained(given["model"])
        self.model_config = SimpleNamespace(
            max_model_len=given.get("max_model_len", CONTEXT),
            get_vocab_size=lambda: self.base.config.vocab_size,
        )
        self.engine_core = SimpleNamespace(get_output=self.output, shutdown=lambda: None)
        if self.lists:
            del self.engine_core.get_output

    def add_lora(self, lora: Any) -> bool:
        from tests.support.engines import loaded

        self.adapted = loaded(Path(self.base.name_or_path), Path(lora.path))
        return True

    def add_request(self, name: str, prompt: Any, parameters: Any, lora_request: Any) -> None:
        self.waiting[name] = (prompt["prompt_token_ids"], parameters, lora_request)

    def abort_request(self, names: list[str]) -> None:
        for name in names:
            self.waiting.pop(name, None)

    def has_unfinished_requests(self) -> bool:
        return bool(self.waiting)

    def output(self) -> Any:
        import torch

        if self.fails:
            raise RuntimeError("out of\nmemory")
        self.now, (ids, self.asked, lora) = next(iter(self.waiting.items()))
        model = self.base if lora is None else self.adapted
        found = model.generate(
            torch.tensor([ids]), max_new_tokens=self.asked.max_tokens, do_sample=False,
            eos_token_id=self.asked.stop_token_ids or [0], pad_token_id=0,
        )  # fmt: skip
        self.new = found[0, len(ids) :].tolist()
        told: Any = None
        if self.asked.prompt_logprobs is not None:
            with torch.inference_mode():
                rows = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
            # As vLLM gives them: the token itself first, then all by rank.
            ranked = rows.sort(-1, descending=True)
            own = torch.tensor(ids[1:])[:, None]
            told = SimpleNamespace(
                logprob_token_ids=torch.cat([own, ranked.indices], -1).int(),
                logprobs=torch.cat([rows.gather(-1, own), ranked.values], -1),
            )
            if self.asked.prompt_logprobs == 0:
                told = SimpleNamespace(
                    logprob_token_ids=told.logprob_token_ids[:, :1], logprobs=told.logprobs[:, :1]
                )
        self.last = SimpleNamespace(new_prompt_logprobs_tensors=told)
        return SimpleNamespace(outputs=[self.last])

    def step(self) -> list[Any]:
        (self.output if self.lists else self.engine_core.get_output)()
        told, listed = self.last.new_prompt_logprobs_tensors, None
        if told is not None:
            listed = flat(told) if self.asked.flat_logprobs else by_token(told)
        del self.waiting[self.now]
        stopped = self.new[-1] in self.asked.stop_token_ids
        reply = SimpleNamespace(token_ids=self.new, finish_reason="stop" if stopped else "length")
        return [
            SimpleNamespace(
                request_id=self.now, finished=True, outputs=[reply], prompt_logprobs=listed
            )
        ]


def by_token(told: Any) -> list[Any]:
    pairs = zip(told.logprob_token_ids.tolist(), told.logprobs.tolist(), strict=True)
    return [
        None,
        *({i: SimpleNamespace(logprob=v) for i, v in zip(*p, strict=True)} for p in pairs),
    ]


def flat(told: Any) -> Any:
    rows, width = told.logprobs.shape
    starts = [0, *(row * width for row in range(rows))]
    return SimpleNamespace(
        start_indices=starts, end_indices=[0, *(start + width for start in starts[1:])],
        token_ids=told.logprob_token_ids.flatten().tolist(),
        logprobs=told.logprobs.flatten().tolist(),
    )  # fmt: skip


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch, installed: None) -> type[Double]:  # noqa: ARG001
    """The package, as far as it is used."""
    import dataclasses

    class Engine(Double):
        started: list[dict[str, Any]] = []  # noqa: RUF012

    defaults = {"prompt_logprobs": None, "stop_token_ids": (), "flat_logprobs": False}

    def parameters(**given: Any) -> Any:
        if given["temperature"] > 2:
            raise ValueError("temperature must be in [0, 2]")
        return SimpleNamespace(**(defaults | given))

    fields = [*arguments_known(), "max_model_len", "tensor_parallel_size"]
    made = dataclasses.make_dataclass("EngineArgs", [(name, Any, None) for name in fields])
    package: Any = ModuleType("vllm")
    package.EngineArgs = made
    package.LLMEngine = SimpleNamespace(from_engine_args=lambda given: Engine(
        {k: v for k, v in vars(given).items() if v is not None}))  # fmt: skip
    package.SamplingParams = parameters
    sampling: Any = ModuleType("vllm.sampling_params")
    sampling.RequestOutputKind = SimpleNamespace(FINAL_ONLY=2)
    lora: Any = ModuleType("vllm.lora.request")
    lora.LoRARequest = lambda name, number, path: SimpleNamespace(name=name, id=number, path=path)
    for name, module in (
        ("vllm", package), ("vllm.sampling_params", sampling),
        ("vllm.lora", ModuleType("vllm.lora")), ("vllm.lora.request", lora),
    ):  # fmt: skip
        module.__spec__ = importlib.util.find_spec("json")  # without one it counts as not installed
        monkeypatch.setitem(sys.modules, name, module)
    return Engine


def arguments_known() -> list[str]:
    return [
        *OURS, "enable_prefix_caching", "max_num_batched_tokens", "disable_log_stats",
        "enforce_eager", "kv_cache_memory_bytes",
    ]  # fmt: skip


def pair(folder: Path, base: str, tuned: str, store: Path, **changes: Any) -> Pair:
    return open_pair(
        spec(folder, base), spec(folder, tuned), settings(folder, **changes), Store(store)
    )


def test_replies_and_log_probabilities_are_those_of_transformers(
    folder: Path, tmp_path: Path, vllm: type[Double]
) -> None:
    from pytest_llmdiff.data.tokens import Passage
    from pytest_llmdiff.engines.pair.divergence import pair_divergences
    from pytest_llmdiff.engines.pair.likelihoods import passage_logprobs

    ours = pair(folder, "vllm:base", "vllm:adapter", tmp_path)
    theirs = pair(folder, "base", "adapter", tmp_path)
    assert ours.base.fingerprint() != theirs.base.fingerprint()
    requests = [request(text) for text in ("Hi", "What is it?", "a " * 20)]
    found = []
    for both in (ours, theirs):
        outcomes = [dict(side.generate(requests)) for side in (both.base, both.tuned)]
        triples = [(r, outcomes[0][i], outcomes[1][i]) for i, r in enumerate(requests)]
        kl = [value.mean for _, value in pair_divergences(both, triples)]
        passages = [Passage(text="Yes.", after=requests[0].messages), Passage(text="No way")]
        scores = [passage_logprobs(side, passages, "cpu") for side in (both.base, both.tuned)]
        found.append(([[o[i].reply for i in range(3)] for o in outcomes], kl, scores))
    (replies, kl, scores), (their_replies, their_kl, their_scores) = found
    assert replies == their_replies
    assert kl == pytest.approx(their_kl, abs=1e-5)
    for one, other in zip(scores, their_scores, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a == pytest.approx(b, abs=1e-5)
    assert len(vllm.started) == 1, "both sides share one engine"
    assert ours.fits
    ours.close()
    theirs.close()


@pytest.mark.usefixtures("vllm")
def test_sides_read_in_turns(folder: Path, tmp_path: Path) -> None:
    both = pair(folder, "vllm:base", "vllm:adapter", tmp_path)
    requests = [request(text) for text in ("Hi", "What is it?", "x")]
    alone = [dict(side.generate(requests)) for side in (both.base, both.tuned)]
    turns = zip(both.base.generate(requests), both.tuned.generate(requests), strict=True)
    assert [dict(side) for side in zip(*turns, strict=True)] == alone
    broken_off: Any = both.base.generate(requests)
    next(broken_off)
    broken_off.close()
    assert dict(both.base.generate(requests)) == alone[0]


def test_lists_are_read_where_there_are_no_tensors(
    folder: Path, tmp_path: Path, vllm: type[Double]
) -> None:
    from pytest_llmdiff.engines import Continuation

    item = Continuation(prompt_ids=(5, 6, 7), reply_ids=(8, 9))
    found = []
    for lists in (False, True):
        vllm.lists = lists
        both: Any = pair(folder, "vllm:base", "vllm:other", tmp_path / str(lists))
        ((index, rows),) = both.tuned.token_logits([item], 64)
        assert (index, list(rows.shape)) == (0, [2, both.tuned.embedding_rows()])
        assert rows.exp().sum(-1).tolist() == pytest.approx([1, 1], abs=1e-5)
        found.append(rows)
    assert found[0].equal(found[1])


def test_an_engine_that_failed_is_started_anew(
    folder: Path, tmp_path: Path, vllm: type[Double]
) -> None:
    """A request that failed stays in it, and it would never come to an end."""
    both = pair(folder, "vllm:base", "vllm:adapter", tmp_path)
    vllm.fails = True
    with pytest.raises(ModelError, match="base cannot run by vLLM: out of memory"):
        tokens(both.base, [request("Hi")])
    vllm.fails = False
    assert tokens(both.base, [request("Hi")])
    assert len(vllm.started) == 2


def test_an_argument_that_vllm_does_not_know(
    folder: Path, tmp_path: Path, vllm: type[Double]
) -> None:
    both = pair(folder, "vllm:base", "vllm:other", tmp_path, vllm={"tensor_paralel_size": 2})
    with pytest.raises(ModelError) as caught:
        tokens(both.base, [request("Hi")])
    assert str(caught.value) == (
        "--llmdiff-vllm: vLLM has no engine argument 'tensor_paralel_size'; did you mean "
        "'tensor_parallel_size'?"
    )
    assert not vllm.started


@pytest.mark.usefixtures("vllm")
def test_what_does_not_fit_the_context(folder: Path, tmp_path: Path) -> None:
    from pytest_llmdiff.engines import Continuation

    both: Any = pair(folder, "vllm:base", "vllm:other", tmp_path, vllm={"max_model_len": 64})
    found = dict(both.base.generate([request("a" * 80), request("Hi", max_new_tokens=500)]))
    assert found[0].error.startswith("the prompt has ")
    assert len(found[1].prompt_ids) + len(found[1].reply.token_ids) <= 63
    with pytest.raises(
        ProbeError, match="prompt and reply have 64 tokens, and vLLM scores up to 63"
    ):
        list(both.base.token_logits([Continuation(prompt_ids=(5,) * 60, reply_ids=(6,) * 4)], 64))


@pytest.mark.usefixtures("vllm")
def test_an_adapter_of_the_output_layer_has_no_log_probabilities(
    folder: Path, tmp_path: Path
) -> None:
    both: Any = pair(folder, "vllm:base", "vllm:head", tmp_path)
    for side in (both.base, both.tuned):
        with pytest.raises(CapabilityError, match="changes the output layer"):
            list(side.token_logits([], 64))


@pytest.mark.usefixtures("vllm")
def test_a_value_that_vllm_refuses(folder: Path, tmp_path: Path) -> None:
    both = pair(folder, "vllm:base", "vllm:other", tmp_path)
    with pytest.raises(ModelError, match=r"vLLM refuses the sampling: temperature must be in"):
        list(both.base.generate([request("Hi", temperature=3.0)]))


@pytest.mark.usefixtures("installed")
def test_identities_and_notes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_llmdiff.engines.devices.cuda_memory", lambda: [80e9, 80e9])
    one = pair(folder, "vllm:base", "vllm:adapter", tmp_path)
    other = pair(folder, "vllm:base", "vllm:adapter", tmp_path, vllm={"max_model_len": 64})
    assert one.base.fingerprint() != other.base.fingerprint()
    same = pair(folder, "vllm:base", "vllm:other", tmp_path, vllm={"download_dir": "x"})
    assert one.base.fingerprint() == same.base.fingerprint()
    assert isinstance(one.base, VLLMEngine)
    assert one.base.parameter_bytes() > 4 << 30, "on a CPU weights and cache"
    one.base.weights.device = "cuda"
    assert one.base.parameter_bytes() == pytest.approx(0.92 * 160e9), "a share of every GPU"
    one.base.weights.dtype = "bfloat16"
    one.base._note_batch_dependence()
    assert "may depend on the other requests" in next(iter(one.base.notes))
