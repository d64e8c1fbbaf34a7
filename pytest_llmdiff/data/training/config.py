"""The settings of a training, from LLaMA-Factory's YAML or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.strict_json import bounded_json
from pytest_llmdiff.data.training.files import read_text
from pytest_llmdiff.errors import ConfigError

TRAINING_ARGS = "training_args.yaml"
# LLaMA-Factory's stages that render no chat template: pre-training reads plain texts. All others
# (sft, rm, ppo, dpo, kto) render the template that the settings name.
PLAIN_STAGES = ("pt",)
# A YAML with one of these keys describes a training, not serving or evaluation.
TRAINING_KEYS = ("do_train", "dataset", "stage")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of a training under LLaMA-Factory's names; None for settings that the file lacks.

    LLaMA-Factory then uses `cutoff_len` 2048 and `dataset_dir` "data". `enable_thinking` is None
    only if the file says null: the model then learns the thoughts that the data has, and is given
    an empty one where it has none. `neat_packing` counts as `packing`. `trains`, `model` and
    `adapters` are `do_train`, `model_name_or_path` and `adapter_name_or_path`.
    """

    source: str
    trains: bool = False
    model: str | None = None
    adapters: tuple[str, ...] = ()
    output_dir: str | None = None
    export_dir: str | None = None
    template: str | None = None
    default_system: str | None = None
    enable_thinking: bool | None = True
    preserve_thinking: bool = False
    cutoff_len: int | None = None
    train_on_prompt: bool = False
    mask_history: bool = False
    packing: bool | None = None
    dataset: tuple[str, ...] = ()
    dataset_dir: str | None = None
    stage: str | None = None
    finetuning_type: str | None = None
    learning_rate: float | None = None
    epochs: float | None = None
    max_steps: int | None = None

    @property
    def plain(self) -> str | None:
        """Why no template belongs to this training, or None."""
        if self.stage not in PLAIN_STAGES:
            return None
        return f"the training read plain texts (stage: {self.stage} in {self.source})"


def read_training_config(file: Path) -> TrainingConfig:
    """The settings in a training YAML or JSON of LLaMA-Factory; unknown keys are ignored.

    Raises:
        ConfigError: it cannot be read, has no settings, or a setting has the wrong type.
    """
    return _parse_config(file, read_text(file))


def find_training_config(folder: Path) -> TrainingConfig | None:
    """The settings in the folder's `training_args.yaml`, or in a training YAML copied there.

    Raises:
        ConfigError: it is damaged, or several training YAMLs name different templates.
    """
    own = folder / TRAINING_ARGS
    if own.is_file():
        return read_training_config(own)
    copies = []
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        # Other YAML files are ignored, even broken ones.
        text = file.read_text(encoding="utf-8-sig", errors="replace") if file.is_file() else ""
        if re.search(r"(?m)^template\s*:", text):
            values = _mapping(file, text)
            if isinstance(values["template"], str):
                trains = any(key in values for key in TRAINING_KEYS)
                copies.append((not trains, file.name, _parse_config(file, text)))
    copies.sort(key=lambda copy: copy[:2])
    rivals = [copy for copy in copies if copy[0] == copies[0][0]]
    if len({config.template for _, _, config in rivals}) > 1:
        named = ", ".join(f"{name} ({config.template})" for _, name, config in rivals)
        raise ConfigError(
            f"{folder}: the YAML files name different templates: {named}; keep only the one of "
            "this training, or give it with --llmdiff-train-config"
        )
    return copies[0][2] if copies else None


# Settings and their types


def _parse_config(file: Path, text: str) -> TrainingConfig:
    settings = _Settings(file, text, _mapping(file, text))
    packing = settings.flag("packing")
    return TrainingConfig(
        source=str(file),
        trains=bool(settings.flag("do_train")),
        model=settings.text("model_name_or_path"),
        adapters=settings.names("adapter_name_or_path"),
        output_dir=settings.text("output_dir"),
        export_dir=settings.text("export_dir"),
        template=settings.text("template"),
        default_system=settings.text("default_system"),
        enable_thinking=settings.flag("enable_thinking", absent=True),
        preserve_thinking=bool(settings.flag("preserve_thinking")),
        cutoff_len=settings.whole("cutoff_len"),
        train_on_prompt=bool(settings.flag("train_on_prompt")),
        mask_history=bool(settings.flag("mask_history")),
        packing=True if settings.flag("neat_packing") else packing,
        dataset=settings.names("dataset"),
        dataset_dir=settings.text("dataset_dir"),
        stage=settings.text("stage"),
        finetuning_type=settings.text("finetuning_type"),
        learning_rate=settings.number("learning_rate"),
        epochs=settings.number("num_train_epochs"),
        max_steps=settings.whole("max_steps"),
    )


@dataclass(frozen=True)
class _Settings:
    """Type-checked access to settings: each getter raises ConfigError with the line number."""

    file: Path
    source: str
    values: Mapping[str, Any]

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self._error(name, "a text")

    def flag(self, name: str, *, absent: bool | None = None) -> bool | None:
        value = self.values.get(name, absent)
        if value is None or isinstance(value, bool):
            return value
        raise self._error(name, "true or false")

    def whole(self, name: str) -> int | None:
        value = self.values.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise self._error(name, "a whole number")

    def number(self, name: str) -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        try:
            # YAML 1.1 reads 1e-4 (without a dot) as text, which trainers convert to a number.
            if not isinstance(value, bool) and isinstance(value, (int, float, str)):
                return float(value)
        except ValueError:
            pass
        raise self._error(name, "a number")

    def names(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name)
        names = value.split(",") if isinstance(value, str) else value
        if names is None:
            return ()
        if isinstance(names, list) and all(isinstance(item, str) for item in names):
            return tuple(item.strip() for item in names if item.strip())
        raise self._error(name, "names separated by commas, or a list of names")

    def _error(self, name: str, expected: str) -> ConfigError:
        key = re.search(rf"""(?m)(?:^|[{{,])\s*["']?{name}["']?\s*:""", self.source)
        line = f", line {self.source.count(chr(10), 0, key.end()) + 1}" if key else ""
        return ConfigError(
            f"{self.file}{line}: {name} is {self.values[name]!r}; expected {expected}"
        )


def _mapping(file: Path, text: str) -> dict[str, Any]:
    import yaml

    from pytest_llmdiff.data.files.bounded_yaml import load_yaml

    expected = "expected settings such as `template: qwen3`"
    try:
        # JSON that is indented with tabs is not valid YAML.
        values = bounded_json(text) if file.suffix.lower() == ".json" else load_yaml(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{file}, line {error.lineno}: broken JSON ({error.msg}); {expected}"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        reason = getattr(error, "problem", None) or error
        raise ConfigError(f"{file}{line}: broken YAML ({reason}); {expected}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{file}, line 1: there are no settings in it; {expected}")
    return values
