"""Code and files from elsewhere: `module:object` references, packages, versions, warnings."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import io
import reprlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.errors import ConfigError, LLMDiffError

# What a user's code may raise. pytest's outcomes and `sys.exit()` are not `Exception`s; outside a
# test they would end the run with an internal error. KeyboardInterrupt and `pytest.exit` pass.
RAISED = (Exception, SystemExit, pytest.skip.Exception, pytest.fail.Exception)


def load_object(reference: str, *, what: str) -> Any:
    """Import `module:object`, where dots in the object part reach attributes.

    Raises:
        ConfigError: the reference has a different form, or its module or object does not exist.
    """
    module_name, colon, attribute = reference.partition(":")
    if not (module_name and colon and attribute):
        raise ConfigError(f"{what}: {reference!r} is not of the form module:object")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"{what}: cannot import {module_name!r} ({error}); is its folder in pytest's "
            "`pythonpath` setting?"
        ) from error
    except RAISED as error:
        raise ConfigError(
            f"{what}: {module_name!r} raised {type(error).__name__} on import: {error}"
        ) from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise ConfigError(f"{what}: {module_name!r} has no {attribute!r}") from error
    return found


def called(make: Callable[[], Any], *, what: str, error: type[LLMDiffError] = ConfigError) -> Any:
    """Call a user's object without arguments. Whatever it raises becomes an `error`."""
    try:
        return make()
    except RAISED as raised:
        raise error(
            f"{what} raised {type(raised).__name__} when it was called without arguments: {raised}"
        ) from raised


def given_path(text: str, folder: Path, *, what: str) -> Path:
    """The path that a user's text names, relative to `folder`. It need not exist.

    Raises:
        ConfigError: it is not a valid path on this system, or may not be accessed.
    """
    try:
        path = folder / Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such home, no permission
        reason = getattr(error, "strerror", None) or error
        shown = reprlib.repr(text)
        raise ConfigError(f"{what}: {shown} cannot be used as a path ({reason})") from error
    return path


def package_path(reference: str, *, what: str) -> Path:
    """Find `NAME/PATH` inside an installed package without importing the package.

    Model wheels often import runtimes that are not installed here, although only their files are
    needed.
    """
    name, _, inner = reference.partition("/")
    try:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"{what}: no installed package named {name!r} (given package:{reference}); "
            "the form is package:NAME/PATH with the name as it is imported"
        )
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    for folder in folders:
        if (folder / inner).exists():
            return folder / inner
    held = sorted(p.name for folder in folders for p in folder.iterdir() if p.name[0] not in "._")
    raise ConfigError(f"{what}: package {name!r} has no {inner!r}; it has {', '.join(held)}")


@cache
def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, read from its metadata, without importing it."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@contextmanager
def third_party_warnings_ignored() -> Iterator[None]:
    """A user's `filterwarnings = error` is meant for their code, not for deprecations in torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars in the captured output of a failing test, and no third-party warnings.

    Errors still arrive as exceptions.
    """
    with redirect_stderr(io.StringIO()), third_party_warnings_ignored():
        yield
