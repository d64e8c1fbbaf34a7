"""YAML files of other tools: read, never run, and told apart by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.bounded_yaml import Tagged, load_yaml
from pytest_llmdiff.data.files.devices import refuse_device
from pytest_llmdiff.data.files.records import file_error


def read_mapping(path: Path) -> dict[str, Any]:
    """The keys of a file. What `!function` tags is a `Tagged`, and nothing is imported.

    Raises:
        ProbeFileError: it cannot be read, or is no mapping in YAML.
    """
    import yaml

    try:
        refuse_device(path)
        found = load_yaml(path.read_text(encoding="utf-8-sig"), tags=("!function",))
    except OSError as error:
        raise file_error(
            f"{path}", f"cannot be read ({error.strerror}); expected a YAML file"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        problem = " ".join(f"{error}".split())[:300]
        raise file_error(f"{path}", f"this is not readable as YAML ({problem})") from error
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise file_error(f"{path}", "this is no mapping of names; expected a task or a config")
    return dict(found)


def refuse_code(path: Path, key: str, value: object) -> None:
    """Raises ProbeFileError if a value is code of a file's author."""
    if isinstance(value, Tagged):
        raise file_error(
            f"{path}, {key}",
            f"this is code ({value.tag} {value.text}), which is not run; expected columns and "
            "templates. Write the records that it makes into a probe file instead",
        )
