"""Renders the templates of other tools' files, as text, within bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pytest_llmdiff.data.template_process import Render, TemplateProcess, short


class FileTemplates(TemplateProcess):
    """Jinja templates over the values of a record, or the variables of a test."""

    renderer = "pytest_llmdiff.data.published.templates:renderer"
    named = "the template"
    refuses = "these values"

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """Raises ProbeError: a value is missing, or the template is broken or beyond a bound."""
        # Most of what looks like a template is plain text.
        return self.rendered(template, values=values) if "{" in template else template


def renderer() -> Render:
    """What renders, within the process: in a sandbox, with the environment that lm-eval has."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["regex_replace"] = _replaced
    compiled = lru_cache(environment.from_string)

    def render(asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"text": short(compiled(asked["template"]).render(**asked["values"]))}

    return render


def _replaced(text: str, pattern: str, repl: str, count: int = 0) -> str:
    return re.sub(pattern, repl, text, count=count)
