"""Where a run writes: each file to a place of its own, and a place that can be written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.options import PLACES
from pytest_llmdiff.errors import ConfigError

WRITTEN = ("accepted", "record", "json", "html", "markdown", "calibrate", "label")
# What others write: the name of pytest's option, or that of a plugin, and its flag.
WRITTEN_BESIDE = {
    "xmlpath": "--junitxml",
    "log_file": "--log-file",
    "report_log": "--report-log",
    "htmlpath": "--html",
    "json_report_file": "--json-report-file",
}


def check_places(values: Mapping[str, Any]) -> None:
    """Refuse a folder where a file is expected, and a file where a folder is."""
    for name in (*WRITTEN, "baseline"):
        file: Path | None = values[name]
        if file is not None and file.is_dir():
            raise ConfigError(f"--llmdiff-{name}: {file} is a folder; give a file")
    for name in ("record", "baseline", "calibrate", "accepted"):  # read, or replaced by a new file
        file = values[name]
        if file is not None and file.exists() and not file.is_file():
            raise ConfigError(f"--llmdiff-{name}: {file} is not a regular file; give another")
    if (labels := values["label"]) is not None and labels.exists():
        raise ConfigError(
            f"--llmdiff-label: {labels} exists, and may have labels already; give another file"
        )
    for name in ("export", "store"):
        folder: Path | None = values[name]
        if folder is not None and folder.exists() and not folder.is_dir():
            raise ConfigError(f"--llmdiff-{name}: {folder} is a file; give a folder")


def require_apart(values: Mapping[str, Any], models: Mapping[str, Path | None]) -> None:
    """Refuse a file that two options would write, or that the run reads as well.

    Raises:
        ConfigError: naming both.
    """
    taken = {f"--llm-{name}": path for name, path in models.items()}
    if values["calibrate"] is None:  # calibration may replace the baseline
        taken["--llmdiff-baseline"] = values["baseline"]
    _require_free(values, {name: path for name, path in taken.items() if path is not None})


def require_apart_from_others(
    config: pytest.Config, values: Mapping[str, Any], folder: Path
) -> None:
    """Refuse a file that pytest or another plugin would write as well."""
    written = {flag: config.getoption(name, None) for name, flag in WRITTEN_BESIDE.items()}
    with suppress(KeyError, ValueError):  # without pytest's logging plugin
        written["--log-file"] = written["--log-file"] or config.getini("log_file")
    if not config.getoption("json_report", False):  # its file has a default
        del written["--json-report-file"]
    paths = {
        flag: folder / Path(os.path.expanduser(path))  # noqa: PTH111 - an unknown home stays
        for flag, path in written.items()
        if path and isinstance(path, str)
    }
    _require_free(values, paths)


def _require_free(values: Mapping[str, Any], taken: Mapping[str, Path]) -> None:
    files = {os.path.realpath(path): name for name, path in taken.items()}
    for name in WRITTEN:
        target: Path | None = values[name]
        # A terminal or a null device may be given several times.
        if target is None or (target.exists() and not target.is_file()):
            continue
        other = files.setdefault(os.path.realpath(target), f"--llmdiff-{name}")
        if other != f"--llmdiff-{name}":
            raise ConfigError(
                f"--llmdiff-{name}: {target} is the file of {other} too, and would overwrite it; "
                "give another"
            )


def require_writable(values: Mapping[str, Any]) -> None:
    """Refuse a path that cannot be written, before the run finds out at its end."""
    from pytest_llmdiff.config.packages import given_path

    written = [*PLACES, "calibrate", *(["accepted"] if values["accept"] else [])]
    for name in written:
        target: Path | None = values[name]
        if target is None:
            continue
        given_path(str(target), target.parent, what=f"--llmdiff-{name}")  # defaults too
        there = next(path for path in (target, *target.parents) if path.exists())
        if there != target and not there.is_dir():
            raise ConfigError(f"--llmdiff-{name}: {target} is impossible, since {there} is a file")
        if name == "store" and any(target.glob("*.sqlite3")):
            continue  # it is read, and new rows are kept elsewhere
        if not os.access(there, os.W_OK):
            raise ConfigError(f"--llmdiff-{name}: {there} is not writable; give another")
