"""What is installed in `.venv`, as a bill of materials, and which of it has known vulnerabilities.

    python benchmarks/audit.py           (`make audit`; writes build/sbom.cdx.json)

The tools (cyclonedx-bom, pip-audit) are installed into `.venv-audit`, so that they are not among
what they list. pip-audit asks PyPI for the vulnerabilities of the Python Packaging Advisory
Database. What could not be looked up is counted, and is no pass.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-audit"
TOOLS = ("cyclonedx-bom>=7", "pip-audit>=2.9")
AUDITED = ROOT / ".venv" / "bin" / "python"
SBOM = ROOT / "build" / "sbom.cdx.json"


@dataclass(frozen=True, kw_only=True)
class Found:
    """Names of packages: those looked up, those that could not be, and each that has known
    vulnerabilities, with their ids."""

    checked: tuple[str, ...]
    unknown: tuple[str, ...]
    vulnerable: Mapping[str, tuple[str, ...]]

    @property
    def exit_code(self) -> int:
        """1 if anything is vulnerable, 2 if nothing could be looked up, else 0."""
        if self.vulnerable:
            return 1
        return 0 if self.checked else 2

    def __str__(self) -> str:
        lines = [f"{name}: {', '.join(ids)}" for name, ids in self.vulnerable.items()]
        lines.append(
            f"audit: {len(self.checked)} packages looked up, {len(self.vulnerable)} with known "
            f"vulnerabilities; {len(self.unknown)} not checked"
        )
        return "\n".join(lines)


def found_in(report: Mapping[str, Any]) -> Found:
    """From the JSON that pip-audit prints."""
    checked, unknown = list[str](), list[str]()
    vulnerable: dict[str, tuple[str, ...]] = {}
    for each in report["dependencies"]:
        name = f"{each['name']} {each.get('version', '')}".strip()
        (unknown if "skip_reason" in each else checked).append(name)
        if ids := tuple(vulnerability["id"] for vulnerability in each.get("vulns", ())):
            vulnerable[name] = ids
    return Found(checked=tuple(checked), unknown=tuple(unknown), vulnerable=vulnerable)


def main() -> int:
    """Raises subprocess.CalledProcessError if a tool cannot be installed or run."""
    tool = FOLDER / "bin"
    if not (FOLDER / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER], check=True)
        subprocess.run([tool / "python", "-m", "pip", "install", "--quiet", *TOOLS], check=True)
        (FOLDER / "ready").touch()
    SBOM.parent.mkdir(exist_ok=True)
    # Its own validation of what it wrote takes minutes.
    options = ["--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "--no-validate"]
    listing = [tool / "cyclonedx-py", "environment", *options, "-o", SBOM, AUDITED]
    subprocess.run([*map(str, listing)], check=True)
    print(f"audit: bill of materials in {SBOM.relative_to(ROOT)}")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run(
        [AUDITED, "-c", where], check=True, capture_output=True, text=True
    ).stdout.strip()
    audit = [tool / "pip-audit", "--path", packages, "--progress-spinner", "off", "-f", "json"]
    asked = subprocess.run([*map(str, audit)], check=False, capture_output=True, text=True)
    try:
        found = found_in(json.loads(asked.stdout))
    except ValueError:  # it has no connection
        print(f"audit: vulnerabilities were not looked up: {asked.stderr.strip()[-300:]}")
        return 2
    print(found)
    return found.exit_code


if __name__ == "__main__":
    sys.exit(main())
