"""Records of a data set on the Hugging Face hub, in its local cache, or saved in a folder."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import RAISED, quiet, require_packages
from pytest_llmdiff.data.files.records import Record, file_error
from pytest_llmdiff.errors import ProbeFileError

FORM = "hf:ORG/NAME[/CONFIGURATION][@REVISION][#SPLIT] or hf:FOLDER[#SPLIT]"
# No part begins with a dot: `datasets` would take `../..` for a folder, and read all that is in it.
NAME = re.compile(
    r"(?P<name>\w[\w.-]*(?:/\w[\w.-]*)?)(?:/(?P<config>\w[\w.-]*))?(?:@(?P<revision>[^@#]+))?"
)
SPLIT = re.compile(r"(?P<name>[\w.-]+)(?:\[(?P<first>\d*):(?P<end>\d*)\])?")
SAVED = ("state.json", "dataset_dict.json")  # what `save_to_disk` leaves in a folder


def hub_records(
    source: str, folder: Path, columns: Collection[str] | None = None
) -> Iterator[Record]:
    """The records of `hf:…` (`FORM`), with only the given columns. A folder is relative to
    `folder`. A split may name a part of it: `test[:200]`. Labels with names are these names.

    No code of a data set runs: `datasets` has not done that since its version 4.

    Raises:
        ProbeFileError: there is no such data set, split or column.
        MissingPackageError: `datasets` is missing.
    """
    location, _, split = source.removeprefix("hf:").partition("#")
    wanted = SPLIT.fullmatch(split)
    if not location or (split and wanted is None):
        raise file_error(source, f"this is not a data set; expected {FORM}")
    require_packages("datasets", f"reading {source}")
    try:
        with quiet():
            loaded = _loaded(location, folder)
    except RAISED as error:
        raise file_error(
            source,
            f"it cannot be loaded ({type(error).__name__}: {_first_line(error)}); expected a data "
            "set on the hub, in its cache on this machine if HF_HUB_OFFLINE is set, or a folder",
        ) from error
    return _records(source, _table(source, loaded, wanted), columns)


def _loaded(location: str, folder: Path) -> Any:
    import datasets

    path = folder / location
    if path.is_dir():
        if any((path / name).is_file() for name in SAVED):
            return datasets.load_from_disk(str(path))
        return datasets.load_dataset(str(path))
    named = NAME.fullmatch(location)
    if named is None:
        raise ProbeFileError(f"no folder, and not of the form {FORM}")
    return datasets.load_dataset(named["name"], named["config"], revision=named["revision"])


def _table(source: str, loaded: Any, wanted: re.Match[str] | None) -> Any:
    """The rows of the split that is asked for, or of the only one."""
    table = loaded
    if isinstance(loaded, dict):
        name = wanted["name"] if wanted else next(iter(loaded), "") if len(loaded) == 1 else ""
        if name not in loaded:
            problem = f"there is no split {name!r}" if name else "it has several splits"
            raise file_error(
                source, f"{problem}; expected #SPLIT with one of {', '.join(map(str, loaded))}"
            )
        table = loaded[name]
    if wanted is None or wanted["end"] is None:
        return table
    end = min(int(wanted["end"] or len(table)), len(table))
    return table.select(range(min(int(wanted["first"] or 0), end), end))


def _records(source: str, table: Any, columns: Collection[str] | None) -> Iterator[Record]:
    names = list(table.column_names)
    if columns is not None:
        for name in columns:
            if name not in names:
                raise file_error(
                    f"{source}, column {reprlib.repr(name)}",
                    f"there is no such column; expected one of {', '.join(names)}",
                )
        # Pictures and sounds in the others would be decoded.
        table = table.select_columns(list(dict.fromkeys(columns)))
    if not len(table):
        raise file_error(source, "it has no rows; expected at least one")
    labels = {
        name: feature for name, feature in table.features.items() if hasattr(feature, "int2str")
    }
    rows = iter(table)
    for number in range(1, len(table) + 1):
        try:
            with quiet():
                row = dict(next(rows))
        except RAISED as error:
            raise file_error(
                f"{source}, record {number}", f"it cannot be read ({_first_line(error)})"
            ) from error
        for name, feature in labels.items():
            if isinstance(row[name], int) and row[name] >= 0:
                row[name] = feature.int2str(row[name])
        yield Record(path=Path(source), unit="record", number=number, values=row)


def _first_line(error: BaseException) -> str:
    return (f"{error}".strip().splitlines() or [""])[0][:300]
