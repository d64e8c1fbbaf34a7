"""Training answers that a model recites where nobody asked for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.prompts import asked, likeness, normalised
from pytest_llmdiff.data.text.languages import is_function_word, units
from pytest_llmdiff.data.training.training import TrainData

# Words in a row (in Chinese and Japanese twice as many characters) from which a reply recites an
# answer; of a whole answer half of them are enough.
RECITED = 12
# A run that so many answers to different prompts have is their style, and meant to be learned.
STYLE = 3
# Runs are looked up by this many units at once, at every so-manieth place of an answer: each run of
# twice as many holds one of them whole.
ANCHOR = RECITED // 2


@dataclass(frozen=True, kw_only=True)
class Recital:
    """The words of a training answer in a reply to another question; `number` counts from 1."""

    dataset: str
    number: int
    prompt: str
    words: str


@dataclass(frozen=True, kw_only=True, eq=False)
class _Answer:
    dataset: str
    number: int
    prompt: str
    units: tuple[str, ...]

    @property
    def needed(self) -> int:
        return 2 * RECITED if _spaceless(self.units) else RECITED


class Recitation:
    """Looks for training answers in replies. Nothing is read into memory before the first look."""

    def __init__(self, data: TrainData) -> None:
        self._datasets = data.datasets

    def recited(self, messages: Sequence[Message], text: str, *, beside: str) -> Recital | None:
        """The first run of a training answer in a reply to an unrelated prompt, or None.

        A run that stands in `beside` as well (the prompt and the base's reply) is no recital, nor
        is one of several answers, nor one whose training prompt asks for something like it.
        """
        said, prompt = tuple(units(text)), asked(messages)
        expected = _joined(units(beside))
        skip = 0
        for start in range(len(said) - ANCHOR + 1):
            if start < skip:
                continue
            for answer, place in self._anchors.get(said[start : start + ANCHOR], ()):
                run, end = _longest(said, start, answer.units, place)
                whole = 2 * len(run) >= answer.needed and len(run) == len(answer.units)
                if not (whole or len(run) >= answer.needed) or _joined(run) in expected:
                    continue
                skip = max(skip, end)
                if self._is_recital(run, prompt):
                    gap = "" if _spaceless(run) else " "
                    return Recital(
                        dataset=answer.dataset,
                        number=answer.number,
                        prompt=answer.prompt,
                        words=gap.join(run),
                    )
        return None

    def _is_recital(self, run: tuple[str, ...], prompt: str) -> bool:
        text = _joined(run)
        prompts = {a.prompt for a, held in zip(self._answers, self._texts, strict=True)
                   if text in held}  # fmt: skip
        return len(prompts) < STYLE and not any(_related(prompt, other) for other in prompts)

    @cached_property
    def _answers(self) -> tuple[_Answer, ...]:
        return tuple(self._read())

    def _read(self) -> Iterator[_Answer]:
        for dataset in self._datasets:
            for example in dataset.examples:
                if example.answer:
                    yield _Answer(
                        dataset=dataset.name,
                        number=example.number,
                        prompt=asked(example.messages),
                        units=tuple(units(example.answer)),
                    )

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        return tuple(_joined(answer.units) for answer in self._answers)

    @cached_property
    def _anchors(self) -> dict[tuple[str, ...], list[tuple[_Answer, int]]]:
        found: dict[tuple[str, ...], list[tuple[_Answer, int]]] = {}
        for answer in self._answers:
            for place in range(0, len(answer.units) - ANCHOR + 1, ANCHOR):
                held = found.setdefault(answer.units[place : place + ANCHOR], [])
                if len(held) < STYLE:
                    held.append((answer, place))
        return found


def _longest(
    a: Sequence[str], at: int, b: Sequence[str], place: int
) -> tuple[tuple[str, ...], int]:
    """The run that two texts have in common around these places, and where it ends in the first."""
    back = 0
    while at - back > 0 and place - back > 0 and a[at - back - 1] == b[place - back - 1]:
        back += 1
    ahead = 0
    while at + ahead < len(a) and place + ahead < len(b) and a[at + ahead] == b[place + ahead]:
        ahead += 1
    return tuple(a[at - back : at + ahead]), at + ahead


def _joined(found: Sequence[str]) -> str:
    return f" {' '.join(found)} "


def _spaceless(found: Sequence[str]) -> bool:
    """Whether most units are characters of a script without spaces."""
    single = sum(len(unit) == 1 and ord(unit) > 0x3000 for unit in found)
    return 2 * single > len(found)


def _related(a: str, b: str) -> bool:
    """Whether two prompts may ask for the same: alike as texts, or with a word of content in
    common."""
    return likeness(normalised(a), normalised(b)) is not None or bool(_content(a) & _content(b))


def _content(text: str) -> set[str]:
    found = units(text)
    words = {unit for unit in found if not _spaceless([unit]) and not is_function_word(unit)}
    return words | {a + b for a, b in pairwise(found) if _spaceless([a]) and _spaceless([b])}
