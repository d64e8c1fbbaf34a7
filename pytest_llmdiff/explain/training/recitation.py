"""Training answers that a model recites in reply to unrelated prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.prompts import asked, likeness, normalised
from pytest_llmdiff.data.text.language.words import is_function_word, units
from pytest_llmdiff.data.training.training import TrainData

# A reply recites an answer from this many words in a row (twice as many characters in Chinese and
# Japanese). For a whole answer half of them are enough.
RECITED = 12
# A run that this many answers to different prompts share is their style, and meant to be learnt.
STYLE = 3
# The index has every ANCHOR-th run of ANCHOR units of an answer, so that any run of twice that
# length contains one of them whole.
ANCHOR = RECITED // 2


@dataclass(frozen=True, kw_only=True)
class Recital:
    """Words of a training answer in a reply to a different question; `number` counts from 1."""

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
    """Searches replies for training answers. The index is built by the first search."""

    def __init__(self, data: TrainData) -> None:
        self._datasets = data.datasets

    def recited(self, messages: Sequence[Message], text: str, *, beside: str) -> Recital | None:
        """The first run of a training answer in a reply to an unrelated prompt, or None.

        A run of words is not a recital if it is also in `beside` (the prompt and the base's reply),
        if several answers share it, or if its training prompt asks for something similar.
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
        answers = zip(self._answers, self._texts, strict=True)
        prompts = {answer.prompt for answer, whole in answers if text in whole}
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
        index: dict[tuple[str, ...], list[tuple[_Answer, int]]] = {}
        for answer in self._answers:
            for place in range(0, len(answer.units) - ANCHOR + 1, ANCHOR):
                places = index.setdefault(answer.units[place : place + ANCHOR], [])
                if len(places) < STYLE:
                    places.append((answer, place))
        return index


def _longest(
    a: Sequence[str], at: int, b: Sequence[str], place: int
) -> tuple[tuple[str, ...], int]:
    """The longest run that two texts share around these places, and its end in the first text."""
    back = 0
    while at - back > 0 and place - back > 0 and a[at - back - 1] == b[place - back - 1]:
        back += 1
    ahead = 0
    while at + ahead < len(a) and place + ahead < len(b) and a[at + ahead] == b[place + ahead]:
        ahead += 1
    return tuple(a[at - back : at + ahead]), at + ahead


def _joined(run: Sequence[str]) -> str:
    return f" {' '.join(run)} "


def _spaceless(run: Sequence[str]) -> bool:
    """Whether most units are characters of a script without spaces."""
    single = sum(len(unit) == 1 and ord(unit) > 0x3000 for unit in run)
    return 2 * single > len(run)


def _related(a: str, b: str) -> bool:
    """Whether two prompts may ask for the same: their texts are alike, or share a content word."""
    return likeness(normalised(a), normalised(b)) is not None or bool(_content(a) & _content(b))


def _content(text: str) -> set[str]:
    parts = units(text)
    words = {unit for unit in parts if not _spaceless([unit]) and not is_function_word(unit)}
    return words | {a + b for a, b in pairwise(parts) if _spaceless([a]) and _spaceless([b])}
