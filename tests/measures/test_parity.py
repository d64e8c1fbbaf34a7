"""The same weights in two forms: what differs, on which rung, and whether rounding explains it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_llmdiff.data.comparison import Comparison, Reply
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.engines.pair.first_differences import FirstDifference
from pytest_llmdiff.measures.parity.causes import (
    adapter_problem,
    count_problem,
    end_problem,
    rendering_problem,
)
from pytest_llmdiff.measures.parity.parity import Parity, kinds_note
from tests.support.adapter_making import merged
from tests.support.chat_server import ChatServer, running
from tests.support.json_schema import faults
from tests.support.tiny_models import save_adapter, save_model

SUITE = """
from pytest_llmdiff import assert_parity, parity

PROMPTS = [f"{word} {number}" for number in range(5) for word in ("the cat", "a dog", "one bird")]

def test_it(llm_tuned, llm_served):
    assert_parity(llm_tuned, llm_served, PROMPTS)

def test_share(llm_tuned, llm_served):
    assert_parity(llm_tuned, llm_served, PROMPTS, at_most=0.3)

def test_values(llm_tuned, llm_served):
    for m in parity(llm_tuned, llm_served, PROMPTS):
        assert m.value in (0, 1)
        assert (m.value == 1) == (m.details["kind"] in ("real", "end"))
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, an adapter, the two merged, and merged models that are served wrongly."""
    folder = tmp_path_factory.mktemp("parity")
    save_model(folder / "base")
    save_adapter(folder / "adapter", folder / "base")
    save_adapter(folder / "other", folder / "base", seed=9)
    merged(folder / "adapter", folder / "merged", folder / "base")
    shutil.copytree(folder / "merged", folder / "templated")
    template = folder / "templated" / "chat_template.jinja"
    said = template.read_text(encoding="utf-8")
    template.write_text("{{ 'the ' }}" + said, encoding="utf-8")
    return folder


def run(pytester: pytest.Pytester, models: Path, served: str, *args: str) -> pytest.RunResult:
    pytester.makepyfile(test_parity=SUITE)
    return pytester.runpytest_inprocess(
        f"--llm-base={models / 'base'}", f"--llm-tuned={models / 'adapter'}",
        f"--llm-served={served}", "--llmdiff-max-new-tokens=12", "--llmdiff-json=report.json",
        *args,
    )  # fmt: skip


def verdicts(pytester: pytest.Pytester) -> dict[tuple[str, str], dict[str, Any]]:
    report = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
    assert faults(report) == []
    return {
        (test["test"].rpartition("::")[2], verdict["name"]): verdict
        for test in report["tests"]
        for verdict in test["verdicts"]
    }


def test_a_merged_model_is_the_adapter_over_its_base(
    pytester: pytest.Pytester, models: Path, mode: list[str]
) -> None:
    found = run(pytester, models, str(models / "merged"), *mode)
    found.assert_outcomes(passed=3)
    found.stdout.fnmatch_lines(["note: 15 of 15 served replies are the same"])
    report = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
    sides = {tuple(c["sides"]) for test in report["tests"] for c in test["comparisons"]}
    assert sides == {("tuned", "served")}
    bound = verdicts(pytester)["test_share", "parity rate"]
    assert (bound["outcome"], bound["value"], bound["set"]["judged"]) == ("passed", 0, 15)


def test_the_base_is_told_from_the_tuned_model(pytester: pytest.Pytester, models: Path) -> None:
    found = run(pytester, models, str(models / "base"))
    found.assert_outcomes(failed=2, passed=1)
    found.stdout.fnmatch_lines(
        [
            "E *serving: 1*",
            "E *the served model replies as the base does, on all * prompts*not applied",
            "E *next *ask the server for the adapter by its name*",
            "E *rerun *--llm-served*",
        ]
    )


def test_another_template_is_shown(pytester: pytest.Pytester, models: Path) -> None:
    found = run(pytester, models, str(models / "templated"))
    found.assert_outcomes(failed=2, passed=1)
    found.stdout.fnmatch_lines(
        ["E *15 of 15 prompts render to different tokens, such as 'the cat 0', from token 1 *"]
    )


def test_other_weights_differ_for_real(pytester: pytest.Pytester, models: Path) -> None:
    found = run(pytester, models, str(models / "other"))
    found.assert_outcomes(failed=2, passed=1)
    found.stdout.fnmatch_lines(
        [
            'E *token * is "*" where the tuned model says "*", which it prefers by *',
            "E *parity rate of 15 comparisons: *limit 0.30 (*): the interval is beyond it*",
        ]
    )
    assert verdicts(pytester)["test_it", "serving"]["outcome"] == "passed"


def test_another_dtype_may_differ_by_rounding(pytester: pytest.Pytester, models: Path) -> None:
    found = run(pytester, models, str(models / "merged"), "--llmdiff-served-dtype=bfloat16")
    found.stdout.fnmatch_lines(["ran on *served dtype bfloat16*", "note: * served replies are*"])
    notes = verdicts(pytester)["test_it", "serving"]["details"]["notes"]
    assert "of 15 served replies are the same" in notes[0]


def test_a_server_that_counts_other_tokens(pytester: pytest.Pytester, models: Path) -> None:
    with running(ChatServer()) as chat:
        found = run(pytester, models, f"{chat.url}#tuned")
    found.assert_outcomes(failed=2, passed=1)
    found.stdout.fnmatch_lines(
        ["E *15 of 15 prompts have a different number of tokens, such as *7 by the server's count"]
    )


def test_a_recording_is_another_form(pytester: pytest.Pytester, models: Path) -> None:
    pytester.makepyfile(
        test_replies="""
        from tests_prompts import PROMPTS

        def test_recorded(llm_pair):
            assert len(list(llm_pair.compare_all(PROMPTS))) == 15
        """,
        tests_prompts=SUITE.split("\n\n")[1],
    )
    pytester.runpytest_inprocess(
        f"--llm-base={models / 'base'}", f"--llm-tuned={models / 'merged'}",
        "--llmdiff-max-new-tokens=12", "--llmdiff-record=served.jsonl", "test_replies.py",
    ).assert_outcomes(passed=1)  # fmt: skip
    run(pytester, models, "replay:served.jsonl", "test_parity.py").assert_outcomes(passed=3)


def test_without_a_served_model_they_are_skipped(pytester: pytest.Pytester, models: Path) -> None:
    pytester.makepyfile(SUITE)
    found = pytester.runpytest_inprocess(
        f"--llm-base={models / 'base'}", f"--llm-tuned={models / 'adapter'}", "-rs"
    )
    found.assert_outcomes(skipped=3)
    found.stdout.fnmatch_lines(["SKIPPED *no served model: give --llm-served SPEC"])


def test_the_tuned_model_must_have_logits(project: pytest.Pytester) -> None:
    project.makepyfile(SUITE)
    found = project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json",
        "--llm-served=scripted:base.json",
    )  # fmt: skip
    found.assert_outcomes(failed=3)
    found.stdout.fnmatch_lines(
        ["E *CapabilityError: a given reply needs logits, and ScriptedEngine has none*"]
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--llm-served="], "--llm-served is empty*"),
        (["--llm-served=none"], "--llm-served: there is no folder or .gguf file*"),
        (["--llm-served=lora"], "--llm-served: lora is a PEFT adapter, which needs the weights*"),
    ],
)
def test_usage_errors(project: pytest.Pytester, args: list[str], said: str) -> None:
    lora = project.mkdir("lora")
    (lora / "adapter_config.json").write_text("{}")
    (lora / "adapter_model.safetensors").write_text("")
    found = project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json", *args
    )
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines([f"ERROR: llmdiff: {said}"])


def test_a_served_model_alone_is_no_run(pytester: pytest.Pytester) -> None:
    found = pytester.runpytest_inprocess("--llm-served=models/merged")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["*--llm-served is given without --llm-base and --llm-tuned*"])


def test_the_suite_asks_its_own_probes(pytester: pytest.Pytester, models: Path) -> None:
    found = pytester.runpytest_inprocess(
        "--pyargs", "pytest_llmdiff.suites.parity", f"--llm-base={models / 'base'}",
        f"--llm-tuned={models / 'adapter'}", f"--llm-served={models / 'merged'}", "-k", "en",
    )  # fmt: skip
    found.assert_outcomes(passed=1, deselected=1)
    found.stdout.fnmatch_lines(["note: 60 of 60 served replies are the same"])


# The rungs


class Memo:
    """Facts about a pair of models: each second reply differs from the first here."""

    def __init__(self, *found: FirstDifference) -> None:
        self.found = list(found)

    def get_all(self, *_: Any) -> list[dict[str, Any]]:
        return list(map(asdict, self.found))


@pytest.mark.parametrize(
    ("difference", "tolerance", "kind"),
    [
        (FirstDifference(), None, "same"),
        (FirstDifference(at=3, own="a", other="b", margin=0.1), None, "numeric"),
        (FirstDifference(at=3, own="a", other="b", margin=0.11), None, "real"),
        (FirstDifference(at=3, own="a", other="b", margin=0.11), 0.2, "numeric"),
        (FirstDifference(at=3, own="a", other="b", margin=0.1), 0.0, "real"),
        (FirstDifference(at=3, own="a", other="", margin=0.5, end=True), None, "end"),
        (FirstDifference(at=3, own="a", other="", margin=0.05, end=True), None, "numeric"),
    ],
)
def test_kinds(difference: FirstDifference, tolerance: float | None, kind: str) -> None:
    sides = {
        side: SimpleNamespace(loop_check=SimpleNamespace(tolerance=noise))
        for side, noise in (("base", 0.1), ("tuned", 0.05))
    }
    pair = SimpleNamespace(resolved={}, **sides)
    run: Any = SimpleNamespace(generation=SimpleNamespace(pair=pair, memo=Memo(difference)))
    comparison = Comparison(
        probe=make_probe("p"), base=Reply(text="a"), tuned=Reply(text="b"), run=run
    )
    (m,) = Parity(tolerance=tolerance).measure([comparison])
    assert m.details["kind"] == kind
    assert m.value == (kind in ("real", "end"))
    assert bool(m.details["problems"]) == bool(m.value)
    same = "1" if kind == "same" else "0"
    assert kinds_note([m]).startswith(f"{same} of 1 served replies are the same")
    assert (end_problem([m]) is not None) == (kind == "end")


def test_renderings_are_told_apart_where_they_part() -> None:
    assert rendering_problem([("p", [1, 2, 3], (1, 2, 3))], repr) is None
    found = rendering_problem([("p", [1, 2], [1, 2]), ("q", [1, 2, 3], [1, 2])], repr)
    assert found is not None
    assert "1 of 2 prompts" in found.cause
    assert "'q', from token 3 of 3 and 2" in found.cause


def test_counts_that_nobody_knows_tell_nothing() -> None:
    assert count_problem([("p", 0, 5), ("q", 5, 0), ("r", 5, 5)]) is None
    assert count_problem([("p", 5, 6)]) is not None


def test_a_base_that_says_the_same_tells_nothing() -> None:
    replies = [("base", "tuned", "base")] * 3
    assert adapter_problem(replies) is not None
    assert adapter_problem(replies[:2]) is None, "too few"
    assert adapter_problem([*replies, ("base", "tuned", "tuned")]) is None
    assert adapter_problem([("same", "same", "same")] * 9) is None
