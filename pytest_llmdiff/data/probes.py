"""Probes: the prompts that both models are asked, from markers, probe files and tests."""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.messages import Message, parse_messages
from pytest_llmdiff.data.tools.definitions import tools_of, with_tools
from pytest_llmdiff.errors import harmless

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
    answers the last, and the first has the tools that it is offered. `reference` is the right
    answer. `language` is a code such as "en", by which
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
        return f"Probe({briefly(self.id)}, {briefly(self.prompt)})"

    @property
    def prompt(self) -> str:
        """The content of the last message, which reports show first."""
        return self.messages[-1]["content"]

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools that the model is offered, in the form of OpenAI's API."""
        return tools_of(self.messages)

    @property
    def digest(self) -> str:
        """A hash of the prompt and of its own generation settings."""
        return _digest(CONTENT.encode([self.messages, dict(self.generation)]), 12)

    @property
    def question(self) -> str:
        """The cluster, or a hash of the messages: probes that share it are not independent."""
        return self.cluster or _digest(CONTENT.encode(self.messages), 16)


def briefly(text: str) -> str:
    """The repr of a text, of a long one its beginning and its end, with nothing that a CI job would
    obey."""
    return harmless(SHOWN.repr(text))


def make_probe(
    prompt: object,
    *,
    system: str | None = None,
    tools: Sequence[dict[str, Any]] = (),
    **fields: Any,
) -> Probe:
    """A probe from a string or a list of chat messages; its id is a slug with a content hash, in
    ASCII unless `any_script` is true. `tools` are offered if the messages have none of their own.

    Raises:
        ValueError: the prompt is neither.
    """
    return _probe(_offering(parse_messages(prompt), tools), system, **fields)


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
    messages: tuple[Message, ...],
    system: str | None,
    *,
    id: str | None = None,
    any_script: bool = False,
    **fields: Any,
) -> Probe:
    messages = _after(system, messages)
    if id is None:
        id = _slug(messages, any_script, **fields)
    return Probe(id=id, messages=messages, **fields)


def _after(system: str | None, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages after a system prompt, unless they have their own."""
    if system is None or messages[0]["role"] == "system":
        return messages
    head = Message(role="system", content=system)
    return with_tools((head, *messages), tools_of(messages))


def _offering(
    messages: tuple[Message, ...], tools: Sequence[dict[str, Any]]
) -> tuple[Message, ...]:
    """The messages with these tools, unless they have their own."""
    return messages if not tools or tools_of(messages) else with_tools(messages, tools)


def with_system(probe: Probe, system: str | None) -> Probe:
    """The probe with the run's system prompt, unless it has its own."""
    messages = _after(system, probe.messages)
    return probe if messages is probe.messages else replace(probe, messages=messages)


def probe_of_row(
    row: ProbeRow,
    *,
    system: str | None,
    tags: Sequence[str],
    generation: Mapping[str, Any],
    tools: Sequence[dict[str, Any]] = (),
    any_script: bool = False,
) -> Probe:
    """A row of a probe file, with the system prompt, tags, tools and generation options that its
    marker gives: the row's own system prompt and tools win, and its tags come first. Its id has
    letters of `any_script`, or of ASCII alone."""
    return _probe(
        _offering(row.messages, row.tools or tools),
        row.system or system,
        id=_own_id(row.id, any_script) if row.id else None,
        any_script=any_script,
        reference=row.reference,
        tags=tuple(dict.fromkeys((*row.tags, *tags))),
        language=row.language,
        cluster=row.cluster,
        generation=generation,
    )


def _own_id(text: str, any_script: bool) -> str:
    """The id that a row brings, with only such characters as can be typed after `::`."""
    # All others are escaped in test ids.
    typed = text.isprintable() and not set(text) & set("[]: ")
    if typed and (text.isascii() or (any_script and _plain(text) == text)):
        return text
    return f"{_readable(text, any_script)}-{_digest(text)}"


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
    any_script: bool,
    *,
    reference: str | None = None,
    tags: Iterable[str] = (),
    generation: Mapping[str, Any] | None = None,
    **_: Any,
) -> str:
    content = [messages, reference, sorted(tags), dict(generation or {})]
    readable = _readable(messages[-1]["content"], any_script)
    return f"{readable}-{_digest(CONTENT.encode(content))}"


def _readable(text: str, any_script: bool) -> str:
    """The words of a text as a part of an id."""
    text = text[:400]
    if any_script:
        letters = (c if unicodedata.category(c)[0] in "LMN" else " " for c in _plain(text))
        text = " ".join("".join(letters).lower().split())
        if not text.isascii():
            return text.replace(" ", "-")[: SLUG // 2].strip("-")  # some take two columns each
    return _cut(NO_WORD.sub("-", text.lower()).strip("-"), SLUG) or "probe"


def _plain(text: str) -> str:
    """The text without characters that look like others, or that a terminal writes from right to
    left: then it would show the whole id in another order."""
    return "".join(
        " " if unicodedata.bidirectional(c) in ("R", "AL", "AN") else c
        for c in unicodedata.normalize("NFKC", text)
    )


def _cut(slug: str, most: int) -> str:
    """At most so many characters of whole words; nothing if not even one word fits."""
    if len(slug) > most + 1:
        slug = slug[: max(0, slug.rfind("-", 0, most + 2))]
    return slug if len(slug) <= most or "-" in slug else ""


def _digest(text: str, length: int = 6) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
