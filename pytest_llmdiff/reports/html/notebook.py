"""A value as a notebook shows it, and as a file: with the script and style of the report.

A notebook gets a frame that may run its own script and nothing else: it has no access to the
notebook, and makes no requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.data.files.whole_files import write_whole
from pytest_llmdiff.data.text.printing import number
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.explain.attention.rows import map_blocks
from pytest_llmdiff.explain.attention.values import AttentionMap
from pytest_llmdiff.explain.attribution.rows import attribution_row, words_block
from pytest_llmdiff.explain.attribution.values import Attribution
from pytest_llmdiff.explain.blocks import Block
from pytest_llmdiff.explain.training.kinds import influences_blocks
from pytest_llmdiff.explain.training.values import Influences
from pytest_llmdiff.reports.alignment import segments
from pytest_llmdiff.reports.files.pictures import write_picture
from pytest_llmdiff.reports.html.parts import embedded, part, policy, rendered, script, style
from pytest_llmdiff.verdicts.sets import Comparisons

SCRIPTS = ("elements", "blocks", "colours", "attention", "words", "origin", "notebook")
STYLES = ("page", "blocks", "attention", "words", "plots", "screens", "notebook")
SHOWN = 20  # comparisons of a set
LONGEST = 4000  # characters of a text


@dataclass(frozen=True, kw_only=True)
class View:
    """What is shown of a value; `height` of the frame in pixels."""

    title: str
    height: int
    facts: Sequence[tuple[str, str]] = ()
    comparisons: Sequence[Comparison] = ()
    left: int = 0
    blocks: Sequence[Block] = ()


def snippet(value: Any) -> str:
    """A frame with the value, as HTML."""
    from markupsafe import escape

    view = view_of(value)
    looks = f"width: 100%; height: {view.height}px; border: 0; resize: vertical; overflow: auto"
    return (
        f'<iframe sandbox="allow-scripts" title="{escape(view.title)}" style="{looks}" '
        f'srcdoc="{escape(page(view))}"></iframe>'
    )


def save(value: Any, path: Path) -> None:
    """Write a page or a picture, by the file's ending.

    Raises:
        ConfigError: it has another ending.
        MissingPackageError: a picture needs matplotlib, and it is not installed.
    """
    if path.suffix.lower() == ".html":
        write_whole(path, page(view_of(value)))
    elif path.suffix.lower() == ".png":
        write_picture(value, path)
    else:
        raise ConfigError(
            f"save: {path.name!r} does not say what to write; end it with .html (a page to look "
            "around in) or .png (a picture)"
        )


def page(view: View) -> str:
    """A whole page that works offline."""
    from markupsafe import Markup

    code, looks = script(SCRIPTS), style(STYLES)
    return rendered(
        part("notebook.html"),
        policy=Markup(policy(scripts=[code], styles=[looks])),
        script=Markup(code),
        style=Markup(looks),
        data=Markup(embedded({"tests": [], "options": "", "blocks": list(view.blocks)})),
        title=view.title,
        facts=[(name, _cut(value)) for name, value in view.facts],
        comparisons=list(map(_comparison, view.comparisons)),
        left=view.left,
        blocks=view.blocks,
    )


def _comparison(comparison: Comparison) -> Mapping[str, Any]:
    pieces = segments(_cut(comparison.base.text), _cut(comparison.tuned.text))
    first, second = comparison.sides
    return {
        "messages": [(m["role"], _cut(m["content"])) for m in comparison.probe.messages],
        "language": comparison.probe.language,
        "reply": pieces,
        "unlike": not any(piece[0] == "=" for piece in pieces),
        "columns": [(first, "-", "del"), (second, "+", "ins")],
    }


def _cut(text: str) -> str:
    left = len(text) - LONGEST
    return text if left <= 0 else f"{text[:LONGEST]} … ({left:,} more characters)"


def view_of(value: Any) -> View:
    """What is shown of a value. Raises TypeError: nothing is known of its type."""
    for kind, look in LOOKS.items():
        if isinstance(value, kind):
            return look(value)
    raise TypeError(f"a notebook shows {', '.join(each.__name__ for each in LOOKS)}")


def _of_comparison(value: Comparison) -> View:
    return View(title=" and ".join(value.sides), comparisons=[value], height=360)


def _of_comparisons(value: Comparisons) -> View:
    shown = list(islice(value, SHOWN))
    title = f"{len(value)} comparisons" + (f", tagged {value.scope}" if value.scope else "")
    return View(title=title, comparisons=shown, left=len(value) - len(shown), height=560)


def _of_measurement(value: Measurement) -> View:
    facts = [("value", "not judged" if value.unsupported else f"{value.value:.4g} {value.unit}")]
    facts += [("limit", number(value.limit))] if value.limit is not None else []
    facts += [("why", value.unsupported)] if value.unsupported else []
    facts += [
        (name.replace("_", " "), number(held) if isinstance(held, float) else str(held))
        for name, held in value.details.items()
        if held not in ("", None)
    ]
    return View(title=value.name, facts=facts, height=min(420, 90 + 32 * len(facts)))


def _of_attribution(value: Attribution) -> View:
    block = words_block(attribution_row(value), ("base", "tuned"))
    return View(title=block["title"], blocks=[block], height=240 + 90 * len(value.methods))


def _of_map(value: AttentionMap) -> View:
    blocks = map_blocks(value)
    grid = 360 if value.grid else 0
    height = 420 + 16 * min(48, len(value.reply)) + grid
    return View(title=blocks[0]["title"], blocks=blocks, height=height)


def _of_influences(value: Influences) -> View:
    (block,) = influences_blocks(value)
    height = 180 + 50 * min(10, len(value.examples))
    return View(title=block["title"], blocks=[block], height=height)


LOOKS: Mapping[type, Callable[[Any], View]] = {
    Comparison: _of_comparison,
    Comparisons: _of_comparisons,
    Measurement: _of_measurement,
    Attribution: _of_attribution,
    AttentionMap: _of_map,
    Influences: _of_influences,
}
