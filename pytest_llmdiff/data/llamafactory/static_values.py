"""Evaluates Python expressions whose values are known without running any code."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The longest text of LLaMA-Factory's templates, a system message, has some 1,000 characters. A text
# that is doubled in each of 40 lines has 10^12.
LONGEST = 1_000_000


class DynamicValueError(ValueError):
    """The value depends on running the source."""


@dataclass(frozen=True, kw_only=True)
class SourceCall:
    """A call as written in the source; with `is_call` False, a name whose value is unknown."""

    name: str
    args: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    is_call: bool = True

    @classmethod
    def reference(cls, name: str) -> SourceCall:
        return cls(name=name, is_call=False)


def evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """The value of an expression of literals, `+`, f-strings, known names and calls by name.

    Raises:
        DynamicValueError: it contains anything else, or is longer than any template.
    """
    return _bounded(node, _evaluated(node, values))


def _evaluated(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return values[name] if name in values else SourceCall.reference(name)
        case ast.List(elts=items):
            return [_known(item, values) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_known(item, values) for item in items)
        case ast.Set() | ast.Dict():
            return _hashed(node, values)
        case ast.JoinedStr(values=parts):
            return "".join(_bounded(node, [_text(part, values) for part in parts]))
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            first, second = _known(left, values), _known(right, values)
            if type(first) is type(second) and isinstance(first, (str, list, tuple)):
                return first + second
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            if all(keyword.arg is not None for keyword in keywords):
                return SourceCall(
                    name=name,
                    args=tuple(_known(arg, values) for arg in args),
                    keywords={str(k.arg): _known(k.value, values) for k in keywords},
                )
    raise DynamicValueError(f"the value of {_shown(node)} in line {node.lineno} is not fixed")


def assign_names(statement: ast.stmt, values: dict[str, Any]) -> None:
    """Updates `values`, the known values of names, by a statement of a module."""
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            try:
                result = evaluate(value, values)
            except DynamicValueError:
                result = None
            _forget(statement, values)
            if result is not None:
                values[name] = result
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            # Names inside it are local.
            values.pop(statement.name, None)
        case _:
            _forget(statement, values)


def _forget(statement: ast.stmt, values: dict[str, Any]) -> None:
    for node in ast.walk(statement):
        if isinstance(node, ast.alias):
            values.pop(node.asname or node.name, None)
        elif isinstance(node, ast.Name):
            # Whoever gets a list may change it.
            fixed = isinstance(values.get(node.id), (str, bool, int, tuple))
            if not (fixed and isinstance(node.ctx, ast.Load)):
                values.pop(node.id, None)


def _bounded(node: ast.expr, value: Any) -> Any:
    """The value, if it has not too many characters and values; what it holds twice counts twice."""
    left, rest = LONGEST, [value]
    while rest:
        item = rest.pop()
        left -= len(item) if isinstance(item, (str, bytes)) else 1
        if left < 0:
            raise DynamicValueError(
                f"the value in line {node.lineno} has more than {LONGEST:,} characters"
            )
        if isinstance(item, SourceCall):
            rest += [item.args, item.keywords]
        elif isinstance(item, Mapping):
            rest += [*item, *item.values()]
        elif isinstance(item, (list, tuple, set)):
            rest += item
    return value


def _known(node: ast.expr, values: Mapping[str, Any]) -> Any:
    value = evaluate(node, values)
    if isinstance(value, SourceCall):
        raise DynamicValueError(f"the value of {_shown(node)} in line {node.lineno} is not fixed")
    return value


def _hashed(node: ast.Set | ast.Dict, values: Mapping[str, Any]) -> Any:
    try:
        if isinstance(node, ast.Set):
            return {_known(item, values) for item in node.elts}
        if all(key is not None for key in node.keys):
            pairs = zip(node.keys, node.values, strict=True)
            return {_known(k, values): _known(v, values) for k, v in pairs if k is not None}
    except TypeError as error:
        raise DynamicValueError(f"{_shown(node)} in line {node.lineno}: {error}") from error
    raise DynamicValueError(f"the value of {_shown(node)} in line {node.lineno} is not fixed")


def _text(part: ast.expr, values: Mapping[str, Any]) -> str:
    if isinstance(part, ast.FormattedValue) and part.conversion == -1 and part.format_spec is None:
        part = part.value
    value = _known(part, values)
    if not isinstance(value, str):
        raise DynamicValueError(f"{_shown(part)} in line {part.lineno} is not a text")
    return value


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:57]}..."
