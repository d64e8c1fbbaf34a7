"""Candidates for the template of a training: templates, and the examples rendered with them."""

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
    """Templates that render every example to the same token ids.

    `names` has LLaMA-Factory's templates, `of_models` those that come with the models. `items` has
    for each example the ids of the prompt and of the answer that the training learns.
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
    """Candidates from the models' own renderers, by name, and from templates of LLaMA-Factory.

    Each conversation ends in an answer. Templates that cannot express the conversations are left
    out, and so are those whose ids go beyond the `embeddings` rows of the model: no training could
    have run with them.
    """
    by_items: dict[tuple[Continuation, ...], tuple[list[str], list[str]]] = {}

    def add(name: str, render: Render, kind: int) -> None:
        items = _items(conversations, render, embeddings)
        if items is not None:
            by_items.setdefault(items, ([], []))[kind].append(name)

    for name, renderer in renderers.items():
        add(name, renderer.answered, 1)
    # Copies of the tokenizer are large, and templates with the same special tokens can share one.
    tokenizers: dict[tuple[bool, tuple[str, ...]], Any] = {}
    for template in templates:
        special = (template.replace_eos, template.stop_words)
        if special not in tokenizers:
            tokenizers[special] = prepared(tokenizer, template)
        own = tokenizers[special]
        add(template.name, lambda c, t=template, own=own: factory_answered(t, own, c), 0)  # type: ignore[misc]
    return [
        Candidate(names=tuple(names), of_models=tuple(of_models), items=items)
        for items, (names, of_models) in by_items.items()
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
