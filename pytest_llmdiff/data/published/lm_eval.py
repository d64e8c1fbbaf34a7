"""Tasks of lm-evaluation-harness, from their YAML: read, never run.

Multiple-choice tasks become questions with lettered options, answered by a letter; tasks that
generate text become questions with the target as reference. `doc_to_text`, `doc_to_choice` and
`doc_to_target` are read as in `lm_eval/api/task.py` of version 0.4: the name of a column, else a
Jinja template over the record; options may be a list, too. Examples in the prompt (few-shot) are
left out.
"""

from __future__ import annotations

import ast
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from pytest_llmdiff.data.files.formats import read_records
from pytest_llmdiff.data.files.probe_files import ProbeRow, rows_of
from pytest_llmdiff.data.files.records import EXAMPLES, Record, file_error
from pytest_llmdiff.data.published.hub import hub_records
from pytest_llmdiff.data.published.templates import FileTemplates
from pytest_llmdiff.data.published.yaml_files import read_mapping, refuse_code
from pytest_llmdiff.errors import ProbeError

KINDS = ("multiple_choice", "generate_until")
READ = ("doc_to_text", "doc_to_choice", "doc_to_target", "process_docs", "description")
FILES = ("json", "csv", "parquet")  # loaders of local files
SPLITS = ("test_split", "validation_split", "training_split")
DEEPEST = 5  # `include`
LONGEST_LIST = 100_000  # characters of a template's list of options
ASKED = "Answer with the letter."


def is_task(config: Mapping[str, Any]) -> bool:
    return "doc_to_text" in config or "dataset_path" in config or "output_type" in config


def included(path: Path, config: Mapping[str, Any], depth: int = 1) -> dict[str, Any]:
    """The keys of a task with those of the files that it includes, which its own replace.

    Raises:
        ProbeFileError: an included file is unusable, or there are too many in a row.
    """
    found: dict[str, Any] = {}
    named = config.get("include") or []
    for name in [named] if isinstance(named, str) else named:
        if depth > DEEPEST or not isinstance(name, str):
            raise file_error(
                f"{path}, include",
                f"got {reprlib.repr(name)}; expected a file, at most {DEEPEST} deep",
            )
        file = path.parent / name
        found |= included(file, read_mapping(file), depth + 1)
    return {**found, **{key: value for key, value in config.items() if key != "include"}}


def task_rows(
    path: Path, config: Mapping[str, Any], split: str | None = None
) -> Iterator[ProbeRow]:
    """The probes of a task; `config` is what its file has, `split` another one than its own.

    Raises:
        ProbeFileError: it cannot be read without running code, or its data cannot be had.
    """
    task = included(path, config)
    for key in READ:
        refuse_code(path, key, task.get(key))
    kind = task.get("output_type", "generate_until")
    if kind not in KINDS:
        raise file_error(
            f"{path}, output_type", f"got {reprlib.repr(kind)}; expected one of {', '.join(KINDS)}"
        )
    for key in ("doc_to_text", "doc_to_target"):
        if task.get(key) is None:
            raise file_error(
                f"{path}", f"it has no {key}; expected the name of a column, or a template"
            )
    templates = FileTemplates()
    try:
        yield from rows_of(_questions(path, task, kind, split, templates))
    finally:
        templates.close()


def _questions(
    path: Path, task: Mapping[str, Any], kind: str, split: str | None, templates: FileTemplates
) -> Iterator[Record]:
    name = str(task.get("task") or path.stem)
    tag = name.replace(",", " ").replace(";", " ").strip()
    for record in _documents(path, task, split):
        read = _Document(record, templates)
        values: dict[str, object] = {"id": f"{name}-{record.number}", "tags": [tag]}
        if description := str(task.get("description") or "").strip():
            values["system"] = read.text(description, "description")
        text = read.text(task["doc_to_text"], "doc_to_text")
        if kind == "multiple_choice":
            options = read.options(task.get("doc_to_choice"))
            letter = ascii_uppercase[read.right(task["doc_to_target"], options)]
            values |= {"prompt": _asked(text, options), "reference": letter}
        else:
            values |= {"prompt": text, "reference": read.target(task["doc_to_target"])}
        yield Record(path=record.path, unit=record.unit, number=record.number, values=values)


def _asked(text: str, options: Sequence[str]) -> str:
    """The question with its options, unless it has them."""
    if [option.strip() for option in options] == list(ascii_uppercase[: len(options)]):
        return text
    question = text.rstrip().removesuffix("Answer:").rstrip()
    lines = (
        f"{sign}. {option.strip()}" for sign, option in zip(ascii_uppercase, options, strict=False)
    )
    return "\n".join([question, *lines, ASKED])


class _Document:
    """One record, and what the templates of its task make of it."""

    def __init__(self, record: Record, templates: FileTemplates) -> None:
        self._record = record
        self._templates = templates

    def text(self, given: object, key: str) -> str:
        found = self._value(given, key)
        if not isinstance(found, str):
            raise self._record.error(f"{key} is {reprlib.repr(found)}; expected text")
        return found

    def options(self, given: object) -> list[str]:
        if given is None:
            raise self._record.error("the task has no doc_to_choice; expected the options")
        found = self._value(given, "doc_to_choice")
        if isinstance(found, Mapping):
            found = list(found.values())
        if isinstance(found, str) and len(found) <= LONGEST_LIST:
            try:
                found = ast.literal_eval(found.strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                found = None
        if not isinstance(found, list) or not 2 <= len(found) <= len(ascii_uppercase):
            raise self._record.error(
                f"the options are {reprlib.repr(found)}; expected a list of 2 to 26"
            )
        return [str(option) for option in found]

    def right(self, given: object, options: Sequence[str]) -> int:
        """The index of the right option."""
        found = self._value(given, "doc_to_target")
        if isinstance(found, str) and found.strip().isdecimal() and len(found) < 10:
            found = int(found)
        if isinstance(found, str) and found.strip() in (stripped := [o.strip() for o in options]):
            found = stripped.index(found.strip())
        if isinstance(found, bool):
            found = int(found)
        if not isinstance(found, int) or not 0 <= found < len(options):
            raise self._record.error(
                f"the right option is {reprlib.repr(found)}; expected its number, from 0, or its "
                f"text among {reprlib.repr(list(options))}"
            )
        return found

    def target(self, given: object) -> str:
        """The reference; of several, the first."""
        found = self._value(given, "doc_to_target")
        if isinstance(found, list) and found:
            found = found[0]
        return str(found).strip()

    def _value(self, given: object, key: str) -> object:
        """A column, the text of a template, or what is given itself."""
        if not isinstance(given, str):
            return given
        if given in self._record.values:
            return self._record.values[given]
        try:
            return self._templates.render(given, self._record.values)
        except ProbeError as error:
            raise self._record.error(f"{key}: {error}") from error


def _documents(path: Path, task: Mapping[str, Any], split: str | None) -> Iterator[Record]:
    """The records of the task's test split, or of the next that it has."""
    source, kwargs = task.get("dataset_path"), task.get("dataset_kwargs") or {}
    wanted = split or next((task[key] for key in SPLITS if task.get(key)), None)
    if (
        not isinstance(source, str)
        or not isinstance(wanted, str)
        or not isinstance(kwargs, Mapping)
    ):
        raise file_error(
            f"{path}", "expected the task's dataset_path, and test_split or validation_split"
        )
    if source not in FILES:
        config = f"/{name}" if (name := task.get("dataset_name")) else ""
        yield from hub_records(f"hf:{source}{config}#{wanted}", path.parent)
        return
    files = kwargs.get("data_files")
    if isinstance(files, Mapping):
        files = files.get(wanted)
    found = [files] if isinstance(files, str) else files
    if not isinstance(found, list) or not found or not all(isinstance(f, str) for f in found):
        raise file_error(
            f"{path}, dataset_kwargs",
            f"got {reprlib.repr(kwargs)}; expected data_files with a file for the split {wanted!r}",
        )
    for name in found:
        if "://" in name:
            raise file_error(f"{path}, data_files", f"{name!r} is not on this machine")
        # lm-eval starts at the folder that it is run in.
        file = path.parent / name
        yield from read_records(file if file.exists() else Path(name).absolute(), EXAMPLES)
