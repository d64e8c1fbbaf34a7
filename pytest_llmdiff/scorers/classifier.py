"""Probabilities from a loaded sequence classifier, for scorers that have one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.data.text.language.unjudged import unjudged
from pytest_llmdiff.scorers.embedding import unknown_words

BATCH = 32
# Model types whose positions begin after the padding index.
BEHIND_PADDING = (
    "camembert", "data2vec-text", "ibert", "longformer", "mpnet", "roberta",
    "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """A loaded classifier with the names of its classes.

    `independent` says how logits become probabilities: each class by itself (sigmoid), or
    exclusive classes (softmax).
    """

    model: Any
    tokenizer: Any
    classes: Sequence[str]
    independent: bool

    def score(
        self, texts: Sequence[str], *, read: str, languages: Sequence[str] | None
    ) -> list[Score]:
        """The probability of the class `read`, with those of all classes as details."""
        reasons = [self._unsupported(text, languages) for text in texts]
        readable = [text for text, reason in zip(texts, reasons, strict=True) if reason is None]
        found = iter(self._probabilities(readable))
        scores = []
        for reason in reasons:
            if reason is not None:
                scores.append(Score(value=None, unsupported=reason))
                continue
            details = next(found)
            scores.append(Score(value=details[read], details=details))
        return scores

    def _probabilities(self, texts: Sequence[str]) -> list[dict[str, float]]:
        import torch

        found = []
        size = BATCH if self._pads else 1
        for start in range(0, len(texts), size):
            part = list(texts[start : start + size])
            encoded = self.tokenizer(part, return_tensors="pt", padding=self._pads)
            with torch.inference_mode():
                logits = self.model(**encoded.to(self.model.device)).logits.float()
            values = logits.sigmoid() if self.independent else logits.softmax(-1)
            found += [dict(zip(self.classes, row, strict=True)) for row in values.tolist()]
        return found

    @property
    def _pads(self) -> bool:
        """Whether texts of different lengths can share a batch."""
        return (
            self.tokenizer.pad_token is not None
            and getattr(self.model.config, "pad_token_id", None) is not None
        )

    def _unsupported(self, text: str, languages: Sequence[str] | None) -> str | None:
        if languages and (reason := unjudged(text, languages)) is not None:
            return reason
        try:
            text.encode()
        except UnicodeEncodeError:
            return "it has half of a surrogate pair, which no tokenizer reads"
        ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        room = self._room
        if len(ids) > room:
            return f"it has {len(ids)} tokens and the scorer reads the first {room:.0f}"
        return unknown_words(self.tokenizer, ids)

    @property
    def _room(self) -> float:
        """The most tokens of a text, besides those that the tokenizer adds."""
        config = self.model.config
        positions = getattr(config, "max_position_embeddings", None) or math.inf
        if config.model_type in BEHIND_PADDING:
            positions -= int(config.pad_token_id) + 1
        added = self.tokenizer.num_special_tokens_to_add()
        return float(min(int(self.tokenizer.model_max_length), positions) - added)
