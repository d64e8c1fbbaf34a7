"""Which texts a scorer cannot judge because of their language.

What tells languages is imported with the first text: a run whose scores are stored needs none.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_llmdiff.config.packages import installed_version

RULES = 1  # rises where the same text may be judged otherwise than before; part of scores' keys


def rules() -> list[object]:
    """What decides how texts are judged here, for the keys of stored results."""
    return [RULES, installed_version("py3langid")]


def unjudged(text: str, languages: Sequence[str]) -> str | None:
    """Why a scorer of these languages (codes such as "en") cannot judge a text, or None: because of
    its script, or of a sentence that is clearly in another language."""
    from pytest_llmdiff.data.text.language.identification import foreign
    from pytest_llmdiff.data.text.language.names import name_of, plain_code
    from pytest_llmdiff.data.text.language.scripts import unreadable

    if (reason := unreadable(text, languages)) is not None:
        return reason
    found = foreign(text, languages)
    if found is None:
        return None
    shown = found.text if len(found.text) <= 60 else found.text[:60] + "…"
    return (
        f"{shown!r} is in {found.name}, and the scorer only knows "
        f"{', '.join(map(name_of, map(plain_code, languages)))}"
    )
