"""Options of the run: each is `--llmdiff-NAME` on the command line and `llmdiff_NAME` in ini."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.errors import ConfigError

DEFAULT_EMBEDDER = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option: `parse` turns a string or a native TOML value into the value, or raises."""

    name: str
    default: Any
    parse: Callable[[Any], Any]
    allowed: str
    help: str
    is_path: bool = False
    is_flag: bool = False

    @property
    def flag(self) -> str:
        return "--llmdiff-" + self.name.replace("_", "-")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(value)
    return value


def _one_of(*choices: str) -> Callable[[Any], Any]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(value)
        return str(value)

    return parse


def _whole(minimum: int) -> Callable[[Any], Any]:
    def parse(value: Any) -> int:
        if isinstance(value, bool) or (number := int(str(value))) < minimum:
            raise ValueError(value)
        return number

    return parse


def _batch_size(value: Any) -> int | None:
    return None if value == "auto" else int(_whole(1)(value))


def _number(low: float, high: float) -> Callable[[Any], Any]:
    def parse(value: Any) -> float:
        number = float(value)
        if isinstance(value, bool) or not math.isfinite(number) or not low <= number <= high:
            raise ValueError(value)
        return number

    return parse


def _flag(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return words[str(value).strip().lower()]


def _json_object(value: Any) -> Mapping[str, Any]:
    found = json.loads(value)
    if not isinstance(found, dict):
        raise ValueError(value)
    return found


_temperature = _number(0.0, math.inf)
_top_p = _number(1e-6, 1.0)
_device = _one_of("auto", "cpu", "cuda", "mps")


OPTIONS = (
    Option(
        name="device",
        default="auto",
        parse=_device,
        allowed="auto, cpu, cuda or mps",
        help="where models run; auto: cuda, else mps, else cpu",
    ),
    Option(
        name="dtype",
        default="auto",
        parse=_one_of("auto", "float32", "bfloat16", "float16"),
        allowed="auto, float32, bfloat16 or float16",
        help="auto: bfloat16 on a GPU, float32 on the CPU",
    ),
    Option(
        name="quantization",
        default="none",
        parse=_one_of("none", "8bit", "4bit"),
        allowed="none, 8bit or 4bit",
        help="load weights through bitsandbytes",
    ),
    Option(
        name="batch_size",
        default=None,
        parse=_batch_size,
        allowed="auto or a whole number from 1",
        help="prompts generated together; auto starts large and halves when memory runs out",
    ),
    Option(
        name="max_new_tokens",
        default=128,
        parse=_whole(1),
        allowed="a whole number from 1",
        help="longest reply, in tokens",
    ),
    Option(
        name="temperature",
        default=0.0,
        parse=_temperature,
        allowed="a number from 0",
        help="0: greedy on both sides, whatever the model's own generation config says",
    ),
    Option(
        name="top_p",
        default=1.0,
        parse=_top_p,
        allowed="a number above 0, at most 1",
        help="nucleus of the sampling where temperature is above 0",
    ),
    Option(
        name="seed",
        default=0,
        parse=_whole(0),
        allowed="a whole number from 0",
        help="seed of the sampling",
    ),
    Option(
        name="system",
        default=None,
        parse=_text,
        allowed="a text",
        help="system prompt of every probe that brings none",
    ),
    Option(
        name="template",
        default=None,
        parse=_text,
        allowed="a .jinja file",
        help="chat template that prompts are rendered with, on both sides",
        is_path=True,
    ),
    Option(
        name="template_kwargs",
        default={},
        parse=_json_object,
        allowed='a JSON object such as {"enable_thinking": false}',
        help="variables given to the chat template",
    ),
    Option(
        name="embedder",
        default=DEFAULT_EMBEDDER,
        parse=_text,
        allowed="a sentence-transformers id or folder, package:NAME/PATH or python:module:object",
        help="sentence encoder of the semantic drift",
    ),
    Option(
        name="toxicity",
        default="detoxify:multilingual",
        parse=_text,
        allowed="detoxify:VARIANT, detoxify:CHECKPOINT[#CONFIG_FOLDER], profanity-check or "
        "python:module:object",
        help="scorer of the toxicity",
    ),
    Option(
        name="store",
        default=".llmdiff",
        parse=_text,
        allowed="a folder",
        help="where replies and scores are kept between runs",
        is_path=True,
    ),
    Option(
        name="record",
        default=None,
        parse=_text,
        allowed="a file",
        help="write all that was answered and measured to FILE, for replay:FILE",
        is_path=True,
    ),
    Option(
        name="json",
        default=None,
        parse=_text,
        allowed="a file",
        help="write the results to FILE as JSON",
        is_path=True,
    ),
    Option(
        name="required",
        default=False,
        parse=_flag,
        allowed="true or false",
        help="a run without models is a usage error",
        is_flag=True,
    ),
    Option(
        name="trust_remote_code",
        default=False,
        parse=_flag,
        allowed="true or false",
        help="let a model's own Python code run",
        is_flag=True,
    ),
)

GENERATION_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    option.name: option.parse
    for option in OPTIONS
    if option.name in ("max_new_tokens", "temperature", "top_p", "seed")
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The run's settings, checked. `sources` says where each came from."""

    base: str | None
    tuned: str | None
    device: str
    dtype: str
    quantization: str
    batch_size: int | None
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int
    system: str | None
    template: Path | None
    template_kwargs: Mapping[str, Any]
    embedder: str
    toxicity: str
    store: Path
    record: Path | None
    json: Path | None
    required: bool
    trust_remote_code: bool
    sources: Mapping[str, str]
    folder: Path
    ini_folder: Path

    @property
    def has_models(self) -> bool:
        return self.base is not None and self.tuned is not None

    def folder_of(self, name: str) -> Path:
        """Where relative paths in an option's value start: the ini file's folder or the current."""
        return self.ini_folder if self.sources[name] == "ini" else self.folder


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("llmdiff", "llmdiff: compare a base model with its fine-tuned version")
    group.addoption("--llm-base", metavar="SPEC", default=None, help="the model before tuning")
    group.addoption("--llm-tuned", metavar="SPEC", default=None, help="the model after tuning")
    for option in OPTIONS:
        shown = "auto" if option.name == "batch_size" else option.default
        text = f"{option.help} ({option.allowed}; default: {shown})".replace("%", "%%")
        if option.is_flag:
            group.addoption(
                option.flag, dest=f"llmdiff_{option.name}", action="store_const", const="true",
                default=None, help=option.help,
            )  # fmt: skip
        else:
            group.addoption(
                option.flag, dest=f"llmdiff_{option.name}", metavar="VALUE", default=None, help=text
            )
        parser.addini(
            f"llmdiff_{option.name}", option.help, type=str | int | float | bool, default=None
        )


def read_settings(config: pytest.Config) -> Settings:
    """Settings from command line, then ini, then defaults.

    Raises:
        ConfigError: a value is not allowed, or only one of the two models is given.
    """
    invocation = Path(config.invocation_params.dir)
    base, tuned = config.getoption("--llm-base"), config.getoption("--llm-tuned")
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for option in OPTIONS:
        values[option.name], sources[option.name] = _read(config, option, invocation)
    if (base is None) != (tuned is None):
        given, missing = ("--llm-base", "--llm-tuned") if tuned is None else (
            "--llm-tuned", "--llm-base")  # fmt: skip
        raise ConfigError(f"{given} is given without {missing}; a comparison needs both")
    if base is None and values["required"]:
        raise ConfigError(
            "llmdiff_required is set and no models are given: add --llm-base SPEC --llm-tuned SPEC"
        )
    template: Path | None = values["template"]
    if template is not None and not template.is_file():
        raise ConfigError(f"--llmdiff-template: there is no file {template}")
    for name in ("record", "json"):
        target: Path | None = values[name]
        if target is not None and target.is_dir():
            raise ConfigError(f"--llmdiff-{name}: {target} is a folder; give a file")
    return Settings(
        base=base,
        tuned=tuned,
        sources=sources,
        folder=invocation,
        ini_folder=config.inipath.parent if config.inipath else invocation,
        **values,
    )


def _read(config: pytest.Config, option: Option, invocation: Path) -> tuple[Any, str]:
    given = config.getoption(f"llmdiff_{option.name}")
    source, folder = "command line", invocation
    if given is None:
        given = config.getini(f"llmdiff_{option.name}")
        source, folder = "ini", config.inipath.parent if config.inipath else invocation
    if given is None:
        # Not the root folder: without an ini file pytest may take a model's folder for it.
        home = config.inipath.parent if config.inipath else invocation
        return home / option.default if option.name == "store" else option.default, "default"
    try:
        value = option.parse(given)
    except (ValueError, TypeError, KeyError) as error:
        where = option.flag if source == "command line" else f"llmdiff_{option.name} in ini"
        raise ConfigError(f"{where}: {given!r} is not {option.allowed}") from error
    return (folder / Path(value).expanduser() if option.is_path else value), source
