"""A test's comparisons and verdicts as plain JSON. They travel with its report, under xdist too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.plain_json import plain, rounded
from pytest_llmdiff.data.tools.calls import as_json
from pytest_llmdiff.explain import KINDS, load_kinds
from pytest_llmdiff.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.explain.training.values import Leak

# What an explanation may add to a comparison's row.
UNEXPLAINED = dict.fromkeys(KINDS)


def comparison_row(comparison: Comparison, leak: Leak | None = None) -> dict[str, Any]:
    probe = comparison.probe
    row: dict[str, Any] = {
        "probe": probe.id,
        "digest": probe.digest,
        "prompt": probe.prompt,
        "messages": [dict(message) for message in probe.messages],
        "reference": probe.reference,
        "tags": list(probe.tags),
        "language": probe.language,
        "cluster": probe.cluster,
        "sides": list(comparison.sides),
    }
    for side, reply in (("base", comparison.base), ("tuned", comparison.tuned)):
        row[side] = {
            "text": reply.text,
            "reasoning": reply.reasoning,
            "finish_reason": reply.finish_reason,
            "tokens": len(reply.token_ids),
            "prompt_tokens": reply.prompt_tokens,
        }
        if reply.tool_calls:
            row[side]["tool_calls"] = plain([as_json(call) for call in reply.tool_calls])
    return {
        **row,
        "margin": plain(comparison.margin),
        "near_tie": comparison.near_tie,
        "accepted": None if comparison.accepted is None else comparison.accepted.text,
        "leak": None if leak is None else leak.row,
        **UNEXPLAINED,
    }


def add_explanation(row: dict[str, Any], explanation: Explanation) -> None:
    """Set the part of each kind of explanation in a comparison's row."""
    row |= {"leak": None, **UNEXPLAINED}
    for name, kind in load_kinds(explanation.kinds).items():
        row |= kind.row(explanation.kinds[name])


def verdict_row(
    comparison: Comparison | None,
    verdict: Verdict,
    worst: Sequence[tuple[float, Comparison]] = (),
    probes: str | None = None,
    members: Sequence[tuple[str, float | None]] = (),
) -> dict[str, Any]:
    m = verdict.measurement
    return {
        "probe": comparison.probe.id if comparison else None,
        "name": m.name,
        "value": plain(m.value),
        "unit": m.unit,
        "outcome": verdict.outcome,
        "limit": plain(m.limit),
        "bound": None if m.limit is None else verdict.bound,
        "source": None if m.limit is None else verdict.source,
        "unsupported": m.unsupported,
        "p": plain(verdict.p),
        "chance": plain(verdict.chance),
        "noise": plain(verdict.noise),
        "details": plain(dict(m.details)),
        "set": _set_row(verdict, worst, probes, members),
    }


def harmful(
    verdict: Verdict, worst: Sequence[tuple[float, Comparison]]
) -> Sequence[tuple[float, Comparison]]:
    """Those of a set's highest values that speak against it. A set in which too little changed has
    none."""
    evidence = verdict.evidence
    if evidence is not None and evidence.blames:
        return [(value, member) for value, member in worst if value > 0]
    if evidence is None or verdict.bound == "at_least":
        return ()
    limit = verdict.measurement.limit
    harmless = evidence.over if evidence.rate else min(0.0, 0.0 if limit is None else limit)
    return [(value, member) for value, member in worst if value > harmless]


def _set_row(
    verdict: Verdict,
    worst: Sequence[tuple[float, Comparison]],
    probes: str | None,
    members: Sequence[tuple[str, float | None]],
) -> dict[str, Any] | None:
    """The estimate behind the verdict on a set, the set's worst members, and the values of
    members."""
    evidence = verdict.evidence
    if evidence is None:
        return None
    estimate = evidence.estimate
    return {
        "scope": evidence.scope,
        "probes": probes,
        "low": plain(estimate.low),
        "high": plain(estimate.high),
        "judged": estimate.n,
        "clusters": estimate.clusters,
        "method": estimate.method,
        "spread": plain(estimate.spread),
        "unsupported": evidence.missing,
        "not_finite": evidence.not_finite,
        "over": plain(evidence.over) if evidence.rate else None,
        "decides": None if verdict.packaged else verdict.decides,
        "worst": [
            {"probe": member.probe.id, "value": plain(value)}
            for value, member in harmful(verdict, worst)
        ],
        "members": [[probe, None if value is None else rounded(value)] for probe, value in members],
    }
