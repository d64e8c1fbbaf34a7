"""Whether a run is given anything of this plugin, and whether it runs tests. Read at every start of
pytest, so that runs without this plugin load nothing else of `config`."""

from __future__ import annotations

import os

import pytest

# pytest's options that only answer, or list or set up tests.
LISTING = (
    "collectonly", "setuponly", "setupplan", "showfixtures", "show_fixtures_per_test", "help",
    "markers", "cacheshow",
)  # fmt: skip


def options_given(config: pytest.Config) -> bool:
    """Whether any option of this plugin has a value, from wherever pytest takes options."""
    options = vars(config.option).items()
    return any(name.startswith("llm") and value is not None for name, value in options)


def keys_given(config: pytest.Config) -> bool:
    """Whether there are ini keys that are, or could be meant as, this plugin's."""
    file = config.inipath
    given = [*map(str.encode, config.getoption("override_ini") or ())]
    return any(b"llm" in text for text in (*given, b"" if file is None else file.read_bytes()))


def names_modules(config: pytest.Config) -> bool:
    """Whether an argument names a module, or is meant to: it is no path."""
    paths = (argument.partition("::")[0] for argument in config.args)
    return config.getoption("pyargs") or not all(map(os.path.exists, paths))


def runs_tests(config: pytest.Config) -> bool:
    """Whether tests run at all. A run that only lists them must not overwrite reports."""
    return not any(config.getoption(name, False) for name in LISTING)
