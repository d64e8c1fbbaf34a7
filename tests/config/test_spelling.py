"""Misspelt options, ini keys, values and keywords of the marker are errors that say what was meant,
with and without pytest's `strict`."""

from __future__ import annotations

import pytest

from tests.support.projects import Run

INI = {
    "pytest.toml": "[pytest]\nllmdiff_embeder = 'usem3'\n",
    "pyproject.toml": "[tool.pytest.ini_options]\nllmdiff_embeder = 'usem3'\n",
    "pytest.ini": "[pytest]\nllmdiff_embeder = usem3\n",
    "setup.cfg": "[tool:pytest]\nllmdiff_embeder = usem3\n",
}


@pytest.mark.parametrize("name", INI)
def test_a_misspelt_ini_key(project: pytest.Pytester, mode: list[str], name: str) -> None:
    (project.path / "pytest.toml").unlink()
    (project.path / name).write_text(INI[name], encoding="utf-8")
    project.makepyfile("def test_it(): pass")
    result = project.runpytest_inprocess(*mode)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"*{name}: there is no ini key llmdiff_embeder (did you mean llmdiff_embedder[?])"]
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--llmdiff-embeder=usem3"], "*no option --llmdiff-embeder (did you mean --llmdiff-emb*"),
        (["--llmdiff-embeder", "x"], "*no option --llmdiff-embeder (did you mean --llmdiff-emb*"),
        (["--llm-tune=x"], "*no option --llm-tune (did you mean --llm-tuned[?])"),
        (["--llmdiff-zzzz"], "*no option --llmdiff-zzzz; there are --llm-base, --llm-tuned,*"),
        (["--llm-tunned=x"], "*no option --llm-tunned (did you mean --llm-tuned[?])"),
        (["--llmdif-store=x"], "*no option --llmdif-store (did you mean --llmdiff-store[?])"),
        (["-o", "llm_diff_store=x"], "*no ini key llm_diff_store (did you mean llmdiff_store[?])"),
        (["-o", "llmdif_store=x"], "*no ini key llmdif_store (did you mean llmdiff_store[?])"),
        (["--llmdiff-explain=al"], "*'al' is not failed, all or none (did you mean all[?])"),
        (["--llmdiff-toxicity=profanity_check"], "*(did you mean profanity-check[?])"),
    ],
)
def test_a_misspelt_option_or_value(
    project: pytest.Pytester, run: Run, given: list[str], told: str
) -> None:
    project.makepyfile("def test_it(): pass")
    result = run(*given)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([told])


def test_a_misspelt_keyword_of_the_marker(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.llmdiff("a", max_new_token=3)
        def test_it(comparison): pass
        """
    )
    result = run()
    result.stdout.fnmatch_lines(["*max_new_token (did you mean max_new_tokens[?]); allowed are*"])


def test_options_and_keys_of_others_are_left_alone(project: pytest.Pytester, run: Run) -> None:
    project.makeconftest(
        """
        def pytest_addoption(parser):
            parser.addoption("--llmdiff-embeder")
            parser.addini("llmdiff_embeder", "")
        """
    )
    project.makepyfile("def test_it(): pass")
    assert run("--llmdiff-embeder=x", "-o", "llmdiff_embeder=x").ret == 0


@pytest.mark.parametrize("key", ["llm_embedder", "llm_max_new_tokens", "llmdiffusion_steps"])
def test_keys_of_plugins_that_are_not_loaded_are_pytests_to_judge(
    project: pytest.Pytester, mode: list[str], key: str
) -> None:
    (project.path / "pytest.toml").unlink()
    (project.path / "pytest.ini").write_text(f"[pytest]\n{key} = 3\n")
    project.makepyfile("def test_it(): pass")
    assert project.runpytest_inprocess(*mode).ret == 0


@pytest.mark.parametrize("flag", ["--llmfoo=3", "--llm-model=3"])
def test_options_of_plugins_that_are_not_loaded_are_pytests_to_judge(
    project: pytest.Pytester, run: Run, flag: str
) -> None:
    project.makepyfile("def test_it(): pass")
    result = run(flag)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unrecognized arguments: *"])
    result.stderr.no_fnmatch_line("*did you mean*")
