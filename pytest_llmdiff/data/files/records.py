"""Records of a data file: their values, where they stand, and the columns that a file may have."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmdiff.errors import ProbeFileError

INFO = "dataset_info.json"  # LLaMA-Factory's description of the data files beside and below it
TRAINED = frozenset({"instruction", "conversations"})  # columns that only training data has


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a file should contain, in the words of the error messages."""

    noun: str
    example: str
    columns: str
    check_columns: Callable[[str, Iterable[str]], None]
    lines_in_json: bool = False  # a .json file may have one object per line


@dataclass(frozen=True, kw_only=True)
class Record:
    """Named values that are not checked yet; `cells` says that they are texts from CSV or TSV."""

    path: Path
    unit: str  # "line" or "record"
    number: int
    values: dict[str, object]
    cells: bool = False

    @property
    def place(self) -> str:
        return f"{self.path}, {self.unit} {self.number}"

    def error(self, problem: str, *, column: str | None = None) -> ProbeFileError:
        place = self.place if column is None else f"{self.place}, column {column!r}"
        return file_error(place, problem)


def file_error(place: str, problem: str) -> ProbeFileError:
    return ProbeFileError(f"{place}: {problem}")


def check_unique(place: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise file_error(
                f"{place}, column {name!r}", "the column is given twice; expected it once"
            )
        seen.add(name)


def check_known(place: str, names: Iterable[str], columns: Sequence[str]) -> None:
    """Raises ProbeFileError unless each name is one of the columns, and given once."""
    names = list(names)
    for name in names:
        if name not in columns:
            close = difflib.get_close_matches(name.lower(), columns, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise file_error(
                f"{place}, column {reprlib.repr(name)}",
                f"unknown column{hint}; expected columns among {', '.join(columns)}",
            )
    check_unique(place, names)


EXAMPLES = Kind(
    noun="example",
    example='{"instruction": "...", "output": "..."}',
    columns="column names",
    check_columns=check_unique,
    lines_in_json=True,
)
