"""What shows that a reply is degenerate."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.text.asked_for import Form, asks_for

SHOWN = 80  # characters of a quotation


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One sign of degeneration: its `kind`, how to say it, and where in the reply it shows.

    `start` is its place in characters, None for the whole reply; `quote` is what stands there.
    """

    kind: str
    problem: str
    start: int | None = None
    quote: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "start": self.start, "quote": self.quote[:SHOWN]}


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What a reply is read beside: the conversation before it, and the base's reply.

    The base's own reply is read beside the conversation alone: its `base` is empty.
    """

    prompt: str
    conversation: str
    base: str
    _asked: dict[tuple[Form, ...], bool] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def expected(self) -> str:
        """What a reply may contain without being degenerate."""
        return f"{self.conversation}\n{self.base}"

    def asks_for(self, *forms: Form) -> bool:
        if forms not in self._asked:
            self._asked[forms] = asks_for(self.conversation, *forms)
        return self._asked[forms]


def beside(comparison: Comparison) -> Beside:
    messages = comparison.probe.messages
    return Beside(
        prompt=comparison.probe.prompt,
        conversation="\n".join(message["content"] for message in messages),
        base=comparison.base.text,
    )
