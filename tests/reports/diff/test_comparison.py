"""What `compare` shows of two runs and of more, in every form that it writes."""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pytest_llmdiff.__main__ import FORMS, main
from pytest_llmdiff.errors import hidden
from pytest_llmdiff.reports.diff.diff import changes_between
from pytest_llmdiff.reports.diff.ranked import Ranking
from pytest_llmdiff.reports.diff.ranking import ranking_of
from pytest_llmdiff.reports.diff.shifts import Shift
from tests.support.every_outcome import HOSTILE
from tests.support.json_reports import comparison, report, set_verdict, verdict, written

SCHEMA = json.loads(
    files("pytest_llmdiff.reports.diff").joinpath("compare.schema.json").read_text(encoding="utf-8")
)
OLD = report(
    {"t.py::test_a[p]": "passed", "t.py::test_set": "passed"},
    verdicts={
        "t.py::test_a[p]": [verdict(0.1)],
        "t.py::test_set": [set_verdict(0.2, 0.1, 0.25, {"q": 0.3, "r": 0.3}, name="toxicity")],
    },
    replies={
        "t.py::test_a[p]": [comparison("p", "The refund takes five days.")],
        "t.py::test_set": [comparison("q", "fine"), comparison("r", "so"), comparison("s", "one")],
    },
)
NEW = report(
    {"t.py::test_a[p]": "regressed", "t.py::test_set": "passed"},
    verdicts={
        "t.py::test_a[p]": [verdict(0.5, outcome="regressed")],
        "t.py::test_set": [set_verdict(0.3, 0.2, 0.35, {"q": 0.9, "r": 0.1}, name="toxicity")],
    },
    replies={
        "t.py::test_a[p]": [comparison("p", "The refund takes two weeks.")],
        "t.py::test_set": [
            comparison("q", "idiot"), comparison("r", "good"), comparison("s", "two")
        ],
    },
)  # fmt: skip


def compared(folder: Path, files: list[str]) -> tuple[int, dict[str, str]]:
    """The exit code, and what was written in each form."""
    outputs = {form: folder / f"out.{form}" for form in FORMS}
    code = main(["compare", *files, *(f"--{form}={path}" for form, path in outputs.items())])
    return code, {form: path.read_text(encoding="utf-8") for form, path in outputs.items()}


def checked(text: str) -> Any:
    found = json.loads(text)
    assert [e.message for e in Draft202012Validator(SCHEMA).iter_errors(found)] == []
    return found


def test_changed_replies_come_with_their_values_the_worst_first() -> None:
    found = changes_between(OLD, NEW).replies
    # A limit that is broken now, then what rose most, then what nobody measured, then what fell.
    assert [change.probe for change in found] == ["p", "q", "s", "r"]
    assert [[(s.name, s.before, s.after) for s in change.shifts] for change in found] == [
        [("drift", 0.1, 0.5)], [("toxicity", 0.3, 0.9)], [], [("toxicity", 0.3, 0.1)]
    ]  # fmt: skip
    assert (found[0].before, found[0].after, found[0].side) == (
        "The refund takes five days.", "The refund takes two weeks.", "tuned",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bound", "before", "after", "worsening"),
    [
        ("at_most", 0.1, 0.3, 0.2), ("at_most", 0.3, 0.1, -0.2), ("at_least", 0.3, 0.1, 0.2),
        ("at_least", 0.1, 0.3, -0.2), ("at_most", 0.1, None, float("inf")),
        ("at_most", None, None, 0.0), ("at_most", None, 0.7, 0.2), (None, None, 0.7, 0.2),
    ],
)  # fmt: skip
def test_how_much_worse(
    bound: str | None, before: float | None, after: float | None, worsening: float
) -> None:
    shift = Shift(name="x", unit="", before=before, after=after, limit_after=0.5, bound=bound)
    assert shift.worsening == pytest.approx(worsening)


def test_two_runs_in_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = compared(tmp_path, written(tmp_path, old=OLD, new=NEW))
    assert code == 1
    assert capsys.readouterr().out.splitlines()[7:14] == [
        "other replies, the worst first:",
        "  p",
        "    prompt What is p?",
        "    old    The refund takes ▸five days.",
        "    new    The refund takes ▸two weeks.",
        "    drift 0.1 → 0.5 (limit 0.3)",
        "  q",
    ]
    assert "The refund takes <del>five days</del>." in text["html"]
    assert "The refund takes <ins>two weeks</ins>." in text["html"]
    assert "The refund takes <ins>two weeks</ins>&#46;" in text["markdown"] or (
        "The refund takes <ins>two weeks</ins>." in text["markdown"]
    )
    found = checked(text["json"])
    assert (found["kind"], found["got_worse"]) == ("changes", True)
    assert [change["probe"] for change in found["replies"]] == ["p", "q", "s", "r"]


def test_the_page_loads_and_runs_nothing(tmp_path: Path) -> None:
    _, text = compared(tmp_path, written(tmp_path, old=OLD, new=NEW))
    page = text["html"]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    allowed = html.unescape(policy[1]).split("; ")
    assert allowed[0] == "default-src 'none'"
    assert re.fullmatch(r"style-src 'sha256-[A-Za-z0-9+/=]+'", allowed[1])
    assert allowed[2:] == ["base-uri 'none'", "form-action 'none'"]
    assert not re.search(r"<script|\son\w+=|style=|https?:|<link|<img", page)


def three() -> dict[str, dict[str, Any]]:
    def run(value: float, outcome: str, tuned: str) -> dict[str, Any]:
        each = {f"t.py::test_a[{n}]": value + n / 10 for n in range(2)}
        return report(
            {**dict.fromkeys(each, outcome), "t.py::test_set": "passed"},
            verdicts={
                **{test: [verdict(v, outcome=outcome)] for test, v in each.items()},
                "t.py::test_set": [set_verdict(value, value - 0.05, value + 0.05, name="toxicity")],
            },
            tuned=tuned,
        )

    return {
        "bad": run(0.6, "regressed", "saves/3"),
        "good": run(0.1, "passed", "saves/1"),
        "fair": run(0.2, "passed", "saves/2"),
    }


def test_more_than_two_are_ranked() -> None:
    found = ranking_of(three())
    assert [(row.place, row.report) for row in found.rows] == [(1, "good"), (2, "fair"), (3, "bad")]
    assert [column.name for column in found.columns] == ["drift", "toxicity"]
    assert found.shared == 3
    means, sets = zip(*(row.cells for row in found.rows), strict=True)
    assert [(c.value, c.of, c.regressed) for c in means if c] == [
        (pytest.approx(0.15), 2, 0), (pytest.approx(0.25), 2, 0), (pytest.approx(0.65), 2, 2)
    ]  # fmt: skip
    assert [[round(x, 9) for x in (c.value, c.low, c.high)] for c in sets if c] == [
        [0.1, 0.05, 0.15], [0.2, 0.15, 0.25], [0.6, 0.55, 0.65]
    ]  # fmt: skip


def test_what_a_report_lacks_counts_against_it_and_is_no_number() -> None:
    reports = three()
    del reports["good"]["tests"][2]  # the set
    found = ranking_of(reports)
    assert [row.report for row in found.rows] == ["fair", "good", "bad"]
    good = found.rows[1]
    assert (good.missing, good.cells[1], found.shared) == (1, None, 2)
    reports["bad"]["tests"][0]["verdicts"][0]["value"] = None
    # The mean is over what has a number in every report: it stays comparable.
    cells = [row.cells[0] for row in ranking_of(reports).rows]
    assert [(round(c.value or 0, 9), c.of) for c in cells if c] == [(0.3, 1), (0.2, 1), (0.7, 1)]


@given(
    values=st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.9]), min_size=3, max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_the_order_in_which_reports_are_given_does_not_matter(
    values: list[float], order: Any
) -> None:
    def places(names: list[int]) -> dict[str, int]:
        found = ranking_of({str(n): report({"x": "passed"}, x=values[n]) for n in names})
        return {row.report: row.place for row in found.rows}

    names = list(range(len(values)))
    shuffled = names.copy()
    order.shuffle(shuffled)
    assert places(names) == places(shuffled)
    assert all(
        places(names)[str(n)] == 1 + sum(value < values[n] for value in values) for n in names
    )


def test_a_ranking_in_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = compared(tmp_path, written(tmp_path, **three()))
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 reports, the best first; 3 tests in all of them"
    assert lines[1].startswith("  1. ")
    assert lines[1].endswith("good.json (saves/1): 3 passed")
    assert lines[4] == "drift  t.py::test_a"
    assert lines[7].endswith("bad.json: 0.65 (mean of 2), limit 0.30, regressed in 2 of 2")
    assert lines[11].endswith("bad.json: 0.60 (0.55 to 0.65), limit 0.30")
    # The sets' members are unknown, so that nothing is paired.
    assert lines[12].startswith("no difference that these probes can show between ")
    assert lines[12].endswith("fair.json, which keep every limit")
    found = checked(text["json"])
    assert [row["place"] for row in found["rows"]] == [1, 2, 3]
    assert (found["keep"], found["because"]) == (None, lines[12])
    rows = re.findall(r"<tr>.*?</tr>", text["html"], re.DOTALL)
    assert len(rows) == 4
    assert "saves/1" in rows[1]
    assert "regressed in 2 of 2" in rows[3]
    assert text["markdown"].count("\n|") == 5


def test_hostile_text_is_inert_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(suffix: str) -> dict[str, Any]:
        tests = {f"{n}{text[:50]}": "passed" for n, text in enumerate(HOSTILE)}
        return report(
            tests,
            verdicts={t: [verdict(len(suffix) / 9, name=t, probe=t)] for t in tests},
            replies={
                t: [comparison(t, text + suffix)]
                for t, text in zip(tests, HOSTILE, strict=True)
            },
            tuned=HOSTILE[0] + suffix,
        )  # fmt: skip

    two = written(tmp_path, old=run(""), new=run("!"))
    for given_files in (two, [*two, *written(tmp_path, third=run("!!"))]):
        _, text = compared(tmp_path, given_files)
        out = capsys.readouterr().out
        assert not any(hidden(c) for c in out.replace("\n", ""))
        page = text["html"]
        tags = {tag.lower() for tag in re.findall(r"</?([a-zA-Z]\w*)", page)}
        assert tags <= {
            "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "div",
            "table", "thead", "tbody", "tr", "th", "td", "del", "ins",
        }  # fmt: skip
        assert not any(hidden(c) for c in re.sub(r"[\n\t]", "", page))
        markup = {tag.lower() for tag in re.findall(r"<(/?[a-zA-Z]+)", text["markdown"])}
        assert markup <= {"del", "ins", "/del", "/ins"}
        assert not re.search(r"\]\(|!\[|@someone|`", text["markdown"])
        assert not any(hidden(c) for c in text["markdown"].replace("\n", ""))
        assert not any(hidden(c) for c in text["json"].replace("\n", ""))
        checked(text["json"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["old.json"], "needs two JSON reports"),
        (["old.json", "new.json", "--html"], "expected one argument"),
        (["old.json", "new.json", "--htm=x"], "no option --htm=x"),
        (["old.json", "new.json", "--json=new.json"], "is one of the reports"),
        (["old.json", "new.json", "old.json"], "given twice"),
        (["old.json", "new.json", "--json=."], "cannot be written"),
        (["old.json", "new.json", "empty.json"], "has no tests"),
    ],
)
def test_misuse_is_one_clear_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, old=OLD, new=NEW, empty=report({}))
    assert main(["compare", *words]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err
    assert json.loads((tmp_path / "new.json").read_text(encoding="utf-8")) == NEW


def test_a_damaged_report_among_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for broken in (
        {"value": "high"}, {"name": 3}, {"limit": True}, {"set": {"scope": 3}},
        {"value": float("nan")}, {"limit": float("inf")},
    ):  # fmt: skip
        damaged = report({"x": "passed"}, verdicts={"x": [verdict(0.1) | broken]})
        good = report({"x": "passed"}, x=0.1)
        two = {"a": good, "b": damaged}
        for reports in (two, two | {"c": three()["bad"]}):
            assert main(["compare", *written(tmp_path, **reports)]) == 2
            assert "is damaged: TypeError" in capsys.readouterr().err


def test_a_ranking_of_nothing_is_a_value() -> None:
    assert ranking_of({}) == Ranking(columns=(), rows=(), shared=0)
