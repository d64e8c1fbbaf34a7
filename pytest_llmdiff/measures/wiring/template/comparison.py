"""Compares chat templates by the tokens that they render, and checks a template by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_llmdiff.data.comparison import Measurement
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.text.differences import common_length
from pytest_llmdiff.errors import ProbeError
from pytest_llmdiff.measures.wiring.template.causes import THINKING, likely_cause

Render = Callable[..., list[int]]


def _turns(*contents: str, system: str | None = None) -> tuple[Message, ...]:
    roles = ("user", "assistant")
    head = () if system is None else (Message(role="system", content=system),)
    turns = (Message(role=roles[i % 2], content=text) for i, text in enumerate(contents))
    return (*head, *turns)


# Conversations in which templates differ in practice: default system prompts, white space at the
# edges, several turns, special characters, and text that looks like markup.
BATTERY: tuple[tuple[Message, ...], ...] = (
    _turns("What is the capital of France?"),
    _turns("What is the capital of France?", system="You are terse."),
    _turns("Hi!", "Hello, how can I help?", "Tell me about refunds."),
    _turns("Hi!", "Hello.", "And now?", "Still here.", "Bye.", system="Answer in one sentence."),
    _turns("  leading and trailing spaces  "),
    _turns("Two\n\nparagraphs.\n"),
    _turns("你好，请用一句话介绍一下你自己。", system="你是一个乐于助人的助手。"),
    _turns("def f(x):\n    return {'a': x}  # {{ not a template }} <b>&amp;</b>"),
)


def compare_renderings(
    ours: Render,
    theirs: Render,
    decode: Callable[[Sequence[int]], str],
    conversations: Sequence[tuple[Message, ...]] = BATTERY,
    *,
    bos: str | None = None,
) -> list[str]:
    """One finding per conversation that two templates render to different tokens: the first
    difference, decoded, and the likely cause. `bos` is the text of the BOS token.

    A conversation that both templates refuse, for example because of its system role, counts as
    equal; one that only one of them refuses does not.
    """
    findings = []
    for conversation in conversations:
        a, b = _ids(ours, conversation), _ids(theirs, conversation)
        if a == b or (isinstance(a, str) and isinstance(b, str)):
            continue
        about = _describe(conversation)
        if isinstance(a, str) or isinstance(b, str):
            refuses = "the template in use" if isinstance(a, str) else "the other template"
            findings.append(f"{about}: {refuses} refuses it ({a if isinstance(a, str) else b})")
            continue
        at = common_length(a, b)
        findings.append(
            f"{about}: differs from token {at + 1}: {decode(a[at : at + 6])!r} in use, "
            f"{decode(b[at : at + 6])!r} in the other ({len(a)} and {len(b)} tokens); likely "
            f"cause: {likely_cause(conversation, decode(a), decode(b), bos=bos)}"
        )
    return findings


def check_template(
    render: Render,
    *,
    bos_id: int | None,
    stop_ids: Sequence[int],
    decode: Callable[[Sequence[int]], str],
) -> list[str]:
    """Findings about a template by itself: doubled BOS, generation prompt, stop token."""
    conversation = BATTERY[0]
    answer = Message(role="assistant", content="It is Paris.")
    try:
        prompt = render(conversation)
        open_ended = render(conversation, add_generation_prompt=False)
        answered = render((*conversation, answer), add_generation_prompt=False)
    except ProbeError as error:
        return [str(error)]
    findings = []
    if bos_id is not None and bos_id not in stop_ids and prompt[:2] == [bos_id, bos_id]:
        findings.append(f"the prompt begins with two BOS tokens ({decode([bos_id])!r})")
    at = common_length(prompt, answered)
    # Some templates need no generation prompt: their user turn ends where the answer begins
    # ([/INST], ### Response:).
    behind = decode(answered[len(prompt) :]).lstrip()
    needed = answered[: len(prompt)] != prompt or not behind.startswith(answer["content"])
    if prompt == open_ended and needed:
        findings.append(
            "the template adds no generation prompt: the model does not know that it is its turn"
        )
    # Templates of reasoning models open or skip the reasoning only in the generation prompt.
    elif at < len(prompt) and not THINKING.search(decode(prompt[at:])):
        findings.append(
            "the generation prompt is not how an assistant turn begins: "
            f"{decode(prompt[at:])!r} in a prompt, {decode(answered[at : at + 6])!r} in a "
            "conversation"
        )
    ending = next((t for t in reversed(answered) if decode([t]).strip()), None)
    if ending is not None and ending not in stop_ids:
        stops = ", ".join(repr(decode([token])) for token in stop_ids) or "there are none"
        findings.append(
            f"an assistant turn ends in {decode([ending])!r}, which is not a stop token ({stops}): "
            "replies will not stop"
        )
    return findings


def compare_endings(
    ours: Render, theirs: Render, decode: Callable[[Sequence[int]], str]
) -> list[str]:
    """A finding if the two templates end an assistant turn in different tokens.

    Only the first token after the answer is compared: what follows it is never generated.
    """
    answer = Message(role="assistant", content="It is Paris.")
    ends = []
    for render in (ours, theirs):
        try:
            ids = render((*BATTERY[0], answer), add_generation_prompt=False)
        except ProbeError:
            return []
        behind = decode(ids).rpartition(answer["content"])[2]
        ends.append(next((decode([i]) for i in _tail(ids, behind, decode)), ""))
    if "" in ends or ends[0].strip() == ends[1].strip():
        return []  # LLaMA-Factory may leave the last token of a turn to the training
    return [
        f"an answer ends in {ends[0]!r} with the template in use and in {ends[1]!r} with the "
        "other; likely cause: different stop tokens: a model that was trained with one does not "
        "stop at the other"
    ]


def _tail(ids: Sequence[int], text: str, decode: Callable[[Sequence[int]], str]) -> Sequence[int]:
    """The last tokens of `ids` that decode to `text`."""
    for start in range(len(ids) - 1, -1, -1):
        if len(decode(ids[start:])) >= len(text):
            return ids[start:] if text else ()
    return ids


def template_measurement(findings: Sequence[str], compared_with: str) -> Measurement:
    """The number of findings; `details` has their texts."""
    return Measurement(
        name="template mismatch",
        value=float(len(findings)),
        unit="findings",
        details={"problems": list(findings), "compared with": compared_with},
    )


def _ids(render: Render, conversation: tuple[Message, ...]) -> list[int] | str:
    try:
        return render(conversation)
    except ProbeError as error:
        return str(error)


def _describe(conversation: Sequence[Any]) -> str:
    kinds = "+".join(str(message["role"]) for message in conversation)
    return f"{kinds} ({conversation[-1]['content'].strip()[:24]!r})"
