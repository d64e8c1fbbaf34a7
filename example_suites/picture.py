"""Take the pictures of the demo's report that the README and the docs show.

    make images

Needs the report of `make demo`, Playwright (the `dev` extra) and a Chromium of the system.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import FloatRect, sync_playwright

HERE = Path(__file__).resolve().parent
REPORT = HERE / "support_bot" / ".llmdiff" / "rude.html"
PICTURES = HERE.parent / "docs" / "images"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 1000  # CSS pixels
NARROW, TALL = 950, 2600  # for a panel that takes the page, and does not scroll
SCALE = 1.5  # pixels of the file for each of them, for fine screens
MARGIN = 12
TABS = ("Tokens", "Attention")
# The first pair of replies with maps of attention.
EXPLAINED = """() => JSON.parse(document.getElementById("data").textContent).tests
  .flatMap((test) => test.probes || [])
  .find((probe) => (probe.folds || []).some((fold) => fold.form === "heads"))?.id"""


def take(report: Path, folder: Path, chromium: str) -> list[Path]:
    """The page from its top to the worst pair of replies, its matrix, and tabs of the first pair
    that is explained in full."""
    taken = [folder / f"{name}.png" for name in ("report", "matrix")]
    with sync_playwright() as playwright:
        # Without a sandbox, as root in a container; the page loads nothing and is our own.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": WIDTH, "height": 1000}, device_scale_factor=SCALE,
            color_scheme="light", reduced_motion="reduce",
        )  # fmt: skip
        page.goto(report.as_uri())
        worst = page.locator(".pairs > li").first.bounding_box()
        assert worst is not None, "a failing run has replies that differ"
        clip: FloatRect = {
            "x": 0,
            "y": 0,
            "width": WIDTH,
            "height": worst["y"] + worst["height"] + MARGIN,
        }
        page.screenshot(path=taken[0], full_page=True, clip=clip)
        page.locator("#matrix").screenshot(path=taken[1])
        # On a narrow screen the panel takes all of it.
        page.set_viewport_size({"width": NARROW, "height": TALL})
        if explained := page.evaluate(EXPLAINED):
            page.goto(f"{report.as_uri()}#open={explained}")
            for name in TABS:
                page.get_by_role("tab", name=name, exact=True).click()
                taken.append(folder / f"{name.lower()}.png")
                page.get_by_role("tabpanel").screenshot(path=taken[-1])
        browser.close()
    return taken


def main() -> None:
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        raise SystemExit(f"there is no Chromium on the PATH ({', '.join(CHROMIUM)})")
    if not REPORT.is_file():
        raise SystemExit(f"there is no {REPORT}: run make demo first")
    PICTURES.mkdir(exist_ok=True)
    for picture in take(REPORT, PICTURES, chromium):
        print(picture.relative_to(HERE.parent))


if __name__ == "__main__":
    main()
