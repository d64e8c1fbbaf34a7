"""Markers of chat templates, which a reply should not contain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.training.files import read_object, read_text
from pytest_llmdiff.errors import ConfigError

# Markers of widely used templates. The first two patterns are families: ChatML, Llama 3, Phi, GLM
# and others; and DeepSeek. Words such as "USER:" count only at the beginning of a line.
KNOWN = re.compile(
    r"<\|[\w/-]{1,40}\|>|<｜[^｜<>]{1,40}｜>"
    r"|\[/?INST\]|<</?SYS>>|\[gMASK\]|\[/?AVAILABLE_TOOLS\]|<(?:start|end)_of_turn>"
    r"|<reserved_\d+>|</s>"
    r"|^(?:### ?(?:Instruction|Response|Input|Human|Assistant|User|指令|回答)|USER|ASSISTANT|HUMAN)"
    r" ?[:：]",
    re.MULTILINE,
)
# Bracketed words among the string literals of a template.
BRACKETED = re.compile(r"<[^\s<>{}]{2,40}>|\[[^\s\[\]{}]{2,40}\]")
LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
# These may occur in a reply about code or tables.
ORDINARY = ("<s>", "<unk>", "<pad>", "[PAD]", "[UNK]")


def markers_of(folder: Path) -> frozenset[str]:
    """The special tokens of the tokenizer in a folder, and the bracketed words of its template.

    Files that are missing or damaged are ignored here: loading the model reports them.
    """
    markers: set[str] = set()
    config = _object(folder / "tokenizer_config.json")
    entries = [*config.values(), *_object(folder / "special_tokens_map.json").values()]
    for entry in entries:
        tokens = entry if isinstance(entry, list) else [entry]
        markers.update(filter(None, map(_token, tokens)))
    added = config.get("added_tokens_decoder")
    for entry in added.values() if isinstance(added, dict) else ():
        if isinstance(entry, dict) and entry.get("special"):
            markers.add(str(entry.get("content")))
    for template in (_text(folder / "chat_template.jinja"), config.get("chat_template")):
        if isinstance(template, str):
            literals = " ".join(a or b for a, b in LITERAL.findall(template))
            markers.update(BRACKETED.findall(literals))
    return frozenset(text for text in markers if BRACKETED.fullmatch(text) and text not in ORDINARY)


def leaked(text: str, *, own: frozenset[str], beside: str) -> list[str]:
    """The markers in a text, in order.

    Args:
        text: the reply.
        own: the markers of the model's tokenizer and template; widely used ones always count.
        beside: a text, such as the prompt, whose markers may be repeated in the reply.
    """
    at = {match.start(): match[0] for match in KNOWN.finditer(text)}
    at |= {text.index(marker): marker for marker in own if marker in text}
    markers = dict.fromkeys(at[place] for place in sorted(at))
    if "<s>" in text:
        markers.pop("</s>", None)  # strikethrough in HTML
    return [marker for marker in markers if marker not in beside]


def _token(entry: Any) -> str | None:
    content = entry.get("content") if isinstance(entry, dict) else entry
    return content if isinstance(content, str) else None


def _object(file: Path) -> dict[str, Any]:
    try:
        return read_object(file) if file.is_file() else {}
    except ConfigError:
        return {}


def _text(file: Path) -> str | None:
    try:
        return read_text(file) if file.is_file() else None
    except ConfigError:
        return None
