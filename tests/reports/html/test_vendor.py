"""The library that came from others is as they published it, and its licences are beside it."""

from __future__ import annotations

import hashlib
import re

from pytest_llmdiff.reports.html.parts import CHARTING
from tests.support import ROOT

VENDOR = ROOT / "pytest_llmdiff" / "reports" / "html" / "vendor"
FILES = {file.name: file for file in VENDOR.iterdir() if file.suffix == ".js"}


def test_every_file_is_the_published_one() -> None:
    rows = re.findall(
        r"^\| `([\w.]+)` \| `([@\w/]+)`.* \| ([\d.]+) \| \w+ \| `(\w{64})` \|$",
        (VENDOR / "README.md").read_text(encoding="utf-8"), re.MULTILINE,
    )  # fmt: skip
    assert {name for name, *_ in rows} == set(FILES) == set(CHARTING)
    for name, _, version, digest in rows:
        content = FILES[name].read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
        assert re.match(rf"// \S+ v{version} ", content.decode())
        assert b"</script" not in content


def test_a_licence_is_beside_every_file() -> None:
    for name in FILES:
        text = (VENDOR / f"{name}.LICENSE").read_text(encoding="utf-8")
        assert "Copyright" in text
        assert "Permission to use, copy, modify, and/or distribute this software" in text
