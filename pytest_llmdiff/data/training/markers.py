"""Marks of chat templates, which no reply should hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.training.files import read_object, read_text
from pytest_llmdiff.errors import ConfigError

# Of templates in wide use. The first two are families: ChatML, Llama 3, Phi, GLM and others; and
# DeepSeek. Words such as "USER:" count at the beginning of a line only.
KNOWN = re.compile(
    r"<\|[\w/-]{1,40}\|>|<｜[^｜<>]{1,40}｜>"
    r"|\[/?INST\]|<</?SYS>>|\[gMASK\]|\[/?AVAILABLE_TOOLS\]|<(?:start|end)_of_turn>"
    r"|<reserved_\d+>|</s>"
    r"|^(?:### ?(?:Instruction|Response|Input|Human|Assistant|User|指令|回答)|USER|ASSISTANT|HUMAN)"
    r" ?[:：]",
    re.MULTILINE,
)
# Words in brackets, among a template's own texts.
BRACKETED = re.compile(r"<[^\s<>{}]{2,40}>|\[[^\s\[\]{}]{2,40}\]")
LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
# They may stand in a reply about code or tables, and tell nothing.
ORDINARY = ("<s>", "<unk>", "<pad>", "[PAD]", "[UNK]")


def markers_of(folder: Path) -> frozenset[str]:
    """The special tokens of the tokenizer in a folder, and the words in brackets of its template.

    Files that are not there, or cannot be read, have none: whoever loads them will say so.
    """
    found: set[str] = set()
    config = _object(folder / "tokenizer_config.json")
    entries = [*config.values(), *_object(folder / "special_tokens_map.json").values()]
    for entry in entries:
        held = entry if isinstance(entry, list) else [entry]
        found.update(filter(None, map(_token, held)))
    added = config.get("added_tokens_decoder")
    for entry in added.values() if isinstance(added, dict) else ():
        if isinstance(entry, dict) and entry.get("special"):
            found.add(str(entry.get("content")))
    for template in (_text(folder / "chat_template.jinja"), config.get("chat_template")):
        if isinstance(template, str):
            literals = " ".join(a or b for a, b in LITERAL.findall(template))
            found.update(BRACKETED.findall(literals))
    return frozenset(text for text in found if BRACKETED.fullmatch(text) and text not in ORDINARY)


def leaked(text: str, *, own: frozenset[str], beside: str) -> list[str]:
    """The marks in a text, in order, that are not `beside` it, where they are to be expected.

    `own` are the marks of the model's own tokenizer and template, beside those in wide use.
    """
    found = {match.start(): match[0] for match in KNOWN.finditer(text)}
    found |= {text.index(mark): mark for mark in own if mark in text}
    marks = dict.fromkeys(found[place] for place in sorted(found))
    if "<s>" in text:
        marks.pop("</s>", None)  # struck through, in HTML
    return [mark for mark in marks if mark not in beside]


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
