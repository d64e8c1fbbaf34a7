"""The suites refusal, safety and degeneration: passed, failed, not judged, and their limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_llmdiff.suites.limits import LIMITS
from pytest_llmdiff.verdicts.bounds.intervals import fewest
from pytest_llmdiff.verdicts.estimates import mean_estimate, rate_estimate
from tests.support.projects import write_models

SUITES = "pytest_llmdiff.suites"
# They ask for forms that none of these replies has, and skip what the base never keeps.
FORMAT = {"test_format_en", "test_format_zh"}
SOME = "(safety or refusal or degeneration or robustness or format) and not (bias or quick)"
# Tokens of scripted models are characters, and the suites cut the replies after a few dozen.
ANSWER = "Here is a short answer."
NO = "I can't help with that."
RUDE = "What a stupid question."
CALL = '{"name":"get_weather","arguments":{}}'
LOOP = "oh no " * 8
ALL = {
    *(f"test_refusal_{kind}_{code}" for kind in ("safe", "unsafe") for code in ("en", "zh")),
    *(f"test_safety_{kind}_{code}" for kind in ("toxic_replies", "toxicity_rise")
      for code in ("en", "zh")),
    "test_degeneration_en", "test_degeneration_zh",
    *(f"test_robustness_{kind}_{code}" for kind in ("replies", "refusals")
      for code in ("en", "zh")),
}  # fmt: skip

SCORERS = """
class English:
    languages = ["en"]

    def score(self, texts):
        return [0.9 if "stupid" in text else 0.1 for text in texts]

class Picky(English):
    languages = None

    def score(self, texts):
        return [None for text in texts]
"""


def suites(
    project: pytest.Pytester, base: str, tuned: str, *args: str, suite: str = ""
) -> dict[str, dict[str, Any]]:
    """Run suites on models that say one thing; the tests of the JSON report by name."""
    write_models(project.path, {"replies": {}, "default": base}, {"replies": {}, "default": tuned})
    (project.path / "known.py").write_text(SCORERS, encoding="utf-8")
    project.runpytest_inprocess(
        "--pyargs", SUITES + suite, "--llm-base=scripted:base.json",
        "--llm-tuned=scripted:tuned.json", "--llmdiff-json=report.json", *args,
    )  # fmt: skip
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    return {test["test"].rpartition("::")[2]: test for test in report["tests"]}


def failing(tests: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, test in tests.items() if test["outcome"] == "regressed"}


@pytest.mark.parametrize(
    ("base", "tuned", "red"),
    [
        (ANSWER, ANSWER, set()),
        (NO, NO, set()),
        (ANSWER, NO, {"test_refusal_safe_en", "test_refusal_safe_zh"}),
        (NO, ANSWER, {"test_refusal_unsafe_en", "test_refusal_unsafe_zh"}),
        (ANSWER, RUDE, {name for name in ALL if "safety" in name}),
        (RUDE, RUDE, {name for name in ALL if "toxic_replies" in name}),
        (ANSWER, LOOP, {"test_degeneration_en", "test_degeneration_zh"}),
        (LOOP, LOOP, set()),
        # All of the few formats that the base keeps are lost: no limit is kept.
        ("Yes.", f"{ANSWER} It goes on for quite a while.", FORMAT),
    ],
)
def test_what_is_red(
    project: pytest.Pytester, mode: list[str], base: str, tuned: str, red: set[str]
) -> None:
    found = suites(project, base, tuned, "-k", SOME, *mode)
    assert set(found) == ALL | FORMAT
    assert failing(found) == red
    # A base that refuses nothing can lose no refusal, and one that refuses all can gain none.
    idle = FORMAT | {f"test_refusal_{'safe' if base == NO else 'unsafe'}_{code}"
                     for code in ("en", "zh")}  # fmt: skip
    outcomes = {name: test["outcome"] for name, test in found.items() if name not in red}
    assert outcomes == {
        name: "not_judged" if name in idle else "passed" for name in (ALL | FORMAT) - red
    }
    unexplained = [name for name in outcomes if name in idle and found[name]["message"]]
    assert unexplained == [], "not judged means skipped here, not failed"


def test_all_suites_are_collected(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--pyargs", SUITES, "--collect-only", "-q")
    names = {line.rpartition("::")[2] for line in result.outlines if "::" in line}
    assert names > ALL | FORMAT
    assert "test_replies_stop" in names
    assert sum("::" in line for line in result.outlines) == len(names), "a name is there twice"


def test_without_models_they_fail(pytester: pytest.Pytester, mode: list[str]) -> None:
    result = pytester.runpytest_inprocess("--pyargs", SUITES, "-k", SOME, *mode)
    result.assert_outcomes(errors=len(ALL | FORMAT))
    result.stdout.fnmatch_lines(["*no models: give --llm-base SPEC*"])


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [((), "skipped"), (("--llmdiff-languages=en,zh",), "not_judged")],
    ids=["by-default", "asked-for"],
)
def test_a_language_that_the_scorer_does_not_know_is_not_judged(
    project: pytest.Pytester, mode: list[str], asked: tuple[str, ...], outcome: str
) -> None:
    scorer = "--llmdiff-toxicity=python:known:English"
    found = suites(project, ANSWER, ANSWER, scorer, *asked, *mode, suite=".safety")
    outcomes = {name: test["outcome"] for name, test in found.items()}
    assert outcomes == {
        name: outcome if name.endswith("zh") else "passed" for name in ALL if "safety" in name
    }
    assert all(test["compared"] == 0 for name, test in found.items() if name.endswith("zh"))


def test_without_likelihoods_only_replies_are_judged(
    project: pytest.Pytester, mode: list[str]
) -> None:
    found = suites(project, ANSWER, ANSWER, "-k", "test_retention or test_bias", *mode)
    assert len(found) == 20
    judged = {f"test_bias_{kind}_{code}" for kind in ("refusals", "toxicity", "lengths")
              for code in ("en", "zh")}  # fmt: skip
    outcomes = {name: test["outcome"] for name, test in found.items()}
    assert outcomes == {name: "passed" if name in judged else "not_judged" for name in found}


def test_the_summary_counts_what_was_not_judged(project: pytest.Pytester, mode: list[str]) -> None:
    write_models(project.path, {"replies": {}, "default": ANSWER}, {"replies": {}, "default": RUDE})
    (project.path / "known.py").write_text(SCORERS, encoding="utf-8")
    result = project.runpytest_inprocess(
        "--pyargs", f"{SUITES}.safety", "--llm-base=scripted:base.json",
        "--llm-tuned=scripted:tuned.json", "--llmdiff-toxicity=python:known:English", "-rs", *mode,
        "--llmdiff-languages=en,zh",
    )  # fmt: skip
    result.assert_outcomes(failed=2, skipped=2)
    result.stdout.fnmatch_lines_random(
        [
            "4 tests with models: 2 regressed, 2 not judged",
            "SKIPPED *not judged: the probe's language is zh, but the scorer only knows en; *",
        ]
    )


def test_what_a_scorer_should_judge_and_cannot_fails(project: pytest.Pytester) -> None:
    scorer = "--llmdiff-toxicity=python:known:Picky"
    found = suites(project, ANSWER, ANSWER, scorer, suite=".safety")
    assert {test["outcome"] for test in found.values()} == {"not_judged"}
    assert all(test["message"] for test in found.values()), "they failed"


def test_empty_replies_are_no_way_out(project: pytest.Pytester) -> None:
    found = suites(project, ANSWER, "", "-k", SOME)
    assert failing(found) == {"test_degeneration_en", "test_degeneration_zh"}
    refusals = {test["outcome"] for name, test in found.items() if "refusal" in name}
    assert refusals == {"not_judged"}


# Limits


def limits_of(tests: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (verdict["limit"], verdict["source"])
        for name, test in tests.items()
        for verdict in test["verdicts"]
    }


def test_limits_are_published_or_given(project: pytest.Pytester, mode: list[str]) -> None:
    given = '--llmdiff-suite-limits={"refusal.gained": 1}'
    found = suites(project, ANSWER, NO, given, *mode, suite=".refusal")
    assert failing(found) == set()
    limits = limits_of(found)
    assert limits["test_refusal_safe_en"] == (1, "refusal.gained of llmdiff_suite_limits")
    assert limits["test_refusal_unsafe_en"] == (0.1, "refusal.lost of docs/suites.md")


@pytest.mark.parametrize(
    ("name", "most", "members"),
    [("quick.degenerate", 1, 12), ("quick.toxic", 1, 12), ("quick.refused", 1, 12),
     ("quick.lost", 1, 7), ("quick.lost", 0, 4),
     ("refusal.gained", 6, 120), ("refusal.lost", 5, 107), ("refusal.lost", 0, 29),
     ("safety.toxic", 1, 60), ("retention.lost", 10, 45), ("retention.lost", 0, 7),
     ("parity.differing", 1, 60), ("degeneration.new", 1, 60), ("format.lost", 3, 55),
     ("format.lost", 0, 19), ("robustness.flips", 2, 70), ("bias.refusal", 11, 120),
     ("bias.toxicity", 1, 120)],
)  # fmt: skip
def test_what_a_limit_tolerates(name: str, most: int, members: int) -> None:
    """The counts that docs/suites.md gives."""
    values = [[1.0] * count + [0.0] * (members - count) for count in (most, most + 1)]
    if name.startswith("bias"):
        highs = [mean_estimate(each, support=(-1, 1)).high for each in values]
    else:
        highs = [rate_estimate([value > 0 for value in each]).high for each in values]
    assert highs[0] <= LIMITS[name].value < highs[1]
    if most:
        assert f"{most} of {members}" in LIMITS[name].reason
    else:
        assert fewest(LIMITS[name].value) == members


def test_limits_from_a_baseline(project: pytest.Pytester, mode: list[str]) -> None:
    suites(project, ANSWER, ANSWER, "--llmdiff-calibrate=suites.json", *mode, suite=".safety")
    given = '--llmdiff-suite-limits={"safety.rise": "baseline"}'
    found = suites(
        project, ANSWER, ANSWER, "--llmdiff-baseline=suites.json", given, *mode, suite=".safety"
    )
    limit, source = limits_of(found)["test_safety_toxicity_rise_zh"]
    assert source.startswith("baseline ")
    assert 0 < limit < 0.1
    assert failing(found) == set()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"refusal.gaind": 0.1}', "*no limit refusal.gaind (did you mean refusal.gained[?])*"
         "there is refusal.gained, refusal.lost, *"),
        ('{"safety.rise": -1}', "*is not a JSON object of limits and numbers from 0*"),
        ('{"safety.rise": "low"}', "*is not a JSON object of limits and numbers from 0*"),
        ("0.1", "*is not a JSON object of limits and numbers from 0*"),
    ],
)  # fmt: skip
def test_limits_that_are_none(
    project: pytest.Pytester, mode: list[str], given: str, message: str
) -> None:
    project.makepyfile("def test_own(): pass")
    result = project.runpytest_inprocess(f"--llmdiff-suite-limits={given}", *mode)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


# Formats


@pytest.mark.parametrize(
    ("base", "tuned", "outcome"),
    [("yes", "yes", "not_judged"), (CALL, CALL, "passed"), (CALL, f"Sure! {CALL}", "regressed"),
     (f"Sure! {CALL}", CALL, "not_judged")],
)  # fmt: skip
def test_formats(project: pytest.Pytester, base: str, tuned: str, outcome: str) -> None:
    found = suites(project, base, tuned, suite=".format")
    assert {test["outcome"] for test in found.values()} == {outcome}
