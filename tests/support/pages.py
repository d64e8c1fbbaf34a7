"""The pages of the documentation: blocks, tables and names in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import ROOT

PAGES = sorted([
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "CHANGELOG.md",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "example_suites").glob("*/README.md"),
])  # fmt: skip


MODELS = {"--llm-base": "scripted:base.json", "--llm-tuned": "scripted:tuned.json"}


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page, with the keys of the comment before it."""

    page: Path
    line: int
    language: str
    text: str
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        return self.about.get("file")

    @property
    def is_test(self) -> bool:
        if self.language != "python":
            return False
        return self.file is None or Path(self.file).name.startswith("test_")

    @property
    def is_real(self) -> bool:
        """Whether it needs real models (`tests/real/test_first_hour.py`)."""
        return "real" in self.about

    @property
    def commands(self) -> list[str]:
        """Those of a console block, each on one line."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [" ".join(line.removeprefix("$ ").split()) for line in lines if line.strip()]


def blocks_of(page: Path) -> Iterator[Block]:
    comment: dict[str, str] = {}
    held: list[str] | None = None
    start, language = 0, ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if held is not None:
            if line.startswith("```"):
                text = "\n".join(held) + "\n"
                yield Block(page=page, line=start, language=language, text=text, about=comment)
                held, comment = None, {}
            else:
                held.append(line)
        elif line.startswith("```"):
            held, start, language = [], number, line.removeprefix("```").strip()
        elif found := re.fullmatch(r"<!-- (.+) -->", line):
            pairs = (part.partition(":") for part in found[1].split("; "))
            comment = {key.strip(): value.strip() for key, _, value in pairs}
        elif line.strip():
            comment = {}
    assert held is None, f"{page}: the fence in line {start} is not closed"


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def first_screen() -> list[Block]:
    """The blocks of the README up to the last one that real models print."""
    own = [block for block in BLOCKS if block.page == ROOT / "README.md"]
    last = max(block.line for block in own if block.is_real)
    return [block for block in own if block.line <= last]


def commands_of(blocks: Iterable[Block]) -> list[str]:
    return [c for block in blocks if block.language == "console" for c in block.commands]


def start(project: pytest.Pytester, block: Block) -> pytest.RunResult:
    """Runs a python example together with all other files of its page."""
    for other in BLOCKS:
        if other.page == block.page and other.file and not other.is_test:
            target = project.path / other.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(other.text, encoding="utf-8")
    name = block.file or "test_example.py"
    (project.path / name).write_text(block.text, encoding="utf-8")
    own = shlex.split(block.about.get("options", ""))
    given = {word.partition("=")[0] for word in own}
    models = [f"{flag}={spec}" for flag, spec in MODELS.items() if flag not in given]
    return project.runpytest_inprocess(*models, *own, name)


def assert_printed(shown: Block, printed: str) -> None:
    """A run's output contains the lines of a text block, in this order."""
    lines = iter(printed.splitlines())
    for wanted in filter(str.strip, shown.text.splitlines()):
        if wanted.strip() == "…":
            continue
        pattern = ".*".join(map(re.escape, wanted.rstrip().split("…")))
        found = any(re.fullmatch(pattern, line.rstrip()) for line in lines)
        assert found, f"{shown.place}: the run does not print, in this order: {wanted}"


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without the header."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert f"\n{heading}\n" in text, f"{page} has no heading {heading}"
    below = text.split(f"\n{heading}\n", 1)[1]
    lines = []
    for line in below.splitlines():
        if line.startswith("|"):
            # A `|` inside a code span does not separate columns.
            cells = re.sub(r"`[^`]*`", lambda code: code[0].replace("|", "\0"), line)
            lines.append([cell.strip().replace("\0", "|") for cell in cells.strip("| ").split("|")])
        elif lines:
            break
    return lines[2:]


def names(page: str, heading: str) -> list[str]:
    """The first code span of each row."""
    return [re.findall(r"`([^`]+)`", row[0])[0] for row in rows(page, heading)]
