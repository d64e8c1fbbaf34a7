"""Known answers: does a reply contain the reference, and which of a prompt's options is meant?

Matching forgives what says nothing about knowing: width of characters, case, punctuation, spaces,
separators in numbers, traditional characters. What the reference itself makes a point of counts:
punctuation where it has some, capitals where it has no other letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from pytest_llmdiff.metrics.refusal_chinese import simplified

_OPTION = re.compile(r"^\s*\(?([A-Z])\s*[.):：、．）]\s*(\S.*?)\s*$", re.MULTILINE)
_QUOTES = str.maketrans("“”„‘’‚「」『』", "\"\"\"'''\"\"''")
_THOUSANDS = re.compile(r"(?<=\d)[,'’ ](?=\d{3}(?!\d))")
# Everything but letters, figures, and the point inside a number.
_PUNCTUATION = re.compile(r"(?!(?<=\d)\.(?=\d))[\W_]+")
_PLAIN = re.compile(r"[\w\s.,'’]*\Z")
# A letter or figure of a script that puts spaces between words.
_JOINED = r"[^\W_\u3040-\u30ff\u3400-\u9fff]"


def contains(reply: str, reference: str) -> bool:
    """Whether a reply gives the reference answer, as a word or number of its own."""
    reply, wanted = _width(reply), _width(reference)
    if not _shouts(reference):
        reply, wanted = reply.casefold(), wanted.casefold()
    if _PLAIN.match(wanted) and any(c.isalnum() for c in wanted):
        reply, wanted = (_PUNCTUATION.sub(" ", _numbers(text)).strip() for text in (reply, wanted))
    else:
        reply, wanted = ("".join(text.split()) for text in (reply, wanted))
    if not wanted:
        return False
    before = rf"(?<!{_JOINED})(?<!\d\.)" if re.match(_JOINED, wanted) else ""
    after = rf"(?!{_JOINED})(?!\.\d)" if re.match(_JOINED, wanted[-1]) else ""
    return re.search(f"{before}{re.escape(wanted)}{after}", reply) is not None


def options_of(prompt: str, reference: str) -> Mapping[str, str]:
    """The options of a multiple choice by letter, where the reference is one of these letters."""
    found = dict(_OPTION.findall(prompt))
    if len(found) < 2 or letter_of(reference) not in found:
        return {}
    return found if sorted(found) == [chr(ord("A") + n) for n in range(len(found))] else {}


def letter_of(reference: str) -> str:
    """The letter that a reference names an option by."""
    return _width(reference).strip().upper()


def _width(text: str) -> str:
    return simplified(unicodedata.normalize("NFKC", text.translate(_QUOTES)))


def _numbers(text: str) -> str:
    return _THOUSANDS.sub("", text)


def _shouts(reference: str) -> bool:
    """Several letters, all of them capitals: the case is part of the answer."""
    return sum(c.isalpha() for c in reference) > 1 and reference.isupper()
