"""Reads the chat templates of LLaMA-Factory from the user's copy of its source.

`llamafactory/data/template.py` is parsed but never imported, because the package pins other
versions of transformers and peft than the ones in use here.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.devices import refuse_device
from pytest_llmdiff.data.llamafactory.registration import (
    check_thoughts,
    default_thought_words,
    template_of,
)
from pytest_llmdiff.data.llamafactory.slots import FactoryTemplate, NamedSlot, Slot, TokenSlot
from pytest_llmdiff.data.llamafactory.static_values import (
    DynamicValueError,
    assign_names,
    evaluate,
)
from pytest_llmdiff.errors import ConfigError

__all__ = [
    "FactoryTemplate",
    "FactoryTemplates",
    "NamedSlot",
    "Slot",
    "TokenSlot",
    "factory_template",
    "find_template_file",
    "read_templates",
]

_OPTION = "--llmdiff-llamafactory"
_INSIDE = Path("llamafactory", "data", "template.py")


class FactoryTemplates(dict[str, FactoryTemplate]):
    """Templates by name. Looking up one that cannot be read raises its `ConfigError`."""

    def __init__(self, found: dict[str, FactoryTemplate], unreadable: dict[str, str]) -> None:
        super().__init__(found)
        self.unreadable = unreadable

    def __missing__(self, name: str) -> FactoryTemplate:
        if name in self.unreadable:
            raise ConfigError(self.unreadable[name])
        raise KeyError(name)


def factory_template(name: str, given: Path | None) -> FactoryTemplate:
    """The template of this name, from the source at `given` or from the installed package.

    Raises:
        ConfigError: there is no source, no such template, or it cannot be read without running it.
    """
    file = find_template_file(given)
    templates = read_templates(file)
    known = sorted({*templates, *templates.unreadable})
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        suggestion = f" (did you mean {', '.join(map(repr, close))}?)" if close else ""
        raise ConfigError(
            f"LLaMA-Factory has no template {name!r}{suggestion}; {file} registers {len(known)}"
        )
    return templates[name]


# Locating the source


def find_template_file(given: Path | None) -> Path:
    """LLaMA-Factory's `data/template.py`; None looks for the installed package.

    Raises:
        ConfigError: it is not there.
    """
    if given is None:
        folders = _installed_folders()
        tried = [folder / "data" / "template.py" for folder in folders]
        problem = "LLaMA-Factory is not installed here"
        if folders:
            problem = "the package llamafactory that is installed here has no data/template.py"
    elif given.is_file() and given.suffix == ".py":
        return given
    else:
        tried = [given / "src" / _INSIDE, given / _INSIDE, given / "data" / "template.py"]
        problem = f"{given} does not exist"
        if given.is_file():
            problem = f"{given} is a file but not Python source"
        elif given.exists():
            problem = f"{given} has neither src/{_INSIDE.as_posix()} nor {_INSIDE.as_posix()}"
    for path in tried:
        if path.is_file():
            return path
    raise ConfigError(
        f"the chat templates of LLaMA-Factory were not found: {problem}; "
        f"{_OPTION} takes a checkout, an unpacked wheel or the package folder"
    )


def _installed_folders() -> list[Path]:
    # For a name without a dot, this finds the package without importing it.
    try:
        spec = importlib.util.find_spec("llamafactory")
    except (ImportError, ValueError):
        return []
    return [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]


# From source to templates


def read_templates(file: Path) -> FactoryTemplates:
    """All templates that the source registers, by name.

    Raises:
        ConfigError: the file cannot be read or parsed, or registers no template. A template that
            cannot be read without running the source raises it when it is looked up.
    """
    tree = _parse(file)
    found: dict[str, FactoryTemplate] = {}
    unreadable: dict[str, str] = {}
    values: dict[str, Any] = {}
    nameless: list[int] = []
    default_thought = default_thought_words(tree)
    for statement in tree.body:
        top = statement.value if isinstance(statement, ast.Expr) else None
        calls = list(_registrations(statement))
        for call in calls:
            place = f"{file}, line {call.lineno}"
            name = _name(call, values)
            if name is None:
                nameless.append(call.lineno)
                continue
            try:
                if call is not top:
                    raise DynamicValueError("it is registered inside another statement")
                if name in found or name in unreadable:
                    raise DynamicValueError("it is registered twice")
                found[name] = template_of(name, call, values, default_thought)
                check_thoughts(found[name], tree)
            except DynamicValueError as error:
                found.pop(name, None)
                unreadable[name] = (
                    f"{place}: the template {name!r} cannot be read without running the source: "
                    f"{error}; name another template, or give LLaMA-Factory 0.9.5 "
                    f"with {_OPTION}"
                )
        if not isinstance(top, ast.Call) or top not in calls:
            assign_names(statement, values)
    if not found and not unreadable:
        lines = f" with a name that can be read (see line {nameless[0]})" if nameless else ""
        raise ConfigError(
            f"{file} registers no chat template{lines}; "
            f"expected the data/template.py of LLaMA-Factory ({_OPTION})"
        )
    return FactoryTemplates(found, unreadable)


def _parse(file: Path) -> ast.Module:
    try:
        # As bytes, so that Python handles a byte-order mark or a coding line.
        refuse_device(file)
        return ast.parse(file.read_bytes(), filename=str(file))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror})") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ConfigError(
            f"{file}{line}: this is not Python source that can be parsed ({error}); "
            f"expected the data/template.py of LLaMA-Factory ({_OPTION})"
        ) from error


def _registrations(statement: ast.stmt) -> Iterator[ast.Call]:
    for node in ast.walk(statement):
        match node:
            case ast.Call(func=ast.Name(id="register_template")):
                yield node


def _name(call: ast.Call, values: dict[str, Any]) -> str | None:
    nodes = [k.value for k in call.keywords if k.arg == "name"] or call.args[:1]
    try:
        name = evaluate(nodes[0], values) if nodes else None
    except DynamicValueError:
        return None
    return name if isinstance(name, str) else None
