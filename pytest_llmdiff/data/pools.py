"""Pools of prompts that are answered in one batch although a test draws them one at a time."""

from __future__ import annotations

from collections.abc import Iterable


class PooledPrompt(str):
    """A text that knows its pool, and the `original` if it is a changed form of another prompt.

    `change` names the kind of change.
    """

    __slots__ = ("change", "original", "pool")

    pool: Pool
    original: PooledPrompt | None
    change: str | None

    def __new__(
        cls, text: str, *, original: PooledPrompt | None = None, change: str | None = None
    ) -> PooledPrompt:
        made = super().__new__(cls, text)
        made.original, made.change = original, change
        return made

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # in another process it is a plain string


class Pool:
    """Distinct prompts in order. Comparing the first one answers and scores all of them."""

    def __init__(self, prompts: Iterable[PooledPrompt]) -> None:
        self.prompts = tuple(prompts)
        for prompt in self.prompts:
            prompt.pool = self


def pool_of(prompt: object) -> Pool | None:
    """The pool that a prompt was drawn from, or None."""
    return getattr(prompt, "pool", None) if isinstance(prompt, PooledPrompt) else None
