"""Changes that were reviewed: green once accepted, red again when the behaviour changes again."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.comparison import Accepted, Comparison, Reply
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.reports.rows import comparison_row
from pytest_llmdiff.verdicts.accepted import (
    Entry,
    entries_of,
    read_accepted,
    unmatched,
    write_accepted,
)
from tests.support.projects import CAPITAL, REFUND, TUNED, Run

SUITE = f"""
import pytest
from pytest_llmdiff import assert_divergence, assert_semantic_drift, assert_toxicity

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_answers(comparison):
    assert_semantic_drift(comparison, at_most=0.01)

@pytest.mark.llmdiff({REFUND!r})
def test_rest(comparison):
    assert_toxicity(comparison, rise_at_most=0.2)
    assert_divergence(comparison, at_most=0.5)
"""


@pytest.fixture
def accepted(project: pytest.Pytester, run: Run) -> Path:
    project.makepyfile(test_suite=SUITE)
    result = run("--llmdiff-accept")
    result.assert_outcomes(passed=3)  # no helper stops before the next one has measured
    result.stdout.fnmatch_lines(
        ["accepted: *llmdiff-accepted.yaml, to be reviewed and committed", "  accepted: how-do-i*"]
    )
    return project.path / "llmdiff-accepted.yaml"


def rows(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load(file.read_text(encoding="utf-8")))


def retune(project: pytest.Pytester, reply: str, **divergences: float) -> None:
    changed = {**TUNED["replies"], REFUND: reply}
    tuned = {**TUNED, "replies": changed}
    tuned["divergences"] = {**TUNED["divergences"], **divergences}
    (project.path / "tuned.json").write_text(json.dumps(tuned), encoding="utf-8")


def test_an_accepted_change_passes(project: pytest.Pytester, run: Run, accepted: Path) -> None:
    (entry,) = rows(accepted)
    assert entry["prompt"] == REFUND
    assert entry["reply"] == TUNED["replies"][REFUND]
    assert entry["values"]["divergence"] == 2.0
    result = run("--llmdiff-json=report.json")
    result.assert_outcomes(passed=3)
    report = json.loads((project.path / "report.json").read_text())
    sources = {v["source"] for test in report["tests"] for v in test["verdicts"]}
    assert "given in the test; the change beyond it was accepted" in sources
    shown = [c for test in report["tests"] for c in test["comparisons"] if c["prompt"] == REFUND]
    assert {comparison["accepted"] for comparison in shown} == {TUNED["replies"][REFUND]}


def test_the_next_change_fails(project: pytest.Pytester, run: Run, accepted: Path) -> None:
    assert accepted.exists()
    retune(project, "Zzz zzz, zzz zzz.")
    result = run("-k", "test_answers")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *  accepted What a stupid question*"])


def test_a_change_back_to_the_base_is_no_failure(
    project: pytest.Pytester, run: Run, accepted: Path
) -> None:
    assert accepted.exists()
    retune(project, "You can ask for a refund within 30 days of delivery.")
    run("-k", "test_answers").assert_outcomes(passed=2)


def test_more_divergence_than_was_accepted_fails(
    project: pytest.Pytester, run: Run, accepted: Path
) -> None:
    assert accepted.exists()
    retune(project, TUNED["replies"][REFUND], **{REFUND: 2.001})
    run("-k", "test_rest").assert_outcomes(passed=1)
    retune(project, TUNED["replies"][REFUND], **{REFUND: 2.1})
    run("-k", "test_rest").assert_outcomes(failed=1)


def test_only_the_named_probes_are_accepted(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_suite=SUITE)
    result = run("--llmdiff-accept", "-k", "capital")
    result.stdout.fnmatch_lines(["accepted: no new behaviour to accept"])
    assert not (project.path / "llmdiff-accepted.yaml").exists()


def test_a_set_accepts_its_changed_members(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_suite="""
        import pytest
        from pytest_llmdiff import assert_semantic_drift

        @pytest.mark.llmdiff(*[f"q{n}" for n in range(300)])
        def test_set(comparisons):
            assert_semantic_drift(comparisons, at_most=0.2)
        """
    )
    prompts = [f"q{n}" for n in range(300)]
    other = {p: "zzz zzz" for n, p in enumerate(prompts) if n % 2}
    for name, replies in (("base", {}), ("tuned", other)):
        all_of = dict.fromkeys(prompts, "refund") | replies
        (project.path / f"{name}.json").write_text(json.dumps({"replies": all_of}))
    run("--llmdiff-accept").assert_outcomes(passed=1)
    assert len(rows(project.path / "llmdiff-accepted.yaml")) == 150
    run().assert_outcomes(passed=1)


@pytest.mark.parametrize(("sides", "accepted"), [(("base", "tuned"), 1), (("tuned", "served"), 0)])
def test_what_is_served_otherwise_is_nothing_to_accept(
    sides: tuple[str, str], accepted: int
) -> None:
    said = Comparison(
        probe=make_probe("Hi"), base=Reply(text="Hello."), tuned=Reply(text="Bye."), sides=sides
    )
    broken = {"outcome": "regressed", "set": {}, "probe": said.probe.id, "name": "x", "value": 1}
    row = {"case": "t", "verdicts": [broken], "comparisons": [comparison_row(said)]}
    assert len(entries_of([row])) == accepted


def test_an_entry_without_its_probe_is_told(
    project: pytest.Pytester, run: Run, accepted: Path
) -> None:
    said = (
        "*llmdiff-accepted.yaml: the entry for how-do-i-get-a-refund-* no longer matches any probe*"
    )
    run().stdout.no_fnmatch_line(said)
    run("-k", "capital").stdout.no_fnmatch_line(said)  # deselected is not gone
    project.makepyfile(test_suite=SUITE.replace(REFUND, "How do I get my money back?"))
    run("-k", "capital").stdout.fnmatch_lines([said])
    assert accepted.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- [", "*llmdiff-accepted.yaml cannot be read*"),
        ("[" * 20_000, "*llmdiff-accepted.yaml cannot be read*"),
        ("a: b", "*llmdiff-accepted.yaml is not a list of entries"),
        ("- probe: a", "*llmdiff-accepted.yaml, entry 1: KeyError*expected digest, probe, test*"),
        ("- !!python/object:os.system {}", "*llmdiff-accepted.yaml cannot be read*"),
    ],
)
def test_a_bad_file_is_a_usage_error(
    project: pytest.Pytester, run: Run, text: str, said: str
) -> None:
    project.makepyfile("")
    (project.path / "llmdiff-accepted.yaml").write_text(text)
    result = run()
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*--llmdiff-accepted: {said}"])


def entry(
    digest: str, test: str = "t.py::test_a", reply: str = "Yes.\n\tNo: \u202e# '\x07"
) -> Entry:
    return Entry(
        digest=digest, probe=f"p-{digest}", test=test, prompt="你好",
        accepted=Accepted(text=reply, finish_reason="length", values={"divergence": 1.5}),
    )  # fmt: skip


def test_entries_read_back_whatever_a_model_wrote(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    first, second = entry("1"), entry("2", reply="")
    assert len(write_accepted(path, [second, first])) == 3
    assert read_accepted(path) == {"1": first, "2": second}
    assert "你好" in path.read_text(encoding="utf-8")
    before = path.read_text(encoding="utf-8")
    assert write_accepted(path, [first]) == ["accepted: no new behaviour to accept"]
    assert write_accepted(path, [entry("1", reply="New.")])[1].startswith("  updated: p-1")
    write_accepted(path, [first])
    assert path.read_text(encoding="utf-8") == before
    path.write_text(before + before, encoding="utf-8")
    with pytest.raises(ConfigError, match="already has an entry"):
        read_accepted(path)


def test_what_is_unmatched(tmp_path: Path) -> None:
    (tmp_path / "t.py").touch()
    (tmp_path / "other.py").touch()
    found = {"t.py::test_a": {"1"}, "t.py::test_runtime": set[str]()}
    entries = {
        "there": entry("1"),
        "probe gone": entry("2"),
        "test gone": entry("3", "t.py::test_b"),
        "of run time": entry("4", "t.py::test_runtime"),
        "not collected": entry("5", "other.py::test_c"),
        "file gone": entry("6", "gone.py::test_d"),
        "moved": entry("1", "t.py::test_b"),
    }
    gone = unmatched(entries.values(), found, tmp_path)
    names = [name for name, each in entries.items() if each in gone]
    assert names == ["probe gone", "test gone", "file gone"]


def test_the_rerun_command_writes_nothing(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_suite=SUITE + "\n\ndef test_none(llm_pair):\n"
                       "    assert_semantic_drift(llm_pair.compare('Hi'))\n")  # fmt: skip
    result = run("--llmdiff-accept", "--llmdiff-export=out", "--llmdiff-seed=3")
    result.assert_outcomes(passed=3, failed=1)  # a missing limit is nothing to accept
    result.stdout.fnmatch_lines(["E *rerun    pytest *test_none* --llmdiff-seed=3"])


REPLIES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(data=st.data())
def test_what_people_wrote_into_the_file_stays(tmp_path_factory: Any, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("accepted") / "accepted.yaml"
    first = [entry(name, reply=data.draw(REPLIES)) for name in "abc"]
    write_accepted(path, first)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("- probe:", "# seen by Li\n\n- probe:"), encoding="utf-8")
    own = path.read_text(encoding="utf-8")
    updated = [entry(name, reply=data.draw(REPLIES)) for name in "bd"]
    write_accepted(path, updated)
    new = path.read_text(encoding="utf-8")
    assert new.count("# seen by Li\n\n- probe:") == 3
    for part in (own.split("# seen by Li")[1], own.split("# seen by Li")[3]):  # a and c
        assert part in new
    assert read_accepted(path) == {e.digest: e for e in [*first, *updated]}


@pytest.mark.parametrize("begin", ["", "---\n", "%YAML 1.1\n---\n", "--- # ours\n"])
@pytest.mark.parametrize("end", ["...\n", "...", "...\n# the end\n", "... # the end\n"])
def test_comments_stay_in_a_file_with_marks_of_its_document(
    tmp_path: Path, begin: str, end: str
) -> None:
    path = tmp_path / "accepted.yaml"
    write_accepted(path, [entry("a", reply="...\n---\nx"), entry("b")])
    _, first, second = path.read_text(encoding="utf-8").split("- probe")
    own = f"{begin}# reviewed\n- probe{first}# seen by Li\n- probe{second}# the last\n"
    path.write_text(own + end, encoding="utf-8")
    write_accepted(path, [entry("c")])
    new = path.read_text(encoding="utf-8")
    assert new.startswith(own)
    assert new.endswith(end)
    write_accepted(path, [entry("b", reply="other")])
    new = path.read_text(encoding="utf-8")
    assert new.startswith(f"{begin}# reviewed\n- probe{first}# seen by Li\n")
    assert "\n# the last\n- probe" in new
    assert new.endswith(end)
    changed = [entry("a", reply="...\n---\nx"), entry("b", reply="other"), entry("c")]
    assert read_accepted(path) == {e.digest: e for e in changed}


@pytest.mark.parametrize("form", ["indented", "flow", "empty", "comments", "no end"])
def test_entries_are_added_to_any_form_of_the_file(tmp_path: Path, form: str) -> None:
    path = tmp_path / "accepted.yaml"
    write_accepted(path, [entry("a", reply="one\ntwo # three")])
    block = path.read_text(encoding="utf-8").partition("\n")[2]
    rows = yaml.safe_load(block)
    path.write_text(
        "# reviewed\n"
        + {
            "indented": textwrap.indent(block, "  "),
            "flow": json.dumps(rows),
            "empty": "[]\n",
            "comments": "",
            "no end": block.rstrip("\n"),
        }[form],
        encoding="utf-8",
    )
    changed = [entry("a", reply="other"), entry("b", reply="new")]
    write_accepted(path, changed)
    assert path.read_text(encoding="utf-8").startswith("# reviewed\n")
    assert read_accepted(path) == {e.digest: e for e in changed}
