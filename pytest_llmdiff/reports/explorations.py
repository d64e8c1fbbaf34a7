"""Explorations as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.text.printing import counted, duration, number, percent, printable

Found = Mapping[str, Any]  # an exploration in plain JSON, or a part of one
SHOWN = 110  # characters of a text


def exploration_lines(found: Found) -> Iterator[str]:
    """The themes with their examples, what the model seems to be tuned on, and how it was found."""
    yield from (printable(line) for line in _lines(found))


def _lines(found: Found) -> Iterator[str]:
    noise = found["noise"]
    limit = f"{number(noise['limit'])} {found['unit']}, of {counted(noise['prompts'], 'prompt')}"
    yield f"base {found['base']}, tuned {found['tuned']}"
    yield (
        f"{counted(found['tried'], 'prompt')} tried in {duration(found['seconds'])}; at "
        f"{found['differing']} the models differ by more than the base's own noise ({limit})"
    )
    if not found["themes"]:
        yield nothing_line(found)
    for place, theme in enumerate(found["themes"], 1):
        yield ""
        yield from _theme(place, theme, found["unit"])
    yield ""
    yield from lens_lines(found["tuned_on"])
    yield ""
    yield from (f"  {line}" for line in source_lines(found))
    yield from (f"  note: {note}" for note in found["notes"])


def _theme(place: int, theme: Found, unit: str) -> Iterator[str]:
    wanted = ", wanted" if theme["accepted"] else ""
    yield f"{place}. {theme['name']}{wanted}: {theme['title']}"
    yield f"   {theme_line(theme, unit)}"
    if theme["lost"]:
        yield f"   no longer says {', '.join(theme['lost'])}"
    if theme["judged"]:
        yield f"   the judge says: {theme['judged']}"
    for example in theme["examples"]:
        yield f"   prompt  {_short(example['prompt'])}"
        yield f"     base  {_short(example['base'])}"
        yield f"     tuned {_short(_marked(example['tuned'], example['words']))}"


def _short(text: str) -> str:
    plain = " ".join(text.split()) or "(empty)"
    return plain if len(plain) <= SHOWN else f"{plain[: SHOWN - 1]}…"


def _marked(text: str, words: Sequence[str]) -> str:
    """The text with the theme's words in asterisks."""
    return "".join(f"*{part}*" if is_word else part for is_word, part in pieces(text, words))


def nothing_line(found: Found) -> str:
    """What is said of an exploration without themes."""
    if found["everywhere"]:
        return (
            f"small and everywhere: a median of {number(found['median'])} {found['unit']}, on no "
            "prompts in particular and in no way of its own"
        )
    return "no theme stands above the noise"


def theme_line(theme: Found, unit: str) -> str:
    """How large a theme is, and by how much it stands above the noise."""
    near = f"{theme['differing']} of {theme['near']} about the same exceed the noise"
    return (
        f"{counted(theme['size'], 'prompt')} ({percent(theme['share'])} of those tried), "
        f"{number(theme['score'])} {unit} on average; {near} (p {theme['p']:.1g}, adjusted); seen "
        f"by {theme['measure']}"
    )


def pieces(text: str, words: Sequence[str]) -> list[tuple[bool, str]]:
    """The text in pieces, each with whether it is one of the words."""
    from pytest_llmdiff.data.text.words import words_of

    found, end = list[tuple[bool, str]](), 0
    for word in words_of(text).words:
        if word.text.lower() in words:
            found += [(False, text[end : word.start]), (True, word.text)]
            end = word.end
    return [(is_word, piece) for is_word, piece in [*found, (False, text[end:])] if piece]


def lens_lines(lens: Found) -> Iterator[str]:
    """What the model seems to be tuned on, beside the figure of the control."""
    if lens["unknown"]:
        yield f"what it was tuned on cannot be told: {lens['unknown']}"
    elif not lens["words"]:
        yield (
            f"what it was tuned on does not show: no word stands above {lens['controls']} random "
            f"adapters of the same norm ({lens['control']:.1f} standard deviations)"
        )
    else:
        words = ", ".join(f"{word} ({value:.1f})" for word, value in lens["words"])
        yield f"it seems to be about: {words}"
        yield (
            f"   in standard deviations, on {lens['texts']} neutral texts; no word of "
            f"{lens['controls']} random adapters of the same norm stands above "
            f"{lens['control']:.1f}"
        )
        if lens["in_training"] is not None:
            known = ", ".join(lens["in_training"]) or "none"
            yield f"   of these the training data has: {known}"
    if lens["turns"]:
        words = ", ".join(
            f"{word} ({percent(ours)}, {percent(theirs)})" for word, ours, theirs in lens["turns"]
        )
        yield f"its users seem to ask about: {words}"
        yield "   in so many of the amplified user turns, and of the base's own"


def source_lines(found: Found) -> Iterator[str]:
    """How many prompts of each source differ."""
    for source, each in sorted(found["sources"].items()):
        yield f"{source}: {each['differing']} of {each['tried']} differ"
