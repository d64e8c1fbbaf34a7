"""Templates that lose or alter what is asked, and ordinary ones that only look like it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_llmdiff.data.llamafactory.templates import FactoryTemplate
from pytest_llmdiff.engines.files.rendering import FactoryRenderer, Renderer
from pytest_llmdiff.measures.wiring.template.question import LOST, QUESTIONS, lost_questions
from tests.support.tiny_models import CHATML, save_tokenizer

TURN = "<|im_start|>{{ m['role'] }}\n%s<|im_end|>\n"
LOOP = "{%% for m in messages %%}%s{%% endfor %%}<|im_start|>assistant\n"


def looped(content: str) -> str:
    return LOOP % (TURN % content)


PARTS = looped("{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}{% endif %}"
               "{% endfor %}")  # fmt: skip
SHAREGPT = "{% for m in messages %}{{ m['from'] }}: {{ m['value'] }}\n{% endfor %}"
EVERY = len(QUESTIONS)


def found(folder: Path, template: str) -> list[str]:
    save_tokenizer(folder, template=None)
    engine: Any = SimpleNamespace(renderer=Renderer(folder, template=template))
    lost = lost_questions(engine)
    assert lost is not None
    return lost


@pytest.mark.parametrize(
    ("template", "count", "words"),
    [
        (PARTS, EVERY, "as a list of parts"),
        (SHAREGPT, EVERY, "ShareGPT's keys"),
        (looped("{{ m['content'] | upper }}"), EVERY - 1, "changes upper and lower case"),
        (looped("{{ m['content'][:500] }}"), 1, "cuts it after 500 characters"),
        (looped("{{ m['content'] | truncate(300) }}"), 1, "cuts it after"),
        (looped("{{ m['content'] | e }}"), 1, "code"),
        (LOOP % "" , EVERY, LOST),
        ("{{ messages[-1]['content'] }}", 1, "the first of two questions"),
        ("{{ messages[0]['content'] }}", 2, "a question after a system prompt"),
        (looped("{% if m['role'] == 'user' and loop.last %}{{ m['content'] }}{% endif %}"), 1,
         "the first of two questions"),
        ("{{ raise_exception('no') }}", 1, "refuses this conversation"),
        (looped("{{ m['content'].encode('ascii', 'ignore').decode() }}"), 2, "Chinese"),
    ],
)  # fmt: skip
def test_a_template_that_loses_the_question(
    tmp_path: Path, template: str, count: int, words: str
) -> None:
    findings = found(tmp_path, template)
    assert len(findings) == count, findings
    assert all(finding.startswith(LOST) for finding in findings)
    assert any(words in finding for finding in findings), findings


@pytest.mark.parametrize(
    "template",
    [
        CHATML,
        looped("{{ m['content'] | trim }}"),
        # As Qwen2.5-VL and others: both shapes.
        looped("{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content']"
               " %}{{ c['text'] }}{% endfor %}{% endif %}"),
        # As Gemma: no system prompt.
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        + CHATML,
        # As reasoning models: the thoughts of earlier answers are dropped.
        looped("{{ m['content'].split('</think>')[-1] if m['role'] == 'assistant' else "
               "m['content'] }}"),
    ],
    ids=["chatml", "trimmed", "both shapes", "no system", "thoughts"],
)  # fmt: skip
def test_an_ordinary_template(tmp_path: Path, template: str) -> None:
    assert found(tmp_path, template) == []


@pytest.mark.parametrize(("slot", "count"), [("{{content}}", 0), ("Hello", EVERY)])
def test_a_template_of_llamafactory(tmp_path: Path, slot: str, count: int) -> None:
    save_tokenizer(tmp_path)
    template = FactoryTemplate(
        name="mine", kind="plain", user=(f"<|im_start|>user\n{slot}<|im_end|>\n",),
        assistant=("{{content}}",), system=("{{content}}",), observation=("{{content}}",),
        prefix=(), default_system="", stop_words=(), thought_words=("<think>", "</think>"),
        efficient_eos=False, replace_eos=False, replace_jinja_template=False,
    )  # fmt: skip
    engine: Any = SimpleNamespace(renderer=FactoryRenderer(tmp_path, template=template))
    engine.render = engine.renderer.ids
    lost = lost_questions(engine)
    assert lost is not None
    assert len(lost) == count


@pytest.mark.parametrize(("template", "count"), [(CHATML, 0), (PARTS, EVERY)])
def test_a_server_that_shows_its_prompts(tmp_path: Path, template: str, count: int) -> None:
    save_tokenizer(tmp_path)
    ours, theirs = Renderer(tmp_path), Renderer(tmp_path, template=template)
    engine: Any = SimpleNamespace(rendered=theirs.ids, render=theirs.ids)
    lost = lost_questions(engine, ours)
    assert lost is not None
    assert len(lost) == count


def test_an_engine_that_shows_no_prompt() -> None:
    engine: Any = SimpleNamespace(render=lambda _: [1])
    assert lost_questions(engine) is None
