"""The command that runs one test again, from the current directory."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from pytest_llmdiff.config.command_line import given_models
from pytest_llmdiff.config.options import MODELS, OPTIONS, SEVERAL
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.tuned_models import without_name

# Options for files that a run writes, or for runs without verdicts. A rerun should only judge.
ONCE = (
    "json", "html", "markdown", "record", "required", "export", "accept", "calibrate", "margin",
    "plan",
)  # fmt: skip
# Characters that a shell interprets inside double quotes. Without them double quotes are safe, and
# they work on Windows too.
READ = re.compile(r'["$`\\!]')


SUITES = "pytest_llmdiff.suites."


def rerun_target(
    config: pytest.Config, item: pytest.Item, model: tuple[str, str] | None = None
) -> str:
    """The quoted node id of one test, relative to the current directory instead of the root; that
    of a ready-made one by its module.

    `model` has the name and the SPEC of the one of several tuned models that the test is of: the id
    is that of a run with this model alone, and the option that gives it comes with it.
    """
    if model is None:
        return _target(config, item, item.nodeid)
    name, spec = model
    given = tuned_options([spec]).strip()
    return f"{_target(config, item, without_name(item.nodeid, name))} {given}"


def _target(config: pytest.Config, item: pytest.Item, test: str) -> str:
    _, _, inside = test.partition("::")
    module = getattr(item, "module", None)
    if module is not None and module.__name__.startswith(SUITES):
        return f'--pyargs "{module.__name__}::{inside}"'
    target = f"{_path(item.path, config.invocation_params.dir)}::{inside}"
    return shlex.quote(target) if READ.search(target) else f'"{target}"'


@cache
def _path(path: Path, here: Path) -> str:
    try:
        return os.path.relpath(path, here)
    except ValueError:  # another drive
        return str(path)


def tuned_options(specs: Iterable[str]) -> str:
    """The options that give these tuned models, each with a space after it."""
    return "".join(f"{SEVERAL}={shlex.quote(spec)} " for spec in specs)


def rerun_options(config: pytest.Config, settings: Settings) -> str:
    """The options that all tests of a run share: not which of several tuned models a test is of."""
    words: list[str] = []
    # As the user gave them: a tuned model may name its base.
    specs = {flag: given_models(config, flag)[-1:] for flag in MODELS}
    specs[SEVERAL] = [] if settings.several else [*specs[SEVERAL], *filter(None, [settings.tuned])]
    for flag, given in specs.items():
        for value in given[:1]:
            words.append(f"{flag}={shlex.quote(value)}")
    for option in OPTIONS:
        given = config.getoption(f"llmdiff_{option.name}")
        if given is None or option.name in ONCE:
            continue
        value = "" if option.is_flag else f"={shlex.quote(str(given))}"
        words.append(f"{option.flag}{value}")
    return " ".join(words)
