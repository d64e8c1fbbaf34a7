"""What a package index shows of the project: its metadata and the README without dead links."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from email import message_from_string
from pathlib import Path

import pytest

from tests.support import ROOT

CODE = re.compile(r"```.*?```", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def description() -> Callable[[str, str | None], str]:
    found: Callable[[str, str | None], str] = runpy.run_path(str(ROOT / "setup.py"))["description"]
    return found


def test_links_of_the_readme_become_absolute(
    description: Callable[[str, str | None], str],
) -> None:
    text = "![A report](docs/a.png) [CI](docs/ci.md#x) [below](#models) [org](https://a.example)"
    place = "https://a.example/llmdiff"
    assert description(text, place) == (
        f"![A report]({place}/raw/HEAD/docs/a.png) [CI]({place}/blob/HEAD/docs/ci.md#x) "
        "[below](#models) [org](https://a.example)"
    )
    assert description("![A report](docs/a.png)[CI](docs/ci.md), [b](#b)", None) == "CI, [b](#b)"


def test_metadata(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "pytest_llmdiff").mkdir()
    (tmp_path / "pytest_llmdiff" / "__init__.py").write_text("", encoding="utf-8")
    code = "from setuptools.build_meta import prepare_metadata_for_build_wheel as p; print(p('.'))"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    folder = tmp_path / printed.splitlines()[-1]
    metadata = message_from_string((folder / "METADATA").read_text(encoding="utf-8"))
    assert metadata["Author"] == "The pytest-llmdiff developers"
    assert metadata["Description-Content-Type"] == "text/markdown"
    shown = {"English", "Chinese (Simplified)"}
    assert {f"Natural Language :: {name}" for name in shown} <= set(
        metadata.get_all("Classifier", [])
    )
    text = str(metadata.get_payload())
    assert text.startswith("# pytest-llmdiff\n")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert CODE.findall(text) == CODE.findall(readme)
    links = set(LINK.findall(CODE.sub("", text)))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    repository = project.get("urls", {}).get("Repository")
    for link in links:
        assert link.startswith(("https://", "#")), link
    if repository is not None:
        assert any(link.startswith(repository) for link in links), "the README's own are gone"
