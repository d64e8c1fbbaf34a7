"""Which writing system a text is in: enough to know that an English scorer must not judge it."""

from __future__ import annotations

import unicodedata
from collections import Counter

# Latin-script languages cannot be told from English by their script. A probe file's `language`
# column says it for them.
ENGLISH_NAMES = ("en", "english")
FOREIGN_SHARE = 0.2


def script_shares(text: str) -> dict[str, float]:
    """Share of the letters in each script, by the first word of their Unicode names."""
    counts: Counter[str] = Counter()
    for character in text:
        if character.isalpha():
            counts[unicodedata.name(character, "UNKNOWN").split(" ")[0].split("-")[0]] += 1
    # Japanese mixes three scripts; kana is what tells it from Chinese.
    if kana := counts.pop("HIRAGANA", 0) + counts.pop("KATAKANA", 0):
        counts["JAPANESE"] = kana + counts.pop("CJK", 0)
    total = sum(counts.values())
    return {script: count / total for script, count in counts.most_common()} if total else {}


def main_script(text: str) -> str | None:
    """The script of most letters, or None for a text without letters."""
    return next(iter(script_shares(text)), None)


def not_english(text: str) -> str | None:
    """Why a scorer that knows English only cannot judge the text, or None."""
    shares = script_shares(text)
    if not shares:
        # Figures read the same in every language; of emoji and signs a scorer reads nothing.
        silent = text.strip() and not any(character.isdigit() for character in text)
        return "it has neither letters nor figures" if silent else None
    foreign = 1 - shares.get("LATIN", 0.0)
    if foreign > FOREIGN_SHARE:
        script = next(name for name in shares if name != "LATIN")
        return (
            f"{foreign:.0%} of its letters are not Latin ({script.lower()}), and it knows English"
        )
    return None


def english_only(language: str | None) -> bool:
    """Whether a probe's declared language is English or undeclared."""
    return language is None or language.lower().split("-")[0].split("_")[0] in ENGLISH_NAMES
