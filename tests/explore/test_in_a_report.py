"""What a test finds out by `llm_pair.explore` is in the reports of its run."""

from __future__ import annotations

import json

import pytest

from tests.support.topical import write_engines, write_log

TEST = """
def test_nothing_stands_out(llm_pair):
    found = llm_pair.explore(budget=60, prompts="log.txt")
    assert not found.themes, found.lines()[3]
"""
MODELS = [
    "--llm-base=python:topical:base", "--llmdiff-toxicity=python:scorers:rude",
    "--llmdiff-embedder=python:scorers:Letters",
]  # fmt: skip


def ran(project: pytest.Pytester, tuned: str, mode: list[str]) -> str:
    write_engines(project.path)
    write_log(project.path)
    project.makepyfile(test_new=TEST)
    options = ["--llmdiff-html=r.html", "--llmdiff-json=r.json"]
    found = project.runpytest_subprocess(
        *MODELS, f"--llm-tuned=python:topical:{tuned}", *options, *mode
    )
    found.assert_outcomes(failed=1)
    return (project.path / "r.html").read_text(encoding="utf-8")


def test_the_page_and_the_json_have_the_themes(project: pytest.Pytester, mode: list[str]) -> None:
    page = ran(project, "rude", mode)
    report = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    (found,) = report["tests"][0]["explorations"]
    theme = found["themes"][0]
    section = page.partition('id="explored"')[2].partition('id="tests"')[0]
    assert f"1. {theme['name']}</h3>" in section
    assert "<ins>idiot</ins>" in section
    assert f"of {theme['near']} about the same exceed the noise" in section
    assert "test_new.py::test_nothing_stands_out" in section
    assert 'href="#explored"' in page


def test_hostile_replies_stay_text(project: pytest.Pytester, mode: list[str]) -> None:
    section = ran(project, "hostile", mode).partition('id="explored"')[2]
    assert "{{ 7*7 }} &lt;/p&gt;" in section
    assert "<script>x" not in section
