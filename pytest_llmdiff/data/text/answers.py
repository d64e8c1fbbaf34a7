"""Reference answers: does a reply contain the reference, and which option of a prompt is it?

Matching ignores what has nothing to do with knowledge: the width of characters, digits of other
scripts, case, punctuation, spaces, and separators in numbers. Punctuation counts if the reference
has some, and case if the reference is in capitals only. A sign is part of its number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from itertools import pairwise

_OPTION = re.compile(r"^\s*\(?([A-Z])\s*[.):：、．）]\s*(\S.*?)\s*$", re.MULTILINE)
# Including Arabic's decimal point and thousands separator, and the minus sign.
_SIGNS = str.maketrans("“”„‘’‚「」『』٫٬−", "\"\"\"'''\"\"''.,-")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_THOUSANDS = re.compile(r"(?<=\d)[,'’ ](?=\d{3}(?!\d))")
# Everything except letters, digits, the point inside a number, and the sign before one.
_PUNCTUATION = re.compile(r"(?:(?!(?<=\d)\.(?=\d))(?!(?<![\w)])-(?=\d))[\W_])+")
_PLAIN = re.compile(r"(?:-(?=\d))?[\w\s.']*\Z")
# A letter or digit of a script that puts spaces between words. Korean is left out, since particles
# are attached to its words.
_JOINED = r"[^\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]"


def contains(reply: str, reference: str) -> bool:
    """Whether a reply contains the reference answer as a separate word or number."""
    reply, wanted = _width(reply), _width(reference)
    if not _shouts(reference):
        reply, wanted = reply.casefold(), wanted.casefold()
    if _PLAIN.match(_numbers(wanted)):
        reply, wanted = (_PUNCTUATION.sub(" ", _numbers(text)) for text in (reply, wanted))
    parts = re.findall(r"\w+|[^\w\s]", wanted)
    if not parts:
        return False
    # Spaces are optional only next to punctuation.
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
    """The options of a multiple-choice prompt by letter.

    Empty unless the options are lettered from A without gaps, and the reference is such a letter.
    """
    options = dict(_OPTION.findall(prompt))
    if len(options) < 2 or letter_of(reference) not in options:
        return {}
    return options if sorted(options) == [chr(ord("A") + n) for n in range(len(options))] else {}


def letter_of(reference: str) -> str:
    """The letter of the option that a reference names."""
    return _width(reference).strip().upper()


def _width(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS))
    return _OTHER_DIGIT.sub(lambda match: str(unicodedata.digit(match[0])), text)


def _numbers(text: str) -> str:
    return _THOUSANDS.sub("", text)


def _shouts(reference: str) -> bool:
    """Whether it has several letters, all of them capitals: case is then part of the answer."""
    return sum(c.isalpha() for c in reference) > 1 and reference.isupper()
