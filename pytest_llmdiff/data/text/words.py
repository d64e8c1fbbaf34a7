"""Splits a text into words, in scripts with and without spaces, and removes some of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

from pytest_llmdiff.data.text.chinese import in_traditional

# Scripts that put no spaces between words.
_KANA = r"[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]"
_HAN = r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3005-\u3007\U00020000-\U0003ffff]"
_THAI = r"[\u0e00-\u0e7f]"
_UNSPACED = re.compile(f"(?:{_KANA}|{_HAN})+|{_THAI}+")
_INSIDE = "'’.-_@"  # between letters and digits, these do not separate words
PAIR = 2  # characters that count as a word if no segmenter is installed


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word of a text, or several merged ones, with its position in characters (`end` excluded).

    `mark` says that it has neither letters nor digits.
    """

    text: str
    start: int
    end: int
    mark: bool = False


@dataclass(frozen=True, kw_only=True)
class Words:
    """A text and its words in order.

    `segmented_by` names what split scripts without spaces into words; None if there are none.
    """

    text: str
    words: tuple[Word, ...]
    segmented_by: str | None = None

    @cached_property
    def _gaps(self) -> tuple[str, ...]:
        """The text before, between and after the words."""
        starts = [0, *(word.end for word in self.words)]
        ends = [*(word.start for word in self.words), len(self.text)]
        return tuple(self.text[a:b] for a, b in zip(starts, ends, strict=True))

    def kept(self, mask: Sequence[bool], instead: str = "") -> str:
        """The text with the masked-in words, and `instead` in place of each other word.

        Where a word is removed, the wider of the two spaces around it stays. A punctuation mark
        keeps its distance to the text before it.
        """
        lead, *gaps = self._gaps
        if instead:
            shown = [w.text if keep else instead for w, keep in zip(self.words, mask, strict=True)]
            return lead + "".join(text + gap for text, gap in zip(shown, gaps, strict=True))
        found, space, trail = "", "", gaps[-1] if gaps else ""
        for word, gap, keep in zip(self.words, ("", *gaps), mask, strict=False):
            space = max(space, gap, key=len)
            if keep:
                found += ("" if not found else gap if word.mark else space) + word.text
                space = ""
        return lead + found + trail

    def grouped(self, most: int) -> Words:
        """The same text with neighbouring words merged into at most `most` groups of about the same
        number of words."""
        count = len(self.words)
        if count <= most:
            return self
        parts = pairwise([number * count // most for number in range(most + 1)])
        return Words(
            text=self.text,
            words=tuple(self._merged(self.words[first:last]) for first, last in parts),
            segmented_by=self.segmented_by,
        )

    def _merged(self, words: Sequence[Word]) -> Word:
        start, end = words[0].start, words[-1].end
        mark = all(word.mark for word in words)
        return Word(text=self.text[start:end], start=start, end=end, mark=mark)


def words_of(text: str) -> Words:
    """The words and marks of a text.

    Text is split at spaces and marks. In scripts without spaces (Chinese, Japanese, Thai), the
    package budoux splits it if it is installed; otherwise each pair of characters is a word.
    """
    words, segmenter = [], None
    for start, end in _runs(text):
        run = text[start:end]
        if _UNSPACED.fullmatch(run):
            parts, segmenter = _segmented(run, text)
        else:
            parts = [run]
        for part in parts:
            mark = not any(map(_lettered, part))
            words.append(Word(text=part, start=start, end=start + len(part), mark=mark))
            start += len(part)
    return Words(text=text, words=tuple(words), segmented_by=segmenter)


def _runs(text: str) -> Iterator[tuple[int, int]]:
    """Positions of runs of letters and digits, of an unspaced script, or of marks."""
    kinds: list[str] = []
    for place, character in enumerate(text):
        # Accents, vowel signs and joiners belong to the character before them.
        follows = unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf")
        held = follows and kinds and kinds[-1] != "space"
        kinds.append(kinds[-1] if held else _kind(text, place))
    start = 0
    for place in range(1, len(text) + 1):
        if place == len(text) or kinds[place] != kinds[start]:
            if kinds[start] != "space":
                yield start, place
            start = place


def _kind(text: str, place: int) -> str:
    character = text[place]
    if character.isspace():
        return "space"
    if _UNSPACED.match(character):
        return "thai" if re.match(_THAI, character) else "unspaced"
    if _lettered(character):
        return "word"
    around = (text[max(0, place - 1) : place], text[place + 1 : place + 2])
    joins = character in _INSIDE or (character == "," and all(map(str.isdigit, around)))
    inside = all(side and _lettered(side) and not _UNSPACED.match(side) for side in around)
    return "word" if joins and inside else "mark"


def _lettered(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN"


def _segmented(run: str, text: str) -> tuple[list[str], str]:
    try:
        import budoux
    except ImportError:
        pairs = [run[place : place + PAIR] for place in range(0, len(run), PAIR)]
        return pairs, "pairs of characters"
    if re.match(_THAI, run):
        language = "thai"
    elif re.search(_KANA, text):
        language = "japanese"
    else:
        language = "traditional_chinese" if in_traditional(text) else "simplified_chinese"
    return list(_parser(language).parse(run)), f"budoux {budoux.__version__}"


@cache
def _parser(language: str) -> Any:
    import budoux

    return getattr(budoux, f"load_default_{language}_parser")()
