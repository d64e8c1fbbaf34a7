"""A LLaMA-Factory template from the call that registers it, without running the call.

Arguments have the meaning that they have in LLaMA-Factory 0.9.5.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.llamafactory.slots import (
    FactoryTemplate,
    Kind,
    NamedSlot,
    Slot,
    TokenSlot,
)
from pytest_llmdiff.data.llamafactory.static_values import (
    DynamicValueError,
    SourceCall,
    evaluate,
)

_PLACEHOLDER = re.compile(r"\{\{[a-zA-Z_][a-zA-Z0-9_]*\}\}")

_KINDS: dict[str, Kind] = {
    "Template": "plain",
    "Llama2Template": "llama2",
    "ReasoningTemplate": "reasoning",
    "Glm47ReasoningTemplate": "glm47",
}

# Arguments that matter only for tools, images and sound, or that a training overrides.
_WITHOUT_EFFECT = (
    "format_function",
    "format_tools",
    "tool_call_words",
    "mm_plugin",
    "enable_thinking",
    "preserve_thinking",
)


class _Arguments(dict[str, Any]):
    """The arguments of a call by name; `take` removes them one by one."""

    def take(self, name: str, default: Any, expected: type | tuple[type, ...]) -> Any:
        value = self.pop(name, None)
        if value is None:
            return default
        if isinstance(value, SourceCall):
            raise DynamicValueError(f"{name} comes from {value.name}, whose value is unknown")
        if not isinstance(value, expected):
            raise DynamicValueError(f"{name} is {value!r}, which is not supported")
        return value


def template_of(
    name: str, call: ast.Call, values: Mapping[str, Any], default_thought: tuple[str, str]
) -> FactoryTemplate:
    """The template that a call of `register_template` registers.

    Raises:
        DynamicValueError: the template depends on running the source, or has unknown arguments.
    """
    # Only the name may be positional: the order of the other arguments changed between versions.
    named = any(k.arg == "name" for k in call.keywords)
    if len(call.args) > (0 if named else 1):
        raise DynamicValueError("it has positional arguments")
    given = _Arguments()
    for keyword in call.keywords:
        if keyword.arg is None:
            raise DynamicValueError("it has ** arguments")
        if keyword.arg not in _WITHOUT_EFFECT and keyword.arg != "name":
            given[keyword.arg] = evaluate(keyword.value, values)

    content: tuple[Slot, ...] = ("{{content}}",)
    efficient_eos = given.take("efficient_eos", False, bool)
    user = _slots(given, "format_user", content)
    template = FactoryTemplate(
        name=name,
        kind=_kind(given),
        user=user,
        assistant=_slots(
            given,
            "format_assistant",
            content if efficient_eos else (*content, NamedSlot(names=("eos_token",))),
        ),
        system=_slots(given, "format_system", content),
        observation=_slots(given, "format_observation", user),
        prefix=_slots(given, "format_prefix", ()),
        default_system=given.take("default_system", "", str),
        stop_words=_texts(given, "stop_words", ()),
        thought_words=_pair(given, default_thought),
        efficient_eos=efficient_eos,
        replace_eos=given.take("replace_eos", False, bool),
        replace_jinja_template=given.take("replace_jinja_template", False, bool),
    )
    if given:
        raise DynamicValueError(f"it has the unknown argument {', '.join(given)}")
    if template.replace_eos and not template.stop_words:
        raise DynamicValueError("replace_eos needs stop_words")
    return template


def _kind(given: _Arguments) -> Kind:
    reference = given.pop("template_class", SourceCall.reference("Template"))
    if not isinstance(reference, SourceCall) or reference.is_call or reference.name not in _KINDS:
        raise DynamicValueError(
            f"template_class is {getattr(reference, 'name', reference)}; "
            f"supported are {', '.join(_KINDS)}"
        )
    return _KINDS[reference.name]


def _slots(given: _Arguments, name: str, default: tuple[Slot, ...]) -> tuple[Slot, ...]:
    formatter = given.pop(name, None)
    if formatter is None:
        return default
    known = ("StringFormatter", "EmptyFormatter")
    if not isinstance(formatter, SourceCall) or formatter.name not in known:
        shown = formatter.name if isinstance(formatter, SourceCall) else repr(formatter)
        raise DynamicValueError(f"{name} is {shown}; supported are {', '.join(known)}")
    arguments = dict(formatter.keywords)
    slots = arguments.pop("slots", formatter.args[0] if formatter.args else ())
    if arguments or len(formatter.args) > 1 or not isinstance(slots, (list, tuple, str)):
        raise DynamicValueError(f"{name} has arguments other than a list of slots")
    # A plain string becomes its characters, which LLaMA-Factory tokenizes one by one.
    result = tuple(_slot(name, slot) for slot in slots)
    has_placeholder = any(isinstance(s, str) and _PLACEHOLDER.search(s) for s in result)
    if has_placeholder != (formatter.name == "StringFormatter"):
        raise DynamicValueError(
            f"{name} is a {formatter.name} {'with' if has_placeholder else 'without'} a placeholder"
        )
    return result


def _slot(name: str, value: object) -> Slot:
    if isinstance(value, str):
        return value
    if isinstance(value, (set, frozenset)) and all(isinstance(item, str) for item in value):
        return NamedSlot(names=tuple(sorted(value)))
    if isinstance(value, dict) and isinstance(value.get("token"), str):
        return TokenSlot(token=value["token"])
    raise DynamicValueError(f"{name} has the slot {value!r}, which is not supported")


def _texts(given: _Arguments, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value: Sequence[object] = given.take(name, default, (list, tuple)) or default
    if not all(isinstance(text, str) for text in value):
        raise DynamicValueError(f"{name} is {value!r}; expected a list of texts")
    return tuple(str(text) for text in value)


def _pair(given: _Arguments, default: tuple[str, str]) -> tuple[str, str]:
    texts = _texts(given, "thought_words", default)
    if len(texts) != 2:
        raise DynamicValueError(f"thought_words is {texts!r}; expected two texts")
    return texts[0], texts[1]


# Differences between versions of LLaMA-Factory


def default_thought_words(tree: ast.Module) -> tuple[str, str]:
    """The words of `thought_words or (...)` in the source; they differ between versions."""
    for node in ast.walk(tree):
        match node:
            case ast.BoolOp(op=ast.Or(), values=[ast.Name(id="thought_words"), words]):
                try:
                    first, last = ast.literal_eval(words)
                except (ValueError, TypeError):
                    continue
                return str(first), str(last)
    return ("<think>\n", "\n</think>\n\n")


def check_thoughts(template: FactoryTemplate, tree: ast.Module) -> None:
    """Refuses versions that join thoughts differently: older ones put line breaks between them.

    Raises:
        DynamicValueError: the template has thoughts, and the source joins them differently.
    """
    if template.kind not in ("reasoning", "glm47"):
        return
    methods = [
        method
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "Template"
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "add_thought"
    ]
    if not all(map(_joins_words, methods)):
        raise DynamicValueError("this version writes empty thoughts differently")


def _joins_words(method: ast.FunctionDef) -> bool:
    joined = ast.parse('f"{self.thought_words[0]}{self.thought_words[1]}" + content', mode="eval")
    last = method.body[-1]
    return (
        isinstance(last, ast.Return)
        and last.value is not None
        and ast.dump(last.value) == ast.dump(joined.body)
    )
