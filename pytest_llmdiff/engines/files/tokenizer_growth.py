"""How long a text the steps of a `tokenizer.json` can make, worked out without running them.

The layout is that of the library tokenizers 0.23, whose steps are told apart by their keys where a
`type` is missing. Lengths are in characters, and growth is characters (or tokens) out for each one
in. Growth beyond the bounds below cannot be cut short later: the library runs to its end.

What Unicode does to characters of the text itself is not counted. U+FDFA becomes 18 characters
under NFKC, but once: a further such step finds nothing to do. It is counted for characters that an
earlier step has put in.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

Parts = Mapping[str, Any]

# By this count tokenizers that come from SentencePiece have 36 to 144, and all others under 20.
MOST_GROWTH = 256
MOST_STEPS = 100  # in use are a dozen
MOST_ADDED = 1000  # tokens that are put around each text; in use are a few
# Byte-level vocabularies have runs of 128 spaces, and some longer ones of dashes.
LONGEST_TOKEN = 4096
# WordPiece looks each part of a word up: time with the cube of its length. In use are 100 and 200.
LONGEST_WORD = 1000
# What a byte-level step writes for bytes.
BYTES = frozenset(map(chr, chain(range(0x21, 0x7F), range(0xA1, 0x144))))
# Characters and classes of them, perhaps repeated, between anchors.
PLAIN = re.compile(
    r"(?:\^|\\A)?"
    r"(?:(?:\\[sSdDwWnrt]|\[\^?(?:[^\[\]\\]|\\[sSdDwWnrt])+\]|[^\\\[\](){}|*+?^$])"
    r"(?:\+|\{[1-9]\d*(?:,(?:[1-9]\d*)?)?\})?)+"
    r"(?:\$|\\[zZ])?"
)
SEQUENCES = ("normalizers", "pretokenizers", "processors", "decoders")
UNICODE = ("NFC", "NFD", "NFKC", "NFKD")


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Of texts that are encoded, and of replies that are decoded; `added` tokens are put around
    each text."""

    encoded: float
    decoded: float
    added: int


def check_growth(parts: Parts) -> None:
    """Hold the parts of a tokenizer, as `tokenizer.json` has them, against the bounds above.

    Raises:
        ValueError: it is beyond one; says which, and what is allowed.
        AttributeError, KeyError, TypeError: these are no parts of a tokenizer.
    """
    _check_lengths(parts)
    found = growth_of(parts)
    _at_most(MOST_GROWTH, found.encoded, "a text can become", "times as long as it was")
    _at_most(MOST_GROWTH, found.decoded, "a decoded text can become", "times as long as it was")
    _at_most(MOST_ADDED, found.added, "there are", "tokens put around each text")


def _at_most(most: int, found: float, before: str, after: str) -> None:
    if found > most:
        told = f"{found:,.0f}" if found < 1e15 else "more than 10^15"
        raise ValueError(
            f"{before} {told} {after}, and at most {most:,} are allowed: take the tokenizer from "
            "where the model was published"
        )


def _check_lengths(parts: Parts) -> None:
    model = parts.get("model") or {}
    tokens = [token["content"] for token in parts.get("added_tokens") or ()]
    affixes = ("continuing_subword_prefix", "end_of_word_suffix")
    tokens += [model.get(name) or "" for name in affixes]
    vocabulary = model.get("vocab") or ()
    # Unigram models list each token with its score.
    tokens += [token if isinstance(token, str) else token[0] for token in vocabulary]
    _at_most(LONGEST_TOKEN, max(map(len, tokens), default=0), "a token has", "characters")
    word = model.get("max_input_chars_per_word") or 0
    _at_most(LONGEST_WORD, word, "a word is read up to", "characters")


def _steps(part: Any) -> list[Parts]:
    """The steps of a part, also those of a sequence in a sequence."""
    found = list(_flat(part))
    _at_most(MOST_STEPS, len(found), "there are", "steps in one part")
    return found


def _flat(part: Any) -> Iterator[Parts]:
    if part is None:
        return
    for name in SEQUENCES:
        if name in part:
            for step in part[name]:
                yield from _flat(step)
            return
    yield part


def growth_of(parts: Parts) -> Growth:
    """What `check_growth` holds against the bounds, and what it raises."""
    encoded, made = 1.0, set[str]()
    for step in _steps(parts.get("normalizer")):
        encoded *= _of_normalizer(step, made)
    for step in _steps(parts.get("pre_tokenizer")):
        encoded *= _of_pre_tokenizer(step)
    added = 0
    for step in _steps(parts.get("post_processor")):
        copies, more = _of_template(step)
        encoded, added = encoded * copies, added * copies + more
    decoded = 1.0
    for step in _steps(parts.get("decoder")):
        decoded *= _of_decoder(step)
    return Growth(encoded=encoded, decoded=decoded, added=added)


def _of_normalizer(step: Parts, made: set[str]) -> float:
    """`made` are the characters that earlier steps may have put in; this one's are added."""
    kind = step.get("type")
    if "pattern" in step:
        made |= set(step["content"])
        return _of_replacement(step)
    if "prepend" in step:
        made |= set(step["prepend"])
        return 1 + len(step["prepend"])  # before each piece between two added tokens
    if "precompiled_charsmap" in step:
        pieces = _pieces(base64.b64decode(step["precompiled_charsmap"]))
        made |= set(pieces) - {"\0"}
        return max(1, *map(len, pieces.split("\0")))
    if kind == "ByteLevel":
        made |= BYTES
        return 4
    if kind == "Lowercase":
        return max((len(c.lower()) for c in made), default=1)
    if kind in UNICODE or "handle_chinese_chars" in step:
        most = max((len(unicodedata.normalize("NFKD", c.lower())) for c in made), default=1)
        return 3 * most if step.get("handle_chinese_chars") else most
    return 1


def _of_pre_tokenizer(step: Parts) -> float:
    # Both may put a character before each piece, which may be one character long.
    if step.get("type") == "ByteLevel" or "add_prefix_space" in step:
        return 4 + bool(step.get("add_prefix_space"))
    return 2 if step.get("type") == "Metaspace" else 1


def _of_replacement(step: Parts) -> float:
    content, pattern = len(step["content"]), step["pattern"]
    expression = pattern.get("Regex")
    least = len(pattern["String"]) if expression is None else int(_takes_characters(expression))
    # A pattern that may match nothing matches between any two characters.
    return max(1.0, content / least) if least else 1 + content


def _takes_characters(expression: str) -> bool:
    """Whether a regular expression matches a character at least. False where that is not plain."""
    return all(PLAIN.fullmatch(branch) for branch in expression.split("|"))


def _pieces(charsmap: bytes) -> str:
    """The texts that characters become: after a trie and its size in bytes, with NUL after each."""
    return charsmap[4 + int.from_bytes(charsmap[:4], "little") :].decode(errors="replace")


def _of_template(step: Parts) -> tuple[int, int]:
    """How often a template repeats a text, and how many tokens it adds."""
    ids = {name: len(token["ids"]) for name, token in (step.get("special_tokens") or {}).items()}
    most, added = 1, 0
    for form in ("single", "pair"):
        pieces = step.get(form) or ()
        texts = [piece["Sequence"]["id"] for piece in pieces if "Sequence" in piece]
        most = max([most, *(texts.count(name) for name in set(texts))])
        more = sum(ids[p["SpecialToken"]["id"]] for p in pieces if "SpecialToken" in p)
        added = max(added, more)
    return most, added


def _of_decoder(step: Parts) -> float:
    if "pattern" in step:
        if "Regex" in step["pattern"]:
            # The library gives up on one that takes too long, and with it on the reply.
            raise ValueError(
                "a regular expression for replies is not allowed: take the tokenizer from where "
                "the model was published"
            )
        return _of_replacement(step)
    # A space for each token, or between any two characters.
    return 2 if step.get("type") in ("WordPiece", "BPEDecoder", "CTC") else 1
