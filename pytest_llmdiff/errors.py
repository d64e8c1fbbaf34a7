"""Which characters of a foreign text may be shown as they are."""

from __future__ import annotations

import unicodedata
from typing import TypeVar


def hidden(character: str) -> bool:
    """Whether a character is not to be shown as it is: control (Cc), format (Cf: bidirectional
    overrides, zero width), a lone surrogate (Cs), a separator of lines (Zl, Zp).

    The joiners may: emoji and several scripts are written with them.
    """
    return character not in "\u200c\u200d" and unicodedata.category(character) in (
        "Cc", "Cf", "Cs", "Zl", "Zp",
    )  # fmt: skip


def visible(character: str) -> str:
    """The character, or its number where it is hidden."""
    if not hidden(character):
        return character
    return f"\\u{ord(character):04x}" if ord(character) > 255 else f"\\x{ord(character):02x}"


E = TypeVar("E", bound="LLMDiffError")

# Characters of a message: it may quote a prompt or a server's words, which are of any length.
FIRST, LAST = 1600, 400


class LLMDiffError(Exception):
    """Base class: the message says what was given, what is allowed and what to do.

    As text it is cut in its middle where it is long, and shows no character that steers a terminal.
    """

    def __str__(self) -> str:
        text = super().__str__()
        left_out = len(text) - FIRST - LAST
        if left_out > 0:
            text = f"{text[:FIRST]} … ({left_out} characters left out) … {text[-LAST:]}"

        return "".join(c if c == "\n" else visible(c) for c in text)


class ConfigError(LLMDiffError):
    """An option, a model SPEC or a marker is unusable. Shown as a pytest usage error."""


class ProbeFileError(LLMDiffError):
    """A probe file cannot be read. Shown as a collection error with file, line and column."""


class ModelError(LLMDiffError):
    """A model or an adapter cannot be loaded or run."""


class CapabilityError(ModelError):
    """An engine has no means for what a helper asks of it; its other answers are good."""


class ProbeError(LLMDiffError):
    """One probe cannot be answered (its prompt exceeds the context, say); others go on."""


class ScorerError(LLMDiffError):
    """A scorer cannot be loaded, or returned something that is not a score."""


class StoreError(LLMDiffError):
    """The store's folder cannot be read or written: no right, a full disk, a file in its place."""


class MissingPackageError(ConfigError):
    """An optional package is needed; the message names its `pip install` line."""

    def __init__(self, package: str, needed_for: str, install: str) -> None:
        super().__init__(f"{needed_for} needs the package {package}: pip install {install}")


def once_more(error: E) -> E:
    """An error of the same kind and text, for what failed once and is asked for again.

    An exception keeps its frames alive, and with them what was loaded so far; one that is raised
    time after time has more of them each time.
    """
    return type(error).__new__(type(error), *error.args)
