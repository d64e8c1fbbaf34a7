"""Explorations on a page: a section of the run's, or a page of their own."""

from __future__ import annotations

from typing import Any

from pytest_llmdiff.data.text.printing import counted, number
from pytest_llmdiff.reports.explorations import (
    Found,
    lens_lines,
    nothing_line,
    pieces,
    source_lines,
    theme_line,
)
from pytest_llmdiff.reports.html.parts import part, policy, rendered, style

STYLES = ("page", "blocks", "screens", "notebook")


def exploration_page(found: Found) -> str:
    """The whole page. It has no script, and model output is escaped by the template."""
    from markupsafe import Markup

    looks = style(STYLES)
    return rendered(
        part("themes.html") + part("explore.html"),
        policy=Markup(policy(scripts=[], styles=[looks])),
        style=Markup(looks),
        title=f"What changed in {found['tuned']}",
        found=exploration(found),
    )


def exploration(found: Found) -> dict[str, Any]:
    """What the template shows of an exploration."""
    return {
        "facts": [
            ("base", found["base"]),
            ("tuned", found["tuned"]),
            ("tried", counted(found["tried"], "prompt")),
            ("above the noise", counted(found["differing"], "prompt")),
            ("noise of the base", f"{number(found['noise']['limit'])} {found['unit']}"),
        ],
        "nothing": "" if found["themes"] else nothing_line(found),
        "themes": [
            dict(theme)
            | {
                "line": theme_line(theme, found["unit"]),
                "examples": [
                    {
                        "prompt": each["prompt"],
                        "base": each["base"],
                        "tuned": pieces(each["tuned"], each["words"]),
                    }
                    for each in theme["examples"]
                ],
            }
            for theme in found["themes"]
        ],
        "lens": list(lens_lines(found["tuned_on"])),
        "sources": list(source_lines(found)),
        "notes": found["notes"],
    }
