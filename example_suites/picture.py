"""Take the picture of the demo's report that the README shows.

    make images

Needs the report of `make demo`, Playwright (the `dev` extra) and a Chromium of the system.
"""

from __future__ import annotations

import shutil
from base64 import b64encode
from pathlib import Path

from playwright.sync_api import FloatRect, Locator, Page, sync_playwright

HERE = Path(__file__).resolve().parent
REPORT = HERE / "support_bot" / ".llmdiff" / "rude.html"
PICTURE = HERE.parent / "docs" / "images" / "report.png"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 1000  # CSS pixels
SCALE = 1.5  # pixels of the file for each of them, for fine screens
MARGIN = 12
MEASURE = "toxicity"  # the first test that broke its limit is shown
PAGE = """
<body style="margin: 0"><main style="width: {width}px"><img src="{}" width="{width}"><hr
style="border: 0; border-top: 3px dotted #999; margin: {margin}px"><img src="{}" width="{width}">
</main></body>
"""


def take(report: Path, picture: Path, chromium: str) -> None:
    """The answer at the top of the page and, below a dotted line, a test with both replies."""
    with sync_playwright() as playwright:
        # Without a sandbox, as root in a container; the page loads nothing and is our own.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": WIDTH, "height": 1000}, device_scale_factor=SCALE,
            color_scheme="light", reduced_motion="reduce",
        )  # fmt: skip
        page.goto(report.as_uri())
        answer = _shot(page, page.locator("header"), page.locator("header nav"))
        row = page.locator(".row", has_text=MEASURE).first
        row.locator("summary").first.click()
        row.locator(".reply").nth(1).wait_for()
        replies = _shot(page, row, row.locator(".reply"))
        page.goto("about:blank")
        page.set_content(PAGE.format(answer, replies, width=WIDTH, margin=MARGIN))
        page.locator("main").screenshot(path=picture)
        browser.close()


def _shot(page: Page, first: Locator, last: Locator) -> str:
    """The page from the top of one element to the bottom of others, as a data: URL."""
    ends = "elements.map((element) => element.getBoundingClientRect())"
    top = first.evaluate_all(f"elements => Math.min(...{ends}.map(({{top}}) => top + scrollY))")
    bottom = last.evaluate_all(
        f"elements => Math.max(...{ends}.map(({{bottom}}) => bottom + scrollY))"
    )
    start = max(top - MARGIN, 0)
    clip: FloatRect = {"x": 0, "y": start, "width": WIDTH, "height": bottom + MARGIN - start}
    picture = page.screenshot(full_page=True, clip=clip)
    return f"data:image/png;base64,{b64encode(picture).decode()}"


def main() -> None:
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        raise SystemExit(f"there is no Chromium on the PATH ({', '.join(CHROMIUM)})")
    if not REPORT.is_file():
        raise SystemExit(f"there is no {REPORT}: run make demo first")
    PICTURE.parent.mkdir(exist_ok=True)
    take(REPORT, PICTURE, chromium)
    print(PICTURE.relative_to(HERE.parent))


if __name__ == "__main__":
    main()
