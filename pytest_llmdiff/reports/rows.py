"""RunFacts of a test as plain JSON: they travel with its report, through xdist as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import TokenView
    from pytest_llmdiff.explain.attention.values import AttentionMap, AttentionShown
    from pytest_llmdiff.explain.attribution.values import Attribution
    from pytest_llmdiff.explain.carriers import Carriers
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.explain.training.values import Influences, Leak

SEEN = 512  # tokens of a reply in the reports
MAPPED = 48  # tokens of a reply in a map of attention, and the last so many that they look back at
KEYS = 256
LEARNT = 10  # training examples that push towards it


def plain(value: Any) -> Any:
    """A value as strict JSON: NaN and infinity, which JSON has not, become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


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
    along = {"margin": plain(comparison.margin), "near_tie": comparison.near_tie}
    accepted = None if comparison.accepted is None else comparison.accepted.text
    explained = dict.fromkeys(("nearest", "learnt", "carried", "seen", "attention", "words"))
    return {**row, **along, "accepted": accepted, "leak": _leak_row(leak), **explained}


def take_explanation(row: dict[str, Any], explanation: Explanation) -> None:
    """Keep with a comparison's row what its failure was explained with."""
    row["leak"] = _leak_row(explanation.leak)
    row["nearest"] = plain([asdict(found) for found in explanation.neighbours]) or None
    row["learnt"] = _learnt_row(explanation.influences)
    row["carried"] = _carried_row(explanation.carriers)
    row["seen"] = _seen_row(explanation.tokens)
    row["attention"] = _attention_row(explanation.attention)
    row["words"] = _words_row(explanation.words)


def _learnt_row(found: Influences | None) -> dict[str, Any] | None:
    if found is None:
        return None
    row = asdict(replace(found, examples=found.examples[:LEARNT]))
    return {**plain(row), "pattern": found.pattern}


def _carried_row(found: Carriers | None) -> dict[str, Any] | None:
    """Parts with their shares, as pairs."""
    if found is None:
        return None
    pairs = {
        name: [[part.name, round(part.alone, 4)] for part in parts]
        for name, parts in (("layers", found.layers), ("kinds", found.kinds))
    }
    return plain({**vars(found), **pairs})  # type: ignore[no-any-return]


def _seen_row(view: TokenView | None) -> dict[str, Any] | None:
    """Of each token its text, KL and log-probability under base and tuned model, rounded: a
    reply has hundreds of them."""
    if view is None:
        return None
    return {
        "at": view.at,
        "base_likely": [[text, round(p, 4)] for text, p in view.base_likely],
        "tuned_likely": [[text, round(p, 4)] for text, p in view.tuned_likely],
        **{
            side: [
                [t.text, *map(_rounded, (t.kl, t.base_logprob, t.tuned_logprob))]
                for t in tokens[:SEEN]
            ]
            for side, tokens in (("base", view.base), ("tuned", view.tuned))
        },
    }


def _attention_row(found: AttentionShown | None) -> dict[str, Any] | None:
    """Of heads their layer, number and divergence, of words their text and shares, base and tuned;
    layers and heads count from 0."""
    if found is None:
        return None
    return {
        "shift": found.shift,
        "noise": found.noise,
        "heads": [[head.layer, head.head, head.value] for head in found.heads],
        "words": [[w.word, round(w.base, 4), round(w.tuned, 4)] for w in found.words],
        "map": None if found.map is None else _map_row(found.map),
    }


def _map_row(found: AttentionMap) -> dict[str, Any]:
    """The end of what a reply looks back at: the user's text stands there, and the reply."""
    return {
        "layer": found.layer,
        "head": found.head,
        "keys": list(found.keys[-KEYS:]),
        "reply": list(found.reply[:MAPPED]),
        **{
            side: [[round(share, 3) for share in row[-KEYS:]] for row in rows[:MAPPED]]
            for side, rows in (("base", found.base), ("tuned", found.tuned))
        },
    }


def _words_row(found: Attribution | None) -> dict[str, Any] | None:
    """Of each word of the prompt its place and its score under base and tuned model, rounded."""
    if found is None:
        return None
    method = found.methods[0]
    columns = zip(found.words, method.base.scores, method.tuned.scores, strict=True)
    return {
        "method": method.method,
        "of": found.of,
        "unit": found.unit,
        "left_out": found.left_out,
        "segmented_by": found.segmented_by,
        "text": found.text,
        "base": [_rounded(method.base.whole), _rounded(method.base.without)],
        "tuned": [_rounded(method.tuned.whole), _rounded(method.tuned.without)],
        "scores": [
            [word.text, word.start, word.end, _rounded(base), _rounded(tuned)]
            for word, base, tuned in columns
        ],
    }


def _rounded(value: float) -> Any:
    """To four figures: reports have very many of them."""
    return plain(float(f"{value:.4g}"))


def _leak_row(leak: Leak | None) -> dict[str, Any] | None:
    if leak is None:
        return None
    return {"dataset": leak.dataset, "number": leak.number, "kind": leak.kind}


def verdict_row(
    comparison: Comparison | None,
    verdict: Verdict,
    worst: Sequence[tuple[float, Comparison]] = (),
    probes: str | None = None,
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
        "set": _set_row(verdict, worst, probes),
    }


def _set_row(
    verdict: Verdict, worst: Sequence[tuple[float, Comparison]], probes: str | None
) -> dict[str, Any] | None:
    """What the verdict on a set rests on, and its worst members."""
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
        "decides": verdict.decides,
        "worst": [{"probe": c.probe.id, "value": plain(value)} for value, c in worst],
    }
