"""The entries of a dataset_info.json: the files that they name, and the layout of the records."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import given_path
from pytest_llmdiff.data.files.records import INFO, file_error
from pytest_llmdiff.data.files.strict_json import load_json
from pytest_llmdiff.data.llamafactory.examples import COLUMNS, FORMATTINGS, TAGS, Layout
from pytest_llmdiff.errors import ConfigError

# LLaMA-Factory's file types by suffix; types that are not tables of texts are not supported.
TYPES = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}
ELSEWHERE = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")


def read_entries(info: Path) -> Mapping[str, Mapping[str, object]]:
    """The entries by name.

    Raises:
        ProbeFileError: the file cannot be read, or contains something else.
    """
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


def require_here(place: str, entry: Mapping[str, object]) -> None:
    """Raises ConfigError if the data of an entry is on a hub, made by a script or in a cloud.

    Its records are then not described by what the entry says of files (`split`, for example).
    """
    for key in ELSEWHERE:
        if key in entry:
            raise ConfigError(
                f"{place}: its data is not on this machine ({key}: {entry[key]!r}); download it, "
                "and name the file as file_name in an entry of its own"
            )


def entry_layout(place: str, entry: Mapping[str, object]) -> Layout:
    """What an entry says about its records; `place` is its position, for errors.

    If an entry has `columns` or `tags`, parts that it does not list there are not read.

    Raises:
        ProbeFileError: it is malformed.
    """
    formatting = entry.get("formatting", "alpaca")
    known = next((name for name in FORMATTINGS if name == formatting), None)
    if known is None:
        raise file_error(
            place, f"got the formatting {formatting!r}; expected one of {', '.join(FORMATTINGS)}"
        )
    if entry.get("split", "train") != "train":
        raise file_error(
            place, f"got the split {entry['split']!r}; expected 'train', since files have no splits"
        )
    given: dict[str, Any] = {"columns": COLUMNS, "tags": TAGS}
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


def entry_files(
    place: str, folder: Path, entry: Mapping[str, object]
) -> tuple[Path, Sequence[Path]]:
    """The path that an entry of the dataset_info.json in `folder` names, and its files.

    Raises:
        ProbeFileError: it names no file, or none that is supported.
    """
    path = given_path(_file_name(place, entry), folder, what=place)
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
    return path, files


def described_layout(path: Path) -> tuple[str, Layout] | None:
    """The entry of the nearest dataset_info.json that names a data file, and its layout.

    Raises:
        ConfigError: several entries name the file and disagree.
        ProbeFileError: an entry is malformed.
    """
    target = path.resolve()
    for folder in (target.parent, target.parent.parent):
        info = folder / INFO
        if not info.is_file() or info == target:
            continue
        found: dict[str, Layout] = {}
        for name, entry in read_entries(info).items():
            file_name = entry.get("file_name")
            if any(key in entry for key in ELSEWHERE) or not isinstance(file_name, str):
                continue
            described = given_path(file_name, folder, what=f"{info}, entry {name!r}")
            if described.resolve() in (target, target.parent):
                found[name] = entry_layout(f"{info}, entry {name!r}", entry)
        if len({repr(layout) for layout in found.values()}) > 1:
            raise ConfigError(
                f"{path}: {info} describes this file differently as {', '.join(found)}; "
                f"expected one of them by name, as in {info.name}#{next(iter(found))}"
            )
        if found:
            return next(iter(found.items()))
    return None


def _file_name(place: str, entry: Mapping[str, object]) -> str:
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        raise file_error(place, f"got the file_name {name!r}; expected the name of a file")
    return name
