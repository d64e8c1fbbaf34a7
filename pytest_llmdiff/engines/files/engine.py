"""What engines over model files have in common, whichever library runs the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.token_ids import token_ids
from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.files.artifacts import generation_stop_ids, vocabulary_rows
from pytest_llmdiff.engines.files.rendering import AnyRenderer
from pytest_llmdiff.engines.files.replies import reply_of_tokens
from pytest_llmdiff.errors import ProbeError


class HeldWeights(Protocol):
    """Weights that an engine runs: their files and their size."""

    path: Path
    adapter: Path | None

    @property
    def trust_remote_code(self) -> bool: ...
    @property
    def bytes(self) -> float: ...
    def close(self) -> None: ...


W = TypeVar("W", bound=HeldWeights)


@dataclass(kw_only=True)
class FileEngine(Generic[W]):
    """One side of the pair, over weights that the sides may share.

    `adapted` says whether the adapter of `weights`, if there is one, is switched on. `identity` is
    the content hash of files, settings and versions, computed without loading anything.
    """

    weights: W
    renderer: AnyRenderer
    adapted: bool
    identity: str
    batch_size: int | None = None
    notes: set[str] = field(default_factory=set)

    def fingerprint(self) -> str:
        return self.identity

    @property
    def tokenizer(self) -> Any:
        return self.renderer.tokenizer

    def render(self, messages: Sequence[Message]) -> list[int]:
        return self.renderer.ids(messages)

    def parameter_bytes(self) -> float:
        return self.weights.bytes

    def close(self) -> None:
        self.weights.close()

    def declared_stop_ids(self) -> tuple[int, ...]:
        """The stop ids that the files declare; no weights are loaded."""
        return tuple(sorted({*generation_stop_ids(self.weights.path), *self.renderer.stop_ids()}))

    def declared_rows(self) -> int | None:
        """The number of embeddings by the configuration, if it says; no weights are loaded."""
        return vocabulary_rows(self.weights.path)

    def encode(self, text: str) -> list[int]:
        """Token ids of a reply's text, without special tokens."""
        return token_ids(self.tokenizer, text)

    def token_text(self, token_id: int) -> str:
        return str(self.tokenizer.decode([token_id]))

    def prompt_ids(self, messages: Sequence[Message], *, context: int, rows: int) -> list[int]:
        """The rendered prompt. `context` is the length of the model's context, `rows` the number of
        its embeddings.

        Raises:
            ProbeError: the model cannot read it, or has no room for a reply.
        """
        ids = self.render(messages)
        self.require_rows(ids, rows)
        if len(ids) >= context:
            raise ProbeError(
                f"the prompt has {len(ids)} tokens and the context of the model "
                f"{context}, which leaves no room for a reply"
            )
        return ids

    def require_rows(self, ids: Sequence[int], rows: int) -> None:
        """Raises ProbeError if a prompt has no token, or one beyond the `rows` embeddings."""
        if not ids:
            raise ProbeError("the chat template makes no tokens of this conversation")
        if max(ids) >= rows:
            raise ProbeError(
                f"the prompt holds {self.token_text(max(ids))!r} (token {max(ids)}), and "
                f"the model's embeddings end at token {rows - 1}: the chat template adds "
                "a token that the model was not trained with"
            )

    def require_readable(self, item: Continuation, rows: int) -> None:
        """Raises ProbeError if a text to score has a token that the model, with `rows` embeddings,
        cannot read. The last token is only predicted."""
        largest = max((*item.prompt_ids, *item.reply_ids[:-1]), default=0)
        if largest >= rows:
            raise ProbeError(
                f"a text to score holds {self.token_text(largest)!r} (token {largest}), and the "
                f"model's embeddings end at token {rows - 1}"
            )

    def reply(self, prompt: Sequence[int], tokens: Sequence[int], *, stopped: bool) -> Reply:
        """The reply that these tokens make, including a stop token at their end."""
        return reply_of_tokens(self.tokenizer, prompt, tokens, stopped=stopped)
