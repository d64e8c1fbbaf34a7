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
    """Read the template, the default system message and the stop words.

    A Modelfile says less than a template: it knows no thoughts and no tool results, not where
    one slot ends and the next begins, not that an end-of-sequence token follows the last answer
    only (`efficient_eos`), and puts a system message before the user's slots where a template
    such as `llama2` puts it inside them. Special tokens are text in it. LLaMA-Factory fails on a
    template with `{"token": ...}` slots and leaves an empty file.

    Raises:
        ConfigError: the Modelfile has another shape.
    """
    block = _block(text, "TEMPLATE")
    if block is None:
        raise _shape("there is no TEMPLATE in triple quotes")
    found = _TEMPLATE.fullmatch(block)
    if found is None:
        raise _shape("its TEMPLATE is built in another way")
    user = _slot(found["user"], ".Content", "user")
    return FactoryTemplate(
        name="Modelfile",
        kind="plain",
        user=(user,),
        assistant=(_slot(found["assistant"], ".Content", "assistant"),),
        system=(_slot(found["system"], ".System", "system"),),
        observation=(user,),
        prefix=(found["prefix"],) if found["prefix"] else (),
        default_system=_block(text, "SYSTEM") or "",
        stop_words=tuple(re.findall(r'^PARAMETER stop "(.*)"$', text, re.MULTILINE)),
        thought_words=("<think>\n", "\n</think>\n\n"),
        efficient_eos=False,
        replace_eos=False,
        replace_jinja_template=False,
    )


def _block(text: str, name: str) -> str | None:
    found = re.search(_BLOCK.format(name), text, re.DOTALL | re.MULTILINE)
    return None if found is None else found[1]


def _slot(text: str, variable: str, role: str) -> str:
    placeholder = "{{ " + variable + " }}"
    if text.count(placeholder) != 1:
        raise _shape(f"the {role} part of its TEMPLATE holds {placeholder} not exactly once")
    return text.replace(placeholder, "{{content}}")


def _shape(problem: str) -> ConfigError:
    return ConfigError(
        f"this Modelfile is not one that LLaMA-Factory exports: {problem}; "
        "name the template of the training instead"
    )
