"""Token ids of texts, from tokenizers whose compiled library may give up on a text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_llmdiff.errors import ProbeError

# What a failure inside a library in Rust becomes; it is no Exception, and no module exports it.
PANIC = "PanicException"


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text, without special tokens of the tokenizer's own.

    Raises:
        ProbeError: the tokenizer cannot read the text.
    """
    with panics_told():
        return [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]


@contextmanager
def panics_told() -> Iterator[None]:
    """Raises ProbeError where the tokenizer's library panics: other texts may well be read."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        raise ProbeError(f"the tokenizer cannot read this text: {error}") from None
