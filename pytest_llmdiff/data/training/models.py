"""The models that a training's own files name: the base of an adapter, both models of a YAML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_llmdiff.config.packages import given_path
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import FORMS, HUB_ID, fetch, parse_spec
from pytest_llmdiff.data.training.adapter_base import ADAPTER_CONFIG, named_base
from pytest_llmdiff.data.training.config import TrainingConfig, read_training_config
from pytest_llmdiff.errors import ConfigError, MissingPackageError


@dataclass(frozen=True, kw_only=True)
class NamedModels:
    """The settings with both models, and what the run's header says about where they were found."""

    settings: Settings
    notes: tuple[str, ...] = ()


def named_models(settings: Settings) -> NamedModels:
    """Complete `--llm-tuned=X`, where X is the YAML of a training, or an adapter without its base.

    Raises:
        ConfigError: X does not say which base it was made from, or that is not on this machine.
    """
    tuned = str(settings.tuned)
    file = settings.folder_of("tuned") / tuned
    if file.suffix in (".yaml", ".yml") and file.is_file():
        return _of_yaml(file, settings)
    if settings.base is not None:
        return NamedModels(settings=settings)
    base, where = _base_of(tuned, settings)
    return NamedModels(settings=replace(settings, base=base), notes=(f"base {base}, from {where}",))


def _of_yaml(file: Path, settings: Settings) -> NamedModels:
    """Both models, and the training's settings, from a YAML of LLaMA-Factory."""
    config = read_training_config(file)
    written = _written_by(config)
    if written is None:
        several = _several(config, file, settings)
        what = f"; give one of its adapters: {', '.join(several)}" if several else ""
        raise ConfigError(
            f"--llm-tuned: {settings.tuned} names no single model (do_train with output_dir, "
            f"export_dir, or one adapter_name_or_path){what or '; the option takes ' + FORMS}"
        )
    tuned = _located(written, file, settings)
    if tuned is None:
        raise ConfigError(
            f"--llm-tuned: {settings.tuned} names the folder {written}, which is not here; paths "
            "in it start where the training was started: start there, or give the folder itself"
        )
    notes = [f"tuned {tuned}, from {file.name}"]
    base = settings.base
    if base is None:
        if config.model is not None and (config.trains or config.adapters):
            base, where = _found(config.model, file, settings), file.name
        else:
            base, where = _base_of(tuned, settings)
        notes.append(f"base {base}, from {where}")
    told = settings.train_config or (str(file) if config.template is not None else None)
    completed = replace(settings, base=base, tuned=tuned, train_config=told)
    return NamedModels(settings=completed, notes=tuple(notes))


def _written_by(config: TrainingConfig) -> str | None:
    """The folder of the tuned model: what a training or an export writes, or what is served."""
    if config.trains:
        return config.output_dir
    return config.export_dir or (config.adapters[0] if len(config.adapters) == 1 else None)


def _several(config: TrainingConfig, file: Path, settings: Settings) -> Sequence[str]:
    """The adapters that a YAML names, or that its output folder holds, if there are several."""
    if config.adapters:
        return config.adapters
    folder = config.output_dir and _located(config.output_dir, file, settings)
    if not folder:
        return ()
    held = sorted((settings.folder / folder).glob(f"*/{ADAPTER_CONFIG}"))
    return [f"{folder}/{adapter.parent.name}" for adapter in held]


def _base_of(tuned: str, settings: Settings) -> tuple[str, str]:
    """The base that an adapter names, and the file in which it does."""
    spec = parse_spec(tuned, option="--llm-tuned", folder=settings.folder_of("tuned"))
    if spec.kind != "adapter":
        raise ConfigError(
            f"--llm-tuned: {tuned} does not say which model it was made from: give that as "
            "--llm-base SPEC"
        )
    file = fetch(spec) / ADAPTER_CONFIG
    named = named_base(file.parent)
    if named is None:
        raise ConfigError(f"{file} names no base: give it as --llm-base SPEC")
    prefix = "vllm:" if spec.runtime == "vllm" else ""
    return prefix + _found(named, file, settings), ADAPTER_CONFIG


def _found(named: str, file: Path, settings: Settings) -> str:
    """The SPEC of a base that a file names: a folder here, or an id on the hub."""
    located = _located(named, file, settings)
    if located is not None:
        found = parse_spec(located, option=f"the base that {file} names", folder=settings.folder)
        if found.kind == "adapter":
            raise ConfigError(
                f"{file} names the base {named}, which is a PEFT adapter itself: merge that into "
                "its own base (merge_and_unload), and give the merged model as --llm-base SPEC"
            )
        return located
    if not HUB_ID.fullmatch(named):
        raise ConfigError(
            f"{file} names the base {named}, which is not here: give it as --llm-base SPEC"
        )
    try:
        parse_spec(named, option="--llm-base", folder=settings.folder)
    except MissingPackageError:
        raise
    except ConfigError as error:
        raise ConfigError(
            f"{file} names the base {named}, which is not a folder here and cannot be had from "
            "the Hugging Face hub: give it as --llm-base SPEC"
        ) from error
    return named


def _located(named: str, file: Path, settings: Settings) -> str | None:
    """A path that a training wrote, as a folder or file here.

    It starts where the training was started: usually in a parent of the folder that was written.
    """
    tried: Iterator[Path] = (
        given_path(named, start, what=f"{file}")
        for start in (settings.folder, settings.ini_folder, *file.resolve().parents)
    )
    found = next((path for path in tried if path.exists()), None)
    if found is None:
        return None
    return named if found == settings.folder / named else str(found)
