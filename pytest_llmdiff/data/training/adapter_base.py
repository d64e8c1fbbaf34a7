"""The base that an adapter's own configuration names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.data.training.files import read_object

ADAPTER_CONFIG = "adapter_config.json"


def named_base(folder: Path) -> str | None:
    """The base that the adapter in a folder names, or None.

    Raises:
        ConfigError: its configuration cannot be read.
    """
    named = read_object(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    return named if isinstance(named, str) and named else None


def other_base(base: Spec, tuned: Spec) -> str | None:
    """A note if the base is called otherwise than the one that the adapter names.

    A model has other paths on other machines, so only the last part of each is compared.
    """
    if tuned.kind != "adapter" or tuned.path is None or base.kind != "weights":
        return None
    named = named_base(tuned.path)
    if named is None or _called(named) in _names(base):
        return None
    return (
        f"{ADAPTER_CONFIG} of {tuned.text} names the base {named}, and this run's is {base.text}: "
        "is that the same model?"
    )


def _names(base: Spec) -> set[str]:
    """What a base is called: by its id, its folder, its own configuration, or the hub's cache."""
    if base.path is None:
        return {_called(base.repo or base.text)}
    config = base.path / "config.json"
    itself = read_object(config).get("_name_or_path") if config.is_file() else None
    cached = [part.replace("--", "/") for part in base.path.parts if "--" in part]
    return {*map(_called, map(str, (base.path, base.path.resolve(), itself or "", *cached)))}


def _called(place: str) -> str:
    return PurePosixPath(place.rstrip("/").replace("\\", "/")).name.lower()
