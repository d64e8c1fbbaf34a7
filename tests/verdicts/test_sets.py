"""One verdict over a set of probes: what passes, what fails, and what is too little to tell."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.comparison import Comparison, Measurement, Reply
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.reports.failure import set_failure_text, worst_shown
from pytest_llmdiff.reports.rows import verdict_row
from pytest_llmdiff.reports.verdict_cells import interval_of
from pytest_llmdiff.reports.verdict_lines import verdict_text
from pytest_llmdiff.verdicts.evidence import change_evidence, mean_evidence, rate_evidence
from pytest_llmdiff.verdicts.set_verdicts import Evidence, judge_set
from pytest_llmdiff.verdicts.sets import WORST, Comparisons, Sample, digest_of, gather
from pytest_llmdiff.verdicts.views import View
from tests.support.projects import Run
from tests.support.sets import COUNT, SAME, write

SUITE = """
import pytest
from pytest_llmdiff import assert_semantic_drift, assert_toxicity, assert_not_degenerate

pytestmark = pytest.mark.llmdiff(file="probes.jsonl")

def test_set(comparisons):
    assert_semantic_drift(comparisons, at_most=LIMIT)
"""


@pytest.mark.parametrize(
    ("limit", "outcome"), [(0.9, "passed"), (0.01, "regressed"), (0.2, "inconclusive")]
)
def test_three_outcomes(project: pytest.Pytester, run: Run, limit: float, outcome: str) -> None:
    write(project, every=3)
    project.makepyfile(SUITE.replace("LIMIT", str(limit)))
    result = run("--llmdiff-json=report.json")
    assert result.ret == (0 if outcome == "passed" else 1)
    report = json.loads((project.path / "report.json").read_text())
    (test,) = report["tests"]
    assert test["test"].endswith("::test_set")
    assert test["outcome"] == outcome
    assert report["summary"][outcome] == 1
    (verdict,) = test["verdicts"]
    found = verdict["set"]
    assert found["judged"] == found["clusters"] == COUNT
    assert found["low"] < verdict["value"] < found["high"]
    assert (found["decides"] is not None) == (outcome == "inconclusive")
    if outcome == "inconclusive":
        assert found["decides"] > COUNT
        result.stdout.fnmatch_lines(
            ["E *semantic drift of 60 comparisons: 0.*, 90 % interval 0.* to 0.*, limit 0.20 "
             "(given in the test): inconclusive; about * probes like these would decide, in 4 of 5 "
             "such sets"]
        )  # fmt: skip


def test_the_worst_members_are_shown(project: pytest.Pytester, run: Run) -> None:
    write(project, every=COUNT)
    project.makepyfile(SUITE.replace("LIMIT", "0.0001"))
    run().stdout.fnmatch_lines(
        [
            "E *  worst    0.* question-0-*: question 0",
            f"E *    base     *{SAME}",
            "E *    tuned    *what a stupid zzz",
        ]
    )


@pytest.mark.parametrize(
    ("how", "counted", "ret"),
    [("fail", {"failed": 1}, 1), ("xfail", {"xfailed": 1}, 0), ("pass", {"passed": 1}, 0)],
)
def test_what_becomes_of_the_inconclusive(
    project: pytest.Pytester, run: Run, how: str, counted: dict[str, int], ret: int
) -> None:
    write(project, every=3)
    project.makepyfile(SUITE.replace("LIMIT", "0.2"))
    result = run(f"--llmdiff-inconclusive={how}", "--llmdiff-json=report.json")
    result.assert_outcomes(**counted)
    assert result.ret == ret
    # However it is taken, it is told.
    assert json.loads((project.path / "report.json").read_text())["summary"]["inconclusive"] == 1
    result.stdout.fnmatch_lines(["1 test with models: 1 inconclusive"])


@pytest.mark.parametrize("how", ["xfail", "pass"])
def test_a_broken_limit_fails_whatever_becomes_of_the_inconclusive(
    project: pytest.Pytester, run: Run, how: str
) -> None:
    write(project, every=3)
    project.makepyfile(
        SUITE.replace("LIMIT", "0.2") + "    assert_semantic_drift(comparisons, at_most=0.001)\n"
    )
    run(f"--llmdiff-inconclusive={how}").assert_outcomes(failed=1)


def sample_of(values: Sequence[float | None], clusters: Sequence[str] = (), **more: Any) -> Sample:
    given = {
        "name": "refusal gained", "unit": "", "support": (0.0, 1.0), "values": values,
        "clusters": clusters or [str(n) for n in range(len(values))],
        "unsupported": {}, "worst": [], "digest": "",
    }  # fmt: skip
    return Sample(**(given | more))


def told(sample: Sample, *, at_most: float, mean: bool = False) -> str:
    evidence = mean_evidence(sample) if mean else rate_evidence(sample, over=0)
    (verdict,) = judge_set(evidence, at_most=at_most)
    return verdict_text(verdict)


def test_what_no_number_of_probes_would_decide_says_why() -> None:
    assert told(sample_of([0.0] * 40), at_most=0).endswith(
        "inconclusive, and no number of probes would decide: a sample never shows that there is "
        "none among all others; give a limit beyond 0, such as 0.05, or judge each probe by itself "
        "(fixture comparison)"
    )
    assert "none among all others" in told(sample_of([0.0] * 40), at_most=0, mean=True)
    assert told(sample_of([0.0] * 90 + [1.0] * 10), at_most=0.1).endswith(
        "no number of probes would decide: the value is the limit itself; set the limit farther "
        "from it"
    )
    # Each of twenty questions has twenty forms, or one; only the former are refused.
    forms = [
        (float(q < 20), f"question {q}") for q in range(400) for _ in range(20 if q < 20 else 1)
    ]
    values, clusters = zip(*forms, strict=True)
    assert told(sample_of(values, clusters), at_most=0.2).endswith(
        "no number of probes would decide: the mean over all probes is 0.51, on the other side of "
        "the limit, since questions with many forms differ from the others"
    )


@pytest.mark.parametrize(("forms", "counted"), [(1, "probes"), (5, "questions")])
def test_questions_are_what_would_decide(forms: int, counted: str) -> None:
    clusters = [str(n // forms) for n in range(30 * forms)]
    assert told(sample_of([0.0] * 30 * forms, clusters), at_most=0.05).endswith(
        f"inconclusive; about 59 {counted} like these would decide, in 4 of 5 such sets"
    )


def test_a_set_of_nearly_one_question_says_so() -> None:
    clusters = ["asked 50 times"] * 50 + [str(n) for n in range(9)]
    text = told(sample_of([0.0] * 59, clusters), at_most=0.4)
    assert "refusal gained rate of 59 comparisons (10 questions): " in text
    assert (
        "inconclusive; a few of its 10 questions hold nearly all 59 probes, so they would decide "
        "for all: give each about as many forms; about 37 questions like these would decide" in text
    )


def test_one_question_and_nothing_judged() -> None:
    assert "of 3 comparisons (1 question): " in told(sample_of([0.0] * 3, ["q"] * 3), at_most=0.5)
    nothing = sample_of([None] * 3, unsupported={"no reply": 3})
    for limit in (None, 0.5):
        (verdict,) = judge_set(rate_evidence(nothing, over=0), at_most=limit)
        assert verdict.outcome == "not judged"
        assert verdict_text(verdict) == (
            "refusal gained rate not judged: 3 of 3 replies could not be judged, and the verdict "
            "depends on them; reason for 3: no reply"
        )
        row = verdict_row(None, verdict)
        assert interval_of(row) == "none of 3 could be judged"


def test_members_that_do_no_harm_are_not_the_worst() -> None:
    def comparison(prompt: str) -> Comparison:
        return Comparison(probe=make_probe(prompt), base=Reply(text="a"), tuned=Reply(text="b"))

    worst = [(0.4, comparison("rude")), (0.1, comparison("kind")), (0.0, comparison("none"))]
    sample = sample_of([0.4, 0.1, 0.0], worst=worst)

    def shown(evidence: Evidence, limit: float = 0.001) -> list[float]:
        (verdict,) = judge_set(evidence, at_most=limit)
        return [value for value, _ in worst_shown(verdict, sample)]

    assert shown(mean_evidence(sample)) == [0.4, 0.1]
    assert shown(rate_evidence(sample, over=0)) == [0.4, 0.1]
    assert shown(rate_evidence(sample, over=0.3)) == [0.4]
    assert shown(mean_evidence(sample), limit=-0.5) == [0.4, 0.1, 0.0]

    def stored(*, over: float | None = None, **limit: Any) -> list[float]:
        evidence = mean_evidence(sample) if over is None else rate_evidence(sample, over=over)
        (verdict,) = judge_set(evidence, **limit)
        return [held["value"] for held in verdict_row(None, verdict, worst)["set"]["worst"]]

    assert stored(at_most=0.001) == [0.4, 0.1]
    assert stored(over=0.3, at_most=0.001) == [0.4]
    assert stored(at_least=0.9) == []  # those that changed most are not what is wrong


def test_a_member_that_two_verdicts_name_is_shown_once() -> None:
    rude = Comparison(probe=make_probe("rude"), base=Reply(text="can"), tuned=Reply(text="cannot"))
    sample = sample_of([0.4, 0.0], worst=[(0.4, rude)])
    failed = [
        (verdict, sample)
        for evidence in (mean_evidence(sample), rate_evidence(sample, over=0))
        for verdict in judge_set(evidence, at_most=0.001)
    ]
    text = set_failure_text(failed, explained={}, rerun="")
    assert text.count("  worst    0.40 rude-") == text.count("▸cannot") == 1


def test_tags_split_a_set(project: pytest.Pytester, run: Run) -> None:
    write(project, every=2, tags=True)
    project.makepyfile(
        SUITE.replace("LIMIT", "1")
        + """
def test_parts(comparisons):
    assert_semantic_drift(comparisons.tagged("in_domain"), at_least=0.1)
    assert_semantic_drift(comparisons.tagged("retained"), at_most=0.3)
    assert len(comparisons.tagged("retained", "in_domain")) == len(comparisons)

def test_none(comparisons):
    comparisons.tagged("retianed")
"""
    )
    result = run()
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "  semantic drift [[]in_domain[]] 0.* over 30 *test_parts",
            "  semantic drift [[]retained[]] 0 * over 30 *test_parts",
            "E *no probe of this set has the tag 'retianed'; there are 'in_domain', 'retained'",
        ]
    )


def test_rates_and_their_rise(project: pytest.Pytester, run: Run) -> None:
    write(project, every=2)
    project.makepyfile(
        SUITE.replace("LIMIT", "1")
        + """
def test_rate(comparisons):
    assert_toxicity(comparisons, over=0.5, at_most=0.8)

def test_rise(comparisons):
    assert_toxicity(comparisons, over=0.5, rise_at_most=0.1)

def test_mean_rise(comparisons):
    assert_toxicity(comparisons, rise_at_most=0.1)

def test_one(llm_pair):
    assert_toxicity(llm_pair.compare("question 1"), over=0.5, at_most=1)
"""
    )
    result = run("--llmdiff-json=report.json")
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines_random(
        [
            "E *toxicity rate rise over 0.5 of 60 comparisons: 0.50, *the interval is beyond it",
            "E *toxicity rise of 60 comparisons: 0.40, *: the interval is beyond it",
            "E *over= counts the members of a set; give a single comparison at_most=",
        ]
    )
    tests = json.loads((project.path / "report.json").read_text())["tests"]
    found = {test["test"].partition("::")[2]: test["verdicts"] for test in tests}
    assert found["test_rise"][0]["p"] < 1e-6  # McNemar, 30 of 30 flips to one side
    assert found["test_rate"][0]["p"] is None


def test_no_member_may_be_degenerate_unless_a_share_is_allowed(
    project: pytest.Pytester, run: Run
) -> None:
    write(project, every=30)
    tuned = json.loads((project.path / "tuned.json").read_text())["replies"]
    loops = {prompt: "ha " * 40 if "stupid" in reply else reply for prompt, reply in tuned.items()}
    (project.path / "tuned.json").write_text(json.dumps({"replies": loops}))
    project.makepyfile(
        SUITE.replace("LIMIT", "1")
        + """
def test_none(comparisons):
    assert_not_degenerate(comparisons)

def test_few(comparisons):
    assert_not_degenerate(comparisons, at_most=0.2)

def test_fewer(comparisons):
    assert_not_degenerate(comparisons, at_most=0.03)
"""
    )
    result = run()
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "E *degeneration: 2",
            "E *  - question-0-*: the reply loops: it ends in repetitions of 'ha'",
            "E *degeneration rate of 60 comparisons: 0.033, *: inconclusive; about * would decide*",
        ]
    )


def test_sets_of_run_time_and_by_hand(project: pytest.Pytester, run: Run) -> None:
    write(project, every=3)
    project.makepyfile(
        """
        from pytest_llmdiff import assert_semantic_drift

        PROMPTS = [f"question {n}" for n in range(60)]

        def test_streamed(llm_pair):
            assert_semantic_drift(llm_pair.compare_all(PROMPTS), at_most=0.9)

        def test_listed(llm_pair):
            assert_semantic_drift(list(llm_pair.compare_all(PROMPTS)), at_most=0.01)

        def test_nothing(llm_pair):
            assert_semantic_drift([], at_most=1)

        def test_text(llm_pair):
            assert_semantic_drift("question 1", at_most=1)
        """
    )
    result = run()
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines_random(
        [
            "E *the set is empty: there is no comparison to judge",
            "E *this helper takes a comparison (*) or a set of them (*), not str",
        ]
    )


def test_wrong_use_is_a_collection_error(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        """
        import pytest

        def test_unmarked(comparisons): pass

        @pytest.mark.llmdiff("Hi")
        def test_both(comparison, comparisons): pass
        """
    )
    result = run()
    assert result.ret in (1, 2)
    result.stdout.fnmatch_lines_random(
        ["*test_unmarked requests the fixture comparisons but has no probes*"]
    )
    project.makepyfile(
        """
        import pytest

        @pytest.mark.llmdiff("Hi")
        def test_both(comparison, comparisons): pass
        """
    )
    run().stdout.fnmatch_lines_random(["*test_both requests both comparison and comparisons*"])


def test_samples_are_clusters(project: pytest.Pytester, run: Run) -> None:
    write(project, every=3, count=20)
    project.makepyfile(
        SUITE.replace("LIMIT", "1")
        + """
    found = list(comparisons)
    assert len(found) == 60 and len(comparisons) == 20
    assert len({c.probe.generation["seed"] for c in found}) == 3
"""
    )
    result = run("--llmdiff-samples=3", "--llmdiff-temperature=0.7", "--llmdiff-json=report.json")
    result.assert_outcomes(passed=1)
    (test,) = json.loads((project.path / "report.json").read_text())["tests"]
    assert test["verdicts"][0]["set"]["judged"] == 60
    assert test["verdicts"][0]["set"]["clusters"] == 20


def test_samples_of_a_greedy_model_are_refused(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile("")
    result = run("--llmdiff-samples=3")
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        ["*--llmdiff-samples: 3 replies of a greedy model are all the same*"]
    )


# Pure stages


def sample(values: Sequence[float | None], *, clusters: list[str] | None = None) -> Sample:
    return Sample(
        name="toxicity",
        unit="probability",
        support=(0.0, 1.0),
        values=values,
        clusters=clusters or [f"q{n}" for n in range(len(values))],
        unsupported={"foreign": values.count(None)} if None in values else {},
        worst=[],
        digest="",
    )


def outcome(
    evidence: Evidence, *, at_most: float | None = None, at_least: float | None = None
) -> str:
    (verdict,) = judge_set(evidence, at_most=at_most, at_least=at_least)
    return verdict.outcome


def test_names_of_a_probe_file_are_shown_escaped() -> None:
    probe = make_probe("Hi", id="\x1b[31mred")
    worst = Comparison(probe=probe, base=Reply(text="a"), tuned=Reply(text="b"))
    found = replace(sample([0.9] * 60), worst=[(0.9, worst)])
    verdicts = judge_set(mean_evidence(found, scope="\x1b[2J"), at_most=0.2)
    text = set_failure_text([(verdict, found) for verdict in verdicts], explained={}, rerun="")
    assert "\x1b" not in text
    assert "toxicity [\\x1b[2J] of 60 comparisons" in text
    assert "worst    0.90 \\x1b[31mred" in text


def test_a_bound_close_to_its_limit_is_told_from_it() -> None:
    close = replace(sample([0.3, 0.3002] * 200), dense=True)
    (verdict,) = judge_set(mean_evidence(close), at_most=0.3)
    assert verdict.outcome == "regressed"
    text = set_failure_text([(verdict, close)], explained={}, rerun="")
    assert "0.3001, 90 % interval 0.3001 to 0.3001, limit 0.3 (given in the test)" in text


def test_only_what_moves_on_every_prompt_is_known_by_its_spread() -> None:
    near = sample([0.001, 0.0012] * 15)
    assert outcome(mean_evidence(near), at_most=0.09) == "inconclusive"
    assert outcome(mean_evidence(near), at_most=0.1) == "passed"
    assert outcome(mean_evidence(replace(near, dense=True)), at_most=0.002) == "passed"
    of_two = replace(near, support=(0.0, 2.0))
    assert outcome(mean_evidence(of_two), at_most=0.1) == "inconclusive"
    assert outcome(mean_evidence(replace(of_two, unseen=(0.0, 1.0))), at_most=0.1) == "passed"


def test_what_was_not_judged_decides_neither_way() -> None:
    known: list[float | None] = [0.1, 0.12, 0.08, 0.11] * 30
    assert outcome(mean_evidence(sample(known)), at_most=0.2) == "passed"
    few = mean_evidence(sample([*known, None]))
    assert outcome(few, at_most=0.2) == "passed"  # were it 1, the mean would still be below
    many = mean_evidence(sample([*known, *[None] * 60]))
    assert outcome(many, at_most=0.2) == "not judged"
    (verdict,) = judge_set(many, at_most=0.2)
    assert "60 of 180 replies could not be judged" in str(verdict.measurement.unsupported)
    assert outcome(many, at_most=0.09) == "not judged"  # were they 0, it would be kept
    assert outcome(mean_evidence(sample([*known, None])), at_most=0.01) == "regressed"
    assert outcome(mean_evidence(sample([None, None])), at_most=0.9) == "not judged"


def test_values_that_are_no_number_keep_no_limit() -> None:
    evidence = mean_evidence(sample([0.1] * 50 + [math.nan]))
    assert outcome(evidence, at_most=1.0) == "regressed"
    assert outcome(evidence, at_least=0.0) == "regressed"
    rate = rate_evidence(sample([0.1] * 50 + [math.nan]), over=0.5)
    assert rate.estimate.value == pytest.approx(1 / 51)
    assert outcome(mean_evidence(sample([0.1] * 50)), at_most=math.nan) == "regressed"


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("value", [0.0, 0.4])
def test_a_handful_decides_nothing_short_of_the_bounds_of_the_measure(
    count: int, value: float
) -> None:
    evidence = mean_evidence(sample([value] * count))
    assert outcome(evidence, at_most=0.3) == "inconclusive"
    assert outcome(evidence, at_least=0.3) == "inconclusive"


def test_no_limit_is_no_pass() -> None:
    assert outcome(mean_evidence(sample([0.1] * 50))) == "no limit"


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_improvements_never_fail(pairs: list[tuple[bool, bool]]) -> None:
    better = [(b or t, b and t) for b, t in pairs]  # tuned is toxic only where the base is
    base = sample([float(b) for b, _ in better])
    tuned = sample([float(t) for _, t in better])
    evidence = change_evidence(base, tuned, over=0.5)
    assert outcome(evidence, at_most=0.0) != "regressed"
    swapped = change_evidence(tuned, base, over=0.5)
    assert swapped.estimate.value == pytest.approx(-evidence.estimate.value)


class Length:
    """A metric that needs no scorer."""

    def measure(self, comparisons: list[Comparison]) -> list[Measurement]:
        return [
            Measurement(name="length", value=float(len(c.tuned.text)), unit="characters")
            for c in comparisons
        ]


def comparison(text: str, prompt: str = "p") -> Comparison:
    return Comparison(probe=make_probe(prompt), base=Reply(text=""), tuned=Reply(text=text))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=3 * WORST))
def test_the_worst_come_first(lengths: list[int]) -> None:
    texts = (comparison("x" * length, f"p{n}") for n, length in enumerate(lengths))
    (found,) = gather(Length(), texts, [View(support=(0, math.inf))])  # type: ignore[arg-type]
    assert found.values == [float(length) for length in lengths]
    assert [value for value, _ in found.worst] == sorted(lengths, reverse=True)[:WORST]
    assert found.digest == digest_of(reversed([make_probe(f"p{n}").digest
                                               for n in range(len(lengths))]))  # fmt: skip


def test_paraphrases_and_equal_prompts_are_one_question() -> None:
    probes = [make_probe("a", cluster="c"), make_probe("b", cluster="c"), make_probe("d")]
    assert probes[0].question == probes[1].question != probes[2].question
    assert make_probe("d").question == make_probe("d", generation={"seed": 3}).question
    assert make_probe("d").digest != make_probe("d", generation={"seed": 3}).digest


def test_an_unknown_tag_is_an_error() -> None:
    run: Any = None
    found = Comparisons(probes=(make_probe("a", tags=("x",)), make_probe("b")), run=run)
    assert found.tagged("x", "y").scope == "x+y"
    assert found.tagged("x", "y").tagged("x").scope == "x+y&x"
    with pytest.raises(ConfigError, match="there are 'x'"):
        found.tagged("y")
