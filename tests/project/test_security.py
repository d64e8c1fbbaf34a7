"""SECURITY.md names tests that exist, what others wrote has its licence, and an audit passes only
what it looked up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.audit import found_in
from tests.support import ROOT

POLICY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(tests/[\w/.]+\.py)(?:::(test_\w+))?`")
LICENCE = re.compile(r"licen[cs]e|copying|notice", re.IGNORECASE)


def named_in(text: str) -> Iterator[tuple[str, str]]:
    for match in TEST.finditer(text):
        yield match[1], match[2] or ""


@pytest.mark.parametrize(("file", "name"), sorted(set(named_in(POLICY))))
def test_a_promise_is_shown_by_a_test_that_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    tests = [each.name for each in tree.body if isinstance(each, ast.FunctionDef)]
    assert name in tests if name else any(each.startswith("test_") for each in tests)


def test_each_hostile_thing_of_the_threat_model_has_a_test() -> None:
    table = POLICY.partition("## Threat model")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    for what, hostile, _, shown in rows:
        assert hostile == "no" or list(named_in(shown)), what


def without_licence(folder: Path) -> list[Path]:
    """Files below folders named `vendor` that have no licence beside them."""
    inside = (each for vendor in folder.rglob("vendor") for each in vendor.rglob("*"))
    files = [each for each in inside if each.is_file() and "__pycache__" not in each.parts]
    return [
        file
        for file in files
        if not any(
            LICENCE.search(each.name) and each.stat().st_size for each in file.parent.iterdir()
        )
    ]


def test_what_others_wrote_has_its_licence_beside_it(tmp_path: Path) -> None:
    assert without_licence(ROOT / "pytest_llmdiff") == []
    for path in ("vendor/one/a.js", "vendor/one/LICENSE", "vendor/two/b.js", "own/c.js"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text", encoding="utf-8")
    assert without_licence(tmp_path) == [tmp_path / "vendor/two/b.js"]


@pytest.mark.parametrize(
    ("dependencies", "code", "told"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], 0, "1 packages looked up, 0 with"),
        ([{"name": "a", "skip_reason": "not found"}], 2, "0 packages looked up"),
        ([{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]}], 1, "a 1: PYSEC-1"),
    ],
)
def test_an_audit_passes_nothing_that_it_did_not_look_up(
    dependencies: list[dict[str, object]], code: int, told: str
) -> None:
    found = found_in({"dependencies": dependencies})
    assert found.exit_code == code
    assert told in str(found)
