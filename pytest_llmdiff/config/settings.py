"""The settings of a run, checked: from the command line, else the ini file, else defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.command_line import given_models, in_addopts, in_environment
from pytest_llmdiff.config.given import runs_tests
from pytest_llmdiff.config.options import MODELS, OPTIONS, SEVERAL, Option
from pytest_llmdiff.config.places import (
    check_places,
    require_apart,
    require_apart_from_others,
    require_writable,
)
from pytest_llmdiff.errors import ConfigError, did_you_mean

SHOWN = 200  # characters of an invalid value in an error


# Nothing compares or prints it, and at each start Python would compile methods for so many fields.
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Settings:
    """The run's settings, checked. `sources` says where each comes from.

    Of several tuned models, `tuned` is the one that tests run with at the moment, and `several` has
    all of them; it is empty where there is one.
    """

    base: str | None
    tuned: str | None
    several: tuple[str, ...] = ()
    served: str | None = None
    device: str
    dtype: str
    quantization: str
    served_dtype: str | None
    served_quantization: str | None
    batch_size: int | None
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int
    samples: int
    system: str | None
    tokenizer: str | None
    template: str | None
    template_kwargs: Mapping[str, Any]
    server_parameters: Mapping[str, Any]
    vllm: Mapping[str, Any]
    train_config: str | None
    train_data: str | None
    llamafactory: Path | None
    embedder: str
    toxicity: str
    refusal: str
    judge: str | None
    labels: Path | None
    label: Path | None
    store: Path
    record: Path | None
    json: Path | None
    html: Path | None
    markdown: Path | None
    track: str | None
    export: Path | None
    explain: str
    inconclusive: str
    baseline: Path | None
    calibrate: Path | None
    margin: Mapping[str, float]
    suite_limits: Mapping[str, float | str]
    languages: Sequence[str] | None
    accepted: Path
    accept: bool
    plan: bool
    required: bool
    trust_remote_code: bool
    sources: Mapping[str, str]
    folder: Path
    ini_folder: Path

    @property
    def has_models(self) -> bool:
        return self.base is not None and self.tuned is not None

    @property
    def tuned_text(self) -> str:
        """The SPEC of the tuned model, or of each of several."""
        return ", ".join(self.several) or self.tuned or ""

    @property
    def names_a_model(self) -> bool:
        return any(side is not None for side in (self.base, self.tuned, self.served))

    @property
    def is_incomplete(self) -> bool:
        """Whether the files of a training are to name a model."""
        tuned = self.tuned
        return tuned is not None and (self.base is None or tuned.endswith((".yaml", ".yml")))

    @property
    def calibrating(self) -> bool:
        """Whether the base is compared with itself, and nothing is judged."""
        return self.calibrate is not None

    def tells_of_training(self, kind: str) -> bool:
        """Whether options, or the folder of a SPEC of this kind, could say how it was trained."""
        given = self.train_config is not None or self.train_data is not None
        return given or kind in ("adapter", "weights")

    def folder_of(self, name: str) -> Path:
        """Where relative paths of an option start: in the ini file's folder or the current one."""
        return self.ini_folder if self.sources.get(name) == "ini" else self.folder


def read_settings(config: pytest.Config) -> Settings:
    """Settings from command line, then ini, then defaults.

    Raises:
        ConfigError: a value is invalid.
    """
    invocation = Path(config.invocation_params.dir)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    models: dict[str, str | None] = {}
    for flag in MODELS:
        name = flag.removeprefix("--llm-")
        given = given_models(config, flag)
        models[name] = given[-1] if given else None
        sources[name] = _source(config, flag, models[name])
    for option in OPTIONS:
        values[option.name], sources[option.name] = _read(config, option, invocation)
    ini_folder = config.inipath.parent if config.inipath else invocation
    require_apart_from_others(config, values, invocation)
    settings = checked_settings(
        models, values, sources, folder=invocation, ini_folder=ini_folder, runs=runs_tests(config)
    )
    if not (tuned := given_models(config, SEVERAL)):
        return settings
    from pytest_llmdiff.config.tuned_models import with_all

    return with_all(settings, tuned)


def checked_settings(
    models: Mapping[str, str | None],
    values: Mapping[str, Any],
    sources: Mapping[str, str],
    *,
    folder: Path,
    ini_folder: Path,
    runs: bool,
) -> Settings:
    """The settings of parsed values, by name. `runs` is whether models run and files are written.

    Raises:
        ConfigError: values contradict each other, or a place cannot be used.
    """
    base, tuned = models["base"], models["tuned"]
    if values["calibrate"] is not None and base is not None and tuned is None:
        tuned = base  # calibration compares the base with itself in any case
    served = models["served"]
    if values["plan"] and tuned is None:
        raise ConfigError("--llmdiff-plan: give --llm-base SPEC --llm-tuned SPEC as for the run")
    if values["samples"] > 1 and values["temperature"] == 0:
        raise ConfigError(
            f"--llmdiff-samples: {values['samples']} replies of a greedy model are all the same; "
            "give a --llmdiff-temperature above 0, or leave samples out"
        )
    check_places(values)
    require_apart(values, {})
    if tuned is not None and runs:
        require_writable(values)
        if (tracker := values["track"]) is not None:
            from pytest_llmdiff.config.packages import require_packages

            require_packages(tracker, f"--llmdiff-track={tracker}")
    return Settings(
        base=base,
        tuned=tuned,
        served=served,
        sources=sources,
        folder=folder,
        ini_folder=ini_folder,
        **values,
    )


def require_both(settings: Settings) -> None:
    """Refuse a model without the one that it is compared with.

    Raises:
        ConfigError: the base or the served model is given without the tuned one. A tuned model
            alone may name its base (`data.training.models`).
    """
    if settings.tuned is None and settings.base is not None:
        raise ConfigError("--llm-base is given without --llm-tuned; a comparison needs both")
    if settings.tuned is None and settings.served is not None:
        raise ConfigError("--llm-served is given without --llm-base and --llm-tuned")
    factory = settings.llamafactory
    if settings.tuned is not None and factory is not None and not factory.exists():
        raise ConfigError(
            f"--llmdiff-llamafactory: {factory} does not exist; give the folder of a checkout"
        )


def models_typed(config: pytest.Config) -> bool:
    """Whether the command line itself names a model: those in `addopts` and `PYTEST_ADDOPTS` are
    there in every run, also in those that use none."""
    return any(
        not in_addopts(config, flag, value) and not in_environment(flag, value)
        for flag in MODELS
        for value in given_models(config, flag)
    )


def only_plans(config: pytest.Config) -> bool:
    """Whether `--llmdiff-plan` or its ini option is set. Read before the other settings.

    Raises:
        ConfigError: the value in ini is neither true nor false.
    """
    (plan,) = (option for option in OPTIONS if option.name == "plan")
    return bool(_read(config, plan, Path(config.invocation_params.dir))[0])


def _read(config: pytest.Config, option: Option, invocation: Path) -> tuple[Any, str]:
    home = config.inipath.parent if config.inipath else invocation
    given = config.getoption(f"llmdiff_{option.name}")
    source = _source(config, option.flag, given)
    if given is None:
        given, source = _written(config, f"llmdiff_{option.name}"), "ini"
    if given is None:
        path = option.is_path and option.default is not None
        return home / option.default if path else option.default, "default"
    where = option.flag if source == "command line" else f"llmdiff_{option.name} in ini"
    return parsed(option, given, where, home if source == "ini" else invocation), source


def parsed(option: Option, given: Any, where: str, folder: Path) -> Any:
    """An option's value; a relative path starts at `folder`. Raises ConfigError: it is invalid."""
    try:
        value = option.parse(given)
    except (ValueError, TypeError, KeyError) as error:
        choices = re.split(r", | or ", option.allowed)
        meant = did_you_mean(given, choices) if isinstance(given, str) else ""
        raise ConfigError(f"{where}: {_shown(given)} is not {option.allowed}{meant}") from error
    if option.is_path:
        from pytest_llmdiff.config.packages import given_path

        value = given_path(value, folder, what=option.flag)
    return value


def _written(config: pytest.Config, name: str) -> Any:
    """The value in the ini file: text, or a number or truth value of native TOML."""
    try:
        return config.getini(name)
    except TypeError:  # below 9.2, pytest refuses what is not a text (`INI_TYPE`)
        import tomllib

        read = tomllib.loads((config.inipath or Path()).read_text(encoding="utf-8"))
        return read.get("tool", read)["pytest"][name]


def _source(config: pytest.Config, flag: str, given: str | None) -> str:
    """A value that the ini file's `addopts` give comes from there, wherever pytest was started."""
    return "ini" if given is not None and in_addopts(config, flag, given) else "command line"


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
