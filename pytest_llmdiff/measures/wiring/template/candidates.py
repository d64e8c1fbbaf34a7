"""The chat templates that a model may have been trained with, as token ids of its examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.data.llamafactory.rendering import prepared
from pytest_llmdiff.data.llamafactory.templates import FactoryTemplate
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.files.rendering import AnyRenderer, factory_answered
from pytest_llmdiff.errors import ModelError, ProbeError

Conversation = tuple[Message, ...]
Render = Callable[[Conversation], tuple[list[int], list[int]]]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Templates that render every example to the same ids.

    `names` are those of LLaMA-Factory, `of_models` those that come with the models. `items` has
    an entry per example: what a training reads, and the answer's ids that it learns.
    """

    names: tuple[str, ...]
    of_models: tuple[str, ...]
    items: tuple[Continuation, ...]


def candidates(
    renderers: Mapping[str, AnyRenderer],
    templates: Iterable[FactoryTemplate],
    conversations: Sequence[Conversation],
    *,
    tokenizer: Any,
    embeddings: int,
) -> list[Candidate]:
    """Candidates from the models' own renderers by name, and from templates of LLaMA-Factory.

    Left out are those that cannot express the conversations (each ends in an answer), and those
    whose ids go beyond the `embeddings` of the model: no training could have run with them.
    """
    found: dict[tuple[Continuation, ...], tuple[list[str], list[str]]] = {}

    def add(name: str, render: Render, kind: int) -> None:
        items = _items(conversations, render, embeddings)
        if items is not None:
            found.setdefault(items, ([], []))[kind].append(name)

    for name, renderer in renderers.items():
        add(name, renderer.answered, 1)
    # Special tokens are all that a template changes about the tokenizer, whose copy is large.
    tokenizers: dict[tuple[bool, tuple[str, ...]], Any] = {}
    for template in templates:
        special = (template.replace_eos, template.stop_words)
        if special not in tokenizers:
            tokenizers[special] = prepared(tokenizer, template)
        own = tokenizers[special]
        add(template.name, lambda c, t=template, own=own: factory_answered(t, own, c), 0)  # type: ignore[misc]
    return [
        Candidate(names=tuple(names), of_models=tuple(of_models), items=items)
        for items, (names, of_models) in found.items()
    ]


def _items(
    conversations: Sequence[Conversation], render: Render, embeddings: int
) -> tuple[Continuation, ...] | None:
    items = []
    for conversation in conversations:
        try:
            prompt, answer = render(conversation)
        except (ProbeError, ModelError):
            return None
        if not prompt or not answer or max(*prompt, *answer) >= embeddings:
            return None
        items.append(Continuation(prompt_ids=tuple(prompt), reply_ids=tuple(answer)))
    return tuple(items)
