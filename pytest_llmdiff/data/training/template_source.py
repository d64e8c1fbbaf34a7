"""Chat templates by name: a `.jinja` file, or one of LLaMA-Factory's templates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pytest_llmdiff.config.packages import given_path
from pytest_llmdiff.data.llamafactory.templates import FactoryTemplate, factory_template
from pytest_llmdiff.data.training.config import TrainingConfig, read_training_config
from pytest_llmdiff.data.training.files import read_text
from pytest_llmdiff.errors import ConfigError

FACTORY = "llamafactory:"


@dataclass(frozen=True, kw_only=True)
class TemplateSource:
    """A chat template and its name: either Jinja source or LLaMA-Factory's slots."""

    name: str
    jinja: str | None = None
    factory: FactoryTemplate | None = None

    def content(self) -> object:
        """Plain JSON of everything that decides the rendering."""
        return self.jinja if self.factory is None else self.factory.content()


def read_template(
    text: str, *, option: str, folder: Path, llamafactory: Path | None
) -> TemplateSource:
    """The template that an option names.

    Raises:
        ConfigError: there is no such file or template.
    """
    if text.startswith(FACTORY):
        found = factory_template(text.removeprefix(FACTORY), llamafactory)
        return TemplateSource(name=text, factory=found)
    path = given_path(text, folder, what=option)
    if not path.is_file():
        raise ConfigError(
            f"{option}: there is no file {path}; it takes a .jinja file or llamafactory:NAME"
        )
    return TemplateSource(name=path.name, jinja=read_text(path))


def read_training_source(
    text: str, *, option: str, folder: Path, llamafactory: Path | None
) -> tuple[TemplateSource | None, TrainingConfig | None]:
    """What a model was trained with: a template as in `read_template`, or a training YAML.

    The template is None if the YAML names none, so that LLaMA-Factory derives it from the model's
    own, or if its stage renders none.

    Raises:
        ConfigError: there is no such file or template, or the YAML is broken.
    """
    path = given_path(text, folder, what=option)
    if text.startswith(FACTORY) or path.suffix not in (".yaml", ".yml", ".json"):
        return read_template(text, option=option, folder=folder, llamafactory=llamafactory), None
    if not path.is_file():
        raise ConfigError(f"{option}: there is no file {path}")
    config = read_training_config(path)
    return source_of_config(config, llamafactory), config


def source_of_config(config: TrainingConfig, llamafactory: Path | None) -> TemplateSource | None:
    """The template that a training configuration names, with its settings applied.

    None if it names none, or if its stage renders none.
    """
    if config.template is None or config.plain is not None:
        return None
    found = factory_template(config.template, llamafactory)
    if config.default_system is not None:
        found = replace(found, default_system=config.default_system)
    found = replace(
        found,
        enable_thinking=config.enable_thinking,
        preserve_thinking=config.preserve_thinking,
    )
    name = f"{FACTORY}{config.template} of {config.source}"
    return TemplateSource(name=name, factory=found)
