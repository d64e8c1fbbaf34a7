"""The chat template in the Ollama `Modelfile` that LLaMA-Factory's export writes."""

from __future__ import annotations

import re

from pytest_llmdiff.data.llamafactory.templates import FactoryTemplate
from pytest_llmdiff.errors import ConfigError

_BLOCK = r'^{} """(.*?)"""$'
_TEMPLATE = re.compile(
    r"(?P<prefix>.*?)\{\{ if \.System \}\}(?P<system>.*?)\{\{ end \}\}"
    r'\{\{ range \.Messages \}\}\{\{ if eq \.Role "user" \}\}(?P<user>.*?)'
    r'\{\{ else if eq \.Role "assistant" \}\}(?P<assistant>.*?)\{\{ end \}\}\{\{ end \}\}',
    re.DOTALL,
)


def template_of_modelfile(text: str) -> FactoryTemplate:
    """The template, with its default system message and stop words.

    A Modelfile has less information than a template. It lacks the markup of thoughts and tool
    results, the borders between slots, and the fact that an end-of-sequence token follows only the
    last answer (`efficient_eos`). It puts a system message before the user's slots, where a
    template such as `llama2` puts it inside them. Special tokens are plain text in it. For a
    template with `{"token": ...}` slots, LLaMA-Factory fails and leaves an empty file.

    Raises:
        ConfigError: the Modelfile has a different structure.
    """
    block = _block(text, "TEMPLATE")
    if block is None:
        raise _shape("there is no TEMPLATE in triple quotes")
    match = _TEMPLATE.fullmatch(block)
    if match is None:
        raise _shape("its TEMPLATE has a different structure")
    user = _slot(match["user"], ".Content", "user")
    return FactoryTemplate(
        name="Modelfile",
        kind="plain",
        user=(user,),
        assistant=(_slot(match["assistant"], ".Content", "assistant"),),
        system=(_slot(match["system"], ".System", "system"),),
        observation=(user,),
        prefix=(match["prefix"],) if match["prefix"] else (),
        default_system=_block(text, "SYSTEM") or "",
        stop_words=tuple(re.findall(r'^PARAMETER stop "(.*)"$', text, re.MULTILINE)),
        thought_words=("<think>\n", "\n</think>\n\n"),
        efficient_eos=False,
        replace_eos=False,
        replace_jinja_template=False,
    )


def _block(text: str, name: str) -> str | None:
    match = re.search(_BLOCK.format(name), text, re.DOTALL | re.MULTILINE)
    return None if match is None else match[1]


def _slot(text: str, variable: str, role: str) -> str:
    placeholder = "{{ " + variable + " }}"
    if text.count(placeholder) != 1:
        raise _shape(f"the {role} part of its TEMPLATE does not contain {placeholder} exactly once")
    return text.replace(placeholder, "{{content}}")


def _shape(problem: str) -> ConfigError:
    return ConfigError(
        f"this Modelfile is not one that LLaMA-Factory exports: {problem}; "
        "name the template of the training instead"
    )
