"""The page's script, style and content security policy, put together from their files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from pytest_llmdiff.errors import hidden

# In this order: what a file uses while it loads comes before it.
SCRIPTS = (
    "elements", "blocks", "colours", "tokens", "attention", "words", "origin", "probe", "rows",
    "filters", "matrix", "charts", "detail", "keys", "theme", "start",
)  # fmt: skip
CHARTING = ("d3.min.js", "plot.umd.min.js")  # in `vendor`: the second uses the first
STYLES = (
    "page", "panel", "scales", "blocks", "tokens", "attention", "words", "matrix", "plots",
    "screens",
)  # fmt: skip
# Allows the page's own scripts and style, and nothing else: no requests either.
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
# All but ASCII, kana, Han and Hangul, which make up most texts and have no hidden characters.
_DOUBTFUL = re.compile(r"[^\n\t -~\u3041-\u3096\u30a1-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


@cache
def script(names: Iterable[str] = SCRIPTS) -> str:
    """The files in one function, so that they share their names with each other alone."""
    parts = "\n".join(part(f"scripts/{name}.js") for name in names)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


@cache
def charting() -> str:
    """The library that draws charts. It is about half a megabyte."""
    return "\n".join(part(f"vendor/{name}") for name in CHARTING)


@cache
def style(names: Iterable[str] = STYLES) -> str:
    return "\n".join(part(f"styles/{name}.css") for name in names)


def part(name: str) -> str:
    return files("pytest_llmdiff.reports.html").joinpath(name).read_text(encoding="utf-8")


def rendered(template: str, **values: Any) -> str:
    """A page from its template: every text is escaped, and hidden characters are shown. Only what
    is `Markup` stands as it is."""
    from jinja2 import Environment, StrictUndefined

    def shown(value: Any) -> Any:
        plain = isinstance(value, str) and not hasattr(value, "__html__")
        return visible(value) if plain else value

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=shown, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.from_string(template).render(values)


def policy(*, scripts: Iterable[str], styles: Iterable[str]) -> str:
    """A content security policy under which only these texts run, by their hashes."""
    return POLICY.format(script=_hashes(scripts), style=_hashes(styles))


def _hashes(texts: Iterable[str]) -> str:
    digests = (hashlib.sha256(text.encode("utf-8")).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def visible(text: str) -> str:
    """Replaces control, format and bidirectional characters, but line ends and tabs, by their
    numbers."""
    return _DOUBTFUL.sub(_numbered, text.replace("\r\n", "\n"))


def _numbered(match: re.Match[str]) -> str:
    return f"⟦U+{ord(match[0]):04X}⟧" if hidden(match[0]) else match[0]


def embedded(data: object) -> str:
    """JSON that cannot close its element: without `<` and without hidden characters."""
    text = json.dumps(_visible(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {key: _visible(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_visible(held) for held in value]
    return value
