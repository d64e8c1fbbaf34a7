"""Maps of attention as PNG files, drawn by matplotlib."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import require_packages
from pytest_llmdiff.data.files.whole_files import whole_file
from pytest_llmdiff.data.text.printing import printable, shortened
from pytest_llmdiff.errors import ConfigError

if TYPE_CHECKING:
    from pytest_llmdiff.explain.attention.values import AttentionMap

WIDEST = 16  # columns of a token
COLUMNS = 96  # tokens beside each other; more are too narrow to read
CELL = 0.22  # inches
# Blue where the base attends more, orange where the tuned model does.
DIFFERENCES = ("#08306b", "#1f55a5", "#6f9fd8", "#bcd4ee", "#f7f6f3", "#fbd0a4", "#f09a4a",
               "#c05f10", "#7a3500")  # fmt: skip
FIRST = "DejaVu Sans"  # comes with matplotlib
# Parts of the names of fonts with many scripts, the ones to read best first.
BROAD = ("Noto Sans CJK", "Source Han Sans", "PingFang", "Microsoft YaHei", "Hiragino", "SimHei",
         "WenQuanYi", "Noto Sans", "Arial Unicode", "Droid Sans Fallback")  # fmt: skip
NO_FONT = (
    "save: no installed font has {letters}; install one that does and try again (for Chinese, "
    "Japanese and Korean: apt install fonts-noto-cjk, or brew install font-noto-sans-cjk), or "
    "save to .html, for which the browser finds a font"
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """The keys from `start` to `stop`: one, or several whose shares are `summed`."""

    name: str
    start: int
    stop: int
    summed: bool = False


def columns_of(found: AttentionMap) -> list[Column]:
    """The tokens of the user's text, and what comes before, after and in the reply in sums; all
    keys where it is not known which ones are the user's. Of too many, the last."""
    first, last = found.asked or (0, len(found.keys))
    first = max(first, last - COLUMNS)
    sums = [("before it", 0, first), ("after it", last, found.prompt),
            ("the reply", found.prompt, len(found.keys))]  # fmt: skip
    return [
        *(Column(name=_label(found.keys[at]), start=at, stop=at + 1) for at in range(first, last)),
        *(Column(name=name, start=start, stop=stop, summed=True)
          for name, start, stop in sums if start < stop and (found.asked or stop == first)),
    ]  # fmt: skip


def write_picture(found: AttentionMap, path: Path) -> None:
    """Both models' maps and their difference, side by side.

    Raises:
        ConfigError: no installed font has some letter of the text.
        MissingPackageError: matplotlib is not installed.
    """
    require_packages("pictures", "a PNG of a map of attention")
    from matplotlib import rc_context

    columns, reply = columns_of(found), [_label(token) for token in found.reply]
    families = fonts_for("".join([*(column.name for column in columns), *reply]))
    with rc_context({"font.family": families, "font.size": 8}):
        figure = _figure(found, columns, reply)
        held = io.BytesIO()
        figure.savefig(held, format="png", dpi=150, bbox_inches="tight")
    with whole_file(path) as draft:
        draft.write_bytes(held.getvalue())


def _label(token: str) -> str:
    return shortened(printable(token).replace(" ", "·"), WIDEST) or "…"


def _figure(found: AttentionMap, columns: Sequence[Column], reply: Sequence[str]) -> Any:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    size = (3 * (CELL * len(columns) + 1.6), CELL * len(reply) + 2.4)
    figure = Figure(figsize=size, layout="constrained")
    sides = [
        [[sum(row[column.start : column.stop]) for column in columns] for row in rows]
        for rows in (found.base, found.tuned, found.difference)
    ]
    # The first token takes what a head does not use: it would leave the others without a colour.
    shown = [at for at, column in enumerate(columns) if not column.summed and column.start > 0]
    most, change = (
        max([1e-6, *(abs(row[at]) for rows in some for row in rows for at in shown)])
        for some in (sides[:2], sides[2:])
    )
    blue_orange = LinearSegmentedColormap.from_list("differences", DIFFERENCES)
    first, second = found.sides
    names = [column.name for column in columns]
    panels: list[tuple[str, Any, float]] = [
        (first, "cividis", 0.0),
        (second, "cividis", 0.0),
        (f"{second} less {first}", blue_orange, -change),
    ]
    for axes, rows, (title, colours, low) in zip(figure.subplots(1, 3), sides, panels, strict=True):
        high = change if low else most
        drawn = axes.imshow(rows, cmap=colours, vmin=low, vmax=high, aspect="equal")
        axes.set_title(title, parse_math=False)
        axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
        for tick, column in zip(axes.get_xticklabels(), columns, strict=True):
            tick.set_style("italic" if column.summed else "normal")
        axes.set_yticks(range(len(reply)), reply, parse_math=False)
        axes.tick_params(length=0)
        figure.colorbar(
            drawn, ax=axes, location="bottom", shrink=0.6, label="share of the head's output",
            extend="max" if low == 0 else "both",
        )  # fmt: skip
    figure.suptitle(f"Attention of layer {found.layer}, head {found.head}", parse_math=False)
    return figure


def fonts_for(text: str) -> list[str]:
    """Installed font families that together have the text's characters.

    Raises:
        ConfigError: none has some letter. Other signs that none has are drawn as boxes.
    """
    from matplotlib import font_manager

    families, missing = [FIRST], _lacking(font_manager.findfont(FIRST), set(text))
    fonts = sorted(font_manager.fontManager.ttflist, key=lambda font: _rank(font.name))
    for font in fonts:
        if not missing:
            break
        left = _lacking(font.fname, missing)
        if len(left) < len(missing):
            families.append(font.name)
            missing = left
    if letters := sorted(c for c in missing if unicodedata.category(c)[0] == "L"):
        raise ConfigError(NO_FONT.format(letters=" ".join(letters[:5])))
    return families


def _rank(name: str) -> tuple[int, str]:
    return next((n for n, part in enumerate(BROAD) if part in name), len(BROAD)), name


def _lacking(file: str, characters: Iterable[str]) -> set[str]:
    from matplotlib.font_manager import get_font

    try:
        known = get_font(file).get_charmap()
    except (OSError, RuntimeError):  # not a font that can be drawn
        known = {}
    return {character for character in characters if ord(character) not in known}
