"""An exploration as one page that works offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmdiff.data.text.printing import counted, number, percent
from pytest_llmdiff.explore.text import lens_lines, pieces
from pytest_llmdiff.reports.html.parts import part, policy, rendered, style

if TYPE_CHECKING:
    from pytest_llmdiff.explore.values import Exploration, Theme

STYLES = ("page", "blocks", "screens", "notebook")


def page(found: Exploration) -> str:
    """The whole page. It has no script, and model output is escaped by the template."""
    from markupsafe import Markup

    looks = style(STYLES)
    return rendered(
        part("explore.html"),
        policy=Markup(policy(scripts=[], styles=[looks])),
        style=Markup(looks),
        title=f"What changed in {found.tuned}",
        facts=[
            ("base", found.base),
            ("tuned", found.tuned),
            ("tried", counted(found.tried, "prompt")),
            ("above the noise", counted(found.differing, "prompt")),
            ("noise of the base", f"{number(found.noise.limit)} {found.unit}"),
        ],
        everywhere=found.everywhere,
        themes=[_theme(theme, found.unit) for theme in found.themes],
        lens=list(lens_lines(found.lens)),
        sources=[f"{n}: {d} of {t} differ" for n, (t, d) in sorted(found.sources.items())],
        notes=found.notes,
    )


def _theme(theme: Theme, unit: str) -> dict[str, object]:
    return {
        "name": theme.name,
        "wanted": theme.accepted,
        "title": theme.title,
        "facts": f"{counted(theme.size, 'prompt')} ({percent(theme.share)} of those tried), "
        f"{number(theme.score)} {unit} on average; {theme.differing} of {theme.near} about the "
        f"same exceed the noise; seen by {theme.measure}",
        "lost": ", ".join(theme.lost),
        "judged": theme.judged,
        "examples": [
            {
                "prompt": example.prompt,
                "base": example.base,
                "tuned": pieces(example.tuned, example.words),
            }
            for example in theme.examples
        ],
    }
