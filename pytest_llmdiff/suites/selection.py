"""A suite that is named runs completely, whatever names the project gives its own tests."""

from __future__ import annotations

import ast
import difflib
import fnmatch
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.suites.arguments import (
    HERE,
    SUITES,
    in_suites,
    is_quick,
    is_suite,
    modules_of,
)
from pytest_llmdiff.suites.languages import WRITTEN, is_written, note

PACKAGE = "pytest_llmdiff"
LIGHT = {"toxicity": "profanity-check", "explain": "none"}  # where the quick suite runs alone


def check_selection(config: pytest.Config) -> None:
    """Check the arguments that name suites, or seem to.

    Raises:
        ConfigError: there is no such suite, its name is incomplete or lacks `--pyargs`, or the
            project's `python_files` or `python_functions` leave some of its tests out.
    """
    for argument in config.args:
        module, *names = argument.partition("[")[0].split("::")
        if (meant := _meant(module, config)) is not None:
            raise ConfigError(
                f"{module} is neither a file nor a folder; did you mean pytest --pyargs {meant}?"
            )
        if not config.getoption("pyargs") or not in_suites(module):
            continue
        missing = _missing(_path(module), names, config)
        if not missing:
            continue
        causes = " and ".join(
            f"{name} is {' '.join(config.getini(name))!r} and must include {value}"
            for name, value in missing.items()
        )
        options = " ".join(f'-o "{name}={value}"' for name, value in missing.items())
        raise ConfigError(
            f"{argument} would leave tests out: {causes}; add that, or give {options} for this run"
        )


def suite_settings(config: pytest.Config, settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings of a run with ready-made suites, and what the header says of them.

    A run of the quick suite alone is quick, unless options say otherwise: its scorer needs no
    download, and nothing is explained, which would take longer than all else.
    """
    modules = modules_of(config)
    if not any(map(is_suite, modules)):
        return settings, ()
    light: dict[str, Any] = {
        name: value for name, value in LIGHT.items() if settings.sources[name] == "default"
    }
    if light and all(map(is_quick, modules)):
        sources = {**settings.sources, **dict.fromkeys(light, "suite")}
        settings = replace(settings, **light, sources=sources)
    unwritten = [code for code in settings.languages or () if not is_written(code)]
    if unwritten:
        raise ConfigError(
            f"--llmdiff-languages: the suites are written in {' and '.join(WRITTEN)}, not "
            f"in {', '.join(unwritten)}"
        )
    said = note(settings)
    return settings, () if said is None else (said,)


def _meant(argument: str, config: pytest.Config) -> str | None:
    """What was meant by an argument that is no path and cannot be run as it stands; else None."""
    pyargs = config.getoption("pyargs")
    if (config.invocation_params.dir / argument).exists() or (pyargs and in_suites(argument)):
        return None
    if argument.startswith(f"{PACKAGE}."):
        inside = HERE.parent.joinpath(*argument.split(".")[1:])
        if inside.exists() or inside.with_suffix(".py").exists():
            return argument if in_suites(argument) else None
        return next(iter(difflib.get_close_matches(argument, [*_known(), SUITES], n=1, cutoff=0)))
    names = {suite.rpartition(".")[2]: suite for suite in _known()}
    close = difflib.get_close_matches(argument, names, n=1, cutoff=0.8)
    if not close or (pyargs and find_spec(close[0]) is not None):
        return None
    return names[close[0]]


def _known() -> list[str]:
    return sorted({f"{SUITES}.{file.parent.name}" for file in HERE.glob("*/test_*.py")})


def _missing(path: Path, names: Sequence[str], config: pytest.Config) -> dict[str, str]:
    """What the settings must add to collect the tests under a path, or the ones that are named."""
    files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    wanted = names[:1] or [name for file in files for name in _functions(file)]
    missing = {}
    # pytest collects a file that is named on the command line, whatever its name.
    if path.is_dir() and not all(_file_matches(f, config.getini("python_files")) for f in files):
        missing["python_files"] = "test_*.py"
    if not all(_function_matches(name, config.getini("python_functions")) for name in wanted):
        missing["python_functions"] = "test_"
    return missing


def _path(module: str) -> Path:
    path = HERE.joinpath(*module.split(".")[2:])
    if path.is_dir():
        return path
    if path.name.startswith("test_") and path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    # pytest reports it too, but not under xdist, where the workers see it first.
    known = _known()
    close = difflib.get_close_matches(module, known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise ConfigError(f"there is no suite {module}{hint}; there is {', '.join(known)}")


def _functions(file: Path) -> Iterator[str]:
    # Parsed, not imported: pytest rewrites assertions when it imports the file itself.
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name


def _file_matches(file: Path, patterns: Sequence[str]) -> bool:
    """Like pytest: a pattern with a slash is matched against the end of the whole path."""
    for pattern in patterns:
        local = pattern.replace("/", os.sep)
        if os.sep not in local:
            matches = fnmatch.fnmatch(file.name, local)
        else:
            whole = local if Path(local).is_absolute() else f"*{os.sep}{local}"
            matches = fnmatch.fnmatch(str(file), whole)
        if matches:
            return True
    return False


def _function_matches(name: str, prefixes: Sequence[str]) -> bool:
    """Like pytest: a prefix, or a pattern if it has a wildcard."""
    return any(
        name.startswith(prefix) or (set("*?[") & set(prefix) and fnmatch.fnmatch(name, prefix))
        for prefix in prefixes
    )
