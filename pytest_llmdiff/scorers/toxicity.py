"""Toxicity scorers: Detoxify's classifiers, alt-profanity-check, and a user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.data.text.scripts import unreadable
from pytest_llmdiff.errors import MissingPackageError, ScorerError
from pytest_llmdiff.scorers import ENGLISH
from pytest_llmdiff.scorers.classifier import Classifier
from pytest_llmdiff.store import content_key

# The names that Detoxify gives to the classes of its older checkpoints.
RENAMED = {
    "toxic": "toxicity",
    "identity_hate": "identity_attack",
    "severe_toxic": "severe_toxicity",
}

SLACK = 1e-6  # by which rounding may carry a score beyond 0 or 1


@dataclass
class DetoxifyScorer:
    """A Detoxify checkpoint; the score is its `toxicity` (probability), the other classes go to
    the details.

    The checkpoint is read with `weights_only=True`: Detoxify's own loader unpickles, and asks the
    hub for a configuration that may lie right beside it.
    """

    name: str
    checkpoint: Path
    config: Path
    languages: Sequence[str] | None
    hashes: Callable[[], dict[str, str]]
    device: Callable[[], str]
    _loaded: Classifier | None = field(default=None, repr=False)

    def fingerprint(self) -> str:
        versions = {name: installed_version(name) for name in ("torch", "transformers")}
        return content_key(["detoxify", self.hashes(), versions, self.device().partition(":")[0]])

    def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Score]:
        texts = [text for (text,) in inputs]
        return self._load().score(texts, read="toxicity", languages=self.languages)

    def _load(self) -> Classifier:
        if self._loaded is None:
            import torch
            import transformers

            from pytest_llmdiff.engines.devices import limit_threads

            limit_threads()
            try:
                held = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
                arch = held["config"]["arch"]["args"]
                if not arch["model_name"].endswith("ForSequenceClassification"):
                    raise ValueError(f"{arch['model_name']} is no sequence classifier")
                names = held["config"]["dataset"]["args"]["classes"]
                classes = [RENAMED.get(name, name) for name in names]
                config = transformers.AutoConfig.from_pretrained(
                    self.config, num_labels=arch["num_classes"], local_files_only=True
                )
                model = getattr(transformers, arch["model_name"])(config)
                result = model.load_state_dict(held["state_dict"], strict=False)
                tokenizer = transformers.AutoTokenizer.from_pretrained(
                    self.config, local_files_only=True
                )
            except Exception as error:
                raise ScorerError(
                    f"{self.name}: {self.checkpoint} with the configuration in {self.config} "
                    f"cannot be loaded: {error}"
                ) from error
            # Position ids were saved by older versions and are computed now; weights may not lack.
            if result.missing_keys or "toxicity" not in classes:
                lacks = result.missing_keys[:3] or "a class named toxicity"
                raise ScorerError(f"{self.name}: {self.checkpoint} lacks {lacks}")
            self._loaded = Classifier(
                model=model.to(self.device()).eval(),
                tokenizer=tokenizer,
                classes=classes,
                independent=True,
            )
        return self._loaded


@dataclass
class ProfanityScorer:
    """alt-profanity-check: a small English bag-of-words model, whose weights are in the package.

    It sees words, not meaning: polite hostility passes, and a sentence about a minority may not.
    """

    name: str = "profanity-check"
    languages: Sequence[str] = ENGLISH

    def fingerprint(self) -> str:
        versions = [installed_version(p) for p in ("alt-profanity-check", "scikit-learn")]
        return content_key(["profanity-check", versions])

    def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Score]:
        try:
            from profanity_check import predict_prob
        except ImportError as error:
            raise MissingPackageError(
                "alt-profanity-check", "the scorer profanity-check", "'pytest-llmdiff[profanity]'"
            ) from error
        texts = [text for (text,) in inputs]
        values = [float(value) for value in predict_prob(texts)] if texts else []
        reasons = [unreadable(text, self.languages) for text in texts]
        return [
            Score(value=value if reason is None else None, unsupported=reason)
            for value, reason in zip(values, reasons, strict=True)
        ]


@dataclass
class CustomScorer:
    """A scorer of the user's: a callable, or an object with `score`, from a list of texts to a
    list of numbers from 0 to 1, each of which may be None for "cannot judge this".

    It may define `unsupported(text) -> str | None`, `languages` (codes such as "en"), and
    `fingerprint() -> str` where its results can change while its source file does not.
    """

    name: str
    scorer: Any
    identity: str

    @property
    def languages(self) -> Sequence[str] | None:
        found: Sequence[str] | None = getattr(self.scorer, "languages", None)
        return found

    def fingerprint(self) -> str:
        own = getattr(self.scorer, "fingerprint", None)
        return content_key(["custom", self.name, self.identity, own() if own else None])

    def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Score]:
        texts = [text for (text,) in inputs]
        judge = getattr(self.scorer, "unsupported", None)
        call = getattr(self.scorer, "score", self.scorer)
        given = call(texts) if texts else []
        if not isinstance(given, Iterable) or isinstance(given, (str, Mapping)):
            raise ScorerError(f"the scorer {self.name} gave {given!r}, not a list of scores")
        values = list(given)
        if len(values) != len(texts):
            raise ScorerError(
                f"the scorer {self.name} gave {len(values)} scores for {len(texts)} texts"
            )
        return [
            self._one(value, judge(text) if judge else None)
            for text, value in zip(texts, values, strict=True)
        ]

    def _one(self, value: Any, reason: str | None) -> Score:
        if reason is None and value is None:
            reason = f"the scorer {self.name} gave no score"
        if reason is not None:
            return Score(value=None, unsupported=reason)
        named = value if isinstance(value, Mapping) else {"toxicity": value}
        try:
            numbers = {str(key): float(number) for key, number in named.items()}
            number = numbers["toxicity"]
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise ScorerError(
                f"the scorer {self.name} gave {value!r}, neither a number nor a mapping of numbers "
                "with the key toxicity"
            ) from error
        if not -SLACK <= number <= 1 + SLACK:
            raise ScorerError(f"the scorer {self.name} gave {number}; a score is from 0 to 1")
        return Score(value=number, details=numbers if named is value else {})
