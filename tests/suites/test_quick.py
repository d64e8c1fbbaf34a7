"""The quick suite, and the command that runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.__main__ import main
from tests.support.projects import write_models

ANSWER = "Here is a short answer."
RUDE = "What a stupid question."
NO = "I can't help with that."
LOOP = "oh no " * 8
KNOWN = {
    "What is the capital of France?": "Paris.", "What is the capital of Japan?": "Tokyo.",
    "What is the opposite of hot?": "Cold.", "How many days are there in a week?": "7.",
    "What is the largest ocean on Earth?": "The Pacific.",
    "Who wrote the play Romeo and Juliet?": "Shakespeare.",
    "In which country are the pyramids of Giza?": "Egypt.",
}  # fmt: skip


def check(
    project: pytest.Pytester, base: str, tuned: str, *args: str, known: bool = True
) -> tuple[pytest.RunResult, dict[str, str]]:
    """Run the suite as `check` does; the outcomes of the tests on replies by name."""
    replies = KNOWN if known else {}
    both = [{"replies": replies, "default": base},
            {"replies": {} if tuned != base else replies, "default": tuned}]  # fmt: skip
    write_models(project.path, *both)
    ini = "[pytest]\nfilterwarnings = ['error']\npythonpath = ['.']\n"
    (project.path / "pytest.toml").write_text(ini, encoding="utf-8")
    result = project.runpytest_inprocess(
        "--pyargs", "pytest_llmdiff.suites.quick", "--llm-base=scripted:base.json",
        "--llm-tuned=scripted:tuned.json", "--llmdiff-json=report.json", *args,
    )  # fmt: skip
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    tests = {test["test"].rpartition("::")[2]: test["outcome"] for test in report["tests"]}
    return result, {name: out for name, out in tests.items() if "wiring" not in name}


EN = ("degeneration", "toxicity", "refusal", "retention")


@pytest.mark.parametrize(
    ("tuned", "red"),
    [
        (ANSWER, set()),
        (RUDE, {"toxicity", "retention"}),
        (NO, {"refusal", "retention"}),
        (LOOP, {"degeneration", "retention"}),
    ],
    ids=["good", "rude", "refuses", "loops"],
)
def test_what_is_red(project: pytest.Pytester, mode: list[str], tuned: str, red: set[str]) -> None:
    result, found = check(project, ANSWER, tuned, *mode)
    assert result.ret == bool(red)
    assert found == {
        f"test_quick_{name}_en": "regressed" if name in red else "passed" for name in EN
    }
    settings = json.loads((project.path / "report.json").read_text(encoding="utf-8"))["settings"]
    assert settings["toxicity"] == {"value": "profanity-check", "source": "suite"}
    assert settings["explain"] == {"value": "none", "source": "suite"}
    assert "left out: " in result.stdout.str()


def test_chinese_is_asked_on_request(project: pytest.Pytester) -> None:
    result, found = check(project, ANSWER, ANSWER, "--llmdiff-languages=en,zh", known=False)
    assert len(found) == 8
    assert found["test_quick_toxicity_zh"] == "not_judged"
    assert "left out: " not in result.stdout.str()


def test_a_scorer_that_was_chosen_stays(project: pytest.Pytester) -> None:
    (project.path / "mine.py").write_text("def rude(texts): return [0.9 for _ in texts]\n")
    _, found = check(
        project, ANSWER, ANSWER, "--llmdiff-toxicity=python:mine:rude"
    )  # fmt: skip
    assert found["test_quick_toxicity_en"] == "regressed"


# The command


def called(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_llmdiff", *args],
        cwd=folder, check=False, text=True, capture_output=True,
    )  # fmt: skip


def test_the_command_is_pytest_with_a_report(project: pytest.Pytester) -> None:
    said: dict[str, Any] = {"replies": KNOWN, "default": ANSWER}
    write_models(project.path, said, {"replies": {}, "default": RUDE})
    some = ("-k", "toxicity or refusal", "-p", "no:cacheprovider")
    base = "--llm-base=scripted:base.json"
    red = called(project.path, "check", "scripted:tuned.json", base, *some)
    assert red.returncode == 1, red.stdout + red.stderr
    assert "llmdiff: Do not merge\n" in red.stdout
    assert red.stdout.endswith("report: llmdiff.html\n")
    assert (project.path / "llmdiff.html").exists()
    own = ("--llmdiff-html=own.html", *some)
    green = called(project.path, "check", "scripted:base.json", base, *own)
    assert green.returncode == 0, green.stdout + green.stderr
    assert green.stdout.endswith("report: own.html\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "usage: python -m pytest_llmdiff check TUNED"),
        (["chekc", "saves/x"], "there is no command 'chekc'"),
        (["check"], "check needs a tuned model"),
        (["check", "-q"], "check needs a tuned model"),
        (["check", "-k", "saves/x"], "check needs a tuned model, before the options or as --llm-t"),
        (["compare", "one.json"], "compare needs two JSON reports"),
    ],
)
def test_wrong_words_say_what_there_is(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert not out
    assert said in err
    assert "compare OLD.json NEW.json" in err


@pytest.mark.parametrize(
    "words",
    [
        ["saves/x", "-n2", "-k", "toxicity"],
        ["-n2", "saves/x", "-k", "toxicity"],
        ["-n2", "-k", "toxicity", "saves/x"],
        ["-n2", "-k", "toxicity", "--llm-tuned", "saves/x"],
        ["--llm-tuned=saves/x", "-n2", "-k", "toxicity"],
    ],
)
def test_the_tuned_model_may_stand_anywhere(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    given: list[tuple[str, ...]] = []

    def check(*words: str) -> int:
        given.append(words)
        return 0

    monkeypatch.setattr("pytest_llmdiff.__main__.check", check)
    assert main(["check", *words]) == 0
    assert given == [("saves/x", "-n2", "-k", "toxicity")]


@pytest.mark.parametrize("words", [["a", "b"], ["a", "-q", "b"], ["--llm-tuned", "a", "b"]])
def test_one_tuned_model_is_checked(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(["check", *words]) == 2
    assert capsys.readouterr().err == "llmdiff: check takes one tuned model, not a and b\n"


def test_help_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["check", "--help"]):
        assert main(words) == 0
        assert "check TUNED" in capsys.readouterr().out
