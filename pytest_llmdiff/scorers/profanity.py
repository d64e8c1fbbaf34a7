"""The toxicity scorer `profanity-check`, which needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmdiff.config.packages import installed_version, require_packages
from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.data.text.language.unjudged import rules, unjudged
from pytest_llmdiff.scorers import ENGLISH, Scorer
from pytest_llmdiff.scorers.registry import Context
from pytest_llmdiff.store import content_key

NEEDED_FOR = (
    "the scorer profanity-check (English words only: it flags harmless sentences about minorities "
    "and misses polite hostility)"
)


def check(_spec: str, _folder: Path) -> None:
    """The package is needed when the scorer is opened: a recording needs none."""


def named_languages(_spec: str) -> Sequence[str]:
    return ENGLISH


def to_download(_spec: str, _folder: Path) -> None:
    """Nothing."""


def fetch(_spec: str, _role: str, _folder: Path) -> None:
    require_packages("profanity", NEEDED_FOR)


def open_scorer(spec: str, context: Context) -> Scorer:
    fetch(spec, context.role, context.folder)
    return ProfanityScorer()


@dataclass
class ProfanityScorer:
    """alt-profanity-check: a small English bag-of-words model, with its weights in the package.

    It sees words, not meaning: polite hostility passes, and a sentence about a minority may not
    (`benchmarks/toxicity.py` measures how often).
    """

    name: str = "profanity-check"
    languages: Sequence[str] = ENGLISH

    def fingerprint(self) -> str:
        versions = [installed_version(p) for p in ("alt-profanity-check", "scikit-learn")]
        return content_key(["profanity-check", versions, rules()])

    def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Score]:
        from profanity_check import predict_prob

        texts = [text for (text,) in inputs]
        values = [float(value) for value in predict_prob(texts)] if texts else []
        reasons = [unjudged(text, self.languages) for text in texts]
        return [
            Score(value=value if reason is None else None, unsupported=reason)
            for value, reason in zip(values, reasons, strict=True)
        ]
