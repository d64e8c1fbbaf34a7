"""Probes: the prompts that both models are asked, from `@pytest.mark.llmdiff` and probe files."""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdiff.config.options import GENERATION_PARSERS
from pytest_llmdiff.config.packages import given_path
from pytest_llmdiff.data.files.probe_files import is_probe_file, probe_rows
from pytest_llmdiff.data.messages import Message, is_whole, parse_messages
from pytest_llmdiff.errors import ConfigError, ProbeFileError

if TYPE_CHECKING:
    from pytest_llmdiff.data.llamafactory.datasets import Dataset, Example

MARKER_KEYWORDS = ("file", "system", "reference", "tags", *GENERATION_PARSERS)
NO_WORD = re.compile("[^a-z0-9]+")
SLUG = 40  # characters of an id's readable part
# Made once: `json.dumps` makes a new encoder for every call with sorted keys.
CONTENT = json.JSONEncoder(sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One prompt and what is known about it.

    `id` names it in test ids and reports. `messages` are the chat messages, of which the model
    answers the last. `reference` is the right answer. `language` is a code such as "en", by which
    scorers decide whether they can judge the replies. `cluster` names the question that several
    paraphrases share: they count as one piece of evidence. `generation` has the settings in which
    this probe differs from the run (`max_new_tokens`, `temperature`, `top_p`, `seed`).
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
        """The content of the last message, which reports show first."""
        return self.messages[-1]["content"]

    @property
    def digest(self) -> str:
        """A hash of the prompt and of its own generation settings."""
        return _digest(CONTENT.encode([self.messages, dict(self.generation)]), 12)

    @property
    def question(self) -> str:
        """The cluster, or a hash of the messages: probes that share it are not independent."""
        return self.cluster or _digest(CONTENT.encode(self.messages), 16)


def make_probe(prompt: object, *, system: str | None = None, **fields: Any) -> Probe:
    """A probe from a string or a list of chat messages; its id is a slug with a content hash.

    Raises:
        ValueError: the prompt is neither.
    """
    return _probe(parse_messages(prompt), system, **fields)


def make_reading(text: object, *, id: str | None = None, **fields: Any) -> Probe:
    """A probe for a text that models read instead of answering: its last message is the
    assistant's. The text is a string, or chat messages that end in an answer.

    Raises:
        ValueError: the text is neither, or blank.
    """
    before: tuple[Message, ...] = ()
    if not isinstance(text, str):
        if not isinstance(text, Sequence) or not text:
            raise ValueError(f"got {reprlib.repr(text)}")
        *prompt, last = text
        if not isinstance(last, Mapping) or last.get("role") != "assistant":
            raise ValueError(f"the last message is {reprlib.repr(last)}")
        before, text = (parse_messages(prompt) if prompt else ()), last.get("content")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"the text is {reprlib.repr(text)}, which is blank")
    return _probe((*before, Message(role="assistant", content=text)), None, id=id, **fields)


def _probe(
    messages: tuple[Message, ...], system: str | None, *, id: str | None = None, **fields: Any
) -> Probe:
    messages = _after(system, messages)
    return Probe(id=_slug(messages, **fields) if id is None else id, messages=messages, **fields)


def _after(system: str | None, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages after a system prompt, unless they have their own."""
    if system is None or messages[0]["role"] == "system":
        return messages
    return (Message(role="system", content=system), *messages)


def with_system(probe: Probe, system: str | None) -> Probe:
    """The probe with the run's system prompt, unless it has its own."""
    messages = _after(system, probe.messages)
    return probe if messages is probe.messages else replace(probe, messages=messages)


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
        if value is not None and not (is_whole(value) and value.strip()):
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
        path = given_path(str(file), folder, what="@pytest.mark.llmdiff: file")
        probes += _probes_of_file(path, system, tags, generation)
    return probes


def _probes_of_file(
    path: Path, system: str | None, tags: tuple[str, ...], generation: Mapping[str, Any]
) -> list[Probe]:
    if (datasets := _training_data(path)) is not None:
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
    return [
        _probe(
            row.messages,
            row.system or system,
            id=_own_id(row.id) if row.id else None,
            reference=row.reference,
            tags=tuple(dict.fromkeys((*row.tags, *tags))),
            language=row.language,
            cluster=row.cluster,
            generation=generation,
        )
        for row in probe_rows(path)
    ]


def _training_data(path: Path) -> tuple[Dataset, ...] | None:
    if is_probe_file(path):
        return None
    from pytest_llmdiff.data.llamafactory.datasets import training_data_of

    return training_data_of(path)


def _own_id(text: str) -> str:
    """The id that a row brings, with only such characters as can be typed after `::`."""
    # pytest escapes the others in test ids.
    if text.isascii() and text.isprintable() and not set(text) & set("[]: "):
        return text
    return f"{_ascii_slug(text)}-{_digest(text)}"


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


def repeats(probe: Probe, count: int, *, seed: int, temperature: float) -> list[Probe]:
    """`count` copies of the probe, each with its own seed; one if replies are greedy, since those
    are always the same."""
    if count == 1 or probe.generation.get("temperature", temperature) == 0:
        return [probe]
    first = probe.generation.get("seed", seed)
    return [
        replace(probe, generation={**probe.generation, "seed": first + number})
        for number in range(count)
    ]


def unique_ids(probes: Iterable[Probe]) -> list[Probe]:
    """The same probes with unique ids: the second of an id gets the suffix `-2`, the third `-3`."""
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
        result.append(probe if name == probe.id else replace(probe, id=name))
    return result


def _tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    tags = (value,) if isinstance(value, str) else value
    if not isinstance(tags, (list, tuple)) or not all(map(is_whole, tags)):
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


def _slug(
    messages: Sequence[Message],
    *,
    reference: str | None = None,
    tags: Iterable[str] = (),
    generation: Mapping[str, Any] | None = None,
    **_: Any,
) -> str:
    content = [messages, reference, sorted(tags), dict(generation or {})]
    return f"{_ascii_slug(messages[-1]['content'])}-{_digest(CONTENT.encode(content))}"


def _ascii_slug(text: str) -> str:
    slug = NO_WORD.sub("-", text[:400].lower()).strip("-")
    if len(slug) > SLUG + 1:
        slug = slug[: max(0, slug.rfind("-", 0, SLUG + 2))]
    if len(slug) > SLUG and "-" not in slug:
        slug = ""
    return slug or "probe"


def _digest(text: str, length: int = 6) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
