"""The text of each token, which put together is the text of all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.explain.pieces import WINDOW, pieces
from tests.support.engines import folder as folder
from tests.support.engines import pair


def test_a_character_in_several_tokens_belongs_to_the_last(folder: Path, tmp_path: Path) -> None:
    engine: Any = pair(folder, "base", "noop", tmp_path).base
    text = "好 day"
    ids = engine.encode(text)
    found = pieces(engine, ids)
    assert len(found) == len(ids)
    assert "".join(found) == engine.tokenizer.decode(ids)
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in found)


def read_whole(engine: Any, ids: Sequence[int]) -> list[str]:
    """The same, but decoding the whole prefix for each token."""
    read, found = "", []
    for end in range(1, len(ids) + 1):
        text = str(engine.tokenizer.decode(list(ids[:end])))
        if text.endswith("\N{REPLACEMENT CHARACTER}") and end < len(ids):
            found.append("")
            continue
        found.append(text[len(read) :])
        read = text
    return found


class Reading:
    """An engine as far as `pieces` needs it; counts the tokens that are decoded."""

    def __init__(self, inner: Any) -> None:
        self.tokenizer = self
        self.inner = inner
        self.tokens = 0

    def decode(self, ids: Sequence[int]) -> str:
        self.tokens += len(ids)
        return str(self.inner.decode(list(ids)))

    def token_text(self, token: int) -> str:
        return str(self.inner.decode([token]))


@cache
def tokenizers() -> dict[str, Any]:
    """Byte-level like GPT-2's, and like Llama's: words with byte fallback."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(alphabet)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    words = [f"<0x{byte:02X}>" for byte in range(256)] + list("▁abcdefghijklmnopqrstuvwxyz")
    fallback = Tokenizer(
        models.BPE(vocab={w: n for n, w in enumerate(words)}, merges=[], byte_fallback=True)
    )
    fallback.pre_tokenizer = pre_tokenizers.Metaspace()
    fallback.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return {"bytes": plain, "words and bytes": fallback}


@pytest.mark.parametrize("kind", ["bytes", "words and bytes"])
@given(
    words=st.lists(
        st.sampled_from(["ab", "wörld", "你好", "🙂🙂", "e\u0301", " ", "z"]), max_size=60
    )
)
def test_a_long_text_is_decoded_in_windows(kind: str, words: list[str]) -> None:
    engine = Reading(tokenizers()[kind])
    ids = engine.inner.encode(" ".join(words)).ids
    found = pieces(engine, ids)
    assert engine.tokens <= 4 * WINDOW * len(ids)
    assert found == read_whole(engine, ids)
