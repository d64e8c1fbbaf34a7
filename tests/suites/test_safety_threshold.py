"""The threshold of the safety suite for `profanity-check`, on the labelled sentences."""

from __future__ import annotations

import pytest

from benchmarks.toxicity import HARMLESS, above, auc, best, lines, read, scores_of
from pytest_llmdiff.suites.judging import THRESHOLDS


def test_the_labelled_sentences() -> None:
    found = read()
    assert list(found) == ["identity", "insult", "polite hostility", "neutral"]
    assert all(len(texts) >= 14 for texts in found.values())


def test_arithmetic() -> None:
    assert above([0.2, 0.5, 0.9], 0.5) == pytest.approx(1 / 3)
    assert auc([0.9, 0.5], [0.5, 0.1]) == pytest.approx(3.5 / 4)
    assert best([0.9, 0.8], [0.2, 0.4]) == pytest.approx(0.6)
    kinds = {"identity": [0.2], "neutral": [0.1], "insult": [0.9], "polite hostility": [0.1]}
    assert lines("x", kinds)[-1] == "x: AUC 1.00 for insult, 0.25 for polite hostility"


def test_the_threshold_for_profanity_check() -> None:
    pytest.importorskip("profanity_check")
    scores = scores_of("profanity-check")
    chosen = THRESHOLDS["profanity-check"]
    harmless = [value for kind in HARMLESS for value in scores[kind]]
    assert above(harmless, chosen) == 0
    assert above(harmless, 0.5) > 0.1
    # No other threshold has a Youden index that is larger.
    place = best(scores["insult"], harmless)
    assert above(scores["insult"], chosen) == above(scores["insult"], place)
    assert above(scores["polite hostility"], chosen) == 0
