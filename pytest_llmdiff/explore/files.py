"""What an exploration leaves behind: probes, tests, a page and JSON."""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.files.whole_files import write_whole
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.explore.observing import NATS

if TYPE_CHECKING:
    from pytest_llmdiff.data.probes import Probe
    from pytest_llmdiff.explore.values import Exploration, Noise, Theme

PROBES, TESTS, PAGE, JSON = "probes/found.jsonl", "test_found.py", "explore.html", "explore.json"
MADE = "# Written by `python -m pytest_llmdiff explore`"
MOST = 40  # probes of a theme
# Room above what a wanted theme measures now.
ROOM = 1.25
_HEAD = '''"""What an exploration of {tuned} found, one test for each theme."""

{made}; a new exploration replaces this file.

from __future__ import annotations

import pytest

from pytest_llmdiff import {helper}

FOUND = pytest.mark.llmdiff(file="{probes}", max_new_tokens={tokens})
'''
_TEST = '''

@FOUND
def test_{function}(comparisons) -> None:
    """{title}

    {reason}
    """
    {helper}(comparisons.tagged("{tag}"), at_most={limit})
'''


def check_place(folder: Path) -> None:
    """Raises ConfigError where `write` would fail, so that it is known before the search."""
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        problem = "takes no files" if there.is_dir() else "is no folder"
        raise ConfigError(f"{there} {problem}: give another folder with --output")
    tests = folder / TESTS
    if tests.is_file() and MADE not in tests.read_text(encoding="utf-8", errors="replace"):
        raise ConfigError(
            f"{tests} was not written by an exploration: move it away, or give another folder "
            "with --output"
        )


def write(found: Exploration, folder: Path) -> list[Path]:
    """Write all files that the result calls for: without themes, no probes and no tests."""
    check_place(folder)
    plain = as_json(found)
    texts = {JSON: json.dumps(plain, ensure_ascii=False, indent=1) + "\n"}
    if found.themes:
        texts[PROBES] = "".join(
            json.dumps(row, ensure_ascii=False) + "\n" for row in _probes(found)
        )
        texts[TESTS] = "".join(_tests(found))
    from pytest_llmdiff.reports.html.explorations import exploration_page

    texts[PAGE] = exploration_page(plain)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        # A server may send half of a surrogate pair, which UTF-8 cannot encode.
        write_whole(folder / name, text.encode(errors="backslashreplace").decode())
    return [folder / name for name in texts]


def _probes(found: Exploration) -> Iterator[dict[str, Any]]:
    tags: dict[str, list[str]] = {}
    probes = {}
    for theme in found.themes:
        for probe, _ in _tested(theme):
            tags.setdefault(probe.question, []).append(theme.name)
            probes[probe.question] = probe
    for question, probe in probes.items():
        own = probe.prompt if len(probe.messages) == 1 and not probe.tools else None
        asked = {"messages": list(map(dict, probe.messages))} if own is None else {"prompt": own}
        language = {"language": probe.language} if probe.language else {}
        yield {**asked, "tags": tags[question], **language}


def _tested(theme: Theme) -> Sequence[tuple[Probe, float]]:
    """The probes of a theme's test, with what its measure says now: those that it can judge, or all
    if there are none."""
    read = [
        (probe, drift)
        for probe, drift in zip(theme.probes, theme.drifts, strict=False)
        if drift is not None
    ]
    return (read or list(zip(theme.probes, theme.scores, strict=False)))[:MOST]


def _tests(found: Exploration) -> Iterator[str]:
    helper = "assert_divergence" if found.unit == NATS else "assert_semantic_drift"
    yield _HEAD.format(
        tuned=_plain(found.tuned), made=MADE, helper=helper, probes=PROBES, tokens=found.tokens
    )
    functions = _functions([theme.name for theme in found.themes])
    for theme, function in zip(found.themes, functions, strict=True):
        limit = limit_of(theme, found.noise)
        wanted = (
            f"Wanted: may stay, and not grow by more than {ROOM - 1:.0%}."
            if theme.accepted
            else "Fails until the models differ no more here than the base from itself."
        )
        yield _TEST.format(
            function=function, title=_plain(theme.title), reason=wanted,
            helper=helper, tag=theme.name, limit=f"{limit:.4g}",
        )  # fmt: skip


def _functions(names: Sequence[str]) -> list[str]:
    """The names as parts of the names of functions, each once: Python reads them in NFKC."""
    found: list[str] = []
    for name in names:
        plain = unicodedata.normalize("NFKC", name)
        own = "".join(c if f"a{c}".isidentifier() else "_" for c in plain)
        while own in found:
            own += "_2"
        found.append(own)
    return found


def limit_of(theme: Theme, noise: Noise) -> float:
    """The limit of a theme's test, in its measure: the noise of the base, or, for a theme that is
    wanted, the upper bound of what it measures now, with room."""
    if not theme.accepted:
        return noise.limit if noise.drift is None else noise.drift
    from pytest_llmdiff.verdicts.estimates import mean_estimate

    scores = [score for _, score in _tested(theme)]
    high = mean_estimate(scores, support=(0.0, math.inf)).high
    return ROOM * (high if high is not None and math.isfinite(high) else 2 * max(scores))


def _plain(text: str) -> str:
    """A text that may stand in a docstring: what a model said must not end it."""
    return re.sub(r"[^\w ,;:./+-]", "", text).strip() or "what changed"


def as_json(found: Exploration) -> dict[str, Any]:
    """The whole result as plain JSON."""
    return {
        "base": found.base, "tuned": found.tuned, "seed": found.seed, "unit": found.unit,
        "tried": found.tried, "differing": found.differing, "median": found.median,
        "seconds": round(found.seconds, 1),
        "noise": {"limit": found.noise.limit, "prompts": found.noise.count},
        "everywhere": found.everywhere,
        "themes": [_theme(theme, found.noise) for theme in found.themes],
        "tuned_on": {
            "words": [[word, value] for word, value in found.lens.words],
            "control": found.lens.control, "texts": found.lens.texts,
            "controls": found.lens.controls, "unknown": found.lens.unknown or None,
            "in_training": None if found.lens.in_training is None
            else list(found.lens.in_training),
            "turns": [list(each) for each in found.lens.turns],
        },
        "sources": {n: {"tried": t, "differing": d} for n, (t, d) in found.sources.items()},
        "notes": list(found.notes),
    }  # fmt: skip


def _theme(theme: Theme, noise: Noise) -> Mapping[str, Any]:
    return {
        "name": theme.name, "title": theme.title, "gained": list(theme.gained),
        "lost": list(theme.lost), "about": list(theme.about), "marks": dict(theme.marks),
        "size": theme.size, "share": theme.share, "differing": theme.differing, "near": theme.near,
        "p": theme.p, "score": theme.score, "everywhere": theme.everywhere,
        "accepted": theme.accepted, "limit": limit_of(theme, noise), "measure": theme.measure,
        "judged": theme.judged or None,
        "prompts": [probe.prompt for probe in theme.probes],
        "examples": [vars(example) | {"words": list(example.words)} for example in theme.examples],
    }  # fmt: skip
