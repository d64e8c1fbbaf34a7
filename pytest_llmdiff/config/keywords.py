"""Settings from keyword arguments, whose names are those of the command line's options."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.options import OPTIONS
from pytest_llmdiff.config.settings import Settings, checked_settings, parsed
from pytest_llmdiff.errors import ConfigError, LLMDiffError, once_more

# Options that say how a run of tests repeats, judges, writes and ends.
OF_TEST_RUNS = (
    "served_dtype", "served_quantization", "samples", "record", "json", "html", "markdown",
    "track", "export", "baseline", "calibrate", "margin", "suite_limits", "accept", "plan",
    "inconclusive", "required",
)  # fmt: skip
FLAG = re.compile(r"--llm(?:diff)?-([a-z][a-z-]*[a-z])( (?=SPEC\b))?")


def settings_of(base: object, tuned: object, options: Mapping[str, object]) -> Settings:
    """Settings of the given options, where None means the default.

    Raises:
        ConfigError: there is no such option, or its value is invalid.
    """
    if tuned is None:
        raise ConfigError("give tuned=SPEC, the model after tuning")
    known = {option.name: option for option in OPTIONS if option.name not in OF_TEST_RUNS}
    for name in options:
        if name not in known:
            raise ConfigError(_unknown(name, list(known)))
    folder = Path.cwd()
    values: dict[str, Any] = {}
    sources = dict.fromkeys(("base", "tuned", "served"), "argument")
    for option in OPTIONS:
        given = options.get(option.name)
        sources[option.name] = "default" if given is None else "argument"
        if given is not None:
            values[option.name] = parsed(option, _plain(given), option.name, folder)
        else:
            path = option.is_path and option.default is not None
            values[option.name] = folder / option.default if path else option.default
    models = {"base": _spec("base", base), "tuned": _spec("tuned", tuned), "served": None}
    return checked_settings(models, values, sources, folder=folder, ini_folder=folder, runs=True)


def in_keywords(error: LLMDiffError) -> LLMDiffError:
    """The same error in a script's terms: `name` for `--llmdiff-name`, `base=SPEC` for `--llm-base
    SPEC`."""
    found = once_more(error)
    found.args = tuple(
        FLAG.sub(lambda flag: flag[1].replace("-", "_") + ("=" if flag[2] else ""), part)
        if isinstance(part, str)
        else part
        for part in error.args
    )
    return found


def _unknown(name: str, known: list[str]) -> str:
    if name in OF_TEST_RUNS:
        return f"{name} is an option of a run of tests, which this is not: leave it out"
    close = get_close_matches(name, [*known, "base", "tuned"], n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"there is no option {name}; {hint}The options are {', '.join(known)}"


def _plain(given: object) -> object:
    """What the command line would say: paths as text, and dictionaries as JSON."""
    if isinstance(given, os.PathLike):
        return os.fspath(given)
    if isinstance(given, Mapping):
        try:
            return json.dumps(given)
        except TypeError:
            return given  # it is refused, and shown, as it was given
    return given


def _spec(name: str, given: object) -> str | None:
    plain = os.fspath(given) if isinstance(given, os.PathLike) else given
    if plain is None or isinstance(plain, str):
        return plain
    raise ConfigError(f"{name}: {given!r} is not a model SPEC: give a text or a path")
