"""Reads training data as LLaMA-Factory does: files, and the dataset_info.json describing them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pytest_llmdiff.config.packages import given_path
from pytest_llmdiff.data.files.formats import read_records
from pytest_llmdiff.data.files.records import EXAMPLES, INFO, TRAINED, Record, file_error
from pytest_llmdiff.data.llamafactory.chat_rows import parse_chat
from pytest_llmdiff.data.llamafactory.dataset_info import (
    described_layout,
    entry_files,
    entry_layout,
    read_entries,
    require_here,
)
from pytest_llmdiff.data.llamafactory.examples import (
    COLUMNS,
    MEDIA,
    Dropped,
    Example,
    Layout,
    needed_columns,
)
from pytest_llmdiff.data.llamafactory.rows import parse_example
from pytest_llmdiff.errors import ConfigError, ProbeFileError

__all__ = ["Dataset", "Example", "read_dataset", "read_training_data", "training_data_of"]

PLAIN_FORMS = (
    "'instruction', 'conversations', 'messages', or 'prompt' with 'completion' or with 'chosen' "
    "and 'rejected'"
)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The examples of a data file or of an entry; `skipped` has the records left out, and why.

    Records with media are left out, since the models are only asked text here, and those with tools
    unless they are read `offering` them, for probes. All others are read, although LLaMA-Factory
    samples them if an entry has `num_samples`.
    """

    name: str
    path: Path
    examples: tuple[Example, ...]
    skipped: tuple[str, ...]


def read_training_data(value: str, folder: Path, *, offering: bool = False) -> tuple[Dataset, ...]:
    """The data that an option or a marker names: a data file, or `dataset_info.json#NAME[,NAME]`.

    The folder of the dataset_info.json may be given instead of the file. Paths are relative to
    `folder`.

    Raises:
        ConfigError: there is no such file or entry, or its data is not on this machine.
        ProbeFileError: the data is malformed, or none of it is text.
    """
    place, mark, names = value.rpartition("#")
    whole = given_path(value, folder, what="the training data")
    if not mark or whole.exists():
        return (read_dataset(whole, offering=offering),)
    described = given_path(place, folder, what="the training data")
    wanted = [name.strip() for name in names.split(",")]
    if not all(wanted):
        raise ConfigError(
            f"{value!r} names no data set after '#'; expected {INFO}#NAME or {INFO}#NAME,NAME"
        )
    return tuple(read_dataset(described, name, offering=offering) for name in dict.fromkeys(wanted))


def read_dataset(path: Path, name: str | None = None, *, offering: bool = False) -> Dataset:
    """Reads a data file, or the entry `name` of a dataset_info.json (or of its folder).

    A data file is read as described by a dataset_info.json beside it or in the parent folder. If
    none names the file, the columns of its records decide.

    Raises:
        ConfigError: there is no such file or entry, or its data is not on this machine.
        ProbeFileError: the data is malformed, or none of it is text.
    """
    info = path / INFO if path.is_dir() else path
    if name is None and info.name != INFO:
        if not path.exists():
            raise ConfigError(
                f"{path}: no such file; expected a data file, {INFO}#NAME or FOLDER#NAME"
            )
        return _read_described(path, offering) or _read_plain(path, offering)
    if info.name != INFO or not info.is_file():
        raise ConfigError(f"{path}: there is no {INFO}; expected {INFO}#NAME or FOLDER#NAME")
    entries = read_entries(info)
    if name is None and len(entries) == 1:
        (name,) = entries
    if name is None or name not in entries:
        given = "no name is given" if name is None else f"it has no entry {name!r}"
        close = difflib.get_close_matches(name or "", entries, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ConfigError(
            f"{info}: {given}{hint}; expected #NAME with one of {', '.join(entries) or 'none'}"
        )
    return _read_entry(info, name, entries[name], offering)


def training_data_of(path: Path) -> tuple[Dataset, ...] | None:
    """The training data that a marker's file names, or None if it is a probe file.

    It is training data if it has `#NAME`, if a dataset_info.json names the file, or if its records
    have `instruction` or `conversations`.
    """
    if not path.exists() and "#" in path.name:
        return read_training_data(f"{path}", Path(), offering=True)
    if not path.is_file():
        return None
    if path.name == INFO:
        return (read_dataset(path, offering=True),)
    if (described := _read_described(path, True)) is not None:
        return (described,)
    try:
        first = next(read_records(path, EXAMPLES))
    except ProbeFileError:
        return None  # the reader of probe files then says what is wrong
    return (_read_plain(path, True),) if TRAINED & set(first.values) else None


# Entries


def _read_entry(info: Path, name: str, entry: Mapping[str, object], offering: bool) -> Dataset:
    place = f"{info}, entry {name!r}"
    require_here(place, entry)
    layout = replace(entry_layout(place, entry), offering=offering)
    path, files = entry_files(place, info.parent, entry)
    return _gather(name, path, files, layout)


def _read_described(path: Path, offering: bool) -> Dataset | None:
    """The data of a file as described by the nearest dataset_info.json that names it."""
    described = described_layout(path)
    if described is None:
        return None
    return _gather(described[0], path, [path], replace(described[1], offering=offering))


# Records


def _gather(
    name: str, path: Path, files: Sequence[Path], layout: Layout, *, registered: bool = True
) -> Dataset:
    """The examples of all files; those of a `registered` entry need all columns that it lists."""
    parse = partial(parse_example, layout=layout)
    return _dataset(name, path, files, parse, layout if registered else None)


def _dataset(
    name: str,
    path: Path,
    files: Sequence[Path],
    parse: Callable[[Record, int], Example],
    needed: Layout | None,
) -> Dataset:
    """Each record as `parse` reads it, without those that it drops."""
    examples: list[Example] = []
    skipped: list[str] = []
    for file in files:
        records = list(read_records(file, EXAMPLES))
        if needed is not None:
            _check_needed(name, file, records, needed)
        for number, record in enumerate(records, 1):
            try:
                examples.append(parse(record, number))
            except Dropped as reason:
                start = "" if file == path else f"{file.name}, "
                skipped.append(f"{start}{record.unit} {record.number}: {reason}")
    if not examples:
        raise file_error(
            f"{path}",
            f"none of its {len(skipped)} records ({skipped[0]}) is a training example in text; "
            f"expected at least one. Is its entry in {INFO} right?",
        )
    return Dataset(name=name, path=path, examples=tuple(examples), skipped=tuple(skipped))


def _check_needed(name: str, path: Path, records: Sequence[Record], layout: Layout) -> None:
    known = {column for record in records for column in record.values}
    for column in needed_columns(layout):
        if column not in known:
            raise file_error(
                f"{path}",
                f"no record has the column {column!r}, which LLaMA-Factory looks up for "
                f"{name!r}; expected it, or different 'columns' in {INFO}",
            )


def _read_plain(path: Path, offering: bool) -> Dataset:
    """A file that no dataset_info.json names, by the columns of its first record."""
    records = list(read_records(path, EXAMPLES))
    known = set(records[0].values)
    if TRAINED & known:
        # Media and tools are mapped so that they are seen: LLaMA-Factory ignores them silently.
        columns = {**COLUMNS, **{column: column for column in (*MEDIA, "tools")}}
        layout = Layout(
            formatting="alpaca" if "instruction" in known else "sharegpt", columns=columns,
            offering=offering,
        )  # fmt: skip
        return _gather(path.stem, path, [path], layout, registered=False)
    if {"messages", "prompt"} & known:
        return _dataset(path.stem, path, [path], parse_chat, None)
    raise file_error(
        f"{path}",
        f"the columns are {', '.join(sorted(known))}; expected {PLAIN_FORMS}, or an entry for the "
        f"file in a {INFO} beside it",
    )
