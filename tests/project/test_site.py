"""The documentation's site: it builds strictly, and loads nothing from the network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from inspect import isfunction
from pathlib import Path
from typing import Any

import pytest

import pytest_llmdiff
from pytest_llmdiff import strategies
from pytest_llmdiff.plugin.fixtures import MODEL_FIXTURES
from pytest_llmdiff.plugin.marker import PROBED
from tests.support import ROOT


class Loaded(HTMLParser):
    """What a browser fetches by itself when it shows a page; links that one clicks are not."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and given.get("rel") != "canonical":
            self.found.append(given.get("href", ""))
        for name in ("src", "srcset", "data", "poster"):
            if tag != "a" and name in given:
                self.found.append(given[name])
        # The theme's script fetches more for these.
        if set(given.get("class", "").split()) & {"mermaid", "glightbox", "pyodide"}:
            self.found.append(f"https: {tag} of class {given['class']}")


def from_elsewhere(page: str) -> list[str]:
    parser = Loaded()
    parser.feed(page)
    return [url for url in parser.found if re.match(r"(https?:)?//|https:", url)]


def from_elsewhere_of_style(style: str) -> list[str]:
    return re.findall(r"""(?:@import|url\()\s*["']?((?:https?:)?//[^"')]+)""", style)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "zensical.toml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copytree(
        ROOT / "pytest_llmdiff", folder / "pytest_llmdiff",
        ignore=shutil.ignore_patterns("__pycache__"),
    )  # fmt: skip
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout
    return folder / "site"


def test_the_site_loads_nothing_from_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").glob("*.md")))  # and 404.html
    for page in pages:
        assert not from_elsewhere(page.read_text(encoding="utf-8")), page.name
    styles = list(site.rglob("*.css"))
    assert styles
    for style in styles:
        assert not from_elsewhere_of_style(style.read_text(encoding="utf-8")), style.name


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/x.css">',
        '<img alt="" src="http://cdn.example/x.png">',
        '<pre class="mermaid"></pre>',
    ],
)
def test_what_comes_from_elsewhere_is_seen(page: str) -> None:
    assert from_elsewhere(page)
    assert not from_elsewhere('<a href="https://arxiv.org"></a><script src="assets/x.js"></script>')
    assert from_elsewhere_of_style("@font-face { src: url('https://fonts.example/a.woff2') }")
    assert not from_elsewhere_of_style("a { background: url(data:image/png;base64,//8=) }")


def test_the_site_shows_every_public_name(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    functions = [name for name in strategies.__all__ if isfunction(getattr(strategies, name))]
    assert functions
    for name in [
        *(f"pytest_llmdiff.{name}" for name in pytest_llmdiff.__all__),
        *(f"pytest_llmdiff.strategies.{name}" for name in functions),
        *(f"pytest_llmdiff.plugin.fixtures.{name}" for name in MODEL_FIXTURES - set(PROBED)),
        *(f"pytest_llmdiff.plugin.fixtures.ProbeFixtures.{name}" for name in PROBED),
    ]:
        assert f'id="{name}"' in page, name
    assert "The tuned reply is not too toxic" in page


def places(nav: Any) -> Iterator[str]:
    for entry in nav:
        for held in entry.values():
            yield from [held] if isinstance(held, str) else places(held)


def test_every_page_has_one_place_in_the_navigation() -> None:
    settings = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    found = sorted(places(settings["project"]["nav"]))
    assert found == sorted(page.name for page in (ROOT / "docs").glob("*.md"))
