"""Is what a user asks in the prompt at all? Templates can lose it without an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.engines import capability
from pytest_llmdiff.engines.files.rendering import AnyRenderer, Renderer
from pytest_llmdiff.errors import LLMDiffError, ProbeError

LOST = "the question is not in the prompt"
# Long enough for any limit that a template would put on a message; each word occurs once.
LONG = " ".join(f"word{number}" for number in range(600))
# What is asked, by what it is like: a template may lose one kind and keep another.
PLAIN = "a question"
QUESTIONS: Mapping[str, tuple[Message, ...]] = {
    PLAIN: (Message(role="user", content="Where can I see the parcel 7 of Ms Ñúñez?"),),
    "a question in Chinese": (Message(role="user", content="你好，请问我的包裹在哪里？"),),
    "code": (Message(role="user", content="def f(x): return {'a': x}  # {{ x }} <b>&amp;</b>"),),
    "a long question": (Message(role="user", content=f"{LONG}?"),),
    "a question after a system prompt": (
        Message(role="system", content="You are terse."),
        Message(role="user", content="Which trains run on Sunday?"),
    ),
    "the first of two questions": (
        Message(role="user", content="My name is Ada Quill. Do you sell kites?"),
        Message(role="assistant", content="Yes, in three sizes."),
        Message(role="user", content="Then what does the largest one cost?"),
    ),
    "the last of two questions": (
        Message(role="user", content="Is the shop in Vaduz open?"),
        Message(role="assistant", content="It is."),
        Message(role="user", content="Until when on a Friday?"),
    ),
}
# Which message of a conversation is looked for; the last one, if none is named.
WANTED = {"the first of two questions": 0}
CUT = 20  # characters: so many at the beginning of a question are not in a prompt by chance
# Messages in the shapes of other trainers and libraries, by what a template for them does.
SHAPES: Mapping[str, Callable[[Message], dict[str, Any]]] = {
    "it takes the content of a message as a list of parts, and a text here": lambda message: {
        "role": message["role"], "content": [{"type": "text", "text": message["content"]}],
    },
    "it reads ShareGPT's keys from and value": lambda message: {
        "from": {"user": "human", "assistant": "gpt"}.get(message["role"], message["role"]),
        "value": message["content"],
    },
}  # fmt: skip

Shown = Callable[[Sequence[Any]], str]


def lost_questions(engine: Any, decode_with: AnyRenderer | None = None) -> list[str] | None:
    """A finding per kind of question that the template in use loses or alters, with the likely
    cause; None for an engine whose prompts are not seen.

    `decode_with` decodes the tokens of a server that shows them.
    """
    renderer: AnyRenderer | None = capability(engine, "renderer")
    if isinstance(renderer, Renderer):
        return list(_findings(renderer.text, str))
    if (shown := capability(engine, "rendered_text")) is not None:
        return list(_findings(shown, str))
    ids = engine.render
    if renderer is None:
        if capability(engine, "rendered") is None or decode_with is None:
            return None
        renderer = decode_with
    tokenizer = renderer.tokenizer

    def decoded(messages: Sequence[Any]) -> str:
        return str(tokenizer.decode(list(ids(messages))))

    def as_decoded(text: str) -> str:
        # A tokenizer may itself change the text, by normalisation or with unknown characters.
        return str(tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]))

    return list(_findings(decoded, as_decoded))


def _findings(shown: Shown, expected: Callable[[str], str]) -> Iterator[str]:
    for kind, conversation in QUESTIONS.items():
        asked = conversation[WANTED.get(kind, -1)]["content"]
        try:
            prompt = shown(conversation)
        except ProbeError as error:
            if kind == PLAIN:  # templates may refuse others, with a system prompt for example
                yield f"{LOST}: {kind} ({_short(asked)}): {error}"
            continue
        question = _spaced(expected(asked))
        if question not in _spaced(prompt):
            cause = _cause(shown, conversation, prompt, question)
            yield f"{LOST}: {kind} ({_short(asked)}) is rendered as {_short(prompt)}{cause}"


def _cause(shown: Shown, conversation: Sequence[Message], prompt: str, question: str) -> str:
    prompt = _spaced(prompt)
    if question.casefold() in prompt.casefold():
        return "; likely cause: the template changes upper and lower case"
    kept = next(n for n in range(len(question), -1, -1) if question[:n] in prompt)
    if kept >= CUT:
        return f"; likely cause: the template cuts it after {kept} characters"
    for name, shaped in SHAPES.items():
        try:
            other = _spaced(shown([shaped(message) for message in conversation]))
        except (LLMDiffError, KeyError, TypeError):
            continue
        if question in other:
            return f"; likely cause: {name}"
    return ""


def _spaced(text: str) -> str:
    """Templates may trim a message or end its lines in their own way."""
    return re.sub(r"\s+", " ", text).strip()


def _short(text: str) -> str:
    text = _spaced(text)
    return repr(text if len(text) <= 80 else f"{text[:40]}…{text[-39:]}")
