"""Which of pytest's arguments name ready-made suites. Loaded in every run with models."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

SUITES = "pytest_llmdiff.suites"
QUICK = f"{SUITES}.quick"
HERE = Path(__file__).parent


def modules_of(config: pytest.Config) -> list[str]:
    """The arguments without the names of tests."""
    return [argument.partition("[")[0].partition("::")[0] for argument in config.args]


def in_suites(module: str) -> bool:
    return module == SUITES or module.startswith(f"{SUITES}.")


def is_suite(argument: str) -> bool:
    return in_suites(argument) or _within(argument, HERE)


def is_quick(argument: str) -> bool:
    named = argument == QUICK or argument.startswith(f"{QUICK}.")
    return named or _within(argument, HERE / "quick")


def any_of_suites(items: Iterable[pytest.Item]) -> bool:
    """Whether any test is a ready-made one."""
    return any(path.is_relative_to(HERE) for path in {item.path for item in items})


def _within(argument: str, folder: Path) -> bool:
    return Path(os.path.realpath(argument)).is_relative_to(os.path.realpath(folder))
