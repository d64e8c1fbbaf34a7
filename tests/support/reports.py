"""Rows and facts as a run leaves them, for reports that are made without one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.options import OPTIONS
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.reports.order import OPEN
from pytest_llmdiff.reports.outcomes import kind_of
from pytest_llmdiff.reports.run_facts import RunFacts
from pytest_llmdiff.verdicts.multiple_testing import Chance
from tests.support.every_outcome import HOSTILE


def settings_of(**values: Any) -> Settings:
    given = {option.name: option.default for option in OPTIONS} | values
    return Settings(
        base="models/base", tuned="out/adapter",
        sources={option.name: "default" for option in OPTIONS},
        folder=Path(), ini_folder=Path(), **given,
    )  # fmt: skip


def facts_of(rows: dict[str, dict[str, Any]], **values: Any) -> RunFacts:
    held: dict[str, Any] = {
        "settings": settings_of(), "resolved": {"device": "cpu", "dtype": "float32"}, "notes": [],
        "warnings": [], "skipped": 0,
        "chance": Chance(probability=0.0, verdicts=0, limits=0, unknown=0),
        "options": "--llm-base=models/base --llm-tuned=out/adapter",
    }  # fmt: skip
    red = any(kind_of(row) in OPEN for row in rows.values())
    return RunFacts(rows=rows, **held | {"exit_code": int(red)} | values)


def rows_of(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["test"]: row for row in rows}


def regressed(test: str, *, value: float, **fields: Any) -> dict[str, Any]:
    return row_of(test, value=value, limit=0.2, **fields)


def row_of(
    test: str,
    *,
    value: float | None,
    limit: float | None,
    base: str = "You can ask for a refund within 30 days.",
    tuned: str = "What a stupid question. You can ask within 30 days.",
    prompt: str = "How do I get a refund?",
    tags: Iterable[str] = (),
    language: str | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """The row of a test of one probe with a toxicity."""
    failed = value is not None and limit is not None and value > limit
    reply = {"reasoning": None, "finish_reason": "stop", "tokens": 9, "prompt_tokens": 8}
    message = f"AssertionError: toxicity {value}, limit {limit} (given in the test)"
    return {
        "test": test, "case": test.partition("[")[0], "asserted": True, "target": f'"{test}"',
        "tuned": None,
        "file": test.partition("::")[0], "line": 1,
        "phases": {"setup": "passed", "call": "failed" if failed else "passed",
                   "teardown": "passed"},
        "message": message if failed else None,
        "skipped": None,
        "compared": 1, "same": int(base == tuned), "many": {}, "explorations": [], "noise": {},
        "comparisons": [
            {
                "probe": "p", "digest": "d", "prompt": prompt,
                "messages": [{"role": "user", "content": prompt}], "reference": None,
                "tags": list(tags), "language": language, "cluster": None,
                "sides": ["base", "tuned"], "base": {"text": base, **reply},
                "tuned": {"text": tuned, **reply}, "margin": None, "near_tie": False,
                "accepted": None, "leak": None, "nearest": None, "learnt": None, "carried": None,
                "seen": None, "words": None, "attention": None, "attributions": None,
            }
        ],
        "verdicts": [
            {
                "probe": "p", "name": "toxicity", "value": value, "unit": "probability",
                "outcome": "regressed" if failed else "passed", "limit": limit,
                "bound": "at_most", "source": "given in the test", "unsupported": None,
                "p": None, "adjusted": None, "chance": None, "noise": None, "details": {},
                "set": None,
            }
        ],
    } | fields  # fmt: skip


def set_of(
    test: str, *, members: int, value: float, limit: float, low: float, high: float
) -> dict[str, Any]:
    """The row of a test of a set with a divergence, the last members of which are the worst."""
    outcome = "passed" if high <= limit else "regressed" if low > limit else "inconclusive"
    row = row_of(test, value=value, limit=value if outcome == "passed" else value - 1)
    (comparison,), (verdict,) = row["comparisons"], row["verdicts"]
    row["comparisons"] = [
        {**comparison, "probe": f"p{n}", "prompt": f"member {n}"} for n in range(members)
    ]
    verdict |= {
        "probe": None, "name": "divergence", "unit": "nats per token", "outcome": outcome,
        "limit": limit,
        "set": {"scope": "mean", "probes": "x", "low": low, "high": high, "judged": members,
                "clusters": members, "method": "t", "spread": 0.1, "unsupported": 0,
                "not_finite": 0, "decides": None,
                "worst": [{"probe": f"p{members - 1 - n}", "value": 1 - n / 10} for n in range(3)]},
    }  # fmt: skip
    return row | {"compared": members}


def looked(text: str) -> dict[str, Any]:
    """What a failure's row has of attention, one token of which is the given text."""
    return {
        "shift": 0.2, "noise": 1e-6, "heads": [[3, 1, 0.4], [0, 2, 0.3]],
        "sink": [0.5, 0.4], "words": [[text, 0.4, 0.1]],
        "grid": {"layers": [0, 3], "moved": [[0.1, 0.2, 0.3], [0.1, 0.4, 0.0]],
                 "spread": [[[1.0, 2.0, 3.0], [1.0, 2.0, 0.5]],
                            [[1.0, 1.5, 2.0], [1.0, 2.5, 0.5]]]},
        "map": {"layer": 3, "head": 1, "keys": ["<s>", text], "reply": [text], "prompt": 2,
                "asked": [1, 2], "base": [[0.25, 0.75]], "tuned": [[1.0, 0.0]]},
        "more_maps": [{"layer": 0, "head": 2, "base": [[0.5, 0.5]], "tuned": [[0.25, 0.75]]}],
    }  # fmt: skip


def attributed(text: str) -> dict[str, Any]:
    """What a test's row has of an attribution by two methods, of one word."""
    side = {"scores": [0.5], "whole": -1.0, "without": -1.5, "errors": None}
    return {
        "of": "log-likelihood of the tuned reply", "unit": text, "left_out": text,
        "segmented_by": text, "text": text, "words": [[text, 0, len(text)]],
        "methods": [{"method": method, "base": side, "tuned": {**side, "scores": [None]}}
                    for method in ("leave-one-out", "shapley")],
        "agreement": [{"methods": ["leave-one-out", "shapley"], "scores": "change",
                       "rank_correlation": None, "top": 1, "top_overlap": 1.0}],
    }  # fmt: skip


def hostile_rows() -> dict[str, dict[str, Any]]:
    """Tests that have what is hostile in every place that a model or a probe file writes to."""
    rows = []
    for n, text in enumerate(HOSTILE):
        fields = {"prompt": text, "tags": [text], "language": text, "message": text}
        row = regressed(
            f"t.py::test[{n}{text[:50]}]", value=n + 1, base=text, tuned=text[::-1], **fields
        )
        (comparison,), (verdict,) = row["comparisons"], row["verdicts"]
        comparison |= {
            "reference": text, "accepted": text, "near_tie": True,
            "leak": {"dataset": text, "number": 1, "kind": "same"},
            "nearest": [{"dataset": text, "number": 1, "prompt": text, "answer": text,
                         "similarity": 0.5, "leak": None}],
            "learnt": {"examples": [{"dataset": text, "number": 1, "prompt": text, "answer": text,
                                     "score": 0.5, "dot": 2.0}],
                       "judged": 8, "known": 9, "unread": 1, "median": 0.1, "alike": 1,
                       "at": "start", "pattern": "few"},
            "carried": {"change": 1.5, "tokens": 9, "layers": [[text, 0.5]], "kinds": [[text, 0.5]],
                        "fewest": [text], "kept": 0.8},
            "seen": {"at": 0, "base_likely": [[text, 0.5]], "tuned_likely": [[text, 0.5]],
                     "base": [[text, 1.0, -0.5, -1.5]], "tuned": [[text, None, None, -0.5]]},
            "attention": looked(text),
            "words": {"method": "leave-one-out", "of": "it", "unit": text, "left_out": text,
                      "segmented_by": text, "text": f" {text}.", "base": [-1.0, -2.0],
                      "tuned": [-1.0, None],
                      "scores": [[text, 1, 1 + len(text), 0.5, -1.5]]},
            "attributions": [attributed(text)],
        }  # fmt: skip
        comparison["messages"] = [{"role": "system", "content": text}, *comparison["messages"]]
        comparison["tuned"]["reasoning"] = text
        verdict |= {
            "name": text[:100], "unit": text[:100], "source": text, "unsupported": text,
            "details": {"problems": [text], "notes": [text], "kind": text},
        }  # fmt: skip
        rows.append(row)
    return rows_of(rows)
