"""How values show themselves in a notebook, and are saved as a picture or a page.

This is the one place below `reports` that calls it, on use: a notebook asks the value itself.
"""

from __future__ import annotations

from pathlib import Path


class Displayed:
    """A value that notebooks show with the parts of the HTML report."""

    def _repr_html_(self) -> str:
        from pytest_llmdiff.reports.html.notebook import snippet

        return snippet(self)


class Saved(Displayed):
    """A value that can also be written to a file."""

    def save(self, path: str | Path) -> None:
        """Write a page (`.html`) that works offline, or a picture (`.png`).

        Raises:
            ConfigError: the file has another ending, or no installed font has the text's letters.
            MissingPackageError: a picture needs matplotlib, and it is not installed.
        """
        from pytest_llmdiff.reports.html.notebook import save

        save(self, Path(path))
