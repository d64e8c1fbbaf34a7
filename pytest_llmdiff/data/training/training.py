"""What the tuned model was trained with: given by the user, or found in traces of the training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pytest_llmdiff.config.packages import given_path
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec, fetch
from pytest_llmdiff.data.files.records import INFO
from pytest_llmdiff.data.llamafactory.datasets import Dataset, read_dataset, read_training_data
from pytest_llmdiff.data.llamafactory.modelfile import template_of_modelfile
from pytest_llmdiff.data.training.config import TrainingConfig
from pytest_llmdiff.data.training.files import read_text
from pytest_llmdiff.data.training.template_source import (
    TemplateSource,
    read_training_source,
    source_of_config,
)
from pytest_llmdiff.data.training.traces import Traces, find_traces
from pytest_llmdiff.errors import ConfigError, LLMDiffError


@dataclass(frozen=True, kw_only=True)
class Training:
    """The template of the training, and where it was `found_in`.

    `template` is None if it is not known; `unknown` then says why. `own_template` is a
    `chat_template.jinja` beside the weights. It counts only if it differs from the base's, because
    LLaMA-Factory saves the base's template for nearly every template that it trains with.
    """

    template: TemplateSource | None = None
    found_in: str = ""
    unknown: str = ""
    own_template: TemplateSource | None = None
    predictions: tuple[str, ...] = ()
    config: TrainingConfig | None = None
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class TrainData:
    """The training data that is known; `unknown` says why there is none."""

    datasets: tuple[Dataset, ...] = ()
    found_in: str = ""
    unknown: str = ""

    def left_out(self) -> list[str]:
        """How many records of each data set are not read, and why the first of them is not."""
        return [
            f"{len(d.skipped)} of {len(d.skipped) + len(d.examples)} records of the training data "
            f"{d.name} are left out; the first is {d.skipped[0]}"
            for d in self.datasets
            if d.skipped
        ]


def given_training(settings: Settings) -> Training | None:
    """What `--llmdiff-train-config` says, or None if it is not given.

    Raises:
        ConfigError: it cannot be read.
    """
    if settings.train_config is None:
        return None
    template, config = read_training_source(
        settings.train_config,
        option="--llmdiff-train-config",
        folder=settings.folder_of("train_config"),
        llamafactory=settings.llamafactory,
    )
    plain = None if config is None else config.plain
    unknown = "" if template else plain or f"{settings.train_config} names no template"
    return Training(
        template=template, found_in="--llmdiff-train-config", unknown=unknown, config=config
    )


def find_training(tuned: Spec, settings: Settings) -> Training:
    """What `--llmdiff-train-config` says, else what the files beside the tuned weights say.

    Raises:
        ConfigError: a file of the training is damaged.
    """
    folder = fetch(tuned) if tuned.kind in ("adapter", "weights") else None
    given = given_training(settings)
    if given is not None:
        return replace(given, folder=folder)
    if folder is None:
        return Training(unknown=f"{tuned.text} has no folder with files of the training")
    return _from_traces(find_traces(folder), folder, settings)


def given_train_data(settings: Settings) -> TrainData | None:
    """The data that `--llmdiff-train-data` names, or None if it is not given.

    Raises:
        ConfigError: there is no such file or entry.
        ProbeFileError: the data is malformed, or none of it is text.
    """
    if settings.train_data is None:
        return None
    try:
        datasets = read_training_data(settings.train_data, settings.folder_of("train_data"))
    except ConfigError as error:
        raise ConfigError(f"--llmdiff-train-data: {error}") from error
    return TrainData(datasets=datasets, found_in="--llmdiff-train-data")


def find_train_data(training: Training, settings: Settings) -> TrainData:
    """The data that `--llmdiff-train-data` names, else the data that the training's settings name.

    Raises:
        ConfigError: the option names something that does not exist.
        ProbeFileError: the data that it names cannot be read.
    """
    given = given_train_data(settings)
    if given is not None:
        return given
    config = training.config
    if config is None or not config.dataset:
        return TrainData(unknown="--llmdiff-train-data is not given")
    named = f"{', '.join(config.dataset)} of {Path(config.source).name}"
    data_dir = config.dataset_dir or "data"
    # Paths in the settings are relative to the folder in which the training was started.
    beside = Path(config.source).resolve().parent
    for start in (settings.folder, beside, beside.parent):
        folder = given_path(data_dir, start, what=f"{config.source}: dataset_dir")
        if not (folder / INFO).is_file():
            continue
        try:
            return TrainData(
                datasets=tuple(read_dataset(folder, name) for name in config.dataset),
                found_in=named,
            )
        except LLMDiffError as error:
            return TrainData(unknown=f"the data {named} cannot be read: {error}")
    return TrainData(
        unknown=f"the data {named} is missing (no {Path(data_dir) / INFO} here or beside it); "
        "give it with --llmdiff-train-data"
    )


def _from_traces(traces: Traces, folder: Path, settings: Settings) -> Training:
    looked = ", ".join(traces.looked_for)
    unknown = f"nothing in {folder.name} names the template of the training (looked for {looked})"
    template, found_in = None, ""
    if traces.config is not None and traces.config.plain is not None:
        unknown = traces.config.plain
    elif traces.config is not None and traces.config.template is not None:
        found_in = Path(traces.config.source).name
        try:
            template = source_of_config(traces.config, settings.llamafactory)
        except ConfigError as error:
            unknown = f"{found_in} names the template {traces.config.template!r}, but {error}"
    elif traces.modelfile is not None:
        found_in = traces.modelfile.name
        try:
            template = TemplateSource(
                name=found_in,
                factory=template_of_modelfile(read_text(traces.modelfile)),
            )
        except ConfigError as error:
            unknown = f"{unknown}; {error}"
    own = None
    if template is None and traces.chat_template is not None and traces.chat_template.suffix == (
        ".jinja"
    ):  # fmt: skip
        own = TemplateSource(
            name=traces.chat_template.name,
            jinja=read_text(traces.chat_template),
        )
        if traces.maker in ("trl", "unsloth", "axolotl"):
            # These trainers render with the tokenizer's template, and save that tokenizer.
            template, found_in, own = own, f"{own.name}, as {traces.maker} saves it", None
    return Training(
        template=template,
        found_in=found_in,
        unknown="" if template else unknown,
        own_template=own,
        predictions=traces.predictions,
        config=traces.config,
        folder=folder,
    )
