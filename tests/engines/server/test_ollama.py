"""Ollama by its own API and in OpenAI's form, TGI and SGLang: what each does in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request, Sampling
from pytest_llmdiff.data.training.training import Training
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.engines.server.chat import ServerEngine
from pytest_llmdiff.engines.server.endpoint import Endpoint
from pytest_llmdiff.engines.server.ollama import OllamaEngine
from pytest_llmdiff.errors import CapabilityError, ModelError
from pytest_llmdiff.measures.wiring.template.question import lost_questions
from tests.support.chat_server import ChatServer, on, running, says
from tests.support.other_servers import OllamaHandler, OllamaServer, SGLangHandler, TGIHandler


@pytest.fixture
def ollama() -> Iterator[OllamaServer]:
    with running(OllamaServer(), OllamaHandler) as found:
        yield found


def engine(ollama: OllamaServer, model: str = "base", **options: Any) -> OllamaEngine:
    return OllamaEngine(Endpoint(url=ollama.api, model=model, role="base"), **options)


def requests(*prompts: str) -> list[Request]:
    return [
        Request((Message(role="user", content=p),), Sampling(max_new_tokens=9)) for p in prompts
    ]


def answers(engine: ServerEngine, *prompts: str) -> list[Generated]:
    return [found for _, found in sorted(engine.generate(requests(*prompts)), key=lambda p: p[0])]


@pytest.mark.parametrize("form", ["api", "v1"])
def test_a_run(pytester: pytest.Pytester, mode: list[str], ollama: OllamaServer, form: str) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.llmdiff("one", "two")
        def test_it(comparison):
            prompt = comparison.probe.messages[-1]["content"]
            assert comparison.base.text == f"base on {prompt}"
            assert comparison.tuned.text == f"tuned on {prompt}"
        """
    )
    url = ollama.api if form == "api" else ollama.url
    result = pytester.runpytest(f"--llm-base={url}#base", f"--llm-tuned={url}#tuned", *mode)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*tuned: Ollama serves qwen2 1.5B Q4_K_M, and makes prompts by the template '{{- range *"]
    )
    assert ("its own API" in result.stdout.str()) == (form == "v1")


def test_every_parameter_is_an_option(ollama: OllamaServer) -> None:
    (found,) = answers(engine(ollama), "one")
    assert found.reply is not None
    assert (found.reply.text, found.reply.reasoning) == ("base on one", "Well.")
    assert (found.reply.finish_reason, found.reply.prompt_tokens) == ("stop", 11)
    body = ollama.bodies[-1]
    assert body["options"] == {
        "num_predict": 9, "temperature": 0.0, "top_p": 1.0, "seed": 0, "frequency_penalty": 0.0,
        "presence_penalty": 0.0, "top_k": 0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0,
    }  # fmt: skip
    assert (body["stream"], body["truncate"], body["shift"]) == (False, False, False)
    assert "think" not in body


def test_parameters_by_hand_and_thinking(ollama: OllamaServer) -> None:
    by_hand = {"num_ctx": 8192, "keep_alive": "1h", "min_p": None}
    answers(engine(ollama, parameters=by_hand, template_kwargs={"enable_thinking": False}), "one")
    body = ollama.bodies[-1]
    assert body["options"]["num_ctx"] == 8192
    assert "min_p" not in body["options"]
    assert (body["keep_alive"], body["think"]) == ("1h", False)


def test_faults_of_one_prompt(ollama: OllamaServer) -> None:
    ollama.faults = (
        on("broken off", says({"message": {"content": "half"}, "done": False})),
        on("unloaded", says({"message": {"content": ""}, "done": True, "done_reason": "unload"})),
        on("odd", says({"message": None, "done": True})),
    )
    prompts = ("broken off", "unloaded", "odd", "long" * 2000, "good", "cut" * 20)
    found = answers(engine(ollama, retries=0), *prompts)
    assert [each.error is None for each in found] == [False, False, False, False, True, True]
    assert "no whole reply" in str(found[0].error)
    assert "unload" in str(found[1].error)
    assert "exceeds the context length" in str(found[3].error)
    assert found[5].reply is not None
    assert found[5].reply.finish_reason == "length"


def test_a_model_that_is_not_there(ollama: OllamaServer) -> None:
    with pytest.raises(ModelError, match="no such model; it has base:latest, tuned:latest"):
        engine(ollama, "llama9").fingerprint()


def test_another_server_at_such_an_address() -> None:
    with running(ChatServer(known=())) as chat:  # it lists models of its own everywhere
        other = OllamaEngine(
            Endpoint(url=chat.url.replace("/v1", "/api"), model="base", role="base")
        )
        with pytest.raises(ModelError, match="is that of Ollama's own API, and this server lists"):
            other.fingerprint()


def test_the_digest_and_the_modelfile_tell_models_apart(ollama: OllamaServer) -> None:
    first = engine(ollama).fingerprint()
    assert engine(ollama).fingerprint() == first
    ollama.digest = "sha256:2"
    second = engine(ollama).fingerprint()
    ollama.shown = {**ollama.shown, "system": "Be terse."}
    assert len({first, second, engine(ollama).fingerprint()}) == 3


MODELFILE = {
    "template": "{{ .Prompt }}",
    "system": "You are \x1b[31mred.",
    "messages": [{"role": "user", "content": "hi"}],
    "parameters": 'repeat_penalty                 1.3\nstop "x"\nmirostat 2\nnum_ctx 2048',
    "renderer": "qwen3-coder",
}


@pytest.mark.parametrize(("own", "left"), [(True, "mirostat 2"), (False, "mirostat 2, repeat_pe")])
def test_what_a_modelfile_adds_is_told(ollama: OllamaServer, own: bool, left: str) -> None:
    ollama.shown = MODELFILE
    url = ollama.api if own else ollama.url
    kind = OllamaEngine if own else ServerEngine
    found = kind(Endpoint(url=url, model="base", role="base"))
    found.fingerprint()
    notes = "\n".join(found.notes)
    assert f"of its Modelfile, {left}" in notes
    assert "num_ctx" not in notes
    assert "its renderer qwen3-coder" in notes
    assert "a system prompt, which prompts without one get there: 'You are" in notes
    assert "puts 1 message before every prompt" in notes


@pytest.mark.parametrize("shown", [{}, {"parameters": 7, "details": "x", "messages": 3}])
def test_an_odd_answer_about_the_model_stops_nothing(ollama: OllamaServer, shown: Any) -> None:
    ollama.shown = shown
    assert answers(engine(ollama), "one")[0].reply is not None


def test_its_prompts_are_looked_at(ollama: OllamaServer) -> None:
    found = engine(ollama)
    assert lost_questions(found) == []
    ollama.renders = lambda messages: f"<|im_start|>{messages[-1]['content'][:30]}"
    (*_, long) = lost_questions(found) or []
    assert "the question is not in the prompt" in long
    ollama.renders = None  # an older release
    with pytest.raises(CapabilityError, match="does not show the prompts"):
        lost_questions(found)
    with pytest.raises(CapabilityError, match="as text, not as token ids"):
        found.render(({"role": "user", "content": "x"},))


def test_its_template_is_compared_with_that_of_the_base(
    ollama: OllamaServer, tmp_path: Path
) -> None:
    """The base is a folder, whose tokenizer reads the text that Ollama shows."""
    pytest.importorskip("transformers")
    from pytest_llmdiff.engines.files.rendering import Renderer
    from pytest_llmdiff.measures.wiring.template.facts import ServedTemplate, template_facts
    from tests.support.tiny_models import save_tokenizer

    save_tokenizer(tmp_path)
    base: Any = SimpleNamespace(renderer=Renderer(tmp_path))
    served = ServedTemplate(engine=engine(ollama), tokenizer=base.renderer.tokenizer)
    talk = (Message(role="system", content="Be terse."), Message(role="user", content="你好"))
    assert served.ids(talk) == base.renderer.ids(talk)
    ollama.renders = lambda messages: f"[INST] {messages[-1]['content']} [/INST]"
    facts = template_facts(engine(ollama), base, None, Training())
    assert any("[INST]" in problem for problem in facts["problems"])
    assert "the base's template (prompts only: " in facts["compared with"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--llmdiff-tokenizer=tokenizer"], "takes messages and no token ids"),
        (['--llmdiff-template-kwargs={"tools": []}'], "takes enable_thinking alone, not tools"),
        (['--llmdiff-server-parameters={"num_predict": 3}'], "give --llmdiff-max-new-tokens"),
    ],
)
def test_what_its_api_does_not_take(
    pytester: pytest.Pytester, ollama: OllamaServer, options: list[str], told: str
) -> None:
    models = (f"--llm-base={ollama.api}#base", f"--llm-tuned={ollama.api}#tuned")
    result = pytester.runpytest(*models, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{told}*"])


@pytest.mark.parametrize(
    ("handler", "refused", "note"),
    [
        (TGIHandler, "top_p", "'org/served' answered"),
        (SGLangHandler, "top_k", "does not accept top_k"),
    ],
)
def test_tgi_and_sglang(handler: Any, refused: str, note: str) -> None:
    with running(ChatServer(), handler) as chat:
        found = ServerEngine(Endpoint(url=chat.url, model="base", role="base"))
        (answer,) = answers(found, "one")
        assert answer.reply is not None
        assert (answer.reply.text, answer.reply.finish_reason) == ("base on one", "stop")
        sent = chat.bodies[-1]
        assert refused not in sent
        assert {"temperature", "seed", "repetition_penalty", "min_p"} <= sent.keys()
        assert any(note in each for each in found.notes)
