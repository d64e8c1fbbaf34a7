"""Detoxify's toxicity classifiers: `detoxify:VARIANT`, or `detoxify:CHECKPOINT[#CONFIG_FOLDER]`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_llmdiff.config.hub import offline
from pytest_llmdiff.config.packages import given_path, installed_version, require_packages
from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.data.files.hashes import files_hash
from pytest_llmdiff.data.text.language.unjudged import rules
from pytest_llmdiff.engines.files.bounded_tokenizer import bounded_tokenizer
from pytest_llmdiff.errors import ScorerError, did_you_mean
from pytest_llmdiff.scorers import ENGLISH, Scorer
from pytest_llmdiff.scorers.classifier import Classifier
from pytest_llmdiff.scorers.files import model_files, snapshot
from pytest_llmdiff.scorers.registry import Context
from pytest_llmdiff.store import content_key

# Detoxify's releases (its `detoxify.MODEL_URLS`) with the hub ids of their configurations. It is a
# copy, because importing the package imports torch.
VARIANTS = {
    "original": ("v0.1-alpha/toxic_original-c1212f89.ckpt", "bert-base-uncased"),
    "unbiased": ("v0.3-alpha/toxic_debiased-c7548aa0.ckpt", "roberta-base"),
    "multilingual": ("v0.4-alpha/multilingual_debiased-0b549669.ckpt", "xlm-roberta-base"),
    "original-small": ("v0.1.2/original-albert-0e1d6498.ckpt", "albert-base-v2"),
    "unbiased-small": ("v0.1.2/unbiased-albert-c8519128.ckpt", "albert-base-v2"),
}
# Parameters of each model in float32: XLM-R 278 million, BERT 110, RoBERTa 125, ALBERT 12.
SIZES = {
    "multilingual": "1.1 GB", "original": "440 MB", "unbiased": "500 MB",
    "original-small": "47 MB", "unbiased-small": "47 MB",
}  # fmt: skip
MULTILINGUAL = ("en", "fr", "es", "it", "pt", "tr", "ru")
RELEASES = "https://github.com/unitaryai/detoxify/releases/download/"
# Detoxify renames the classes of its older checkpoints.
RENAMED = {
    "toxic": "toxicity",
    "identity_hate": "identity_attack",
    "severe_toxic": "severe_toxicity",
}


def check(_spec: str, _folder: Path) -> None:
    """Files are looked for when the scorer is opened: a recording needs none."""


def named_languages(spec: str) -> Sequence[str] | None:
    return _languages(spec.removeprefix("detoxify:"))


def _languages(variant: str) -> tuple[str, ...] | None:
    """The languages of a variant's training data, as its authors state them; None for a checkpoint
    of the user's."""
    if variant not in VARIANTS:
        return None
    return MULTILINGUAL if variant == "multilingual" else ENGLISH


def to_download(spec: str, _folder: Path) -> str | None:
    variant = spec.removeprefix("detoxify:")
    if variant not in VARIANTS or _checkpoint(variant).is_file():
        return None
    return SIZES[variant]


def fetch(spec: str, _role: str, folder: Path) -> None:
    _files(spec, folder)


def _files(spec: str, folder: Path) -> tuple[Path, Path]:
    """The checkpoint, and the folder of its configuration; a variant's are fetched."""
    require_packages("detoxify", f"the toxicity scorer {spec}")
    rest = spec.removeprefix("detoxify:")
    if rest in VARIANTS:
        return _downloaded(rest), _configuration(rest, VARIANTS[rest][1])
    given, _, beside = rest.partition("#")
    checkpoint = given_path(given, folder, what="--llmdiff-toxicity")
    if not checkpoint.is_file():
        raise ScorerError(
            f"--llmdiff-toxicity: {spec}: {given!r} is neither a variant "
            f"({', '.join(VARIANTS)}) nor a checkpoint file{did_you_mean(given, VARIANTS)}"
        )
    config = checkpoint.parent
    if beside:
        config = given_path(beside, folder, what="--llmdiff-toxicity")
    if not (config / "config.json").is_file():
        raise ScorerError(
            f"--llmdiff-toxicity: {spec}: {config} has no config.json; put the model's "
            "configuration and tokenizer files there, or name their folder: "
            "detoxify:CHECKPOINT#CONFIG_FOLDER"
        )
    return checkpoint, config


def open_scorer(spec: str, context: Context) -> Scorer:
    rest = spec.removeprefix("detoxify:")
    checkpoint, config = _files(spec, context.folder)
    return DetoxifyScorer(
        name=spec,
        checkpoint=checkpoint,
        config=config,
        languages=_languages(rest),
        hashes=lambda: files_hash(context.store, [checkpoint, *model_files(config)]),
        device=context.device,
    )


def _checkpoint(variant: str) -> Path:
    """A variant's checkpoint in torch.hub's cache."""
    home = os.environ.get("TORCH_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "torch"
    )
    return Path(home, "hub", "checkpoints", VARIANTS[variant][0].rsplit("/", 1)[1])


def _downloaded(variant: str) -> Path:
    """The checkpoint of a variant, downloaded if it is missing."""
    file, url = _checkpoint(variant), RELEASES + VARIANTS[variant][0]
    if file.is_file():
        return file
    reason = "HF_HUB_OFFLINE is set"
    if not offline():
        import torch

        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # A file name ends with the first digits of its hash.
            prefix = file.stem.rpartition("-")[2]
            torch.hub.download_url_to_file(url, str(file), hash_prefix=prefix, progress=False)
        except (OSError, RuntimeError) as error:
            reason = str(error)
        else:
            return file
    raise ScorerError(
        f"the toxicity scorer detoxify:{variant} needs {url} ({SIZES[variant]}) as {file}, and it "
        f"cannot be fetched ({reason}). Put the file there, or use --llmdiff-toxicity "
        "detoxify:CHECKPOINT#CONFIG_FOLDER, or the scorer that needs no download: "
        "--llmdiff-toxicity=profanity-check (English words only: it flags harmless sentences about "
        "minorities and misses polite hostility)"
    )


def _configuration(variant: str, repo: str) -> Path:
    patterns = ("config.json", "tokenizer*", "vocab*", "merges.txt", "*.model")
    try:
        return snapshot(repo, patterns)
    except (OSError, ValueError) as error:
        raise ScorerError(
            f"the toxicity scorer detoxify:{variant} needs the configuration and tokenizer of "
            f"{repo}, and they cannot be fetched. Run `hf download {repo} --include 'config.json' "
            "'tokenizer*' 'vocab*' '*.model'` where there is a network, or use "
            "--llmdiff-toxicity detoxify:CHECKPOINT#CONFIG_FOLDER"
        ) from error


@dataclass
class DetoxifyScorer:
    """A Detoxify checkpoint. The score is the probability of `toxicity`; the other classes are
    details.

    It does not use the class `Detoxify`, which unpickles the checkpoint, and so runs code from it,
    and which asks the hub for a configuration even if one is given (docs/architecture.md).
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
        device = self.device().partition(":")[0]
        return content_key(["detoxify", self.hashes(), versions, device, rules()])

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
                    raise ValueError(f"{arch['model_name']} is not a sequence classifier")
                names = held["config"]["dataset"]["args"]["classes"]
                classes = [RENAMED.get(name, name) for name in names]
                config = transformers.AutoConfig.from_pretrained(
                    self.config, num_labels=arch["num_classes"], local_files_only=True
                )
                model = getattr(transformers, arch["model_name"])(config)
                result = model.load_state_dict(held["state_dict"], strict=False)
                tokenizer = bounded_tokenizer(Path(self.config), local_files_only=True)
            except Exception as error:
                raise ScorerError(
                    f"{self.name}: {self.checkpoint} with the configuration in {self.config} "
                    f"cannot be loaded: {error}"
                ) from error
            # Surplus keys are position ids, which older versions saved; missing keys are an error.
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
