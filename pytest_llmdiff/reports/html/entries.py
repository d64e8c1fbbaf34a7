"""The tests of a run as the page's script reads them: compact, with every text ready to show."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pytest_llmdiff.reports.alignment import segments
from pytest_llmdiff.reports.html.folds import comparison_folds, row_folds
from pytest_llmdiff.reports.order import OPEN, decisive, signed_excess
from pytest_llmdiff.reports.outcomes import kind_of
from pytest_llmdiff.reports.verdict_cells import (
    besides_of,
    interval_of,
    limit_of,
    measure_of,
    value_of,
)

# Characters of texts in the file: half for tests that need action, half for the others.
BUDGET = 10_000_000
LEAST, LONGEST = 400, 20_000  # of one text
# The same for failures as pytest shows them.
MESSAGES, MESSAGE = 4_000_000, 8_000
SUITE = re.compile(r"pytest_llmdiff/suites/(\w+)/")
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def link_of(test: str) -> str:
    """The id of a test in the page, the same in every report."""
    return "t-" + _digest(test)


def suite_of(test: str) -> str:
    """The ready-made suite of a test, or else its file."""
    match = SUITE.search(test)
    return f"suite {match[1]}" if match else test.partition("::")[0].rpartition("/")[2]


def tags_of(row: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(tag for c in row["comparisons"] for tag in c["tags"]))


def entries(
    rows: Sequence[dict[str, Any]],
    order: Mapping[str, int],
    causes: Mapping[str, Sequence[int]] = MappingProxyType({}),
    models: Mapping[str, str] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """The rows in their order; by test, `order` has the index in the run, and `causes` the numbers
    of the causes that it is one of. `models` names several tuned models by their SPECs."""
    open_ = [row for row in rows if kind_of(row) in OPEN]
    others = [row for row in rows if kind_of(row) not in OPEN]
    room = {True: _room(open_), False: _room(others)}
    message = _share((len(row["message"] or "") for row in open_), MESSAGES, MESSAGE)
    return [
        _entry(row, order[row["test"]], room[kind_of(row) in OPEN], message)
        | ({"model": models[row["tuned"]]} if row.get("tuned") in models else {})
        | ({"causes": list(causes[row["test"]])} if row["test"] in causes else {})
        for row in rows
    ]


def _room(rows: Iterable[Mapping[str, Any]]) -> int:
    """How long each text may be, so that all of them fit into their half of the budget."""
    comparisons = (comparison for row in rows for comparison in row["comparisons"])
    return _share((len(text) for c in comparisons for text in _texts(c)), BUDGET // 2, LONGEST)


def _texts(comparison: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a comparison that have no maximum length."""
    for side in ("base", "tuned"):
        yield comparison[side]["text"]
        yield comparison[side]["reasoning"] or ""
    yield from (message["content"] for message in comparison["messages"])
    yield from (comparison[key] or "" for key in ("reference", "accepted"))


def _share(lengths: Iterable[int], budget: int, most: int) -> int:
    """The length to cut texts at so that all fit into the budget; short texts leave more to the
    others."""
    left, ordered = budget, sorted(lengths)
    for place, length in enumerate(ordered):
        share = left // (len(ordered) - place)
        if length > share:
            return min(most, max(LEAST, share))
        left -= length
    return most


def _entry(row: dict[str, Any], place: int, room: int, message: int) -> dict[str, Any]:
    verdict, kind = decisive(row), kind_of(row)
    found: dict[str, Any] = {
        "id": link_of(row["test"]),
        "test": row["test"],
        "at": place,
        "kind": kind,
        "suite": suite_of(row["test"]),
        "tags": tags_of(row),
        "langs": list(dict.fromkeys(c["language"] for c in row["comparisons"] if c["language"])),
        "target": row["target"],
        "title": _title(row),
        "reason": _reason(row, kind),
        "verdicts": [_verdict(v) for v in row["verdicts"]],
        "main": None if verdict is None else row["verdicts"].index(verdict),
        "left": row["compared"] - len(row["comparisons"]) or None,
        "probes": [_probe(row, c, room) for c in _worst_first(row)],
        "folds": list(row_folds(row)),
    }
    if row["message"] and kind in OPEN:
        found["message"] = _cut(row["message"], message)
    if row["skipped"]:
        found["message"] = _cut(row["skipped"], LEAST)
    # What says nothing takes no room.
    return {key: value for key, value in found.items() if value not in ([], None, "")}


def _reason(row: Mapping[str, Any], kind: str) -> str | None:
    """Why there is no verdict, or why a test failed besides its verdicts: the first line of it."""
    if kind in ("failed", "error"):
        first = next(filter(str.strip, (row["message"] or "").splitlines()), "")
        return _line(first.removeprefix("AssertionError: "))
    if kind == "not judged":
        reasons = (verdict["unsupported"] for verdict in row["verdicts"])
        return _line(next(filter(None, reasons), "").removeprefix("not judged: "))
    return _line(row["skipped"]) if row["skipped"] else None


def _title(row: Mapping[str, Any]) -> str:
    """The prompt of a test with a single one, else the test's name."""
    probes = {comparison["probe"] for comparison in row["comparisons"]}
    if len(probes) == 1:
        return _line(row["comparisons"][0]["prompt"])
    name: str = row["test"].rpartition("::")[2]
    return f"{name}: {len(probes)} probes" if probes else name


def _worst_first(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The comparisons of a test: first those that break a limit, then the worst of a set."""
    places: dict[str, float] = {}
    for verdict in row["verdicts"]:
        if verdict["probe"] is not None and verdict["outcome"] != "passed":
            beyond = signed_excess(verdict)
            places[verdict["probe"]] = min(places.get(verdict["probe"], 0.0), -1 - beyond)
        if verdict["set"]:
            for place, worst in enumerate(verdict["set"]["worst"]):
                places.setdefault(worst["probe"], -1 / (1 + place))
    # Two helpers on one set leave each comparison twice.
    distinct = {(c["probe"], *c["sides"]): c for c in row["comparisons"]}.values()
    return sorted(distinct, key=lambda comparison: places.get(comparison["probe"], 0.0))


def _verdict(verdict: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "name": measure_of(verdict),
        "measure": verdict["name"],
        "value": _digits(verdict["value"]),
        "base": _base_of(verdict),
        "edge": _digits(verdict["limit"]),
        "shown": value_of(verdict),
        "unit": verdict["unit"],
        "outcome": verdict["outcome"],
        "limit": limit_of(verdict),
        "source": verdict["source"],
        "interval": interval_of(verdict),
        "balance": besides_of(verdict),
        "noise": verdict["noise"],
        "p": verdict["p"],
        "adjusted": verdict["adjusted"],
        "decides": verdict["set"] and verdict["set"]["decides"],
        "members": _members(verdict["set"]),
        "probe": verdict["probe"],
    }
    return {key: value for key, value in found.items() if value not in (None, "", [])}


def _members(held: Mapping[str, Any] | None) -> list[list[Any]] | None:
    """The values of a set's members, as far as they are known. Reports of earlier versions have
    those of the worst alone."""
    if held is None:
        return None
    worst = [[each["probe"], each["value"]] for each in held["worst"]]
    return [[probe, _digits(value)] for probe, value in [*held.get("members", []), *worst]]


def _digits(value: float | None) -> float | None:
    """As many as a colour or a place in a chart needs: there are very many numbers."""
    return None if value is None else float(f"{value:.5g}")


def _base_of(verdict: Mapping[str, Any]) -> float | None:
    """The same quantity of the base's reply, for measures of one reply."""
    base, tuned = (verdict["details"].get(side) for side in ("base", "tuned"))
    same = tuned is None or tuned == verdict["value"]
    return _digits(base) if same and type(base) is float and verdict["set"] is None else None


def _probe(row: Mapping[str, Any], comparison: Mapping[str, Any], room: int) -> dict[str, Any]:
    texts = [_cut(comparison[side]["text"], room) for side in ("base", "tuned")]
    language = comparison["language"] or ""
    before = [m for m in comparison["messages"][:-1] if m["content"]]
    found = {
        "id": f"{link_of(row['test'])}-{_digest(comparison['probe'])}",
        "probe": comparison["probe"],
        "prompt": _cut(comparison["prompt"], room),
        "before": [{"role": m["role"], "text": _cut(m["content"], room)} for m in before],
        # Those of a single probe are the test's.
        "tags": comparison["tags"] if len(row["comparisons"]) > 1 else None,
        "lang": language if LANGUAGE.fullmatch(language) else None,
        "sides": None if comparison["sides"] == ["base", "tuned"] else comparison["sides"],
        "reply": segments(*texts),
        "about": [_about(comparison[side]) for side in ("base", "tuned")],
        "reasoning": [_cut(comparison[s]["reasoning"] or "", room) for s in ("base", "tuned")],
        "reference": _cut(comparison["reference"] or "", room),
        "accepted": _cut(comparison["accepted"] or "", room),
        "folds": list(comparison_folds(comparison)),
    }
    if not any(found["reasoning"]):
        found["reasoning"] = None
    return {key: value for key, value in found.items() if value not in ([], None, "")}


def _about(reply: Mapping[str, Any]) -> str:
    ended = ", cut at the length limit" if reply["finish_reason"] == "length" else ""
    return f"{reply['tokens']} tokens{ended}"


def _line(text: str) -> str:
    return _cut(" ".join(text.split()), 240, notice="…")


def _cut(text: str, length: int, notice: str | None = None) -> str:
    if len(text) <= length:
        return text
    if notice is None:
        notice = f" … ({len(text) - length:,} more characters are not in this file)"
    return text[:length] + notice


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:10]
