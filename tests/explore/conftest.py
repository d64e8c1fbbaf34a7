"""A folder with engines that answer by rules, their scorers and a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.projects import EMBEDDER
from tests.support.topical import write_engines, write_log


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    write_engines(tmp_path)
    write_log(tmp_path)
    (tmp_path / "scorers.py").write_text(EMBEDDER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("topical", "scorers"):
        sys.modules.pop(name, None)
