"""A template that would never end, or take all memory, is refused; the next one is rendered."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest
from transformers import PreTrainedTokenizerBase

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.engines.files.rendering import Renderer
from pytest_llmdiff.engines.files.template_process import ChatTemplates, chat_templates
from pytest_llmdiff.errors import ProbeError
from tests.support.tiny_models import save_tokenizer

CHAT = (Message(role="system", content="be\nkind"), Message(role="user", content="你好 \ud7ff"))
PLAIN = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m['content'] | trim }}{% endfor %}"
LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}"


@pytest.fixture(scope="module")
def process() -> Iterator[ChatTemplates]:
    process = ChatTemplates()
    yield process
    process.close()


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(LOOP + "{% endfor %}" * 3, id="loops"),
        pytest.param("{{ 9 ** (9 ** 9) }}", id="one operation"),
        pytest.param(
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
            "{{ f(80) }}",
            id="macros that call themselves twice",
        ),
    ],
)
def test_what_does_not_end_is_tried_once(template: str) -> None:
    process = ChatTemplates(seconds=1)
    for _ in range(30):  # 30 seconds, were each tried
        with pytest.raises(ProbeError, match=r"within 1 seconds .* it is tried once"):
            process.render(CHAT, template)
    assert process.render(CHAT, PLAIN, bos_token="<s>") == "<s>[system]be\nkind[user]你好 \ud7ff"
    process.close()


@pytest.mark.parametrize(
    ("template", "told"),
    [
        pytest.param("{{ '%999999999d' % 1 }}", "", id="a wide field"),
        pytest.param("{{ ('a' * 10 ** 10) | length }}", "more than 1 GB", id="a long text"),
        pytest.param("{{ 'a' | center(10 ** 10) }}", "more than 1 GB", id="a filter"),
        pytest.param(
            "{% set n = namespace(s='a') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}"
            "{% endfor %}",
            "more than 1 GB",
            id="doubling",
        ),
        pytest.param("{{ 'a' * 2 * 10 ** 7 }}", "makes 20,000,000 characters", id="a long prompt"),
        pytest.param(
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself", id="recursion"
        ),
        pytest.param("{{ 1 / 0 }}", "division by zero", id="an error"),
        pytest.param("{{ raise_exception('no system') }}", "no system", id="a refusal"),
        pytest.param("{% if %}", "Expected an expression", id="a broken template"),
    ],
)
def test_what_is_refused(process: ChatTemplates, template: str, told: str) -> None:
    with pytest.raises(ProbeError, match=f"the chat template .*{told}"):
        process.render(CHAT, template)
    assert process.render(CHAT, PLAIN, bos_token="<s>") == "<s>[system]be\nkind[user]你好 \ud7ff"


@pytest.mark.parametrize("more", [{}, {"add_generation_prompt": True, "deep": {"a": [1, None]}}])
def test_it_renders_as_transformers_does(process: ChatTemplates, more: dict[str, object]) -> None:
    template = PLAIN + "{% if add_generation_prompt %}<a>{{ deep | tojson }}{% endif %}{{ tools }}"

    class Tokenizer(PreTrainedTokenizerBase):  # type: ignore[misc]
        special_tokens_map = MappingProxyType({"bos_token": "<s>"})
        chat_template = None

        def __init__(self) -> None:
            pass

    wanted = Tokenizer().apply_chat_template(
        [dict(message) for message in CHAT], chat_template=template, tokenize=False, **more
    )
    assert process.render(CHAT, template, bos_token="<s>", **more) == wanted


def test_one_process_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat_templates() is chat_templates()
    ours = chat_templates()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert chat_templates() is not ours


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_it_ends_with_the_process_that_asks() -> None:
    import subprocess

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from pytest_llmdiff.engines.files.template_process import chat_templates as t\n"
            "t().render([{'role': 'user', 'content': 'a'}], '{{ messages }}')\n"
            "print(t()._process.pid)\n",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_the_templates_of_models_are_rendered_there(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    with pytest.raises(ProbeError, match="more than 1 GB"):
        Renderer(tmp_path, template="{{ ('a' * 10 ** 10) | length }}").text(CHAT)
    assert Renderer(tmp_path, template=PLAIN).text(CHAT).endswith("[user]你好 \ud7ff")
