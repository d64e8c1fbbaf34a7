"""The installed package: what it exports, and its cost for a project that does not use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_llmdiff

HEAVY = (
    "torch", "transformers", "vllm", "numpy", "jinja2", "matplotlib", "peft",
    "sentence_transformers", "huggingface_hub", "sqlite3", "scipy", "jsonschema", "py3langid",
)  # fmt: skip
REPORT = f"""
import json, sys, pytest

class Watch:
    def pytest_unconfigure(self):
        loaded = [name for name in {HEAVY!r} if name in sys.modules]
        own = sorted(name for name in sys.modules if name.startswith("pytest_llmdiff"))
        open("loaded.json", "w").write(json.dumps([loaded, own]))

sys.exit(pytest.main(sys.argv[1:], plugins=[Watch()]))
"""


def loaded(pytester: pytest.Pytester, *args: str) -> tuple[list[str], list[str]]:
    (pytester.path / "watch.py").write_text(REPORT, encoding="utf-8")
    subprocess.run([sys.executable, "watch.py", *args], cwd=pytester.path, check=False)
    heavy, own = json.loads((pytester.path / "loaded.json").read_text(encoding="utf-8"))
    return heavy, own


def test_plain_pytest_loads_nothing_heavy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    heavy, own = loaded(pytester)
    assert heavy == []
    # Each module costs a fraction of a millisecond at every start of every pytest run.
    assert own == [
        "pytest_llmdiff",
        "pytest_llmdiff.config",
        "pytest_llmdiff.config.given",
        "pytest_llmdiff.config.options",
        "pytest_llmdiff.config.parsers",
        "pytest_llmdiff.plugin",
        "pytest_llmdiff.plugin.fixtures",
        "pytest_llmdiff.plugin.hooks",
        "pytest_llmdiff.plugin.lifecycle",
        "pytest_llmdiff.plugin.marker",
        "pytest_llmdiff.plugin.session",
    ]


def test_bytecode_of_the_installation_is_used(pytester: pytest.Pytester) -> None:
    """pytest rewrites the assertions of what it loads otherwise, at every start where it may not
    write bytecode; those of the ready-made suites are to be rewritten."""
    pytester.makepyfile(
        """
        import sys
        from importlib.machinery import SourceFileLoader

        import pytest_llmdiff.suites.wiring.test_wiring as suite

        def test_it():
            own = [m for n, m in sys.modules.items() if n.startswith("pytest_llmdiff.")]
            plain = [m.__name__ for m in own if type(m.__loader__) is SourceFileLoader]
            assert "pytest_llmdiff.plugin.session" in plain
            assert "pytest_llmdiff.config.options" in plain
            assert suite.__name__ not in plain
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_skipped_model_tests_load_nothing_heavy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from pytest_llmdiff import assert_semantic_drift

        @pytest.mark.llmdiff("Hi")
        def test_it(comparison): assert_semantic_drift(comparison, at_most=1)
        """
    )
    assert loaded(pytester)[0] == []


def test_a_run_loads_the_reports_that_it_writes(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(llm_pair): assert llm_pair.compare('Hi') is None")
    models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
    written = {"html", "markdown", "junit", "annotations", "json_report", "diff"}

    def reports(*args: str) -> set[str]:
        heavy, own = loaded(project, *models, *args)
        assert ("jinja2" in heavy) == ("--llmdiff-html=r.html" in args)
        exploring = [name for name in own if name.startswith("pytest_llmdiff.explore.")]
        assert exploring == ["pytest_llmdiff.explore.run"], "the search loads when it begins"
        return {part for name in own if "reports" in name for part in name.split(".")[2:]}

    assert not reports() & written
    assert reports("--llmdiff-html=r.html") & written == {"html"}


def test_exported_names() -> None:
    assert sorted(pytest_llmdiff.__all__) == pytest_llmdiff.__all__
    held = {name for names in pytest_llmdiff._HOMES.values() for name in names}
    assert held == set(pytest_llmdiff.__all__)
    for name in pytest_llmdiff.__all__:
        assert getattr(pytest_llmdiff, name).__doc__, f"{name} has no docstring"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = pytest_llmdiff.nothing  # type: ignore[attr-defined]
    assert dir(pytest_llmdiff) == pytest_llmdiff.__all__


def test_every_helper_has_its_twin() -> None:
    helpers = [name for name in pytest_llmdiff.__all__ if name.startswith("assert_")]
    assert len(helpers) == 20
    for name in helpers:
        assert name.removeprefix("assert_") in pytest_llmdiff.__all__


def test_the_package_is_typed() -> None:
    assert Path(pytest_llmdiff.__file__).with_name("py.typed").is_file()


def test_no_private_parts_of_pytest_and_no_heavy_imports_at_the_top() -> None:
    for file in Path(pytest_llmdiff.__file__).parent.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "_pytest" not in text.replace("from pytest_llmdiff", ""), file
        top = [line.split()[1].split(".")[0] for line in text.splitlines()
               if line.startswith(("import ", "from "))]  # fmt: skip
        assert not set(top) & set(HEAVY), file
