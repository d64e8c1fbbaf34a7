"""The words of the command line, where pytest reads them before it knows this plugin's options.

pytest looks for its ini file before it loads plugins. In `--llm-tuned PATH` it then takes PATH for
a test path and looks for the ini file from there. `--llm-tuned=PATH` is never misread.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pytest_llmdiff.config.options import MODELS, OPTIONS, SEVERAL

ADDOPTS = "PYTEST_ADDOPTS"
VALUED = frozenset([*MODELS, *(option.flag for option in OPTIONS if not option.is_flag)])


def run_again(config: pytest.Config) -> int | None:
    """Run pytest with `--option=VALUE` if it may have taken a VALUE for a test path.

    Returns the exit code of that run, else None. Called before anything is configured, so that
    nothing is collected or printed twice.
    """
    if hasattr(config, "workerinput") or config.getoption("inifilename"):
        return None
    here, plugins = config.invocation_params.dir, config.invocation_params.plugins
    words = list(_expanded(config.invocation_params.args, here))
    added = shlex.split(os.environ.get(ADDOPTS, ""))
    values = [value for _, value in (*_options(words), *_options(added)) if value is not None]
    if not any(_exists(here / value) for value in values):
        return None
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.read_global_capture()  # what a conftest.py printed, which will print it again
    with pytest.MonkeyPatch.context() as patch:
        if added:
            patch.setenv(ADDOPTS, shlex.join(joined(added)))
        return pytest.main(joined(words), plugins=plugins)


def in_addopts(config: pytest.Config, flag: str, value: str) -> bool:
    """Whether the ini file's `addopts` give an option this value."""
    return f"{flag}={value}" in joined(config.getini("addopts"))


def in_environment(flag: str, value: str) -> bool:
    """Whether `PYTEST_ADDOPTS` gives an option this value."""
    return f"{flag}={value}" in joined(shlex.split(os.environ.get(ADDOPTS, "")))


def given_models(config: pytest.Config, flag: str) -> list[str]:
    """The SPECs of a model's option. Those of the command line replace those of `PYTEST_ADDOPTS`,
    and these those of the ini file's `addopts`, as if the option were given once."""
    given = config.getoption(flag)
    if given is None or isinstance(given, str):
        return [] if given is None else [given]
    ini = _count(config.getini("addopts"))
    both = ini + _count(shlex.split(os.environ.get(ADDOPTS, "")))
    return list(given[both:] or given[ini:both] or given[:ini])


def _count(words: Iterable[str]) -> int:
    """How often the option that may be given several times is."""
    return sum(word.startswith(f"{SEVERAL}=") for word in joined(words))


def joined(words: Iterable[str]) -> list[str]:
    """The words, with each `--option VALUE` of this plugin as `--option=VALUE`."""
    return [word if value is None else f"{word}={value}" for word, value in _options(words)]


def _options(words: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """The words, each option of this plugin with its value if that is a word of its own."""
    rest = iter(words)
    for word in rest:
        yield word, next(rest, None) if word in VALUED else None


def _expanded(words: Iterable[str | os.PathLike[str]], here: Path) -> Iterator[str]:
    """The words, with each `@FILE` replaced by its lines, as pytest does."""
    for given in words:
        word = os.fspath(given)
        if word.startswith("@"):
            yield from _expanded((here / word[1:]).read_text(encoding="utf-8").splitlines(), here)
        else:
            yield word


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, say: the JSON of an option
        return False
