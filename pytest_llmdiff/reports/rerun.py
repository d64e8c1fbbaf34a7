"""The command that runs one test again, from the current directory."""

from __future__ import annotations

import os
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from pytest_llmdiff.config.options import MODELS, OPTIONS
from pytest_llmdiff.config.settings import Settings

# Options for files that a run writes, or for runs without verdicts. A rerun should only judge.
ONCE = (
    "json", "html", "markdown", "record", "required", "export", "accept", "calibrate", "margin",
    "plan",
)  # fmt: skip
# Characters that a shell interprets inside double quotes. Without them double quotes are safe, and
# they work on Windows too.
READ = re.compile(r'["$`\\!]')


SUITES = "pytest_llmdiff.suites."


def rerun_command(config: pytest.Config, item: pytest.Item, settings: Settings) -> str:
    """`pytest "file::test[id]" --llm-base … --llm-tuned …` with the options of the command line."""
    return f"pytest {rerun_target(config, item)} {rerun_options(config, settings)}"


def rerun_target(config: pytest.Config, item: pytest.Item) -> str:
    """The quoted node id of one test, relative to the current directory instead of the root; that
    of a ready-made one by its module."""
    _, _, inside = item.nodeid.partition("::")
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


def rerun_options(config: pytest.Config, settings: Settings) -> str:
    """The options that all tests of a run share."""
    words: list[str] = []
    # As the user gave them: a tuned model may name its base.
    specs = {flag: config.getoption(flag) for flag in MODELS}
    specs["--llm-tuned"] = specs["--llm-tuned"] or settings.tuned
    for flag, value in specs.items():
        if value is not None:
            words.append(f"{flag}={shlex.quote(value)}")
    for option in OPTIONS:
        given = config.getoption(f"llmdiff_{option.name}")
        if given is None or option.name in ONCE:
            continue
        value = "" if option.is_flag else f"={shlex.quote(str(given))}"
        words.append(f"{option.flag}{value}")
    return " ".join(words)
