"""Reads test suites of CheckList (Ribeiro et al. 2020, arXiv 2005.04118) in their plain formats.
The pickled suites are never opened.

Formats: one text per line (`tests_n500` of the sentiment suite); a TSV with the header `id`,
`question1`, `question2` (QQP); JSON lines with `passage` and `question`, or SQuAD's own JSON; and
records with `test_name`, `test_case` and `example_idx` (`TestSuite.to_dict`), the only format that
says which examples belong together.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.devices import refuse_device
from pytest_llmdiff.data.files.formats import read_records
from pytest_llmdiff.data.files.records import Kind, check_unique, file_error
from pytest_llmdiff.data.files.strict_json import load_json
from pytest_llmdiff.errors import ConfigError, ProbeFileError

TSV_HEADER = "id\tquestion1\tquestion2"
PICKLES = (".pkl", ".pickle", ".dill")
RECORDS = (".csv", ".tsv", ".parquet")
_KIND = Kind(
    noun="example",
    example='{"text": "...", "test_name": "...", "test_case": 0, "example_idx": 0}',
    columns="column names",
    check_columns=check_unique,
)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One example: its fields by name, its line or record number, and its test case."""

    fields: Mapping[str, str]
    number: int
    test: str | None = None
    case: str | None = None
    index: int | None = None


def checklist_prompts(
    path: str | Path,
    prompt: str = "{text}",
    *,
    lines: tuple[int, int] | None = None,
    tests: Sequence[str] = (),
) -> list[str]:
    """A prompt for every example of a suite's file.

    Args:
        path: the file.
        prompt: a template with the fields of an example: `{text}`; `{question1}` and `{question2}`;
            `{passage}` and `{question}`; or the columns of records.
        lines: the first and the last example to use, from 1.
        tests: the names of the tests to use, if the file has names.

    Raises:
        ProbeFileError: the file is malformed or in none of these formats.
        ConfigError: `prompt` names a field that the examples lack, or no example is left.
    """
    return [text for _, text in _prompts(Path(path), prompt, lines, tests)]


def checklist_pairs(
    path: str | Path,
    prompt: str = "{text}",
    *,
    lines: tuple[int, int] | None = None,
    tests: Sequence[str] = (),
    each: int | None = None,
) -> list[tuple[str, str]]:
    """Pairs (original, changed form) of an invariance test: the first example of each case, paired
    with every other one of the case.

    Args:
        path: the file.
        prompt: as in `checklist_prompts`.
        lines: as in `checklist_prompts`; with `each`, the examples of a single test.
        tests: as in `checklist_prompts`.
        each: the number of examples per case, if the file does not say which belong together.

    Raises:
        ProbeFileError: the file is malformed, or does not say which examples make a case.
        ConfigError: as in `checklist_prompts`, or the number of examples is not a multiple of
            `each`.
    """
    found = _prompts(Path(path), prompt, lines, tests)
    pairs = []
    for case in _cases(Path(path), found, each):
        (_, original), *others = sorted(case, key=lambda member: member[0].index or 0)
        pairs += [(original, form) for _, form in others if form != original]
    if not pairs:
        raise ConfigError(f"{path}: there are no pairs: no case has a second example")
    return pairs


def _cases(
    path: Path, found: list[tuple[Example, str]], each: int | None
) -> Iterator[list[tuple[Example, str]]]:
    if each is not None:
        if each < 2 or len(found) % each:
            raise ConfigError(
                f"{path}: {len(found)} examples cannot be split into cases of {each}; give lines= "
                "and each= of one test"
            )
        yield from (found[start : start + each] for start in range(0, len(found), each))
        return
    for (_, case), members in groupby(found, key=lambda member: (member[0].test, member[0].case)):
        if case is None:
            raise file_error(
                f"{path}",
                "nothing says which examples belong together; expected the columns test_name, "
                "test_case and example_idx (TestSuite.to_dict), or lines= and each=",
            )
        yield list(members)


def _prompts(
    path: Path, prompt: str, lines: tuple[int, int] | None, tests: Sequence[str]
) -> list[tuple[Example, str]]:
    found = []
    first, last = lines or (1, None)
    for place, example in enumerate(_examples(path), 1):
        if place < first or (last is not None and place > last):
            continue
        if tests and example.test not in tests:
            continue
        try:
            found.append((example, prompt.format(**example.fields)))
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(
                f"{path}: the prompt {prompt!r} does not fit the examples ({error}); their fields "
                f"are {', '.join(example.fields)}"
            ) from error
    if not found:
        raise ConfigError(f"{path}: no example is left with lines={lines} and tests={tests}")
    return found


def _examples(path: Path) -> Iterator[Example]:
    if path.suffix.lower() in PICKLES:
        raise file_error(
            f"{path}",
            "this is a pickle, which could run any code and is not opened; expected the plain "
            "format of the suite (tests_n500, squad.jsonl, or TestSuite.to_raw_file)",
        )
    if path.suffix.lower() in RECORDS and not _is_question_pairs(path):
        for record in read_records(path, _KIND):
            yield _of_record(record.values, record.number)
        return
    try:
        refuse_device(path)
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise file_error(f"{path}", f"cannot be read as text: {error}") from error
    if not text.strip():
        raise file_error(f"{path}", "the file is empty; expected at least one example")
    if path.suffix.lower() == ".json":
        yield from _of_json(path, text)
        return
    # Not splitlines(): it also splits at characters that may stand inside a text.
    numbered = [(n, line.rstrip("\r")) for n, line in enumerate(text.split("\n"), 1)]
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        yield from _of_json_lines(path, numbered)
    elif numbered[0][1] == TSV_HEADER:
        yield from _of_question_pairs(path, numbered[1:])
    else:
        yield from (Example(fields={"text": line}, number=n) for n, line in numbered if line)


def _is_question_pairs(path: Path) -> bool:
    # It is written without quoting, so that the reader of TSV files would refuse it.
    try:
        refuse_device(path)
        with path.open(encoding="utf-8-sig") as file:
            return file.readline().rstrip("\r\n") == TSV_HEADER
    except (OSError, UnicodeDecodeError):
        return False


def _of_question_pairs(path: Path, numbered: list[tuple[int, str]]) -> Iterator[Example]:
    names = TSV_HEADER.split("\t")
    for number, line in numbered:
        if not line:
            continue
        cells = line.split("\t")
        if len(cells) != len(names):
            raise file_error(
                f"{path}, line {number}",
                f"the number of cells is {len(cells)}; expected {len(names)} ({', '.join(names)})",
            )
        yield Example(fields=dict(zip(names, cells, strict=True)), number=number)


def _of_json_lines(path: Path, numbered: list[tuple[int, str]]) -> Iterator[Example]:
    for number, line in numbered:
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        value = load_json(
            line,
            place=place,
            position=lambda error: f"column {error.colno}",
            expected="one example per line: a text, two questions, or an object",
        )
        yield _of_value(place, value, number)


def _of_value(place: str, value: object, number: int) -> Example:
    if isinstance(value, str):
        return Example(fields={"text": value}, number=number)
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
        return Example(
            fields=dict(zip(("question1", "question2"), value, strict=True)), number=number
        )
    if isinstance(value, dict):
        return _of_record(value, number)
    raise file_error(
        place, f"got {reprlib.repr(value)}; expected a text, two questions, or an object"
    )


def _of_record(values: Mapping[str, object], number: int) -> Example:
    index = values.get("example_idx")
    case, test = values.get("test_case"), values.get("test_name")
    return Example(
        fields={name: str(value) for name, value in values.items() if value is not None},
        number=number,
        test=None if test is None else str(test),
        case=None if case is None else str(case),
        index=int(str(index)) if str(index).isdigit() else None,
    )


def _of_json(path: Path, text: str) -> Iterator[Example]:
    """SQuAD's format, or a list of examples."""
    value: Any = load_json(
        text,
        place=f"{path}",
        position=lambda error: f"line {error.lineno}, column {error.colno}",
        expected='SQuAD\'s {"data": [...]} or a list of examples',
    )
    if isinstance(value, list):
        for number, item in enumerate(value, 1):
            yield _of_value(f"{path}, record {number}", item, number)
        return
    number = 0
    try:
        for article in value["data"]:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    number += 1
                    fields = {"passage": paragraph["context"], "question": asked["question"]}
                    yield Example(fields=fields, number=number)
    except (KeyError, TypeError) as error:
        raise ProbeFileError(
            f"{path}, record {number + 1}: {json.dumps(str(error))} is missing; expected SQuAD's "
            'format: {"data": [{"paragraphs": [{"context": "...", "qas": [{"question": "..."}]}]}]}'
        ) from error
