"""The HTML report in a real browser: it works, makes no requests, and runs its own script alone.

Needs Playwright (in the `dev` extra) and a Chromium of the system.
"""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.reports.html import write_html
from pytest_llmdiff.reports.html.entries import link_of
from tests.support import ROOT
from tests.support.every_outcome import run_every_outcome, write_every_outcome
from tests.support.reports import facts_of, hostile_rows, looked, regressed, row_of, rows_of

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
AXE = Path(sys.prefix) / "axe" / "node_modules" / "axe-core" / "axe.min.js"
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium (chromium, chromium-browser, google-chrome) on the PATH")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


def outside(url: str) -> list[str]:
    return [] if url.startswith(("file:", "data:")) else [f"request: {url}"]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a file; afterwards nothing was asked for, and nothing was said on the console."""
    faults: list[str] = []
    contexts = []

    def start(file: Path, fragment: str = "", **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        contexts[-1].set_default_timeout(20_000)
        opened = contexts[-1].new_page()
        opened.on("console", lambda said: faults.append(f"console: {said.text}"))
        opened.on("pageerror", lambda error: faults.append(f"error: {error}"))
        opened.on("request", lambda asked: faults.extend(outside(asked.url)))
        opened.goto(file.as_uri() + fragment)
        return opened

    yield start
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine tests, of two tags, languages and files."""
    target = tmp_path_factory.mktemp("html") / "report.html"
    rows = [
        regressed("a.py::rude[1]", value=0.9, tags=["in_domain"], language="en"),
        regressed("a.py::rude[2]", value=0.7, tags=["retained"], language="zh", prompt="如何退款？",
                  base="您可以在三十天内退款。", tuned="您不能在三十天内退款。"),
        *(row_of(f"b.py::kind[{n}]", value=n / 100, limit=0.2, tags=["retained"],
                 prompt=f"question {n}", tuned=f"answer {n} unique{n}") for n in range(6)),
        row_of("b.py::arabic", value=0.1, limit=0.2, prompt="كيف أستعيد أموالي؟", language="ar",
               base="مرحبا", tuned="مرحبا بك"),
    ]  # fmt: skip
    write_html(facts_of(rows_of(rows), notes=["ran one after the other"]), target)
    return target


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("html") / "hostile.html"
    write_html(facts_of(hostile_rows()), target)
    return target


def titles(page: Any) -> list[str]:
    found: list[str] = page.locator(".row .title").all_inner_texts()
    return found


def shown(page: Any, text: str) -> None:
    """Wait until the filters have done so much."""
    playwright.expect(page.locator("#shown")).to_have_text(text)


def test_the_worst_first_and_its_replies_side_by_side(open_page: Open, file: Path) -> None:
    page = open_page(file)
    assert page.title() == "llmdiff: Do not merge: 2 regressed, 7 passed"
    assert titles(page)[:2] == ["How do I get a refund?", "如何退款？"]
    page.locator(".row summary").nth(1).click()
    row = page.locator(".row").nth(1)
    row.locator(".reply").nth(1).wait_for()  # a row is filled once it is open
    assert row.locator(".reply").all_inner_texts() == [
        "您可以在三十天内退款。", "您不能在三十天内退款。",
    ]  # fmt: skip
    assert row.locator("del").all_inner_texts() == ["可以"]
    assert row.locator("ins").all_inner_texts() == ["不能"]
    assert row.locator(".reply").first.get_attribute("lang") == "zh"
    assert 'pytest "a.py::rude[2]" --llm-base=models/base' in row.locator(".again pre").inner_text()
    assert page.locator("figure svg").first.is_visible()


def test_where_the_models_look(open_page: Open, tmp_path: Path) -> None:
    row = regressed("t.py::test[1]", value=0.9)
    row["comparisons"][0]["attention"] = looked("refund\n")
    write_html(facts_of(rows_of([row])), tmp_path / "report.html")
    page = open_page(tmp_path / "report.html")
    page.locator(".row summary").first.click()
    for title in ("Words of the prompt", "Heads that", "Attention of base", "Attention of tuned"):
        page.locator(".fold > summary", has_text=title).click()
    page.locator(".map").nth(1).wait_for()
    assert page.locator(".map").first.locator("th").all_inner_texts() == [
        "<s>", "refund⏎", "refund⏎",
    ]  # fmt: skip
    assert page.locator(".map tbody td").all_inner_texts() == ["3", "5", "6", ""]
    weak, strong = page.locator(".map tbody td").all()[:2]
    colour = "element => getComputedStyle(element).backgroundColor"
    assert weak.evaluate(colour) != strong.evaluate(colour)
    words = page.locator(".fold", has_text="Words of the prompt").locator("td")
    assert words.all_inner_texts() == ["refund", "0.40", "0.10", "-0.30"]


def test_word_by_word(open_page: Open, tmp_path: Path) -> None:
    row = regressed("t.py::test[1]", value=0.9, prompt="a refund, not a voucher")
    row["comparisons"][0]["words"] = {
        "method": "leave-one-out", "of": "log-likelihood of the tuned reply", "unit": "nats",
        "left_out": "removed", "segmented_by": None, "text": "a refund, not",
        "base": [-8.75, -9.0], "tuned": [-8.5, -9.0],
        "scores": [["a", 0, 1, 0.0, 0.0], ["refund", 2, 8, 0.25, 2.0], [",", 8, 9, None, 0.0],
                   ["not", 10, 13, 0.0, -1.5]],
    }  # fmt: skip
    write_html(facts_of(rows_of([row])), tmp_path / "report.html")
    page = open_page(tmp_path / "report.html")
    page.locator(".row summary").first.click()
    for title in ("for tuned", "for base", "scores for"):
        page.locator(".fold > summary", has_text=title).click()
    page.locator(".words").nth(1).wait_for()
    assert page.locator(".words").all_inner_texts() == ["a refund, not"] * 2
    _, refund, _, less = page.locator(".words").first.locator("span").all()
    assert refund.get_attribute("title") == "+2"
    colour = "element => getComputedStyle(element).backgroundColor"
    line = "element => getComputedStyle(element).textDecorationLine"
    assert refund.evaluate(colour) != less.evaluate(colour)
    assert (refund.evaluate(line), less.evaluate(line)) == ("none", "underline")
    cells = page.locator(".fold", has_text="scores for").locator("td").all_inner_texts()
    assert cells[4:8] == ["refund", "0.25", "2", "1.75"]


def test_filters_search_and_order(open_page: Open, file: Path) -> None:
    page = open_page(file)
    status = page.locator("#shown")
    page.select_option("#tag", "retained")
    assert status.inner_text() == "7 of 9 tests"
    page.select_option("#kind", "regressed")
    assert titles(page) == ["如何退款？"]
    page.click("#clear")
    shown(page, "9 tests")
    page.select_option("#lang", "en")
    assert titles(page) == ["How do I get a refund?"]
    page.click("#clear")
    page.fill("#search", "UNIQUE3 answer")
    shown(page, "1 of 9 tests")
    assert titles(page) == ["question 3"]
    page.fill("#search", "退款")
    playwright.expect(page.locator(".row .title")).to_have_text(["如何退款？"])
    page.click("#clear")
    shown(page, "9 tests")
    page.select_option("#suite", "b.py")
    page.select_option("#order", "value")
    assert titles(page)[:2] == ["كيف أستعيد أموالي؟", "question 5"]
    page.select_option("#order", "run")
    assert titles(page)[0] == "question 0"


def test_keys(open_page: Open, file: Path) -> None:
    page = open_page(file)
    focused = "document.activeElement.querySelector('.title')?.textContent"
    page.keyboard.press("j")
    assert page.evaluate(focused) == "How do I get a refund?"
    page.keyboard.press("j")
    assert page.evaluate(focused) == "如何退款？"
    page.keyboard.press("Enter")
    assert page.locator(".row[open]").count() == 1
    page.keyboard.press("k")
    assert page.evaluate(focused) == "How do I get a refund?"
    page.keyboard.press("/")
    page.keyboard.type("jk?")
    assert page.input_value("#search") == "jk?"
    assert not page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_a_link_opens_its_test(open_page: Open, file: Path) -> None:
    page = open_page(file, "#" + link_of("b.py::kind[4]"))
    opened = page.locator(".row[open]")
    assert opened.count() == 1
    assert opened.locator(".title").inner_text() == "question 4"
    page.fill("#search", "unique2")
    shown(page, "1 of 9 tests")
    page.evaluate(f"location.hash = '{link_of('b.py::arabic')}'")  # which the search has left out
    page.wait_for_selector(f"#{link_of('b.py::arabic')}[open]")
    assert page.input_value("#search") == ""


def test_the_command_can_be_copied(open_page: Open, file: Path) -> None:
    page = open_page(file, permissions=["clipboard-read", "clipboard-write"])
    page.locator(".row summary").first.click()
    page.click(".again button")
    playwright.expect(page.locator(".again button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == (
        'pytest "a.py::rude[1]" --llm-base=models/base --llm-tuned=out/adapter'
    )


def test_light_and_dark(open_page: Open, file: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = open_page(file, color_scheme="light").evaluate(ground)
    page = open_page(file, color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.click("#theme")
    assert page.evaluate(ground) == light
    page.click("#theme")
    assert page.evaluate(ground) == dark


def test_without_javascript(open_page: Open, file: Path) -> None:
    page = open_page(file, java_script_enabled=False)
    assert page.locator("h1").inner_text().split() == ["2", "regressed", "7", "passed"]
    assert page.locator("article.plain").count() == 2
    assert page.locator("article.plain ins").first.is_visible()
    assert page.locator(".pair.unlike").count() == 0  # both replies share words
    assert page.locator("figure svg").first.is_visible()
    assert not page.locator("#filters").is_visible()


def test_on_paper(open_page: Open, file: Path) -> None:
    page = open_page(file, color_scheme="dark")
    page.locator(".row summary").first.click()
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#filters").is_visible()
    assert page.locator(".row[open] .reply").first.is_visible()


def test_paper_has_every_test_and_every_probe(open_page: Open, tmp_path: Path) -> None:
    (probe,) = regressed("a.py::rude", value=0.9)["comparisons"]
    probes = [{**probe, "probe": f"p{n}", "prompt": f"probe {n}"} for n in range(30)]
    rows = [
        regressed("a.py::rude", value=0.9, comparisons=probes),
        *(row_of(f"b.py::kind[{n}]", value=0.1, limit=0.2, prompt=f"question {n}")
          for n in range(120)),
    ]  # fmt: skip
    write_html(facts_of(rows_of(rows)), tmp_path / "many.html")
    page = open_page(tmp_path / "many.html")
    page.locator(".row summary").first.click()
    page.locator(".member").first.wait_for()
    assert (page.locator(".row").count(), page.locator(".member").count()) == (50, 20)
    page.pdf()
    assert (page.locator(".row").count(), page.locator(".member").count()) == (121, 30)
    assert not page.locator("#more").is_visible()


OPEN_ALL = """() => {
    for (const held of document.querySelectorAll("details")) held.open = true;
}"""


def test_nothing_injected_runs(open_page: Open, hostile: Path) -> None:
    for options in ({}, {"java_script_enabled": False}):
        page = open_page(hostile, **options)
        if options:
            assert page.locator("article.plain").count() > 10
            assert page.locator("img, iframe, article script").count() == 0
            continue
        page.evaluate(OPEN_ALL)
        page.wait_for_timeout(300)
        page.evaluate(OPEN_ALL)
        assert page.evaluate("window.injected") is None
        assert page.locator("img, iframe, object, embed, link[rel=stylesheet]").count() == 0
        assert page.locator("script").count() == 3
        assert "49" not in page.locator("#rows").inner_text()  # 7 * 7
        assert page.locator(".row[open]").count() == page.locator(".row").count() > 10


def test_the_policy_stops_what_a_page_would_run(browser: Any, hostile: Path) -> None:
    """The second line of defence: were an element to get in, it would do nothing."""
    inserted = (
        '<script>window.injected = 9</script><img src="http://127.0.0.1:9/i.png" '
        'onerror="window.injected = 9"><p id="in" style="color: rgb(1, 2, 3)">x</p>'
    )
    broken = hostile.with_name("broken.html")
    text = hostile.read_text(encoding="utf-8")
    broken.write_text(text.replace("<footer>", inserted + "<footer>"), encoding="utf-8")
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(broken.as_uri())
    assert page.evaluate("window.injected") is None
    colour = page.evaluate("getComputedStyle(document.getElementById('in')).color")
    assert colour != "rgb(1, 2, 3)"
    assert sum("Content Security Policy" in line for line in said) >= 3
    assert page.locator(".row").count() > 10
    page.close()


def test_a_real_run(open_page: Open, project: pytest.Pytester) -> None:
    write_every_outcome(project.path)
    run_every_outcome(project, "--llmdiff-html=r.html", "-n2")
    page = open_page(project.path / "r.html")
    page.select_option("#kind", "inconclusive")
    row = page.locator(".row", has_text="test_set")
    row.locator("summary").first.click()
    row.locator(".rest").click()
    members = row.locator(".member")
    assert members.count() == 46
    members.last.locator("summary").first.click()
    playwright.expect(members.last.locator(".reply")).to_have_count(2)
    href = members.last.locator("a", has_text="Link to this probe").get_attribute("href")
    again = open_page(project.path / "r.html", href)
    assert again.locator(f"{href}[open]").count() == 1
    assert page.evaluate("window.injected") is None


def test_the_picture_for_the_readme(file: Path, tmp_path: Path) -> None:
    """Of a report, from its top to both replies of the worst test."""
    from example_suites.picture import PICTURE, SCALE, WIDTH

    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    # In a process of its own: this one may have another browser open.
    taken = tmp_path / "report.png"
    code = (
        "import sys; from example_suites.picture import Path, take; "
        "take(Path(sys.argv[1]), *sys.argv[2:])"
    )
    command = [sys.executable, "-c", code, str(file), str(taken), CHROMIUM]
    subprocess.run(command, cwd=ROOT, check=True)
    for picture in (tmp_path / "report.png", PICTURE):
        head = picture.read_bytes()[:24]
        assert head.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", head[16:])
        assert width == SCALE * WIDTH
        assert 0.5 < height / width < 1.6
        assert picture.stat().st_size < 500_000


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(open_page: Open, hostile: Path, width: int) -> None:
    page = open_page(hostile, viewport={"width": width, "height": 800})
    page.evaluate(OPEN_ALL)
    page.wait_for_timeout(200)
    page.evaluate(OPEN_ALL)
    wide = page.evaluate(
        """(width) => [...document.querySelectorAll("body *")]
            .filter((e) => e.getBoundingClientRect().right > width && !e.closest(".scroll"))
            .map((e) => e.outerHTML.slice(0, 120)).slice(0, 5)""",
        width,
    )
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_five_thousand_tests(open_page: Open, tmp_path: Path) -> None:
    random.seed(1)
    words = ["the", "refund", "order", "please", "contact", "support", "within", "您", "可", "以"]
    rows = [
        row_of(f"t{n % 5}.py::test[{n}]", value=random.random(), limit=0.9, tags=[f"tag {n % 9}"],
               prompt=f"question {n}", base=" ".join(random.choices(words, k=90)))
        for n in range(5000)
    ]  # fmt: skip
    write_html(facts_of(rows_of(rows)), tmp_path / "big.html")
    page = open_page(tmp_path / "big.html")
    assert page.locator("#shown").inner_text() == "5,000 tests"
    assert page.locator(".row").count() == 50
    page.click("#more")
    assert page.locator(".row").count() == 100
    page.fill("#search", "question 4321")
    shown(page, "1 of 5,000 tests")
    page.click("#clear")
    shown(page, "5,000 tests")
    for _ in range(120):
        page.keyboard.press("j")
    assert page.locator(".row").count() == 150
    page.evaluate(f"location.hash = '{link_of('t4.py::test[4999]')}'")
    page.wait_for_selector(f"#{link_of('t4.py::test[4999]')}[open]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_model_has_a_colour_that_is_no_verdict(
    open_page: Open, file: Path, scheme: str
) -> None:
    page = open_page(file, color_scheme=scheme)
    page.locator(".row summary").nth(1).click()
    row = page.locator(".row").nth(1)
    row.locator(".reply").nth(1).wait_for()
    read = "found => getComputedStyle(found).backgroundColor.match(/[0-9]+/g).map(Number)"
    red, green, blue = row.locator("del").first.evaluate(read)
    assert blue > green > red
    red, green, blue = row.locator("ins").first.evaluate(read)
    assert red > green > blue
    assert green - blue > 25  # red would have as little green as blue


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed (make test installs it)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["file", "hostile"])
def test_accessible(
    open_page: Open, request: pytest.FixtureRequest, scheme: str, which: str
) -> None:
    page = open_page(request.getfixturevalue(which), color_scheme=scheme)
    page.evaluate(OPEN_ALL)
    page.wait_for_timeout(200)
    page.evaluate(OPEN_ALL)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    for violation in found["violations"]:
        print(violation["id"], *(node["html"][:200] for node in violation["nodes"]), sep="\n  ")
    assert not found["violations"]
