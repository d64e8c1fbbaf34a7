"""Limits measured from the base's own noise: written on request, refused where a run is another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.calibration import ENGINE
from benchmarks.calibration import SUITE as DRAWN
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.plugin.closing.calibration import measured_noise
from pytest_llmdiff.verdicts.baseline import (
    CHANCE,
    FARTHEST,
    LEAST,
    TAIL,
    Baseline,
    Noise,
    set_noise,
    single_noise,
)
from pytest_llmdiff.verdicts.baseline_file import changes, read_baseline, write_baseline
from pytest_llmdiff.verdicts.bounds.sides import NO_METHOD
from pytest_llmdiff.verdicts.estimates import Estimate, mean_estimate
from pytest_llmdiff.verdicts.multiple_testing import chance_of
from tests.support.projects import Run
from tests.support.sets import write

SUITE = """
import pytest
from pytest_llmdiff import assert_divergence, assert_semantic_drift, assert_toxicity

pytestmark = pytest.mark.llmdiff(file="probes.jsonl")

def test_one(comparison):
    assert_semantic_drift(comparison)

def test_set(comparisons):
    assert_semantic_drift(comparisons)
    assert_toxicity(comparisons, rise_at_most=0.3)
"""

# An engine whose replies are other each time that it is asked, unlike the scripted one.
NOISY = """
from pytest_llmdiff import Generated, Reply

class Noisy:
    asked = 0

    def fingerprint(self):
        return "noisy"

    def render(self, messages):
        return [1]

    def generate(self, requests):
        Noisy.asked += 1
        for index, request in enumerate(requests):
            words = ["refund"] * 5 + ["zebra"] * ((index + Noisy.asked) % 4 == 0)
            yield index, Generated(reply=Reply(text=" ".join(words)), prompt_ids=(1,))

    def close(self):
        pass
"""


@pytest.fixture
def calibrated(project: pytest.Pytester, run: Run) -> Path:
    """A project with a baseline of its base, which differs from the tuned model in a third."""
    write(project, every=3)
    project.makepyfile(test_suite=SUITE)
    file = project.path / "baseline.json"
    run("--llmdiff-calibrate=baseline.json", '--llmdiff-margin={"semantic drift": 0.1}')
    assert file.exists()
    return file


def content(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))


def test_limits_are_noise_and_margin(calibrated: Path) -> None:
    found = content(calibrated)
    assert found["schema"] == "pytest-llmdiff-baseline/2"
    assert found["conditions"]["max_new_tokens"] == 128
    assert set(found["conditions"]) >= {"base", "embedder", "toxicity", "temperature"}
    assert set(found["tests"]) == {"test_suite.py::test_one", "test_suite.py::test_set"}
    single = found["tests"]["test_suite.py::test_one"]["semantic drift"]
    assert single["reaches"] == 0  # a scripted base has no noise
    assert single["limit"] == single["margin"] == pytest.approx(0.1 + LEAST)
    assert (single["count"], single["questions"], single["moved"]) == (60, 60, 0)
    assert single["chance"] == CHANCE / 3, "three limits share the run's"
    of_set = found["tests"]["test_suite.py::test_set"]["semantic drift"]
    # No difference among sixty shows only that they are rare.
    assert of_set["reaches"] == pytest.approx(1 - 0.05 ** (1 / 60))
    assert of_set["limit"] == pytest.approx(of_set["reaches"] + 0.1 + LEAST, abs=1e-4)
    assert of_set["chance"] == CHANCE / 3


def test_a_helper_without_a_limit_takes_the_baselines(
    project: pytest.Pytester, run: Run, calibrated: Path
) -> None:
    result = run("--llmdiff-baseline=baseline.json", "--llmdiff-json=report.json")
    result.assert_outcomes(passed=40, failed=21)
    result.stdout.fnmatch_lines_random(
        [
            f"E *semantic drift 0.*, limit 0.10 (baseline {calibrated})",
            "chance: an unchanged model would turn this run red with a probability of at most "
            "0.033 (61 verdicts under 2 calibrated limits)",
            "  semantic drift 0.* > 0.10  *",
        ]
    )
    rows = content(project.path / "report.json")["tests"]
    verdicts = [verdict for row in rows for verdict in row["verdicts"]]
    held = [v for v in verdicts if v["source"].startswith("baseline")]
    assert len(held) == 61
    assert {(v["p"], v["adjusted"], v["chance"]) for v in held} == {(None, None, CHANCE / 3)}


def test_the_base_passes_the_baseline_of_itself(project: pytest.Pytester, run: Run) -> None:
    """An unchanged reply has no noise, whatever its level: here, of toxicity."""
    write(project, every=3, count=20)
    base = json.loads((project.path / "tuned.json").read_text())  # a third is rude
    for name in ("base", "tuned"):
        (project.path / f"{name}.json").write_text(json.dumps(base))
    project.makepyfile(
        test_suite="""
import pytest
from pytest_llmdiff import assert_toxicity

pytestmark = pytest.mark.llmdiff(file="probes.jsonl")

def test_one(comparison):
    assert_toxicity(comparison)

def test_set(comparisons):
    assert_toxicity(comparisons)
    assert_toxicity(comparisons, over=0.5)

def test_given(comparison):
    assert_toxicity(comparison, at_most=1.0, rise_at_most=0.5)
"""
    )
    run("--llmdiff-calibrate=baseline.json").assert_outcomes(passed=41)
    tests = content(project.path / "baseline.json")["tests"]
    assert {test.rpartition("::")[2]: set(held) for test, held in tests.items()} == {
        "test_one": {"toxicity rise"},
        "test_set": {"toxicity rise", "toxicity rate rise over 0.5"},
        "test_given": {"toxicity rise"},
    }
    assert tests["test_suite.py::test_given"]["toxicity rise"]["count"] == 20
    result = run("--llmdiff-baseline=baseline.json")
    result.assert_outcomes(passed=41)
    result.stdout.fnmatch_lines(
        ["chance: an unchanged model would turn this run red with a probability of at most 0.038 *"]
    )
    # And another model does not.
    (project.path / "tuned.json").write_text(
        json.dumps({**base, "replies": dict.fromkeys(base["replies"], "you stupid thing")})
    )
    result = run("--llmdiff-baseline=baseline.json", "-k", "test_one")
    result.assert_outcomes(passed=7, failed=13)
    result.stdout.fnmatch_lines(["E *toxicity rise 0.8*, limit 0.001 (baseline *"])


@pytest.mark.parametrize("other", range(3))
def test_an_unchanged_model_that_draws_its_replies_passes(
    project: pytest.Pytester, other: int
) -> None:
    """Replies of either run are other ones: the limits allow for that, single and as a set."""
    (project.path / "drawn.py").write_text(f"OTHER = {other}\n{ENGINE}", encoding="utf-8")
    project.makepyfile(test_suite="COUNT = 100\n" + DRAWN)
    base = ("--llm-base=python:drawn:Drawn", "--llmdiff-toxicity=python:drawn:scored")
    project.runpytest_inprocess(*base, "--llmdiff-calibrate=b.json").assert_outcomes(passed=101)
    unchanged = ("--llm-tuned=python:drawn:Other", "--llmdiff-baseline=b.json")
    result = project.runpytest_inprocess(*base, *unchanged)
    result.assert_outcomes(passed=101)
    result.stdout.fnmatch_lines(
        ["chance: an unchanged model would turn this run red with a probability of at most 0.05 "
         "(101 verdicts under 2 calibrated limits)"]
    )  # fmt: skip


def unchanged(project: pytest.Pytester, *bodies: str, **replies: str) -> None:
    """A base and the same model as tuned, and a test of twelve probes for each body."""
    write(project, every=3, count=12)
    base = json.loads((project.path / "base.json").read_text())
    for name in ("base", "tuned"):
        (project.path / f"{name}.json").write_text(
            json.dumps({**base, "replies": {**base["replies"], **replies}})
        )
    tests = [
        f"""
@pytest.mark.llmdiff(file="probes.jsonl")
def test_{number}({"comparison" + "s" * ("comparisons" in body)}):
    {body}
"""
        for number, body in enumerate(bodies)
    ]
    head = "import pytest\nfrom pytest_llmdiff import *\nfrom scorers import rude\n"
    project.makepyfile(test_suite=head + "".join(tests))


MODELS = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
EMPTY = (
    "  an unchanged model fails test_suite.py::test_0*: degeneration, 1 time; question-7*: the "
    "reply is empty (nothing)"
)
FEW = "[each for each, _ in zip(comparisons, range(3))]"


@pytest.mark.parametrize(
    ("body", "why", "test"),
    [
        (
            "assert_format_kept(comparisons, json=True)",
            "  no limit for format lost rate of test_suite.py::test_0: no format kept by the base: "
            "nothing can be lost",
            "test_suite.py::test_0, which has no limit for format lost rate: give one there",
        ),
        (
            f"assert_toxicity({FEW})",
            "  no limit for toxicity rise of test_suite.py::test_0: a set of 3 judged probes "
            "(3 questions) is too small for a limit: it takes 5 questions",
            "test_suite.py::test_0, which has no limit for toxicity rise: give one there",
        ),
        (
            "assert_toxicity(comparisons, scorer=rude)",
            "  no limit for toxicity rise of test_suite.py::test_0: baselines know the run's own "
            "scorers only: with scorer=, give a limit",
            "test_suite.py::test_0, which has no limit for toxicity rise: give one there",
        ),
        ("assert_not_degenerate(comparisons)", "", EMPTY),
        ("assert_not_degenerate(comparison)", "", EMPTY),
    ],
)
def test_what_an_unchanged_model_fails_fails_its_calibration(
    project: pytest.Pytester, body: str, why: str, test: str
) -> None:
    replies = {"question 7": ""} if "degenerate" in body else {}
    unchanged(project, body, "assert_toxicity(comparison)", **replies)
    result = project.runpytest_inprocess(*MODELS, "--llmdiff-calibrate=baseline.json")
    assert result.ret == 1
    others = 0 if "comparisons" in body else 11
    result.assert_outcomes(passed=13 + others)
    result.stdout.fnmatch_lines([why, f"  an unchanged model fails {test}"] if why else [test])
    # As it said; and the limits of the other test were written.
    result = project.runpytest_inprocess(*MODELS, "--llmdiff-baseline=baseline.json")
    result.assert_outcomes(failed=1, passed=12 + others)


def test_a_calibration_is_green_where_an_unchanged_model_is(project: pytest.Pytester) -> None:
    unchanged(
        project,
        "assert_toxicity(comparisons)",
        "assert_not_degenerate(comparison)",
        f"assert_toxicity({FEW}, at_most=0.8)",  # its own limit needs no baseline
        "assert_format_kept(comparison, json=True)",
        "assert_refusal(comparisons)",
    )
    result = project.runpytest_inprocess(*MODELS, "--llmdiff-calibrate=baseline.json")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*an unchanged model fails*")
    assert project.runpytest_inprocess(*MODELS, "--llmdiff-baseline=baseline.json").ret == 0


def test_too_little_noise_is_told_with_what_it_takes(project: pytest.Pytester, run: Run) -> None:
    write(project, every=3, count=2)
    project.makepyfile(test_suite=SUITE)
    result = run("--llmdiff-calibrate=baseline.json")
    result.stdout.fnmatch_lines_random(
        [
            "  no limit for semantic drift of test_suite.py::test_set: a set of 2 judged probes "
            "(2 questions) is too small for a limit: it takes 5 questions",
            "  semantic drift of test_suite.py::test_one: how often an unchanged model breaks "
            "limit 0.001 is unknown; its calibration has 2 questions, and needs at least 10",
        ]
    )
    result = run("--llmdiff-baseline=baseline.json", "-k", "test_one")
    result.stdout.fnmatch_lines(
        ["chance: 2 verdicts under 1 calibrated limit; how often an unchanged model breaks them "
         "is unknown, since *"]
    )  # fmt: skip
    result.stdout.no_fnmatch_line("*(p *")


def test_what_is_not_judged_has_no_p_value(
    project: pytest.Pytester, run: Run, calibrated: Path
) -> None:
    tuned = {"replies": {}, "default": "我不知道。"}  # which the embedder cannot read
    (project.path / "tuned.json").write_text(json.dumps(tuned), encoding="utf-8")
    result = run(
        f"--llmdiff-baseline={calibrated.name}", "--llmdiff-json=report.json",
        "--llmdiff-explain=none", "-k", "test_one and question-7-",
    )  # fmt: skip
    result.assert_outcomes(failed=1)
    (test,) = content(project.path / "report.json")["tests"]
    (verdict,) = test["verdicts"]
    assert verdict["outcome"] == "not_judged"
    assert (verdict["p"], verdict["adjusted"]) == (None, None)


def test_without_a_baseline_the_failure_says_how_to_get_one(
    project: pytest.Pytester, run: Run
) -> None:
    write(project, every=3, count=12)
    project.makepyfile(test_suite=SUITE)
    result = run()
    assert not (project.path / "baseline.json").exists()  # a first run writes none
    result.assert_outcomes(failed=13)
    result.stdout.fnmatch_lines_random(
        ["E *has no limit: there is no baseline; give one in the test, such as "
         "at_most=0.3, or measure one: pytest … --llmdiff-calibrate=baseline.json, then "
         "--llmdiff-baseline=baseline.json"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--llmdiff-max-new-tokens=64"], "*max_new_tokens was 128 and is 64*"),
        (["--llmdiff-embedder=python:scorers:Letters2"], "*embedder was * and is *"),
        (["--llmdiff-system=Be kind."], "*measured on other probes of test_suite.py::test_one*"),
    ],
)
def test_another_run_is_refused(
    project: pytest.Pytester, run: Run, calibrated: Path, args: list[str], said: str
) -> None:
    assert calibrated.exists()
    with (project.path / "scorers.py").open("a", encoding="utf-8") as file:
        file.write("\nclass Letters2(Letters): pass\n")
    result = run("--llmdiff-baseline=baseline.json", "-k", "question-1-", *args)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines_random([f"E *has no limit: {said}"])


def test_another_base_and_other_probes_are_refused(
    project: pytest.Pytester, run: Run, calibrated: Path
) -> None:
    with (project.path / "probes.jsonl").open("a") as file:
        file.write('{"prompt": "one more"}\n')
    result = run("--llmdiff-baseline=baseline.json", "-k", "one-more or test_set")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines_random(["*measured on other probes of test_suite.py::test_set*"])
    replies = content(project.path / "base.json")["replies"]
    (project.path / "base.json").write_text(json.dumps({"replies": replies, "default": "!"}))
    result = run("--llmdiff-baseline=baseline.json", "-k", "question-1-")
    result.stdout.fnmatch_lines_random(
        ["*was measured under other conditions: base was * and is *"]
    )
    assert calibrated.exists()


def test_updating_shows_what_changes(run: Run, calibrated: Path) -> None:
    run("--llmdiff-calibrate=baseline.json", '--llmdiff-margin={"semantic drift": 0.1}')
    before = calibrated.read_text()
    result = run("--llmdiff-calibrate=baseline.json", "--llmdiff-margin", '{"drift": 0.1}')
    result.stdout.fnmatch_lines_random(
        [
            "  test_suite.py::test_one, semantic drift: limit 0.101 -> 0.001",
            "  a margin for 'drift' was given, but no test measures that",
        ]
    )
    result = run("--llmdiff-calibrate=baseline.json", '--llmdiff-margin={"semantic drift": 0.1}')
    assert calibrated.read_text() == before


def test_calibrating_needs_the_base_alone(project: pytest.Pytester, mode: list[str]) -> None:
    write(project, every=3, count=12)
    project.makepyfile(test_suite=SUITE)
    result = project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llmdiff-calibrate=b.json", *mode
    )
    result.assert_outcomes(passed=13)
    assert (project.path / "b.json").exists()


def test_noise_is_what_asking_again_changes(project: pytest.Pytester) -> None:
    write(project, every=3, count=40)
    (project.path / "engines.py").write_text(NOISY, encoding="utf-8")
    project.makepyfile(test_suite=SUITE)
    args = ("--llm-base=python:engines:Noisy", "--llmdiff-calibrate=b.json")
    project.runpytest_inprocess(*args).assert_outcomes(passed=41)
    found = content(project.path / "b.json")["tests"]["test_suite.py::test_one"]["semantic drift"]
    assert 0 < found["reaches"] < found["limit"] == found["reaches"] + found["margin"]
    assert found["moved"] >= TAIL
    assert found["chance"] == CHANCE / 3


def test_nothing_is_written_where_a_test_failed_of_itself(
    project: pytest.Pytester, run: Run
) -> None:
    write(project, every=3, count=12)
    project.makepyfile(test_suite=SUITE + "\ndef test_wrong(comparisons):\n    assert 0\n")
    result = run("--llmdiff-calibrate=baseline.json")
    assert result.ret == 1
    result.stdout.fnmatch_lines_random(
        ["baseline: nothing was written, since test_suite.py::test_wrong failed"]
    )
    assert not (project.path / "baseline.json").exists()


def noisy(schema: int = 2, **changes: object) -> str:
    """A baseline with one limit, which has something else in places."""
    entry = {
        "limit": 0.5, "reaches": 0.5, "margin": 0.0, "count": 2, "questions": 2, "moved": 0,
        "chance": None, "spread": None, "probes": "abc",
    }  # fmt: skip
    tests = {"test_suite.py::test_one": {"toxicity rise": entry | changes}}
    return json.dumps(
        {"schema": f"pytest-llmdiff-baseline/{schema}", "conditions": {}, "tests": tests}
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read (No such file or directory); --llmdiff-calibrate * makes one"),
        ("{", "is not valid JSON*"),
        ("[]", "is not a baseline of schema 'pytest-llmdiff-baseline/2'"),
        (
            '{"schema": "pytest-llmdiff-baseline/2", "conditions": {}, "tests": {"t": {"x": {}}}}',
            "is damaged *",
        ),
        (
            noisy(schema=1),
            "was written by an earlier version, *; --llmdiff-calibrate *b.json makes a new one",
        ),
        (noisy(limit="0.5"), "is damaged *"),
        (noisy(limit=True), "is damaged (a limit is True)*"),
        (noisy(limit=1e999), "is damaged (a limit is inf)*"),
        (noisy(limit=10**400), "is damaged *"),
        (noisy(count=-1), "is damaged (its counts are invalid)*"),
        (noisy(chance=2), "is damaged (a chance is 2)*"),
        (noisy(count="9"), "is damaged *"),
        (noisy(points="0.1 nan"), "is damaged *"),
        ("[" * 100_000, "is not valid JSON*"),
        (
            noisy().replace('"limit": ', '"limit": 9.0, "limit": '),
            "is not valid JSON: the key 'limit' is given twice*",
        ),
    ],
)
def test_a_bad_baseline_is_a_usage_error(
    project: pytest.Pytester, run: Run, text: str | None, said: str
) -> None:
    project.makepyfile("")
    if text is not None:
        (project.path / "b.json").write_text(text)
    result = run("--llmdiff-baseline=b.json")
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*--llmdiff-baseline: *b.json {said}"])


def test_a_recording_has_no_noise(project: pytest.Pytester, run: Run) -> None:
    write(project, every=3, count=12)
    project.makepyfile(test_suite=SUITE)
    run("--llmdiff-record=run.jsonl")
    result = project.runpytest_inprocess(
        "--llm-base=replay:run.jsonl", "--llmdiff-calibrate=b.json"
    )
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*is a recording, which repeats its replies*"])


# Pure stages


def of_singles(values: list[float], share: float = CHANCE, **facts: Any) -> Noise:
    questions = [str(number) for number in range(len(values))]
    return single_noise(values, questions, **{"share": share, "sampled": True} | facts)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=300), st.floats(0, 1))
def test_a_limit_is_beyond_all_noise(values: list[float], margin: float) -> None:
    noise = of_singles(values, margin=margin)
    assert noise.limit >= max(0.0, *values) + LEAST + margin
    assert noise.count == noise.questions == len(values)
    assert (noise.chance is None) == (noise.moved < TAIL) == bool(noise.lacks)
    if noise.moved >= TAIL:
        assert noise.limit <= noise.reaches * FARTHEST * 1.001 + 2 * LEAST + margin


def test_forms_and_repeats_of_a_question_count_once() -> None:
    values = [0.1, 0.2, 0.3, 0.4] * 3
    noise = single_noise(values, ["a", "b", "c", "d"] * 3, share=CHANCE, sampled=True)
    assert (noise.count, noise.questions, noise.moved) == (12, 4, 4)
    assert noise.chance is None


def test_more_limits_are_each_wider() -> None:
    values = [n / 100 for n in range(1, 60)]
    limits = [of_singles(values, share=CHANCE / count).limit for count in (1, 5, 25)]
    assert limits == sorted(limits)
    assert limits[0] < limits[2]


def test_greedy_replies_without_noise_leave_the_least_margin() -> None:
    assert of_singles([0.0] * 20, sampled=False).limit == LEAST
    assert of_singles([0.0] * 20, sampled=False).chance == CHANCE
    assert of_singles([0.0] * 20).chance is None, "rare noise may just not have come"
    greedy, sampled = (
        set_noise(
            0.0, 0.05, share=CHANCE, sampled=sampled, rate=True, moved=0, questions=60, count=60,
            spread=0.0,
        )
        for sampled in (False, True)
    )  # fmt: skip
    assert greedy.limit == pytest.approx(0.05 + LEAST)
    assert sampled.limit > 0.1


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=50), st.floats(0, 5))
def test_a_baseline_reads_back(values: list[float], margin: float) -> None:
    import tempfile

    noise = of_singles(values, margin=margin, probes=["b", "a"])
    of_set = set_noise(
        0.0, 1.0, share=0.01, sampled=True, rate=False, moved=9, questions=9, count=9, spread=0.1,
        margin=margin, probes="x",
    )  # fmt: skip
    made = Baseline(conditions={"base": "hash"}, tests={"t": {"m": noise, "n": of_set}})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / "b.json"
        assert write_baseline(made, path)[1] == "  2 limits, all new"
        assert read_baseline(path) == made
        assert changes(read_baseline(path), made) == ["  nothing has changed"]


def test_a_limit_edited_by_hand_counts(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    noise = of_singles([0.5] * 20, probes=["a"])
    write_baseline(Baseline(conditions={}, tests={"t": {"m": noise}}), path)
    written = path.read_text()
    for limit, chance in (("3.5", CHANCE), ("0.4", None)):
        path.write_text(written.replace(f'"limit": {noise.limit}', f'"limit": {limit}'))
        found = read_baseline(path).noise("t", "m", "a")
        assert (found.limit, found.chance) == (float(limit), chance)
    path.write_text(written.replace(f'"limit": {noise.limit}', '"limit": NaN'))
    with pytest.raises(ConfigError, match="damaged"):
        read_baseline(path)


@pytest.mark.parametrize("count", [20, 200])
@pytest.mark.parametrize("shape", ["exponential", "lognormal", "pareto", "normal"])
def test_another_run_of_the_same_noise_stays_within_the_limit(count: int, shape: str) -> None:
    """In at least 95 % of all runs, up to what 300 runs cannot tell."""
    draw, runs = np.random.default_rng(11), 300
    noises = {
        "exponential": lambda: draw.exponential(size=count),
        "lognormal": lambda: draw.lognormal(0, 1, count),
        "pareto": lambda: draw.pareto(2.5, count) + 1,
        "normal": lambda: draw.normal(size=2 * count)[:count],
    }
    red = sum(
        noises[shape]().max() > of_singles(noises[shape]().tolist()).limit for _ in range(runs)
    )
    assert red <= runs * 0.08


@pytest.mark.parametrize("count", [60, 200])
@pytest.mark.parametrize("shape", ["lognormal", "normal"])
def test_another_set_of_the_same_noise_stays_within_the_limit(shape: str, count: int) -> None:
    """Of a measure without an upper end, such as the divergence, with replies that are drawn."""
    draw, runs = np.random.default_rng(3), 300

    def noise() -> Estimate:
        values = draw.lognormal(0, 0.7, count) if shape == "lognormal" else draw.normal(size=count)
        return mean_estimate(values.tolist(), support=(-np.inf, np.inf))

    def limit(found: Estimate) -> Noise:
        return set_noise(
            found.low, found.high, share=CHANCE, sampled=True, rate=False, moved=count,
            questions=count, count=count, spread=found.spread, heavier=found.heavier,
        )  # fmt: skip

    red = sum(noise().high > limit(noise()).limit for _ in range(runs))
    assert red <= runs * 0.08
    assert limit(noise()).chance == CHANCE


def test_a_small_set_of_noise_without_an_end_has_no_known_chance() -> None:
    """Unless replies are not drawn."""
    ends: dict[str, Any] = {
        "rate": False, "moved": 20, "questions": 20, "count": 20, "spread": 1.0,
    }  # fmt: skip
    for sampled, heavier, chance in ((True, 0.0, None), (True, None, 0.05), (False, 0.0, 0.05)):
        found = set_noise(0.5, 1.0, share=0.05, sampled=sampled, heavier=heavier, **ends)
        assert found.chance == chance
    lacking = set_noise(0.5, 1.0, share=0.05, sampled=True, heavier=0.0, **ends)
    assert lacking.lacks == (
        "its noise has no upper end, and its calibration has 20 questions: it takes 60"
    )


def test_the_chance_of_a_run_adds_each_limit_once() -> None:
    def verdict(name: str, chance: float | None, noise: float | None = 0.0) -> dict[str, Any]:
        return {"name": name, "chance": chance, "noise": noise, "set": None}

    rows = [
        {
            "case": "a",
            "verdicts": [verdict("m", 0.02), verdict("n", None), verdict("x", None, None)],
        },
        {"case": "a", "verdicts": [verdict("m", 0.02)]},
        {"case": "b", "verdicts": [verdict("m", 0.01)]},
    ]
    found = chance_of(rows)
    assert found.probability == pytest.approx(0.03)
    assert (found.verdicts, found.limits, found.unknown) == (4, 3, 1)


def test_each_threshold_of_a_rate_has_its_own_limit(project: pytest.Pytester, run: Run) -> None:
    write(project, every=3)
    suite = """
        import pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.mark.llmdiff(file="probes.jsonl")
        def test_rates(comparisons):
            assert_toxicity(comparisons, over=0.5)
            assert_toxicity(comparisons, over=0.05)
    """
    project.makepyfile(test_suite=suite)
    run("--llmdiff-calibrate=baseline.json").assert_outcomes(passed=1)
    tests = json.loads((project.path / "baseline.json").read_text(encoding="utf-8"))["tests"]
    limits = {name: held["limit"] for name, held in tests["test_suite.py::test_rates"].items()}
    assert limits.keys() == {"toxicity rate rise over 0.5", "toxicity rate rise over 0.05"}
    result = run("--llmdiff-baseline=baseline.json")
    result.stdout.fnmatch_lines(
        ["E *toxicity rate rise over 0.5 of 60 comparisons: 0.33, * (20 of 60 risen, 0 others "
         "fallen: net 20 risen), *beyond it"]
    )  # fmt: skip


def test_what_a_test_measures_in_several_ways_has_no_limit() -> None:
    """Two forms of a reply, say, are held with one measure: the limit of one is not the other's."""

    def verdict(high: float, method: str = "exact (Clopper-Pearson)") -> dict[str, Any]:
        found = {"scope": "", "low": 0.0, "high": high, "clusters": 60, "unsupported": 0,
                 "not_finite": 0, "judged": 60, "spread": 0.1, "probes": "d",
                 "method": method}  # fmt: skip
        return {"name": "format lost rate", "set": found}

    def row(case: str, *verdicts: dict[str, Any]) -> dict[str, Any]:
        noise = {
            "singles": {},
            "sets": {"format lost rate": {"moved": 0, "rate": True, "why": "", "heavier": None}},
            "temperatures": [None],
            "needed": [],
            "failing": {},
        }
        return {"case": case, "noise": noise, "verdicts": verdicts}

    def measured(*rows: dict[str, Any]) -> tuple[dict[tuple[str, str], Noise], list[str]]:
        noises, notes, _ = measured_noise(rows, {}, temperature=0.0)
        return noises, notes

    alike = row("alike", verdict(0.05), verdict(0.05))
    found, notes = measured(alike, row("several", verdict(0.05), verdict(0.4)))
    assert [(key, noise.reaches) for key, noise in found.items()] == [
        (("alike", "format lost rate"), 0.05)
    ]
    (note,) = notes
    assert "no limit for format lost rate of several: the test measures it in several ways" in note
    # The end of the support is no limit.
    found, _ = measured(row("few", verdict(2.0, f"{NO_METHOD} for fewer than 5")))
    assert not found
