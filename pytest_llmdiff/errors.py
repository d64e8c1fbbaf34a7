"""The exceptions of the package, what a misspelt word probably means, and which characters of
untrusted text are safe to print."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TypeVar


def hidden(character: str) -> bool:
    """Whether a character must be escaped: control (Cc), format (Cf: bidirectional overrides, zero
    width), lone surrogates (Cs), line separators (Zl, Zp).

    Joiners are allowed: emoji and several scripts need them.
    """
    return character not in "\u200c\u200d" and unicodedata.category(character) in (
        "Cc", "Cf", "Cs", "Zl", "Zp",
    )  # fmt: skip


def visible(character: str) -> str:
    """The character, or its escape sequence if it is hidden."""
    if not hidden(character):
        return character
    return f"\\u{ord(character):04x}" if ord(character) > 255 else f"\\x{ord(character):02x}"


# What runners take for a command to them in the log of a job: GitHub's and Azure's anywhere in a
# line, GitHub's newer form at its start (docs.github.com, "Workflow commands"; actions/runner,
# `ActionCommand.TryParse`).
COMMAND = re.compile(r"(##(?:vso)?)\[", re.IGNORECASE)
COMMAND_LINE = re.compile(r"(^|\r)([^\S\r\n]*):(?=:)", re.MULTILINE)


def uncommanding(text: str) -> str:
    """The text, with an escape sequence in whatever the runner of a CI job would obey."""
    return COMMAND_LINE.sub(r"\1\2\\x3a", COMMAND.sub(r"\1\\x5b", text))


def harmless(text: str) -> str:
    """The text, with every hidden character but line ends as its escape sequence, and with nothing
    that a CI job would obey."""
    return uncommanding("".join(c if c == "\n" else visible(c) for c in text))


def close_to(given: str, allowed: Iterable[str], *, alike: float = 0.6) -> list[str]:
    """The allowed word that a misspelt one is most like, if any is at least as much alike (0 to 1,
    by `difflib`). None for a word that is allowed: something else is wrong with it."""
    import difflib

    words = list(allowed)
    return [] if given in words else difflib.get_close_matches(given, words, n=1, cutoff=alike)


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """The end of a message about a misspelt word: what was probably meant, or nothing."""
    return "".join(f" (did you mean {close}?)" for close in close_to(given, allowed))


E = TypeVar("E", bound="LLMDiffError")

# Characters kept at the start and the end of a message: it may quote a prompt or a server's answer
# of any length.
FIRST, LAST = 1600, 400


class LLMDiffError(Exception):
    """Base class. The message says what was given, what is allowed and what to do.

    Long messages are cut in the middle, and characters that control a terminal are escaped.
    """

    def __str__(self) -> str:
        text = super().__str__()
        left_out = len(text) - FIRST - LAST
        if left_out > 0:
            text = f"{text[:FIRST]} … ({left_out} characters left out) … {text[-LAST:]}"
        return harmless(text)


class ConfigError(LLMDiffError):
    """An option, a model SPEC or a marker is unusable. Shown as a pytest usage error."""


class ProbeFileError(LLMDiffError):
    """A probe file cannot be read. Shown as a collection error with file, line and column."""


class ModelError(LLMDiffError):
    """A model or an adapter cannot be loaded or run."""


class CapabilityError(ModelError):
    """An engine does not support what a helper needs; its other answers are valid."""


class ProbeError(LLMDiffError):
    """One probe cannot be answered, because its prompt exceeds the context for example; the others
    continue."""


class ScorerError(LLMDiffError):
    """A scorer cannot be loaded, or returned something that is not a score."""


class StoreError(LLMDiffError):
    """The store's folder cannot be read or written: no permission, a full disk, a file in its
    place."""


class MissingPackageError(ConfigError):
    """Optional packages are needed; the message ends with the command that installs them."""

    def __init__(self, packages: Sequence[str], needed_for: str, command: str) -> None:
        *before, last = packages
        which = f"packages {', '.join(before)} and {last}" if before else f"package {last}"
        self.packages = tuple(packages)
        self.need = f"{needed_for} needs the {which}"
        self.command = command
        super().__init__(f"{self.need}: {command}")


def once_more(error: E) -> E:
    """A copy of an error, to raise it again without its traceback.

    An exception keeps its frames alive, and with them whatever they had loaded; each time that it
    is raised, it collects more.
    """
    return type(error).__new__(type(error), *error.args)
