"""Known answers: does a reply contain the reference, and which of a prompt's options is meant?

Matching forgives what says nothing about knowing: width of characters, figures of other scripts,
case, punctuation, spaces, separators in numbers. What the reference itself makes a point of counts:
punctuation where it has some, capitals where it has no other letters. A sign is part of its number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from itertools import pairwise

_OPTION = re.compile(r"^\s*\(?([A-Z])\s*[.):：、．）]\s*(\S.*?)\s*$", re.MULTILINE)
# Also Arabic's point and separator of numbers, and the minus sign.
_SIGNS = str.maketrans("“”„‘’‚「」『』٫٬−", "\"\"\"'''\"\"''.,-")
_OTHER_FIGURE = re.compile(r"(?![0-9])\d")
_THOUSANDS = re.compile(r"(?<=\d)[,'’ ](?=\d{3}(?!\d))")
# Everything but letters, figures, the point inside a number, and the sign before one.
_PUNCTUATION = re.compile(r"(?:(?!(?<=\d)\.(?=\d))(?!(?<![\w)])-(?=\d))[\W_])+")
_PLAIN = re.compile(r"(?:-(?=\d))?[\w\s.']*\Z")
# A letter or figure of a script that puts spaces between words; particles join Korean ones.
_JOINED = r"[^\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]"


def contains(reply: str, reference: str) -> bool:
    """Whether a reply gives the reference answer, as a word or number of its own."""
    reply, wanted = _width(reply), _width(reference)
    if not _shouts(reference):
        reply, wanted = reply.casefold(), wanted.casefold()
    if _PLAIN.match(_numbers(wanted)):
        reply, wanted = (_PUNCTUATION.sub(" ", _numbers(text)) for text in (reply, wanted))
    parts = re.findall(r"\w+|[^\w\s]", wanted)
    if not parts:
        return False
    # Spaces are free beside punctuation only.
    pattern = re.escape(parts[0])
    for one, other in pairwise(parts):
        between = r"\s+" if one[0].isalnum() and other[0].isalnum() else r"\s*"
        pattern += between + re.escape(other)
    before = rf"(?<!{_JOINED})(?<!\d\.)" if re.match(_JOINED, parts[0]) else ""
    if parts[0][0].isdigit():
        before += r"(?<!\A-)(?<![^\w)]-)"
    after = rf"(?!{_JOINED})(?!\.\d)" if re.match(_JOINED, parts[-1][-1]) else ""
    return re.search(before + pattern + after, reply) is not None


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
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS))
    return _OTHER_FIGURE.sub(lambda found: str(unicodedata.digit(found[0])), text)


def _numbers(text: str) -> str:
    return _THOUSANDS.sub("", text)


def _shouts(reference: str) -> bool:
    """Several letters, all of them capitals: the case is part of the answer."""
    return sum(c.isalpha() for c in reference) > 1 and reference.isupper()
