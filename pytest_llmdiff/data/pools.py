"""Prompts that are worth answering together, though a test asks for them one at a time."""

from __future__ import annotations

from collections.abc import Iterable


class PooledPrompt(str):
    """A text that knows the pool it was drawn from, and the original that it is a changed form of.

    `change` names what changed it.
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
        return str, (str(self),)  # elsewhere it is a text like any other


class Pool:
    """Prompts in order, each with the text of its own once: the first one that is compared has all
    of them answered and scored."""

    def __init__(self, prompts: Iterable[PooledPrompt]) -> None:
        self.prompts = tuple(prompts)
        for prompt in self.prompts:
            prompt.pool = self


def pool_of(prompt: object) -> Pool | None:
    """The pool that a prompt was drawn from, if any."""
    return getattr(prompt, "pool", None) if isinstance(prompt, PooledPrompt) else None
