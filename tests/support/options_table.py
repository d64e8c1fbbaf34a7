"""The table of options in docs/options.md, from their definitions: `make docs` writes it."""

from __future__ import annotations

import re

from pytest_llmdiff.config.options import OPTIONS, Option
from tests.support import ROOT

PAGE = ROOT / "docs" / "options.md"
# Where a page has more about an option.
MORE = {
    "tokenizer": "servers.md#rendering-prompts-locally",
    "server_parameters": "servers.md#parameters-by-hand",
    "vllm": "vllm.md",
    "explain": "explanations.md",
    "suite_limits": "suites.md#limits",
    "languages": "suites.md#languages",
}
# What the run chooses where an option is not given; for all others that is nothing.
CHOSEN = {"batch_size": "auto", "languages": "what the scorers know"}
HEAD = "| option | ini | default | takes | meaning |\n|---|---|---|---|---|\n"


def table() -> str:
    return HEAD + "".join(map(_row, OPTIONS))


def written(page: str) -> str:
    """The page with the table of today in the place of its own."""
    found = re.search(rf"{re.escape(HEAD)}(?:\|.*\n)*", page)
    assert found is not None, "the page has no table of options"
    return page[: found.start()] + table() + page[found.end() :]


def _row(option: Option) -> str:
    meaning = option.help
    if option.name in MORE:
        meaning += f" ([more]({MORE[option.name]}))"
    cells = [f"`{option.flag}`", f"`llmdiff_{option.name}`", _default(option),
             _code(option.allowed), _code(meaning)]  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def _default(option: Option) -> str:
    if option.default is None:
        return CHOSEN.get(option.name, "none")
    if option.default is False:
        return "off"
    return f"`{option.default}`"


def _code(text: str) -> str:
    """JSON objects as code."""
    return re.sub(r"\{.*?\}", lambda found: f"`{found[0]}`", text)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
