"""The chat templates of a model's files: where they are kept, and which of several is used."""

from __future__ import annotations

import mmap
import re
from collections.abc import Mapping
from pathlib import Path

from pytest_llmdiff.data.files.strict_json import bounded_json
from pytest_llmdiff.errors import ModelError

JINJA_FILE, NAMED_FOLDER = "chat_template.jinja", "additional_chat_templates"
# Files with an entry `chat_template`. Tokenizers do not read those of processors.
PROCESSOR_FILES = ("chat_template.json", "processor_config.json")
JSON_FILES = ("tokenizer_config.json", *PROCESSOR_FILES)
DEFAULT = "default"
GGUF_KEY = b"tokenizer.chat_template"
# A GGUF file's keys are in its header, whose size depends on the vocabulary: a few megabytes.
GGUF_HEADER = 1 << 27


def template_files(folder: Path) -> list[Path]:
    """The files of a folder that hold nothing but chat templates, or a processor's."""
    files = [folder / JINJA_FILE, *(folder / name for name in PROCESSOR_FILES)]
    return [f for f in files if f.is_file()] + sorted((folder / NAMED_FOLDER).glob("*.jinja"))


def templates_in(folder: Path) -> dict[str, str]:
    """Jinja sources by name, from all places where tokenizers and processors keep them.

    The one without a name is "default". Where two places have one of the same name, that of a
    .jinja file counts, as in transformers.

    Raises:
        ModelError: a file is damaged.
    """
    found: dict[str, str] = {}
    for name in reversed(JSON_FILES):
        if (folder / name).is_file():
            found |= by_name(_object(folder / name).get("chat_template"))
    for file in sorted((folder / NAMED_FOLDER).glob("*.jinja")):
        found[file.stem] = _text(file)
    if (folder / JINJA_FILE).is_file():
        found[DEFAULT] = _text(folder / JINJA_FILE)
    return {name: source for name, source in found.items() if source}


def by_name(value: object) -> dict[str, str]:
    """The templates of an entry `chat_template`: a text, an object, or a list of objects with
    `name` and `template`."""
    if isinstance(value, str):
        return {DEFAULT: value}
    if isinstance(value, Mapping):
        return {str(name): source for name, source in value.items() if isinstance(source, str)}
    items = value if isinstance(value, list) else []
    return {
        str(item.get("name")): item["template"]
        for item in items
        if isinstance(item, Mapping) and isinstance(item.get("template"), str)
    }


def chosen(templates: Mapping[str, str], place: Path) -> str:
    """The default template, or the only one.

    Raises:
        ModelError: there is none, or there are several and none is the default.
    """
    if DEFAULT in templates:
        return templates[DEFAULT]
    if len(templates) == 1:
        return next(iter(templates.values()))
    names = ", ".join(sorted(templates) or (gguf_names(place) if place.is_file() else ()))
    if names:
        raise ModelError(
            f"the chat templates of {place} have the names {names}, and none is the default; give "
            "the one of your prompts with --llmdiff-template FILE.jinja"
        )
    raise ModelError(
        f"{place} has no chat template, so chat messages cannot be rendered; "
        "give one with --llmdiff-template FILE.jinja"
    )


def has_chat_template(path: Path) -> bool:
    """Whether a folder or a GGUF header has a chat template; nothing is loaded."""
    if path.is_dir():
        return bool(templates_in(path))
    return bool(_keys(path))


def gguf_names(file: Path) -> list[str]:
    """The names of the named chat templates in a GGUF file."""
    named = (key.removeprefix(GGUF_KEY).lstrip(b".").decode() for key in _keys(file))
    return sorted({name for name in named if name not in ("", "s")})


def _keys(file: Path) -> list[bytes]:
    if not file.is_file() or not file.stat().st_size:
        return []  # an empty file cannot be mapped
    with (
        file.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        end = min(len(data), GGUF_HEADER)
        return re.compile(re.escape(GGUF_KEY) + rb"(?:s|\.[A-Za-z0-9_-]+)?").findall(data, 0, end)


def _object(file: Path) -> Mapping[str, object]:
    try:
        found = bounded_json(_text(file))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} is not a JSON object")
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from error
