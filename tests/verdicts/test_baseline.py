"""Limits measured from the base's own noise: written on request, refused where a run is another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.plugin.calibration import measured_noise
from pytest_llmdiff.verdicts.baseline import (
    POINTS,
    Baseline,
    Noise,
    changes,
    read_baseline,
    single_noise,
    write_baseline,
)
from pytest_llmdiff.verdicts.estimates import NO_METHOD
from pytest_llmdiff.verdicts.multiple_testing import adjust, chance_of
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
    assert found["schema"] == "pytest-llmdiff-baseline/1"
    assert found["conditions"]["max_new_tokens"] == 128
    assert set(found["conditions"]) >= {"base", "embedder", "toxicity", "temperature"}
    assert set(found["tests"]) == {"test_suite.py::test_one", "test_suite.py::test_set"}
    single = found["tests"]["test_suite.py::test_one"]["semantic drift"]
    assert single["limit"] == 0.1  # a scripted base has no noise
    assert single["count"] == 60
    of_set = found["tests"]["test_suite.py::test_set"]["semantic drift"]
    # No difference among sixty shows only that they are rare.
    assert of_set["reaches"] == pytest.approx(1 - 0.05 ** (1 / 60))
    assert of_set["limit"] == of_set["reaches"] + 0.1


def test_a_helper_without_a_limit_takes_the_baselines(
    project: pytest.Pytester, run: Run, calibrated: Path
) -> None:
    result = run("--llmdiff-baseline=baseline.json", "--llmdiff-json=report.json")
    result.assert_outcomes(passed=40, failed=21)
    result.stdout.fnmatch_lines_random(
        [
            f"E *semantic drift 0.*, limit 0.1* (baseline {calibrated})",
            "chance: of 60 single-probe verdicts under calibrated limits, noise alone would fail "
            "at most 0.98",
            "  semantic drift 0.* > 0.1* (p 0.016, adjusted for the run 0.049)*",
        ]
    )
    rows = content(project.path / "report.json")["tests"]
    verdicts = [verdict for row in rows for verdict in row["verdicts"] if "test_one" in row["test"]]
    moved = [verdict for verdict in verdicts if verdict["outcome"] == "regressed"]
    assert {verdict["p"] for verdict in moved} == {1 / 61}
    assert all(v["adjusted"] == pytest.approx(3 / 61) for v in moved)
    assert all(v["p"] == v["adjusted"] == 1 for v in verdicts if v["outcome"] == "passed")


def test_what_is_not_judged_has_no_p_value(
    project: pytest.Pytester, run: Run, calibrated: Path
) -> None:
    """Neither is it one of the verdicts that noise may fail."""
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
    assert (verdict["p"], verdict["chance"], verdict["adjusted"]) == (None, None, None)
    assert "chance:" not in result.stdout.str()


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
            "  test_suite.py::test_one, semantic drift: limit 0.1 -> 0",
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
    points = [float(point) for point in found["points"].split()]
    assert points == sorted(points)
    assert points[0] == 0 < points[-1] == found["limit"]


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


def noisy(**changes: object) -> str:
    """A baseline with one limit, which has something else in places."""
    entry = {
        "limit": 0.5, "reaches": 0.5, "margin": 0.0, "count": 2, "points": "0.4 0.5",
        "spread": None, "questions": None, "probes": "abc",
    }  # fmt: skip
    tests = {"test_suite.py::test_one": {"toxicity": entry | changes}}
    return json.dumps({"schema": "pytest-llmdiff-baseline/1", "conditions": {}, "tests": tests})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read (No such file or directory); --llmdiff-calibrate * makes one"),
        ("{", "is not valid JSON*"),
        ("[]", "is not a baseline of schema 'pytest-llmdiff-baseline/1'"),
        (
            '{"schema": "pytest-llmdiff-baseline/1", "conditions": {}, "tests": {"t": {"x": {}}}}',
            "is damaged *",
        ),
        (noisy(limit="0.5"), "is damaged *"),
        (noisy(limit=True), "is damaged (a limit is True)*"),
        (noisy(limit=1e999), "is damaged (a limit is inf)*"),
        (noisy(limit=10**400), "is damaged *"),
        (noisy(count=-1), "is damaged (its points or their count are invalid)*"),
        (noisy(count="9"), "is damaged *"),
        (noisy(points="0.1 nan"), "is damaged (its points or their count *"),
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


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300))
def test_a_limit_lets_all_but_a_hundredth_of_the_noise_pass(values: list[float]) -> None:
    noise = single_noise(values, 0.0, ["p"])
    above = sum(value > noise.limit for value in values)
    assert above <= 0.01 * (len(values) + 1)
    assert len(noise.points) == min(len(values), POINTS)
    assert noise.count == len(values)
    assert noise.exceedance(noise.limit * 2 + 1) == 1 / (1 + len(values))
    assert noise.exceedance(0.0) == 1.0


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=50), st.floats(0, 5))
def test_a_baseline_reads_back(values: list[float], margin: float) -> None:
    import tempfile

    noise = single_noise(values, margin, ["b", "a"])
    of_set = Noise(limit=1.5, reaches=1.0, margin=0.5, count=9, spread=0.1, questions=9,
                   probes=("x",))  # fmt: skip
    made = Baseline(conditions={"base": "hash"}, tests={"t": {"m": noise, "n": of_set}})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / "b.json"
        assert write_baseline(made, path)[1] == "  2 limits, all new"
        assert read_baseline(path) == made
        assert changes(read_baseline(path), made) == ["  nothing has changed"]


def test_a_limit_edited_by_hand_counts(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    write_baseline(Baseline(conditions={}, tests={"t": {"m": single_noise([1], 0, ["a"])}}), path)
    path.write_text(path.read_text().replace('"limit": 1.0', '"limit": 3.5'))
    assert read_baseline(path).noise("t", "m", "a").limit == 3.5
    path.write_text(path.read_text().replace('"limit": 3.5', '"limit": NaN'))
    with pytest.raises(ConfigError, match="damaged"):
        read_baseline(path)


def test_the_family_of_a_run() -> None:
    def verdict(p: float | None, chance: float | None) -> dict[str, Any]:
        return {"p": p, "chance": chance}

    rows = [{"verdicts": [verdict(0.01, 0.02), verdict(None, None)]},
            {"verdicts": [verdict(0.5, 0.02)]}]  # fmt: skip
    found = chance_of(rows)
    assert (found.expected, found.verdicts) == (0.04, 2)
    adjust(rows)
    assert rows[0]["verdicts"][0]["adjusted"] == pytest.approx(0.02)
    assert rows[0]["verdicts"][1]["adjusted"] is None


def test_each_threshold_of_a_rate_has_its_own_limit(project: pytest.Pytester, run: Run) -> None:
    """The base's toxicity is 0.1: always over 0.05, never over 0.5."""
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
    assert limits.keys() == {"toxicity rate over 0.5", "toxicity rate over 0.05"}
    result = run("--llmdiff-baseline=baseline.json")
    result.stdout.fnmatch_lines(["E *toxicity rate over 0.5 of 60 comparisons: 0.33, *beyond it"])


def test_what_a_test_measures_in_several_ways_has_no_limit() -> None:
    """Two forms of a reply, say, are held with one measure: the limit of one is not the other's."""

    def verdict(high: float, method: str = "exact (Clopper-Pearson)") -> dict[str, Any]:
        found = {"scope": "", "high": high, "clusters": 60, "unsupported": 0, "not_finite": 0,
                 "judged": 60, "spread": 0.1, "probes": "d", "method": method}  # fmt: skip
        return {"name": "format lost rate", "set": found}

    def row(case: str, *verdicts: dict[str, Any]) -> dict[str, Any]:
        return {"case": case, "values": {}, "verdicts": verdicts}

    alike = row("alike", verdict(0.05), verdict(0.05))
    found, notes = measured_noise([alike, row("several", verdict(0.05), verdict(0.4))], {})
    assert [(key, noise.limit) for key, noise in found.items()] == [
        (("alike", "format lost rate"), 0.05)
    ]
    (note,) = notes
    assert "no limit for format lost rate of several: the test measures it in several ways" in note
    # The end of the support is no limit.
    found, _ = measured_noise([row("few", verdict(2.0, f"{NO_METHOD} for fewer than 5"))], {})
    assert not found
