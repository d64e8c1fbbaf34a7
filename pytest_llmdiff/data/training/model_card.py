"""The front matter of a model card (`README.md`), as far as people keep it readable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

# Said of models that know many languages, and of none in particular.
MANY = ("multilingual", "code")


def read_card(card: Path) -> dict[str, Any]:
    """What stands between the first two lines of `---`; nothing where that cannot be read.

    People edit cards by hand: one that is damaged says nothing, and is no damaged model.
    """
    import yaml

    if not card.is_file():
        return {}
    text = card.read_text(encoding="utf-8-sig", errors="replace")
    head = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    try:
        data = yaml.safe_load(head[1]) if head else None
    except (yaml.YAMLError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def values_of(card: dict[str, Any], key: str) -> list[str]:
    """The values of a key that may hold one or a list of them, in lower case."""
    found = card.get(key)
    held = found if isinstance(found, list) else [found]
    # YAML reads the code of Norwegian as false.
    return ["no" if value is False else str(value).lower() for value in held if value is not None]


def languages_of(card: dict[str, Any]) -> tuple[str, ...] | None:
    """Codes such as "zh" of the languages that a card names; None where it does not say."""
    found = [value.replace("_", "-").split("-")[0] for value in values_of(card, "language")]
    if not found or any(code in MANY for code in found):
        return None
    return tuple(dict.fromkeys(found))
