"""Where the `file` of a marker has its probes: by its name, and for YAML by its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_llmdiff.config.packages import given_path
from pytest_llmdiff.data.files.formats import read_records
from pytest_llmdiff.data.files.probe_files import COLUMNS, ProbeRow, renamed, rows_of
from pytest_llmdiff.data.files.records import EXAMPLES, Record, file_error
from pytest_llmdiff.errors import ProbeFileError

HUB = "hf:"
OUTPUTS = {"expected_output", "actual_output"}
YAML = re.compile(r"(?P<path>.+\.ya?ml)(?:#(?P<split>.+))?", re.IGNORECASE)


def is_published(file: str) -> bool:
    """Whether a file is a data set of the hub or another tool's YAML."""
    return file.startswith(HUB) or YAML.fullmatch(file) is not None


def published_rows(
    file: str, folder: Path, columns: Mapping[str, str] | None
) -> Iterator[ProbeRow]:
    """The probes of such a file, which is relative to `folder`; `columns` names its columns by
    those of a probe.

    Raises:
        ProbeFileError: it has no probes, or not without running code.
    """
    if file.startswith(HUB):
        return _of_hub(file, folder, columns)
    found = YAML.fullmatch(file)
    assert found is not None
    path = given_path(found["path"], folder, what="@pytest.mark.llmdiff: file")
    return _of_yaml(path, found["split"], columns)


def columns_of(path: Path) -> Mapping[str, str] | None:
    """The columns of test cases or goldens that deepeval saved, by those of a probe; None for any
    other file. Contexts, outputs and the rest are not read."""
    try:
        first = next(read_records(path, EXAMPLES)).values
    except (ProbeFileError, StopIteration):  # who reads it then says what is wrong
        return None
    if "input" not in first or not OUTPUTS & set(first) or {"prompt", "messages"} & set(first):
        return None
    known = "expected_output" in first
    return {"prompt": "input"} | ({"reference": "expected_output"} if known else {})


def _of_hub(file: str, folder: Path, columns: Mapping[str, str] | None) -> Iterator[ProbeRow]:
    from pytest_llmdiff.data.published.hub import hub_records

    if columns is not None:
        records = hub_records(file, folder, columns.values())
        return rows_of(renamed(records, columns, place=file))
    return rows_of(_own_columns(file, hub_records(file, folder), COLUMNS))


def _own_columns(file: str, records: Iterator[Record], known: tuple[str, ...]) -> Iterator[Record]:
    for record in records:
        if unknown := [name for name in record.values if name not in known]:
            raise file_error(
                f"{file}, column {unknown[0]!r}",
                f"it is none of {', '.join(known)}; name the columns that are, such as "
                f"columns={{'prompt': {unknown[0]!r}}}",
            )
        yield record


def _of_yaml(
    path: Path, split: str | None, columns: Mapping[str, str] | None
) -> Iterator[ProbeRow]:
    from pytest_llmdiff.data.published import lm_eval, promptfoo
    from pytest_llmdiff.data.published.yaml_files import read_mapping

    if columns is not None:
        raise ProbeFileError(f"{path}: columns=... is for files of records, not for YAML")
    config = read_mapping(path)
    if promptfoo.is_config(config) and split is None:
        return promptfoo.config_rows(path, config)
    if lm_eval.is_task(lm_eval.included(path, config)):
        return lm_eval.task_rows(path, config, split)
    raise file_error(
        f"{path}",
        "this is neither a task of lm-eval (with doc_to_text and dataset_path) nor a config of "
        "promptfoo (with prompts and tests)",
    )
