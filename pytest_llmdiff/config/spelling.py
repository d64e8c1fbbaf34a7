"""Options and ini keys that nobody defines: a misspelt one would silently leave the default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.options import MODELS, OPTIONS
from pytest_llmdiff.errors import ConfigError, close_to

FLAGS = (*MODELS, *(option.flag for option in OPTIONS))
PREFIX = "llmdiff_"
KEYS = tuple(f"{PREFIX}{option.name}" for option in OPTIONS)
ALIKE = 0.8
# Where files of TOML and of ini syntax have pytest's keys.
TABLES = (("pytest",), ("tool", "pytest"), ("tool", "pytest", "ini_options"))
STARTS = ("--llmdiff-", "--llm-", PREFIX)
SECTIONS = ("pytest", "tool:pytest")


def check_flags(parser: pytest.Parser, words: Sequence[str]) -> None:
    """Refuse options that are nearly this plugin's and that no plugin defines. Others are pytest's
    to refuse.

    Raises:
        ConfigError: the message names the nearest option, or else all.
    """
    _, unknown = parser.parse_known_and_unknown_args(words)
    for word in unknown:
        flag = word.partition("=")[0]
        likely = flag.startswith("--llmdiff-") or bool(close_to(flag, FLAGS, alike=ALIKE))
        if likely and flag not in FLAGS:
            raise ConfigError(f"there is no option {flag}{_instead(flag, FLAGS)}")


def check_keys(config: pytest.Config) -> None:
    """Refuse ini keys that are nearly this plugin's and that no plugin defines, also where pytest
    itself only warns of them (without `strict`).

    Raises:
        ConfigError: the message names the nearest key, or else all.
    """
    for key, where in _given_keys(config):
        if key in KEYS or not _likely(key) or _defined(config, key):
            continue
        raise ConfigError(f"{where}: there is no ini key {key}{_instead(key, KEYS)}")


def _likely(key: str) -> bool:
    """Whether a key is meant for this plugin. The start tells it from another plugin's key of the
    same meaning, and the whole from a plugin with a longer name."""
    begins_alike = close_to(key[: len(PREFIX)], [PREFIX], alike=ALIKE)
    return key.startswith(PREFIX) or bool(begins_alike and close_to(key, KEYS, alike=ALIKE))


def _instead(given: str, known: Sequence[str]) -> str:
    """What was probably meant. What all of them begin with says nothing about that."""
    start = next((start for start in STARTS if given.startswith(start)), "")
    rest = {name.removeprefix(start): name for name in known if name.startswith(start)}
    for close in close_to(given.removeprefix(start), rest):
        return f" (did you mean {rest[close]}?)"
    return f"; there are {', '.join(known)}"


def _defined(config: pytest.Config, key: str) -> bool:
    try:
        config.getini(key)
    except (KeyError, ValueError):
        return False
    return True


def _given_keys(config: pytest.Config) -> Iterator[tuple[str, str]]:
    """The keys in the ini file and in `-o`, each with where it stands."""
    for word in config.getoption("override_ini") or ():
        yield word.partition("=")[0], f"-o {word}"
    file = config.inipath
    if file is not None:
        yield from ((key, file.name) for key in _keys_of(file))


def _keys_of(file: Path) -> Iterable[str]:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".toml":
        import tomllib

        whole = tomllib.loads(text)
        return [key for table in TABLES for key in _table(whole, table)]
    from iniconfig import IniConfig  # what pytest reads it with

    ini = IniConfig(str(file), text)
    return [key for section in SECTIONS if section in ini for key in ini[section]]


def _table(whole: Any, names: Sequence[str]) -> Iterable[str]:
    for name in names:
        whole = whole.get(name, {}) if isinstance(whole, dict) else {}
    return list(whole) if isinstance(whole, dict) else []
