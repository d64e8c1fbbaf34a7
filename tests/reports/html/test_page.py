"""The HTML report as text: what is in it, and that nothing that a model said can get out of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmdiff.reports.alignment import MOST, segments
from pytest_llmdiff.reports.html.charts import BINS, HEIGHT, WIDTH, distributions
from pytest_llmdiff.reports.html.page import PLAIN, page
from pytest_llmdiff.reports.html.parts import SCRIPTS, STYLES, embedded, visible
from tests.support import ROOT
from tests.support.every_outcome import HOSTILE, run_every_outcome, write_every_outcome
from tests.support.reports import facts_of, hostile_rows, regressed, row_of, rows_of

anything = st.text(st.characters(exclude_categories=()))


class Elements(HTMLParser):
    """Elements with their attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open, []).append(data)


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    held: dict[str, Any] = json.loads(found[1])
    return held


# The whole page


def test_a_run_of_every_outcome(project: pytest.Pytester, mode: list[str]) -> None:
    write_every_outcome(project.path)
    run_every_outcome(project, "--llmdiff-html=out/r.html", "--llmdiff-json=r.json", *mode)
    text = (project.path / "out" / "r.html").read_text(encoding="utf-8")
    report = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    tests = {test["test"]: test for test in data_of(text)["tests"]}
    assert set(tests) == {test["test"] for test in report["tests"]}
    for test in report["tests"]:
        held = tests[test["test"]]
        assert held["kind"].replace(" ", "_") == test["outcome"]
        assert len(held.get("verdicts", [])) == len(test["verdicts"])
        # A set that two helpers read is in the test's facts twice, and in the page once.
        probes = {comparison["probe"] for comparison in test["comparisons"]}
        assert {probe["probe"] for probe in held.get("probes", [])} == probes
        assert len(held.get("probes", [])) == len(probes)
        assert f"pytest {held['target']} {data_of(text)['options']}" == test["rerun"]
    kinds = [test["kind"] for test in data_of(text)["tests"]]
    assert kinds == sorted(kinds, key=list(dict.fromkeys(kinds)).index)
    assert kinds[0] == "regressed"
    assert kinds[-1] == "passed"


def test_nothing_hostile_is_an_element_or_an_attribute() -> None:
    text = page(facts_of(hostile_rows(), notes=HOSTILE, warnings=HOSTILE))
    elements = Elements(text)
    # By tag and attribute exactly what a harmless page has.
    harmless = Elements(page(facts_of(rows_of([regressed("t.py::t", value=1)]), notes=["a"])))
    ours = {(tag, name) for tag, attrs in harmless.found for name in attrs}
    theirs = {(tag, name) for tag, attrs in elements.found for name in attrs}
    assert {pair for pair in theirs - ours if pair[0] not in ("rect", "line", "svg", "table")} <= {
        ("div", "role"), ("div", "tabindex"), ("a", "class"), ("span", "class"),
    }  # fmt: skip
    assert {tag for tag, _ in elements.found} <= {tag for tag, _ in harmless.found} | {
        "table", "caption", "del", "ins",
    }  # fmt: skip
    assert [tag for tag, _ in elements.found].count("script") == 2
    assert not [name for _, attrs in elements.found for name in attrs if name.startswith("on")]
    assert not [a for _, a in elements.found if "src" in a or str(a.get("href"))[:4] == "java"]
    assert not {c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")} - {
        "\n", "\t",
    }  # fmt: skip
    assert not set(text) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200e\u200f")
    text.encode()


def test_only_its_own_script_and_style_may_run() -> None:
    text = page(facts_of(hostile_rows()))
    (policy,) = (
        attrs["content"] or ""
        for tag, attrs in Elements(text).found
        if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for kind, opening in (("script", "<script>"), ("style", "<style>")):
        content = text.rpartition(opening)[2].partition(f"</{kind}>")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not re.search(r"(?<!\w)(fetch|XMLHttpRequest|import)\(|url\(|@import", text)


@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers() | anything,
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    )
)
@example(data=["</script><script>", "<!--", "\u2028", "\ud83d"])
def test_embedded_data_comes_back_and_ends_nothing(data: Any) -> None:
    text = embedded(data)
    assert not set(text) & set("<>&\u2028\u2029")
    text.encode()

    def shown(value: Any) -> Any:
        if isinstance(value, str):
            return visible(value)
        if isinstance(value, dict):
            return {key: shown(held) for key, held in value.items()}
        return [shown(held) for held in value] if isinstance(value, list) else value

    assert json.loads(text) == shown(data)


def test_what_is_hidden_is_shown() -> None:
    assert visible("user\u202egnp.exe\x1b[31m\x00") == "user⟦U+202E⟧gnp.exe⟦U+001B⟧[31m⟦U+0000⟧"
    assert visible("a\r\nb\tc") == "a\nb\tc"
    kept = "退款 どうぞ 환불 مرحبا שלום 👩\u200d👧 é"
    assert visible(kept) == kept


def test_without_javascript_the_worst_are_there() -> None:
    rows = [regressed(f"t.py::test[{n}]", value=n + 1, prompt=f"question {n}?") for n in range(150)]
    text = page(facts_of(rows_of([*rows, row_of("t.py::good", value=0, limit=1, prompt="fine?")])))
    plain = text.partition("<noscript>")[2].partition("</noscript>")[0]
    assert plain.count("<article") == PLAIN
    first = plain.partition("</article>")[0]
    for fact in ("question 149?", "toxicity 150 ≤ 0.20", "<del>", "<ins>What a stupid question",
                 "pytest &#34;t.py::test[149]&#34; --llm-base=models/base"):  # fmt: skip
        assert fact in first
    assert "question 0?" not in plain
    assert "fine?" not in plain


def test_a_run_without_tests_is_a_page_too() -> None:
    assert "No tests" in page(facts_of({}))


def test_five_thousand_tests_are_small_and_their_replies_whole() -> None:
    reply = "You can ask for a refund within thirty days of delivery. " * 10
    other = reply.replace("thirty", "ninety")
    rows = [
        row_of(f"t.py::test[{n}]", value=n % 7 / 10, limit=0.5, base=reply, tuned=other)
        for n in range(5000)
    ]
    text = page(facts_of(rows_of(rows)))
    assert len(text.encode()) < 15_000_000
    passed = data_of(text)["tests"][-1]["probes"][0]["reply"]
    assert "".join(piece[1:] for piece in passed if piece[0] != "-") == other


def test_very_long_replies_are_cut_with_a_notice() -> None:
    row = regressed("t.py::t", value=1, tuned="x" * 1_000_000)
    text = page(facts_of(rows_of([row])))
    assert len(text) < 200_000
    (probe,) = data_of(text)["tests"][0]["probes"]
    assert probe["reply"][-1].endswith(" … (980,000 more characters are not in this file)")


def test_links_stay_from_run_to_run() -> None:
    rows = [regressed("t.py::a", value=1), regressed("t.py::b", value=2)]
    one, other = (page(facts_of(rows_of(held))) for held in (rows, rows[1:]))
    ids = {test["test"]: test["id"] for test in data_of(one)["tests"]}
    assert data_of(other)["tests"][0]["id"] == ids["t.py::b"]
    assert len(set(ids.values())) == 2


# Two replies side by side


def side(found: list[str], sign: str) -> str:
    return "".join(piece[1:] for piece in found if piece[0] in ("=", sign))


@given(head=st.text(), base=anything, tuned=anything, tail=st.text())
@example(head="", base="\n\n", tuned="\u3000", tail="")
def test_no_character_of_a_side_is_lost(head: str, base: str, tuned: str, tail: str) -> None:
    base, tuned = head + base + tail, head + tuned + tail
    found = segments(base, tuned)
    assert side(found, "-") == base
    assert side(found, "+") == tuned
    assert all(len(piece) > 1 for piece in found)
    if base == tuned:
        assert not any(piece[0] in "+-" for piece in found)


@pytest.mark.parametrize(
    ("base", "tuned", "found"),
    [
        ("You can ask today.", "You may ask today.", ["=You ", "-can ", "+may ", "=ask today."]),
        ("您可以退款。", "您不能退款。", ["=您", "-可以", "+不能", "=退款。"]),
        ("Same.", "Same.", ["=Same."]),
        ("", "", []),
        ("", "New.", ["+New."]),
        # One accidental word is no island.
        ("It is a big old dog in the house now.", "It is what the old man said in the house now.",
         ["=It is ", "-a big old dog ", "+what the old man said ", "=in the house now."]),
        # Nothing in common.
        ("alpha beta gamma delta eps zeta.", "one two three four five six.",
         ["-alpha beta gamma delta eps zeta.", "+one two three four five six."]),
    ],
)  # fmt: skip
def test_what_differs(base: str, tuned: str, found: list[str]) -> None:
    assert segments(base, tuned) == found


def test_very_long_replies_are_compared_by_their_ends() -> None:
    words = [f"w{n} " for n in range(MOST + 10)]
    base, tuned = "".join(words), "".join([*words[:700], "other ", *words[701:]])
    assert segments(base, tuned)[1:3] == ["-w700 ", "+other "]


# Plots


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1), limit=st.floats(-1e6, 1e6))
def test_every_value_is_in_the_plot(values: list[float], limit: float) -> None:
    rows = [row_of(f"t.py::{n}", value=v, limit=limit) for n, v in enumerate(values)]
    (plot,) = distributions(rows)
    assert plot.count == len(values)
    assert plot.broken == sum(value > limit for value in values)
    assert 0 < len(plot.bars) <= 2 * BINS
    for bar in plot.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= WIDTH
        assert bar.y >= -0.01
        assert bar.y + bar.height <= HEIGHT + 0.01
    assert any(bar.beyond for bar in plot.bars) == (plot.broken > 0)
    (mark,) = plot.limits
    assert 0 <= mark.x <= WIDTH


def test_a_plot_says_what_it_shows() -> None:
    rows = [row_of(f"t.py::{n}", value=n / 10, limit=0.5) for n in range(10)]
    for row in rows:
        row["verdicts"][0]["noise"] = 0.25
    (plot,) = distributions(rows)
    assert plot.label == (
        "toxicity: 10 values, median 0.45, largest 0.90, limit ≤ 0.50, noise reaches 0.25"
    )
    assert f'aria-label="{plot.label}"' in page(facts_of(rows_of(rows)))


def test_tags_and_suites_are_groups() -> None:
    rows = [
        row_of(f"t.py::{n}", value=n % 2, limit=0.5, tags=["retained" if n % 2 else "in_domain"])
        for n in range(10)
    ]
    text = page(facts_of(rows_of(rows)))
    cells = {
        re.sub(r"<[^>]+>", "", row.partition("</th>")[0]).strip(): re.findall(
            r"<td[^>]*>([^<]*)", row
        )
        for row in text.partition('id="groups"')[2].partition("</table>")[0].split("<tr>")[2:]
    }
    assert cells == {
        "tag retained": ["5", "5", "0", "0", "1"],
        "tag in_domain": ["5", "0", "0", "5", "0"],
        "suite t.py": ["10", "5", "0", "5", "0.50"],
    }


FOLDER = ROOT / "pytest_llmdiff" / "reports" / "html"
PARTS = [FOLDER / "page.html", *FOLDER.glob("scripts/*"), *FOLDER.glob("styles/*")]


def test_every_script_and_style_is_on_the_page() -> None:
    assert {file.stem for file in FOLDER.glob("scripts/*.js")} == set(SCRIPTS)
    assert {file.stem for file in FOLDER.glob("styles/*.css")} == set(STYLES)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_the_page_files_are_in_the_package(part: Path) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"{part.relative_to(ROOT / "pytest_llmdiff").with_stem("*").as_posix()}"' in project
    text = part.read_text(encoding="utf-8")
    assert "</script" not in text or part.suffix == ".html"
    assert "innerHTML" not in text


def test_a_plot_tells_how_many_tests_have_no_value() -> None:
    rows = [regressed(f"t.py::test[{n}]", value=0.9) for n in range(3)]
    rows += [regressed(f"t.py::test[{n}]", value=0.9, verdicts=[]) for n in (3, 4)]
    (plot,) = distributions(rows)
    assert plot.counted == "3 of 5 measured"
    assert plot.label.startswith("toxicity: 3 of 5 measured, median 0.90")
