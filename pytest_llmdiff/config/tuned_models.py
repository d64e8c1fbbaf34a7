"""Several tuned models in one run: their SPECs, and their names in the ids of tests."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_llmdiff.errors import ConfigError

if TYPE_CHECKING:
    from pytest_llmdiff.config.settings import Settings

SCHEME = re.compile(r"[a-z]{2,}:")  # not the drive of a path of Windows
ENDS = (".gguf", ".json", ".jsonl", ".yaml", ".yml")  # that say nothing in a name
NAMED = 40  # characters of a name
# Options that belong to one tuned model, and what they would have to mix.
OF_ONE = {
    "served": "it is the served form of one of them",
    "calibrate": "a calibration compares the base with itself",
    "accept": "an accepted change is one model's",
    "record": "a recording is of one base and one tuned model",
    "export": "training data is made from the failures of one model",
    "label": "replies to label are those of one model",
}


def with_all(settings: Settings, given: Sequence[str]) -> Settings:
    """The settings with every tuned model that is given.

    Raises:
        ConfigError: there are several, and another option is of one alone; or as `listed`.
    """
    tuned = listed(given, settings.folder_of("tuned"))
    if len(tuned) == 1:
        return replace(settings, tuned=tuned[0])
    for name, why in OF_ONE.items():
        if getattr(settings, name):
            flag = f"--{'llm' if name == 'served' else 'llmdiff'}-{name}"
            raise ConfigError(
                f"{flag} is given with {len(tuned)} tuned models ({', '.join(tuned)}), and {why}: "
                f"give one --llm-tuned, or leave {flag} out"
            )
    return replace(settings, tuned=tuned[0], several=tuned)


def listed(given: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The SPECs that `--llm-tuned` stands for; a pattern of paths for each folder that it matches,
    in the order of the numbers in their names.

    Raises:
        ConfigError: a pattern matches no folder, or a model is given twice.
    """
    found = [spec for text in given for spec in _matches(text, folder)]
    twice = [spec for spec, times in Counter(map(_place, found)).items() if times > 1]
    if twice:
        raise ConfigError(
            f"--llm-tuned: {twice[0]} is given twice; its tests would run twice with the same "
            "replies. Give each tuned model once"
        )
    return tuple(found)


def _matches(text: str, folder: Path) -> list[str]:
    if not has_magic(text) or SCHEME.match(text) or (folder / text).exists():
        return [text]
    here = Path(text).expanduser()
    # Relative ones stay relative, as they were given.
    matched = glob(str(here), root_dir=folder)  # noqa: PTH207 - Path.glob takes no absolute pattern
    folders = [path for path in matched if (folder / path).is_dir()]
    if not folders:
        raise ConfigError(
            f"--llm-tuned: no folder matches {text!r}, looked for from {folder}; give the folder "
            "of a model or an adapter, or a pattern that such folders match"
        )
    return sorted(folders, key=_numeric)


def _numeric(path: str) -> list[tuple[int, str]]:
    """Sorts checkpoint-80 before checkpoint-120."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)
    ]


def _place(spec: str) -> str:
    return spec if SCHEME.match(spec) else spec.rstrip("/\\")


def names_of(specs: Sequence[str]) -> tuple[str, ...]:
    """Short names for SPECs, each different, from the end of each: `checkpoint-80`. Where two would
    be the same they begin with the folder above, or else end with a number."""
    for parts in (1, 2, 3):
        names = [_name(spec, parts) for spec in specs]
        if len(set(names)) == len(names):
            return tuple(names)
    taken = set[str]()
    unique = []
    for name in names:
        number, wanted = 1, name
        while wanted in taken:
            number += 1
            wanted = f"{name}-{number}"
        taken.add(wanted)
        unique.append(wanted)
    return tuple(unique)


def _name(spec: str, parts: int) -> str:
    location = spec.partition("#")[2] or spec
    if SCHEME.match(location):
        location = location.rpartition(":")[2]
    path = PurePosixPath(location.replace("\\", "/"))
    last = path.name
    for end in ENDS:
        last = last.removesuffix(end)
    words = [*path.parts[:-1], last][-parts:]
    # Hyphens alone: what pytest would escape, or a shell would read, is none of a name.
    name = re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(words)).strip("-.")
    return name[-NAMED:].strip("-.") or "tuned"


def without_name(test: str, name: str) -> str:
    """The id of a test as it is in a run with this tuned model alone; the same id if the test is
    not of that model."""
    file, separator, inside = test.partition("::")
    function, bracket, parameters = inside.partition("[")
    if not bracket:
        return test
    rest = parameters.removesuffix("]")
    if rest == name:
        return f"{file}{separator}{function}"
    if rest.startswith(f"{name}-"):
        rest = rest.removeprefix(f"{name}-")
    elif rest.endswith(f"-{name}"):
        rest = rest.removesuffix(f"-{name}")
    else:
        rest = rest.replace(f"-{name}-", "-", 1)
    return f"{file}{separator}{function}[{rest}]"
