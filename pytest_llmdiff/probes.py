"""Probes: the prompts that are put to both models, from `@pytest.mark.llmdiff` and probe files."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.errors import ConfigError, ProbeFileError
from pytest_llmdiff.formats.factory_data import Dataset, Example, training_data_of
from pytest_llmdiff.formats.messages import Message, parse_messages
from pytest_llmdiff.formats.probe_files import read_probe_file
from pytest_llmdiff.options import GENERATION_PARSERS

MARKER_KEYWORDS = ("file", "system", "reference", "tags", *GENERATION_PARSERS)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One prompt with what is known about it.

    `generation` holds what this probe asks for otherwise than the run (`max_new_tokens`, …);
    `cluster` names the question that several paraphrases share.
    """

    id: str
    messages: tuple[Message, ...]
    reference: str | None = None
    tags: tuple[str, ...] = ()
    language: str | None = None
    cluster: str | None = None
    generation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The last user turn, which is what reports show first."""
        return self.messages[-1]["content"]


def make_probe(prompt: object, *, system: str | None = None, **fields: Any) -> Probe:
    """A probe from a string or a list of chat messages; its id is a slug with a content hash.

    Raises:
        ValueError: the prompt is neither.
    """
    messages = parse_messages(prompt)
    if system is not None and messages[0]["role"] != "system":
        messages = (Message(role="system", content=system), *messages)
    probe = Probe(id="", messages=messages, **fields)
    return replace(probe, id=_slug(probe))


def with_system(probe: Probe, system: str | None) -> Probe:
    """The probe with the run's system prompt where it brings none of its own."""
    if system is None or probe.messages[0]["role"] == "system":
        return probe
    return replace(probe, messages=(Message(role="system", content=system), *probe.messages))


def probes_of_marker(
    args: Sequence[object], kwargs: Mapping[str, Any], *, folder: Path
) -> list[Probe]:
    """The probes of one `@pytest.mark.llmdiff`; its `file` is relative to the test's `folder`.

    Raises:
        ConfigError: an unknown or unusable argument; the message lists what is allowed.
        ProbeFileError: the file is malformed.
    """
    unknown = sorted(set(kwargs) - set(MARKER_KEYWORDS))
    if unknown:
        raise ConfigError(
            f"@pytest.mark.llmdiff: unknown keyword {', '.join(unknown)}; "
            f"allowed are {', '.join(MARKER_KEYWORDS)}"
        )
    file, system, reference = (kwargs.get(name) for name in ("file", "system", "reference"))
    for name in ("system", "reference"):
        value = kwargs.get(name)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise ConfigError(f"@pytest.mark.llmdiff: {name} is a text, not {value!r}")
    if file is not None and not isinstance(file, (str, Path)):
        raise ConfigError(f"@pytest.mark.llmdiff: file is a path, not {file!r}")
    if reference is not None and (len(args) != 1 or file is not None):
        raise ConfigError(
            "@pytest.mark.llmdiff: reference belongs to one prompt; for several, use a probe file "
            "with a reference column"
        )
    if not args and file is None:
        raise ConfigError("@pytest.mark.llmdiff: give prompts, file=..., or both")
    tags, generation = _tags(kwargs.get("tags")), _generation(kwargs)
    probes = []
    for prompt in args:
        try:
            probe = make_probe(
                prompt, system=system, reference=reference, tags=tags, generation=generation
            )
        except ValueError as error:
            raise ConfigError(f"@pytest.mark.llmdiff: {error}") from error
        probes.append(probe)
    if file is not None:
        probes += _probes_of_file(folder / file, system, tags, generation)
    return probes


def _probes_of_file(
    path: Path, system: str | None, tags: tuple[str, ...], generation: Mapping[str, Any]
) -> list[Probe]:
    if (datasets := training_data_of(path)) is not None:
        return [
            make_probe(
                example.messages,
                system=system,
                reference=example.answer or None,
                tags=tags,
                generation=generation,
            )
            for dataset in datasets
            for example in _examples_of(dataset)
        ]
    probes = []
    for row in read_probe_file(path):
        probe = make_probe(
            row.messages,
            system=row.system or system,
            reference=row.reference,
            tags=tuple(dict.fromkeys((*row.tags, *tags))),
            language=row.language,
            cluster=row.cluster,
            generation=generation,
        )
        # pytest escapes other characters in test ids, which then cannot be typed after `::`.
        if row.id and row.id.isascii() and row.id.isprintable() and not set(row.id) & set("[]: "):
            probe = replace(probe, id=row.id)
        elif row.id:
            probe = replace(probe, id=f"{_ascii_slug(row.id)}-{_digest(row.id)}")
        probes.append(probe)
    return probes


def _examples_of(dataset: Dataset) -> tuple[Example, ...]:
    if count := len(dataset.skipped):
        text = (
            f"{dataset.path}: {count} of {count + len(dataset.examples)} records are left out, as "
            f"they make no training example or no prompt; the first is {dataset.skipped[0]}"
        )
        try:
            warnings.warn(text, pytest.PytestWarning, stacklevel=1)
        except pytest.PytestWarning as error:  # the run takes warnings for errors
            raise ProbeFileError(text) from error
    return dataset.examples


def unique_ids(probes: Iterable[Probe]) -> list[Probe]:
    """The same probes, the second one of an id with `-2` behind it, the third with `-3`."""
    seen: dict[str, int] = {}
    probes = list(probes)
    taken = {probe.id for probe in probes}
    result = []
    for probe in probes:
        count = seen[probe.id] = seen.get(probe.id, 0) + 1
        name = probe.id if count == 1 else f"{probe.id}-{count}"
        while count > 1 and name in taken:
            name += "x"
        taken.add(name)
        result.append(replace(probe, id=name))
    return result


def _tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    tags = (value,) if isinstance(value, str) else value
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
        raise ConfigError(f"@pytest.mark.llmdiff: tags is a list of texts, not {value!r}")
    return tuple(tags)


def _generation(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    found = {}
    for name, parse in GENERATION_PARSERS.items():
        if name not in kwargs:
            continue
        try:
            found[name] = parse(kwargs[name])
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"@pytest.mark.llmdiff: {name}={kwargs[name]!r} is not allowed; "
                f"see --llmdiff-{name.replace('_', '-')} in `pytest --help`"
            ) from error
    return found


def _slug(probe: Probe) -> str:
    content = [probe.messages, probe.reference, sorted(probe.tags), dict(probe.generation)]
    return f"{_ascii_slug(probe.prompt)}-{_digest(json.dumps(content, sort_keys=True))}"


def _ascii_slug(text: str) -> str:
    words = re.findall(r"[a-z0-9]+", text[:400].lower())
    slug = ""
    for word in words:
        if len(slug) + len(word) > 40:
            break
        slug += f"-{word}" if slug else word
    return slug or "probe"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
