"""Values as a notebook shows them, and as files."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff import Comparisons, ConfigError, Measurement, Probe
from pytest_llmdiff.reports.files.pictures import fonts_for
from tests.support.every_outcome import HOSTILE
from tests.support.values import comparison_of, everything, head_map


class Frame(HTMLParser):
    """The frame of a snippet, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def page_in(snippet: str) -> str:
    ((tag, attributes),) = Frame(snippet).found
    assert tag == "iframe"
    assert attributes["sandbox"] == "allow-scripts", "not the notebook's own origin"
    return str(attributes["srcdoc"])


def elements(page: str) -> list[str]:
    return [tag for tag, _ in Frame(page).found]


@pytest.mark.parametrize("text", ["plain", *HOSTILE])
def test_no_text_becomes_an_element(text: str) -> None:
    plain, shown = (
        [page_in(value._repr_html_()) for value in everything(each)] for each in ("plain", text)
    )
    for before, after in zip(plain, shown, strict=True):
        assert sorted(set(elements(after))) == sorted(set(elements(before)))
        assert "default-src 'none'" in unescape(after)


def test_every_value_says_what_it_is() -> None:
    pages = [page_in(value._repr_html_()) for value in everything("refund")]
    titles = [
        "base and tuned", "3 comparisons", "divergence", "Which words of the prompt matter",
        "Attention of layer 3, head 1", "Training examples that push",
    ]  # fmt: skip
    for page, said in zip(pages, titles, strict=True):
        assert said in page
        assert "refund" in page


def test_a_measurement_that_is_not_judged_says_why() -> None:
    found = Measurement(name="toxicity", value=float("nan"), unsupported="not this language")
    page = page_in(found._repr_html_())
    assert "not judged" in page
    assert "not this language" in page


def test_a_map_is_saved_as_a_page_or_a_picture(tmp_path: Path) -> None:
    found = head_map(" $退款_{x}$")
    found.save(tmp_path / "map.html")
    found.save(str(tmp_path / "MAP.PNG"))
    assert "退款" in (tmp_path / "map.html").read_text(encoding="utf-8")
    assert (tmp_path / "MAP.PNG").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"'map\.svg'.*\.html .*or \.png"):
        found.save(tmp_path / "map.svg")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["MAP.PNG", "map.html"]


def test_letters_that_no_font_has_are_an_error_and_other_signs_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from matplotlib import font_manager

    assert fonts_for("plain")[0] == "DejaVu Sans"
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])
    with pytest.raises(ConfigError, match=r"no installed font has 退; .*fonts-noto-cjk"):
        fonts_for("退")
    assert fonts_for("\N{SLICE OF PIZZA}") == ["DejaVu Sans"]


def test_a_picture_without_matplotlib_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_llmdiff.config.packages._is_installed", lambda _: False)
    with pytest.raises(ConfigError, match=r'matplotlib: pip install "pytest-llmdiff\[explain\]"'):
        head_map("a").save(tmp_path / "map.png")


def test_a_long_set_shows_its_first_comparisons() -> None:
    class Many:
        def compare_set(self, probes: Any) -> Any:
            return (comparison_of(f"reply {n}") for n, _ in enumerate(probes))

    probe = Probe(id="p", messages=({"role": "user", "content": "Hi"},))
    page = page_in(Comparisons(probes=(probe,) * 30, run=Many())._repr_html_())  # type: ignore[arg-type]
    assert page.count('class="pair') == 20
    assert "and 10 more" in page
