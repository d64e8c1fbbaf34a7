"""What is said of installing: versions beside training frameworks, and those that are tested."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from benchmarks.compat import ENVIRONMENTS, requirements
from tests.support import ROOT
from tests.support.pages import rows

PAGE = "docs/installation.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {
    found.name: found.specifier
    for line in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["hf"])
    if (found := Requirement(line))
}
# `Requires-Dist` of each release on PyPI, as far as this project asks for the same packages.
PINS = {
    "LLaMA-Factory 0.9.5": {
        "transformers": "!=4.52.0,!=4.57.0,<=5.6.0,>=4.55.0",
        "peft": "<=0.18.1,>=0.18.0",
        "torch": ">=2.4.0",
    },
    "unsloth 2026.10.9": {
        "transformers": "!=4.53.0,!=4.54.0,!=4.55.0,!=4.55.1,!=4.57.0,!=4.57.4,!=4.57.5,"
        "!=5.0.0,!=5.1.0,<=5.17.0,>=4.52.4",
        "peft": "!=0.11.0,>=0.18.0",
        "torch": "<2.15.0,>=2.4.0",
    },
    "axolotl 0.19.0": {
        "transformers": "==5.16.1",
        "peft": "==0.20.0",
        "torch": "<=2.13.0,>=2.11.0",
        "numpy": "<3.0,>=2.1",
        "pyyaml": "==6.0.3",
    },
    "ms-swift 4.6.0": {"transformers": "<5.20.0,>=4.33", "peft": "<0.21,>=0.11", "pyyaml": ">=5.4"},
    "TRL 1.16.0": {
        "transformers": ">=4.56.2",
        "peft": ">=0.13.0",
        "numpy": ">=1.26.0",
        "psutil": ">=5.9.4",
        "pyyaml": ">=6.0.1",
    },
}
# A version of the other shared packages that is to fit all of them.
SHARED = {"numpy": "2.4.6", "pyyaml": "6.0.3", "psutil": "7.2.2"}
COLUMNS = ("transformers", "peft", "torch")


def test_every_framework_has_its_row() -> None:
    assert {name for name, *_ in rows(PAGE, "## Beside a training framework")} == PINS.keys()


@pytest.mark.parametrize("row", rows(PAGE, "## Beside a training framework"), ids=lambda r: r[0])
def test_the_versions_beside_a_framework_suit_both(row: list[str]) -> None:
    name, *versions = row
    for package, version in (*zip(COLUMNS, versions, strict=True), *SHARED.items()):
        assert version in SpecifierSet(PINS[name].get(package, "")), f"{name}: {package}"
        assert version in OURS[package], f"pyproject.toml: {package} {version}"


def test_an_older_llamafactory_has_no_common_version() -> None:
    assert "4.57.6" not in OURS["transformers"]


def test_the_lowest_environment_has_the_lowest_versions() -> None:
    for pin in ENVIRONMENTS["lowest"]:
        package, _, version = pin.partition("==")
        (bound,) = OURS[package]
        assert bound.operator == ">="
        assert f"{bound.version}.0".startswith(version)
    assert all("==" not in each for each in ENVIRONMENTS["highest"])


def test_the_documented_environments_are_those_that_run() -> None:
    shown = {name.strip("`"): versions for name, *versions in rows(PAGE, "## What is tested")}
    assert shown.keys() == ENVIRONMENTS.keys()
    for name, pins in ENVIRONMENTS.items():
        told = [pin.partition("==")[2] or "newest" for pin in pins]
        assert shown[name][:3] == told


def test_each_extra_has_its_row() -> None:
    told = {name.strip("`") for name, *_ in rows(PAGE, "## Extras")}
    assert told == {"pytest-llmdiff", *PROJECT["optional-dependencies"]} - {"dev", "docs"}


def test_classifiers_name_each_python_from_the_lowest_on() -> None:
    named = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert named[0] == PROJECT["requires-python"].removeprefix(">=")
    assert named == [f"3.{minor}" for minor in range(11, 11 + len(named))]


def test_compat_installs_what_the_tests_import() -> None:
    lines = [Requirement(line).name for line in requirements() if not line.startswith(str(ROOT))]
    assert {"pytest-xdist", "markdown-it-py"} <= set(lines)
