"""Which characters of a foreign text may be shown as they are."""

from __future__ import annotations

import unicodedata


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
