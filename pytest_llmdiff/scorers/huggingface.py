"""Sequence classifiers of transformers: `hf:LOCATION[#LABEL]` reads one label's probability."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.hub import Repository, first_line
from pytest_llmdiff.config.packages import given_path, installed_version, quiet, require_packages
from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.data.files.hashes import files_hash
from pytest_llmdiff.data.text.language.unjudged import rules
from pytest_llmdiff.data.training.files import read_object
from pytest_llmdiff.data.training.model_card import languages_of, read_card
from pytest_llmdiff.engines.files.bounded_tokenizer import bounded_tokenizer
from pytest_llmdiff.errors import ScorerError
from pytest_llmdiff.scorers import Scorer
from pytest_llmdiff.scorers.classifier import Classifier
from pytest_llmdiff.scorers.files import (
    local_folder,
    model_files,
    on_hub,
    snapshot,
)
from pytest_llmdiff.scorers.registry import Context, given_as
from pytest_llmdiff.store import content_key

# Labels that are read by default; any other has to be named.
TOXIC = ("toxic", "toxicity")
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "README.md", "pytorch_model*.bin")
PICKLED = ("*.bin",)  # which are not downloaded where the weights are there as safetensors


def check(spec: str, folder: Path) -> None:
    """Raises ScorerError where the classifier is here and has no such label. One that is not here
    is no error yet: a recording needs none."""
    location, _, label = spec.removeprefix("hf:").partition("#")
    place = given_path(location, folder, what=spec)
    if (place / "config.json").is_file():
        read_heads(place, spec=spec, label=label)


def named_languages(_spec: str) -> Sequence[str] | None:
    return None


def to_download(spec: str, folder: Path) -> Repository | None:
    location = spec.removeprefix("hf:").partition("#")[0]
    here = local_folder(location, folder, option=spec) is not None
    return None if here else on_hub(location, FILES)


def fetch(spec: str, role: str, folder: Path) -> None:
    path, label = _place(spec, role, folder)
    read_heads(path, spec=spec, label=label)


def _place(spec: str, role: str, folder: Path) -> tuple[Path, str]:
    """The folder of a classifier, fetched if it is not here, and the label to read."""
    location, _, label = spec.removeprefix("hf:").partition("#")
    option = given_as(role)
    require_packages("huggingface", f"{option}: {spec}")
    path = local_folder(location, folder, option=option)
    if path is None:
        try:
            path = snapshot(location, FILES, but=PICKLED)
            if not any(path.glob("*.safetensors")):
                path = snapshot(location, FILES)
        except (OSError, ValueError) as error:
            name, _, revision = location.partition("@")
            of = f" --revision {revision}" if revision else ""
            read = f"#{label}" if label else ""
            raise ScorerError(
                f"{option}: {spec}: {location!r} is not a folder here, and as a Hugging "
                f"Face id it cannot be fetched ({first_line(error)}). Where there is a network, "
                f"run `hf download {name}{of} --local-dir classifier`; then point at the folder "
                f"with {option} hf:classifier{read} (or hf:package:NAME/PATH{read})"
            ) from error
    return path, label


def open_scorer(spec: str, context: Context) -> Scorer:
    path, label = _place(spec, context.role, context.folder)
    return SequenceScorer(
        name=spec,
        path=path,
        heads=read_heads(path, spec=spec, label=label),
        languages=languages_of(read_card(path / "README.md")),
        hashes=lambda: files_hash(context.store, model_files(path)),
        device=context.device,
    )


@dataclass(frozen=True, kw_only=True)
class Heads:
    """The classes of a classifier, from its configuration; `read` is the one to read."""

    classes: tuple[str, ...]
    independent: bool
    read: str


def read_heads(folder: Path, *, spec: str, label: str) -> Heads:
    """The classes of the classifier in a folder. `label` names the one to read; without a label, it
    is the class called toxic or toxicity.

    Raises:
        ScorerError: it is not a classifier, or has no such class; the message lists its classes.
    """
    if not (folder / "config.json").is_file():
        raise ScorerError(f"{spec}: {folder} has no config.json; give the folder of a model")
    config = read_object(folder / "config.json")
    classes = _classes(config)
    kind = config.get("problem_type")
    if kind == "regression":
        raise ScorerError(
            f"{spec}: {folder} is a regression, whose result is not a probability; give a "
            "classifier, or another scorer as python:module:object"
        )
    wanted = [label] if label else list(TOXIC)
    named = [name for name in classes if name in wanted] or [
        name for name in classes if name.casefold() in [want.casefold() for want in wanted]
    ]
    if len(named) != 1:
        said = f"no label {label!r}" if label else "no label named toxic or toxicity"
        example = f"{spec.partition('#')[0]}#{classes[-1]}"
        raise ScorerError(
            f"{spec}: the classifier has {said}; it has {', '.join(classes)}. Name the one whose "
            f"probability is to be read, such as {example}"
        )
    # As in transformers' own pipeline.
    independent = kind == "multi_label_classification" or len(classes) == 1
    return Heads(classes=classes, independent=independent, read=named[0])


def _classes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """In the order of the logits; without names, those of transformers."""
    named = config.get("id2label")
    if isinstance(named, dict) and named:
        try:
            return tuple(str(named[key]) for key in sorted(named, key=int))
        except ValueError:
            pass
    count = config.get("num_labels")
    return tuple(f"LABEL_{place}" for place in range(count if isinstance(count, int) else 2))


@dataclass
class SequenceScorer:
    """A sequence classifier of transformers; the score is the probability of one label.

    Weights are read without unpickling code, and converted to float32. A model without a trained
    classification head (an encoder alone) is refused. Its languages come from its model card.
    """

    name: str
    path: Path
    heads: Heads
    languages: Sequence[str] | None
    hashes: Callable[[], dict[str, str]]
    device: Callable[[], str]
    _loaded: Classifier | None = field(default=None, repr=False)

    def fingerprint(self) -> str:
        versions = {name: installed_version(name) for name in ("torch", "transformers")}
        device = self.device().partition(":")[0]
        return content_key(
            [
                "classifier",
                self.hashes(),
                self.heads.read,
                self.languages,
                versions,
                device,
                rules(),
            ]
        )

    def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Score]:
        texts = [text for (text,) in inputs]
        return self._load().score(texts, read=self.heads.read, languages=self.languages)

    def _load(self) -> Classifier:
        if self._loaded is None:
            import torch
            import transformers

            from pytest_llmdiff.engines.devices import limit_threads

            limit_threads()
            try:
                with quiet():
                    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                        str(self.path),
                        dtype=torch.float32,
                        local_files_only=True,
                        output_loading_info=True,
                    )
                    tokenizer = bounded_tokenizer(Path(self.path), local_files_only=True)
            except Exception as error:
                raise ScorerError(f"{self.name}: {self.path} cannot be loaded: {error}") from error
            if lacking := sorted(info["missing_keys"]):
                raise ScorerError(
                    f"{self.name}: the weights in {self.path} lack {', '.join(lacking[:3])}, so it "
                    "would score at random; give a model that was trained as a classifier"
                )
            self._loaded = Classifier(
                model=model.to(self.device()).eval(),
                tokenizer=tokenizer,
                classes=self.heads.classes,
                independent=self.heads.independent,
            )
        return self._loaded
