"""Sections as one page that loads nothing and runs nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from pytest_llmdiff.errors import visible
from pytest_llmdiff.reports.diff.forms.sections import Section

# Allows the page's own style, and nothing else: no script and no request.
POLICY = "default-src 'none'; style-src '{style}'; base-uri 'none'; form-action 'none'"


def html_of(sections: Iterable[Section]) -> str:
    """The page. The template escapes every text, and hidden characters are shown as numbers."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        if not isinstance(value, str) or hasattr(value, "__html__"):
            return value
        return "".join(c if c in "\n\t" else visible(c) for c in value)

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=shown, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style = _part("compare.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.from_string(_part("compare.html")).render(
        policy=POLICY.format(style=f"sha256-{digest}"), style=Markup(style), sections=list(sections)
    )


def _part(name: str) -> str:
    return files("pytest_llmdiff.reports.diff.forms").joinpath(name).read_text(encoding="utf-8")
