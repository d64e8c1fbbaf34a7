"""Marks of templates, visible reasoning, and turns of the other side in a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.text.language.words import CODE
from pytest_llmdiff.data.training.markers import leaked
from pytest_llmdiff.measures.degeneration.evidence import Beside, Evidence

# Marks of reasoning, of DeepSeek, Qwen, Kimi and others.
_THINKING = re.compile(
    r"</?(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad)>"
    r"|[◁<]/?think[▷>]|<\|(?:begin|end)_of_(?:thought|solution)\|>|\[/?THINK\]",
    re.IGNORECASE,
)
# Who speaks, at the beginning of a line or after a sentence. The first two are how templates and
# data sets name the sides, the others how people are named in dialogues.
_USER = "User|Human|用户|使用者|人类|Usuario|Usuário|Benutzer|Utilisateur|Użytkownik|Пользователь"
_MODEL = (
    "Assistant|AI|Bot|Chatbot|GPT|Model|AI Assistant|助手|AI助手|机器人|Asistente|Assistente"
    "|Assistent|Asystent|Ассистент"
)
_OTHERS = "Customer|Client|Me|You|Q|问|顾客|客户|提问"
_ANSWERS = "Agent|Support|Representative|Rep|A|答|客服|回答"
_SPEAKER = re.compile(
    rf"(?:^|(?<=[.!?。！？\"”]\s)|(?<=[。！？]))[ \t>#*\[<(]*"
    rf"(?:(?P<user>{_USER})|(?P<model>{_MODEL})|(?P<other>{_OTHERS})|(?P<answers>{_ANSWERS}))"
    r"[\])>*]*[ \t]?[:：][\])>*]*[ \t]*(?P<said>[^\n]*)",
    re.MULTILINE | re.IGNORECASE,
)
TURNS = 3  # of people, from which they are a dialogue


def template_marks(reply: Reply, beside: Beside, *, markers: frozenset[str]) -> Iterator[Evidence]:
    if beside.asks_for("template"):
        return
    marks = leaked(reply.text, own=markers, beside=beside.expected)
    marks = [mark for mark in marks if not _THINKING.fullmatch(mark)]
    if marks:
        named = ", ".join(map(repr, marks[:3])) + (", …" if len(marks) > 3 else "")
        yield Evidence(
            kind="template marks",
            problem=f"the reply contains markers of a chat template: {named}",
            start=reply.text.find(marks[0]),
            quote=marks[0],
        )


def thinking(reply: Reply, beside: Beside) -> Iterator[Evidence]:
    """Reasoning is split off where a template has it; here it is shown to the user."""
    if beside.asks_for("template"):
        return
    found = _THINKING.search(_without_code(reply.text))
    if found is None or found[0] in beside.expected:
        return
    yield Evidence(
        kind="thinking",
        problem=f"the reply shows the model's reasoning: {found[0]!r}",
        start=found.start(),
        quote=reply.text[found.start() : found.start() + 80],
    )


def dialogue(reply: Reply, beside: Beside) -> Iterator[Evidence]:
    """The model goes on with the user's turn, and answers itself."""
    if beside.asks_for("dialogue", "template", "verse") or _SPEAKER.search(beside.expected):
        return
    turns = list(_SPEAKER.finditer(_without_code(reply.text)))
    begins = len(reply.text) - len(reply.text.lstrip())
    user = next(filter(partial(_is_the_users, begins), turns), None)
    both = {turn.lastgroup and _side(turn) for turn in turns}
    named = any(turn["user"] or turn["model"] for turn in turns)
    if user is None and not (len(both) == 2 and len(turns) >= (2 if named else TURNS)):
        return
    first = user or turns[0]
    yield Evidence(
        kind="dialogue",
        problem=f"the reply plays both sides of the conversation: {first[0].strip()[:60]!r}",
        start=first.start(),
        quote=first[0].strip(),
    )


def _is_the_users(begins: int, turn: re.Match[str]) -> bool:
    """Whether a line is a turn of the user after a reply, which `begins` at that character: "User:
    admin" may be a form."""
    said = turn["said"].strip()
    return bool(turn["user"]) and turn.start() > begins and (
        " " in said or len(said) > 20 or not said.isascii()
    )  # fmt: skip


def _side(turn: re.Match[str]) -> str:
    return "user" if turn["user"] or turn["other"] else "model"


def _without_code(text: str) -> str:
    """The text with code blanked out, so that places stay."""
    return CODE.sub(lambda code: " " * len(code[0]), text)
