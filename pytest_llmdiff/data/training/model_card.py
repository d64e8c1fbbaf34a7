"""The front matter of a model card (`README.md`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

# These values name no particular language.
MANY = ("multilingual", "code")


def read_card(card: Path) -> dict[str, Any]:
    """The YAML between the first two lines of `---`; empty if it is missing or damaged.

    People edit cards by hand, so that a damaged card does not mean a damaged model.
    """
    import yaml

    from pytest_llmdiff.data.files.bounded_yaml import load_yaml

    if not card.is_file():
        return {}
    text = card.read_text(encoding="utf-8-sig", errors="replace")
    head = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    try:
        data = load_yaml(head[1]) if head else None
    except (yaml.YAMLError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def values_of(card: dict[str, Any], key: str) -> list[str]:
    """The values of a key that may have one value or a list, in lower case."""
    value = card.get(key)
    values = value if isinstance(value, list) else [value]
    # YAML reads the code of Norwegian, "no", as false.
    return ["no" if value is False else str(value).lower() for value in values if value is not None]


def languages_of(card: dict[str, Any]) -> tuple[str, ...] | None:
    """The codes, such as "zh", of the languages that a card names; None if it names none."""
    codes = [value.replace("_", "-").split("-")[0] for value in values_of(card, "language")]
    if not codes or any(code in MANY for code in codes):
        return None
    return tuple(dict.fromkeys(codes))
