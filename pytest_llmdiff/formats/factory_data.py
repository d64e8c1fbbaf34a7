"""Training data as LLaMA-Factory reads it: files, and the dataset_info.json that describes them."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmdiff.errors import ConfigError, ProbeFileError
from pytest_llmdiff.formats.chat_rows import parse_chat
from pytest_llmdiff.formats.factory_layout import (
    COLUMNS,
    FORMATTINGS,
    MEDIA,
    TAGS,
    Dropped,
    Example,
    Layout,
    needed_columns,
)
from pytest_llmdiff.formats.factory_rows import parse_example
from pytest_llmdiff.formats.records import (
    Kind,
    Record,
    check_unique,
    file_error,
    load_json,
    read_records,
)

__all__ = ["INFO", "Dataset", "Example", "read_dataset", "read_training_data", "training_data_of"]

INFO = "dataset_info.json"
# LLaMA-Factory's file types by ending; those that are no table of texts are not read here.
TYPES = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}
ELSEWHERE = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
PLAIN_FORMS = (
    "'instruction', 'conversations', 'messages', or 'prompt' with 'completion' or with 'chosen' "
    "and 'rejected'"
)
_EXAMPLES = Kind(
    noun="example",
    example='{"instruction": "...", "output": "..."}',
    columns="column names",
    check_columns=check_unique,
    lines_in_json=True,
)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The examples of a data file or of an entry; `skipped` names the records left out, and why.

    All records are read: LLaMA-Factory draws at random where an entry has `num_samples`.
    """

    name: str
    path: Path
    examples: tuple[Example, ...]
    skipped: tuple[str, ...]


def read_training_data(value: str, folder: Path) -> tuple[Dataset, ...]:
    """The data that an option or a marker names: a data file, or `dataset_info.json#NAME[,NAME]`.

    The folder of the dataset_info.json may stand for it; paths are relative to `folder`.

    Raises:
        ConfigError: there is no such file or entry.
        ProbeFileError: the data is malformed, or more than text.
    """
    place, mark, names = value.rpartition("#")
    if not mark or (folder / value).exists():
        return (read_dataset(folder / value),)
    wanted = [name.strip() for name in names.split(",")]
    if not all(wanted):
        raise ConfigError(
            f"{value!r} names no data set after '#'; expected {INFO}#NAME or {INFO}#NAME,NAME"
        )
    return tuple(read_dataset(folder / place, name) for name in dict.fromkeys(wanted))


def read_dataset(path: Path, name: str | None = None) -> Dataset:
    """Read a data file, or the entry `name` of a dataset_info.json (or of the folder that has it).

    A data file is read as a dataset_info.json beside it or in the parent folder says, or by the
    columns of its records where none names it.

    Raises:
        ConfigError: there is no such file or entry.
        ProbeFileError: the data is malformed, or more than text.
    """
    info = path / INFO if path.is_dir() else path
    if name is None and info.name != INFO:
        if not path.exists():
            raise ConfigError(
                f"{path}: no such file; expected a data file, {INFO}#NAME or FOLDER#NAME"
            )
        return _read_described(path) or _read_plain(path)
    if info.name != INFO or not info.is_file():
        raise ConfigError(f"{path}: there is no {INFO}; expected {INFO}#NAME or FOLDER#NAME")
    entries = _entries(info)
    if name is None and len(entries) == 1:
        (name,) = entries
    if name is None or name not in entries:
        given = "no name is given" if name is None else f"it has no entry {name!r}"
        close = difflib.get_close_matches(name or "", entries, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ConfigError(
            f"{info}: {given}{hint}; expected #NAME with one of {', '.join(entries) or 'none'}"
        )
    return _read_entry(info, name, entries[name])


def training_data_of(path: Path) -> tuple[Dataset, ...] | None:
    """The data that a marker's file names, or None where it is a file of probes.

    It is training data if it has `#NAME`, if a dataset_info.json names the file, or if its records
    have `instruction` or `conversations`.
    """
    if not path.exists() and "#" in path.name:
        return read_training_data(f"{path}", Path())
    if not path.is_file():
        return None
    if path.name == INFO:
        return (read_dataset(path),)
    if (described := _read_described(path)) is not None:
        return (described,)
    try:
        first = next(read_records(path, _EXAMPLES))
    except ProbeFileError:
        return None  # the reader of probe files says what is wrong
    return (_read_plain(path),) if {"instruction", "conversations"} & set(first.values) else None


# Entries


def _entries(info: Path) -> Mapping[str, Mapping[str, object]]:
    try:
        text = info.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise file_error(f"{info}", f"cannot be read ({error}); expected UTF-8 text") from error
    value = load_json(
        text,
        place=f"{info}",
        position=lambda error: f"line {error.lineno}, column {error.colno}",
        expected="an object with an entry per data set",
    )
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        raise file_error(
            f"{info}", f"got {reprlib.repr(value)}; expected an object with an entry per data set"
        )
    return value


def _layout(place: str, entry: Mapping[str, object]) -> Layout:
    """Once an entry has `columns` or `tags`, what it does not list there is not read."""
    formatting = entry.get("formatting", "alpaca")
    known = next((name for name in FORMATTINGS if name == formatting), None)
    if known is None:
        raise file_error(
            place, f"got the formatting {formatting!r}; expected one of {', '.join(FORMATTINGS)}"
        )
    if entry.get("split", "train") != "train":
        raise file_error(
            place, f"got the split {entry['split']!r}; a file is read whole: expected 'train'"
        )
    given: dict[str, Mapping[str, str | None]] = {"columns": COLUMNS, "tags": TAGS}
    for key, defaults in given.items():
        if key not in entry:
            continue
        names = entry[key]
        if not isinstance(names, dict) or not all(
            name is None or isinstance(name, str) for name in names.values()
        ):
            raise file_error(
                place, f"got the {key} {reprlib.repr(names)}; expected an object of names"
            )
        given[key] = {name: names.get(name) for name in defaults}
    layout = Layout(formatting=known, ranking=bool(entry.get("ranking")), **given)
    columns = layout.columns
    wanted = [] if known == "alpaca" else ["messages"]
    wanted += ["chosen", "rejected"] if layout.ranking else []
    wanted += ["response"] if known == "alpaca" and columns["kto_tag"] else []
    if missing := [name for name in wanted if columns[name] is None]:
        raise file_error(
            place, f"'columns' does not say which column is {missing[0]!r}; expected it there"
        )
    return layout


def _file_name(place: str, entry: Mapping[str, object]) -> str:
    for key in ELSEWHERE:
        if key in entry:
            raise file_error(
                place, f"the data is fetched ({key}: {entry[key]!r}); expected a 'file_name', "
                "for only files are read",
            )  # fmt: skip
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        raise file_error(place, f"got the file_name {name!r}; expected the name of a file")
    return name


def _read_entry(info: Path, name: str, entry: Mapping[str, object]) -> Dataset:
    place = f"{info}, entry {name!r}"
    layout = _layout(place, entry)
    path = info.parent / _file_name(place, entry)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    if not files or not path.exists():
        raise file_error(place, f"there is no data at {path}; expected a file or a folder of files")
    types = {TYPES.get(file.suffix.lower()) for file in files}
    if None in types or len(types) > 1:
        endings = ", ".join(sorted({file.suffix or file.name for file in files}))
        raise file_error(
            place,
            f"{path}: files that end in {endings} are not supported; expected one type among "
            f"{', '.join(TYPES)}",
        )
    return _gather(name, path, files, layout)


def _read_described(path: Path) -> Dataset | None:
    """The data of a file as the nearer dataset_info.json that names it says."""
    target = path.resolve()
    for folder in (target.parent, target.parent.parent):
        info = folder / INFO
        if not info.is_file() or info == target:
            continue
        found: dict[str, Layout] = {}
        for name, entry in _entries(info).items():
            file_name = entry.get("file_name")
            if any(key in entry for key in ELSEWHERE) or not isinstance(file_name, str):
                continue
            if (folder / file_name).resolve() in (target, target.parent):
                found[name] = _layout(f"{info}, entry {name!r}", entry)
        if len({repr(layout) for layout in found.values()}) > 1:
            raise ConfigError(
                f"{path}: {info} describes this file as {', '.join(found)}, each in its own way; "
                f"expected one of them to be named, as in {info.name}#{next(iter(found))}"
            )
        if found:
            name, layout = next(iter(found.items()))
            return _gather(name, path, [path], layout)
    return None


# Records


def _gather(
    name: str, path: Path, files: Sequence[Path], layout: Layout, *, registered: bool = True
) -> Dataset:
    """The examples of all files; those of a `registered` entry need all the columns it lists."""
    examples: list[Example] = []
    skipped: list[str] = []
    for file in files:
        records = list(read_records(file, _EXAMPLES))
        if registered:
            _check_needed(name, file, records, layout)
        for number, record in enumerate(records, 1):
            try:
                examples.append(parse_example(record, number, layout))
            except Dropped as reason:
                start = "" if file == path else f"{file.name}, "
                skipped.append(f"{start}{record.unit} {record.number}: {reason}")
    if not examples:
        raise file_error(
            f"{path}",
            f"LLaMA-Factory would train on none of its {len(skipped)} records ({skipped[0]}); "
            f"expected at least one example. Is its entry in {INFO} right?",
        )
    return Dataset(name=name, path=path, examples=tuple(examples), skipped=tuple(skipped))


def _check_needed(name: str, path: Path, records: Sequence[Record], layout: Layout) -> None:
    known = {column for record in records for column in record.values}
    for column in needed_columns(layout):
        if column not in known:
            raise file_error(
                f"{path}",
                f"no record has the column {column!r}, which LLaMA-Factory looks up for "
                f"{name!r}; expected it, or other 'columns' in {INFO}",
            )


def _read_plain(path: Path) -> Dataset:
    """A file that no dataset_info.json names, by the columns of its first record."""
    records = list(read_records(path, _EXAMPLES))
    known = set(records[0].values)
    if {"instruction", "conversations"} & known:
        # What no entry maps, training would leave out in silence.
        columns = {**COLUMNS, **{column: column for column in (*MEDIA, "tools")}}
        layout = Layout(
            formatting="alpaca" if "instruction" in known else "sharegpt", columns=columns
        )
        return _gather(path.stem, path, [path], layout, registered=False)
    if {"messages", "prompt"} & known:
        examples = tuple(parse_chat(record, number) for number, record in enumerate(records, 1))
        return Dataset(name=path.stem, path=path, examples=examples, skipped=())
    raise file_error(
        f"{path}",
        f"the columns are {', '.join(sorted(known))}; expected {PLAIN_FORMS}, or an entry for the "
        f"file in a {INFO} beside it",
    )
