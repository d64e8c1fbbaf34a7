"""Take the picture of the demo's report that the README shows.

    make images

Needs the report of `make demo`, Playwright (the `dev` extra) and a Chromium of the system.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import FloatRect, sync_playwright

HERE = Path(__file__).resolve().parent
REPORT = HERE / "support_bot" / ".llmdiff" / "rude.html"
PICTURE = HERE.parent / "docs" / "images" / "report.png"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 1000  # CSS pixels
SCALE = 1.5  # pixels of the file for each of them, for fine screens
MARGIN = 12


def take(report: Path, picture: Path, chromium: str) -> None:
    """The page from its top to the worst pair of replies."""
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
        page.screenshot(path=picture, full_page=True, clip=clip)
        browser.close()


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
