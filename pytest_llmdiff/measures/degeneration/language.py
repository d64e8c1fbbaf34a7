"""Replies in another language than was asked for, or in a mixture of languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.text.language.identification import (
    ADDRESS,
    foreign,
    language_of,
    languages_of,
)
from pytest_llmdiff.data.text.language.names import (
    is_about_languages,
    name_of,
    named_in,
    with_neighbours,
)
from pytest_llmdiff.data.text.language.scripts import (
    SCRIPTS,
    main_script,
    may_be_japanese,
    script_shares,
)
from pytest_llmdiff.data.text.language.words import CODE, FUNCTION_WORDS, units
from pytest_llmdiff.data.text.loops import loop_of
from pytest_llmdiff.measures.degeneration.evidence import Beside, Evidence

# Runs of another script inside a reply that mix it: so many, or one so long (characters).
FOREIGN_RUNS, FOREIGN_RUN = 2, 6
# Of another alphabet, letters of a run that count: formulas have single Greek letters.
ALPHABET_RUN = 3
# English is quoted in all languages: up to this share of a reply's letters.
ENGLISH_SHARE = 0.25
# A mixture has this many words of this many languages that no other one has.
MIXED_WORDS, MIXED_LANGUAGES = 2, 3
# What is quoted, in brackets, or emphasised, may be in any language.
_QUOTED = re.compile(
    r"\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|«[^»\n]{1,200}»|„[^“”\n]{1,200}[“”]|‘[^’\n]{1,200}’"
    r"|「[^」\n]{1,200}」|『[^』\n]{1,200}』|《[^》\n]{1,200}》|\([^()\n]{1,200}\)|（[^（）\n]{1,200}）"
    r"|\*\*?[^*\n]{1,80}\*\*?|(?<!\w)_[^_\n]{1,80}_(?!\w)|\[[^\]\n]{1,80}\]"
)
_SCRIPT_RUNS = (
    ("CJK", re.compile("[\u3400-\u4dbf\u4e00-\u9fff]+"), 1),
    ("JAPANESE", re.compile("[\u3041-\u30ff]+"), 2),
    ("HANGUL", re.compile("[\uac00-\ud7af]+"), 2),
    ("CYRILLIC", re.compile("[\u0400-\u04ff]+"), ALPHABET_RUN),
    ("ARABIC", re.compile("[\u0600-\u06ff]+"), ALPHABET_RUN),
    ("HEBREW", re.compile("[\u0590-\u05ff]+"), ALPHABET_RUN),
    ("GREEK", re.compile("[\u0370-\u03ff]+"), ALPHABET_RUN),
    ("DEVANAGARI", re.compile("[\u0900-\u097f]+"), ALPHABET_RUN),
    ("THAI", re.compile("[\u0e00-\u0e7f]+"), ALPHABET_RUN),
)
# Words that one of the languages has and the others have not.
_OWN_WORDS = {
    name: own.difference(*(held for other, held in FUNCTION_WORDS.items() if other != name))
    for name, own in FUNCTION_WORDS.items()
}


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """The languages and scripts that a reply may be in, and the scripts that parts of it may be in.

    Without languages none is known.
    """

    languages: frozenset[str]
    scripts: frozenset[str]
    parts: frozenset[str]


def switch(reply: Reply, beside: Beside) -> Iterator[Evidence]:
    """The reply, or a part of it, is in a language of neither the conversation nor the base's
    reply, nor in one that the conversation names."""
    if is_about_languages(beside.conversation) or main_script(_prose(beside.base)) is None:
        return
    text, allowed = _prose(reply.text), _allowed(beside)
    found = _other_script(text, beside, allowed)
    # What is said over and over is in no language.
    if not found and loop_of(reply) is None:
        found = _other_language(text, beside, allowed) or _mixed(text, allowed)
    yield from found


def _allowed(beside: Beside) -> Allowed:
    named, base = named_in(beside.conversation), _prose(beside.base)
    asked = list(map(_prose, beside.conversation.split("\n")))
    languages = named.union(*map(languages_of, (base, *asked)))
    scripts = {script for code in named for script in SCRIPTS.get(code, ("LATIN",))}
    scripts |= {script for text in asked if (script := main_script(text)) is not None}
    answers_in = main_script(base)
    if answers_in is not None and answers_in not in scripts:
        scripts.add(answers_in)
        if not languages_of(base):
            languages = frozenset()  # "Yes." to a question in Chinese: it may be any of that script
    expected = _prose(beside.expected)
    parts = scripts | {name for name, runs, _ in _SCRIPT_RUNS if runs.search(expected)}
    if "JAPANESE" in parts:
        parts.add("CJK")
    return Allowed(
        languages=with_neighbours(frozenset(languages)),
        scripts=frozenset(scripts),
        parts=frozenset(parts),
    )


def _other_script(text: str, beside: Beside, allowed: Allowed) -> list[Evidence]:
    """All of the reply is in another script."""
    script, base = main_script(text), str(main_script(_prose(beside.base)))
    if script is None or script in allowed.scripts:
        return []
    if script == "CJK" and "JAPANESE" in allowed.scripts and may_be_japanese(text):
        return []
    # Names, commands and titles in Latin letters may outweigh the text around them.
    if script == "LATIN" and allowed.scripts & set(script_shares(text)):
        return []
    return [_whole(f"the reply is in {script.lower()} script, the base's in {base.lower()}", text)]


def _other_language(text: str, beside: Beside, allowed: Allowed) -> list[Evidence]:
    """All of the reply is in another language."""
    found = language_of(text)
    if found is None or not allowed.languages or found in allowed.languages:
        return []
    if foreign(text, allowed.languages) is None or languages_of(text) & allowed.languages:
        return []  # nothing of it is clearly foreign, or not all
    other = language_of(_prose(beside.base)) or language_of(beside.prompt)
    than = "" if other is None else f", the base's in {name_of(other)}"
    return [_whole(f"the reply is in {name_of(found)}{than}", text)]


def _mixed(text: str, allowed: Allowed) -> list[Evidence]:
    """Parts of the reply are in another language, and are no quotations."""
    own = _QUOTED.sub(lambda quoted: " " * len(quoted[0]), text)
    for script, pattern, least in _SCRIPT_RUNS:
        if script in allowed.parts:
            continue
        runs = [run for run in pattern.finditer(own) if len(run[0]) >= least]
        if len(runs) >= FOREIGN_RUNS or any(len(run[0]) >= FOREIGN_RUN * least for run in runs):
            shown = ", ".join(repr(run[0][:20]) for run in runs[:3])
            return [_part(f"{script.lower()} script ({shown})", runs[0].start(), runs[0][0])]
    if not allowed.languages:
        return []
    found = foreign(own, allowed.languages)
    if found is not None and not (found.language in ("en", "pcm") and _is_little(own)):
        start = max(0, text.find(found.text))
        return [_part(f"{found.name} ({found.text[:60]!r})", start, found.text)]
    words = set(units(own))
    spoken = [name for name, held in _OWN_WORDS.items() if len(words & held) >= MIXED_WORDS]
    if len(spoken) >= MIXED_LANGUAGES:
        return [_part(f"a mixture of {', '.join(spoken)}", 0, own)]
    return []


def _is_little(text: str) -> bool:
    """Whether the Latin letters of a text in another script, or its English sentences, are few."""
    letters = sum(map(str.isalpha, text))
    if main_script(text) != "LATIN":
        return sum(c.isascii() and c.isalpha() for c in text) <= ENGLISH_SHARE * letters
    words = units(text)
    english = sum(word in _OWN_WORDS["English"] for word in words)
    return english <= ENGLISH_SHARE * len(words) / 2


def _prose(text: str) -> str:
    """The text with code and addresses blanked out, so that places stay."""
    for pattern in (CODE, ADDRESS):
        text = pattern.sub(lambda found: " " * len(found[0]), text)
    return text


def _whole(problem: str, text: str) -> Evidence:
    return Evidence(kind="language", problem=problem, start=0, quote=text.strip())


def _part(what: str, start: int, quote: str) -> Evidence:
    return Evidence(
        kind="mixed languages",
        problem=f"a part of the reply is in {what}",
        start=start,
        quote=quote,
    )
