"""Probes: the prompts that both models are asked, from markers, probe files and tests."""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.messages import Message, parse_messages

if TYPE_CHECKING:
    from pytest_llmdiff.data.files.probe_files import ProbeRow

NO_WORD = re.compile("[^a-z0-9]+")
SLUG = 40  # characters of an id's readable part
# Made once: `json.dumps` makes a new encoder for every call with sorted keys.
CONTENT = json.JSONEncoder(sort_keys=True)
SHOWN = reprlib.Repr()
SHOWN.maxstring = 40


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

    def __repr__(self) -> str:
        return f"Probe({self.id}, {briefly(self.prompt)})"

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


def briefly(text: str) -> str:
    """The repr of a text, of a long one its beginning and its end."""
    return SHOWN.repr(text)


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


def probe_of_row(
    row: ProbeRow, *, system: str | None, tags: Sequence[str], generation: Mapping[str, Any]
) -> Probe:
    """A row of a probe file, with the system prompt, tags and generation options that its marker
    gives: the row's own system prompt wins, and its tags come first."""
    return _probe(
        row.messages,
        row.system or system,
        id=_own_id(row.id) if row.id else None,
        reference=row.reference,
        tags=tuple(dict.fromkeys((*row.tags, *tags))),
        language=row.language,
        cluster=row.cluster,
        generation=generation,
    )


def _own_id(text: str) -> str:
    """The id that a row brings, with only such characters as can be typed after `::`."""
    # All others are escaped in test ids.
    if text.isascii() and text.isprintable() and not set(text) & set("[]: "):
        return text
    return f"{_ascii_slug(text)}-{_digest(text)}"


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
