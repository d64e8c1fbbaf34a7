"""What models said is text on the page, and the page's policy runs nothing but its own script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Open

playwright = pytest.importorskip("playwright.sync_api")


# Every test on every tab: how many there are, what is there that should not be, and the headings.
OPEN_ALL = """() => {
    const count = (name) => document.querySelectorAll(name).length;
    const rows = [...document.querySelectorAll(".row a")];
    let [strange, said] = [0, ""];
    for (const row of rows) {
        row.click();
        said += document.querySelector("#detail header").innerText;
        for (let at = 0; at < count("[role=tab]"); at += 1) {
            document.querySelectorAll("[role=tab]")[at].click();
            for (const held of document.querySelectorAll("#detail details")) held.open = true;
            strange += count("#detail :is(img, iframe, script, object, embed)");
        }
    }
    return [rows.length, strange, said];
}"""


def test_nothing_injected_runs(open_page: Open, hostile: Path) -> None:
    page = open_page(hostile, java_script_enabled=False)
    assert page.locator("article.plain").count() > 10
    assert page.locator("img, iframe, article script, .pairs script").count() == 0
    page = open_page(hostile)
    opened, strange, said = page.evaluate(OPEN_ALL)
    assert opened == page.locator(".row").count() > 10
    assert strange == 0
    assert "49" not in said  # 7 * 7
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("window.injected") is None
    assert page.locator("img, iframe, object, embed, link[rel=stylesheet]").count() == 0
    assert page.locator("script").count() == 3


def test_a_hostile_link_is_no_more_than_a_search(open_page: Open, file: Path) -> None:
    said = "%3Cimg%20src%3Dx%20onerror%3D%22window.injected%3D1%22%3E"
    page = open_page(file, f"#q={said}&kind=nothing&open=t-{said}&tab=__proto__&order=constructor")
    playwright.expect(page.locator("#shown")).to_have_text("0 of 11 tests")
    assert page.evaluate("window.injected") is None
    assert page.locator("img").count() == 0
    assert not page.locator("#detail").is_visible()


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
