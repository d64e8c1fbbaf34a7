"""Tools with the real chat model: its own template leaves them out, which is told; with a template
that shows them, it is asked with them and its replies are judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.measures.tool_calls import FAULTS
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import run

pytestmark = pytest.mark.slow

SUITE = """
import pytest
from pytest_llmdiff import tool_calls

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"name": "get_weather", "description": "The weather of a city.", "parameters": CITY}]

@pytest.mark.llmdiff(
    "Is it sunny in Paris? Use the tool.",
    reference='{"name": "get_weather", "arguments": {"city": "Paris"}}', tools=TOOLS,
)
@pytest.mark.llmdiff("Thank you!", reference="none", tools=TOOLS, max_new_tokens=24)
def test_calls(comparison):
    found = tool_calls(comparison)
    assert found.details["fault"] == found.details["base_fault"], "it is the same model"
    print("FAULT", comparison.probe.prompt, found.details["fault"], sep="|")
"""
# As the templates of Qwen and Hermes write tools.
TEMPLATE = (
    "<|im_start|>system\nYou may call functions. Tools:\n<tools>"
    "{% for tool in tools or [] %}\n{{ tool | tojson }}{% endfor %}\n</tools>\nFor a call, answer "
    'with <tool_call>{"name": NAME, "arguments": ARGUMENTS}</tool_call><|im_end|>\n'
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    found = tmp_path_factory.mktemp("tools")
    expanded.into(found / ".llmdiff")
    (found / "test_tools.py").write_text(SUITE, encoding="utf-8")
    (found / "tools.jinja").write_text(TEMPLATE, encoding="utf-8")
    return found


def rows(folder: Path) -> list[dict[str, Any]]:
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return [comparison for test in report["tests"] for comparison in test["comparisons"]]


def test_its_own_template_leaves_tools_out(folder: Path) -> None:
    found = run(folder, "--llm-base", BASE, "--llm-tuned", BASE)
    assert found.returncode == 1, found.stdout
    assert found.stdout.count("the chat template leaves out the tools of this conversation") >= 2


def test_with_a_template_that_shows_them(folder: Path) -> None:
    options = ["--llm-base", BASE, "--llm-tuned", BASE, "--llmdiff-template", "tools.jinja", "-s"]
    found = run(folder, *options, "--llmdiff-json", "report.json")
    assert found.returncode == 0, found.stdout
    told = [part.splitlines()[0].split("|") for part in found.stdout.split("FAULT|")[1:]]
    assert len(told) == 2
    assert all(fault in (*FAULTS, "None") for _, fault in told), told
    for comparison in rows(folder):
        assert comparison["messages"][0]["tools"][0]["function"]["name"] == "get_weather"
        assert comparison["base"]["prompt_tokens"] > 80, "the tools are in the prompt"
    again = run(folder, *options)
    assert again.returncode == 0, again.stdout
    assert "LOADED []" in again.stdout
