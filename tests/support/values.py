"""Values that notebooks show, made by hand."""

from __future__ import annotations

from typing import Any

from pytest_llmdiff import (
    Attribution,
    Comparison,
    Comparisons,
    Influence,
    Influences,
    Measurement,
    MethodAttribution,
    Probe,
    Reply,
    SideAttribution,
)
from pytest_llmdiff.data.text.words import words_of
from pytest_llmdiff.explain.attention.values import AttentionMap, HeadGrid


def comparison_of(text: str) -> Comparison:
    probe = Probe(id="p", messages=({"role": "user", "content": text},))
    return Comparison(probe=probe, base=Reply(text=text), tuned=Reply(text=f"{text} no"))


def head_map(text: str) -> AttentionMap:
    """Of a prompt of three tokens, the second of which is the user's, and a reply of two."""
    return AttentionMap(
        layer=3, head=1, keys=("<s>", text, "</s>", text), reply=(text, "."),
        base=((0.5, 0.3, 0.2, 0.0), (0.4, 0.1, 0.2, 0.3)),
        tuned=((0.5, 0.1, 0.4, 0.0), (0.4, 0.3, 0.2, 0.1)), asked=(1, 2),
        grid=HeadGrid(layers=(0, 3), moved=((0.1, 0.2), (0.0, 0.4)),
                      spread=(((1.0, 2.0), (0.5, 1.0)), ((1.0, 1.5), (0.5, 2.0)))),
    )  # fmt: skip


def attribution_of(text: str) -> Attribution:
    words = words_of(f"{text} now")
    scores = tuple(0.5 - n for n in range(len(words.words)))
    side = SideAttribution(scores=scores, whole=-1.0, without=-2.0)
    return Attribution(
        text=words.text, words=words.words, of="log-likelihood of the tuned reply", unit="nats",
        left_out="removed",
        methods=tuple(MethodAttribution(method=method, base=side, tuned=side)
                      for method in ("leave-one-out", "shapley")),
    )  # fmt: skip


def influences_of(text: str) -> Influences:
    example = Influence(dataset=text, number=1, prompt=text, answer=text, score=0.8, dot=2.0)
    return Influences(
        examples=(example,), judged=8, known=9, unread=0, median=0.1, alike=1, at="start"
    )


def everything(text: str) -> list[Any]:
    """One value of each type that notebooks show, all about the same text."""

    class Three:
        def compare_set(self, probes: Any) -> Any:
            return iter([comparison_of(text) for _ in probes])

    probe = comparison_of(text).probe
    run: Any = Three()
    return [
        comparison_of(text),
        Comparisons(probes=(probe,) * 3, run=run),
        Measurement(name="divergence", value=0.5, unit="nats", limit=0.2, details={"text": text}),
        attribution_of(text),
        head_map(text),
        influences_of(text),
    ]
