"""The writing system of a text, by which scorers recognise texts that they cannot judge."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from pytest_llmdiff.data.text.language.names import plain_code

FOREIGN_SHARE = 0.2
# A Chinese character carries about as much as a word of this many letters, a syllable half that.
LETTERS_PER_CHARACTER: Mapping[str, int] = {"CJK": 4, "JAPANESE": 2, "HANGUL": 2}
# A text of up to this many characters without kana may be Japanese: a name, a place, a number.
KANJI_ALONE = 16
# Scripts by language code; all other languages use Latin.
SCRIPTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("be", "bg", "kk", "mk", "mn", "ru", "sr", "uk"), ("CYRILLIC",)),
    **dict.fromkeys(("ar", "fa", "ur"), ("ARABIC",)),
    **dict.fromkeys(("hi", "mr", "ne"), ("DEVANAGARI",)),
    "bn": ("BENGALI",),
    "el": ("GREEK",),
    "he": ("HEBREW",),
    "ja": ("JAPANESE", "CJK"),
    "ko": ("HANGUL",),
    "ta": ("TAMIL",),
    "te": ("TELUGU",),
    "th": ("THAI",),
    "zh": ("CJK",),
}
LATIN = ("LATIN",)


def script_shares(text: str) -> dict[str, float]:
    """The share of letters in each script, by the first word of their Unicode names."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if character.isalpha():
            counts[unicodedata.name(character, "UNKNOWN").split(" ")[0].split("-")[0]] += count
    # Japanese mixes three scripts. Kana identifies it, unless a Chinese text merely quotes a word.
    if kana := counts.pop("HIRAGANA", 0) + counts.pop("KATAKANA", 0):
        quoted = kana <= FOREIGN_SHARE * (kana + counts["CJK"])
        counts["JAPANESE"] = kana + (0 if quoted else counts.pop("CJK", 0))
    total = sum(counts.values())
    return {script: count / total for script, count in counts.most_common() if count}


def main_script(text: str) -> str | None:
    """The script that carries most of a text; None for a text without letters."""
    shares = script_shares(text)
    weights = {script: share * LETTERS_PER_CHARACTER.get(script, 1)
               for script, share in shares.items()}  # fmt: skip
    return max(weights, key=weights.__getitem__, default=None)


def may_be_japanese(text: str) -> bool:
    """Whether a text without kana may still be Japanese.

    It may if it is short and all its characters are in the Japanese standard JIS X 0208, which
    lacks most simplified Chinese ones.
    """
    letters = "".join(character for character in text if character.isalpha())
    try:
        letters.encode("shift_jis")
    except UnicodeEncodeError:
        return False
    return len(letters) <= KANJI_ALONE


def unreadable(text: str, languages: Sequence[str]) -> str | None:
    """Why a scorer that knows these languages (codes such as "en") cannot judge the text, or None.

    Only the script counts, so that French passes for English (see `identification.unjudged`).
    """
    shares = script_shares(text)
    if not shares:
        # Digits read the same in every language; emoji and signs mean nothing to a scorer.
        silent = text.strip() and not any(character.isdigit() for character in text)
        return "it has neither letters nor digits" if silent else None
    known = {script for language in languages for script in SCRIPTS.get(language, LATIN)}
    foreign = 1 - sum(shares.get(script, 0.0) for script in known)
    if foreign > FOREIGN_SHARE:
        script = next(name for name in shares if name not in known).lower()
        return (
            f"{foreign:.0%} of its letters are in another script ({script}) than the scorer's "
            f"languages ({', '.join(languages)})"
        )
    return None


def undeclared(language: str | None, languages: Sequence[str] | None) -> str | None:
    """Why a scorer cannot judge replies to a probe of a declared language, or None."""
    if language is None or languages is None:
        return None
    if plain_code(language) in map(plain_code, languages):
        return None
    return f"the probe's language is {language}, but the scorer only knows {', '.join(languages)}"
