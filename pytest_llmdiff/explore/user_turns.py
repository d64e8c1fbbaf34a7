"""The user's turns that the models themselves write.

A chat model that is given its template up to the user's mark writes what a user would ask (Magpie,
Xu et al. 2024, arXiv 2406.08464). It takes an engine that can continue token ids. Turns that tuning
made likelier come from both models together, the difference amplified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.probes import Probe, make_probe
from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.data.text.differences import common_length
from pytest_llmdiff.data.text.language.identification import language_of
from pytest_llmdiff.data.text.language.names import plain_code
from pytest_llmdiff.engines import capability
from pytest_llmdiff.engines.pair.amplification import STRENGTH, amplified, check_amplifiable
from pytest_llmdiff.errors import CapabilityError
from pytest_llmdiff.store import content_key

if TYPE_CHECKING:
    from pytest_llmdiff.explore.run import ExploreRun

TEMPERATURES = (1.0, 0.7, 1.3)
TOP_P = 0.95
TOKENS = 48
# Turns of each pass. The first is small: a small budget takes no more.
PARTS = (32, *[64] * 50)
# So many words of a prompt, at least, and so large a share of them, begin the turns like it.
WORDS, SHARE = 3, 0.6
SHORTEST, LONGEST = 8, 400  # characters
# Two messages whose renderings are alike up to the user's turn, and no further.
UNLIKE = ("Zebra", "7 + 7")


class UserTurns:
    """Turns sampled from the base; the same seed gives the same ones."""

    def __init__(self, run: ExploreRun, *, seed: int, note: Callable[[str], object]) -> None:
        self._run = run
        self._seed = seed
        self._note = note

    def stream(self) -> Iterator[Probe]:
        for part, count in enumerate(PARTS if self._head is not None else ()):
            temperature = TEMPERATURES[part % len(TEMPERATURES)]
            (found,) = self._sampled([""], count, temperature, part)
            yield from found

    def amplified(self) -> Iterator[Probe]:
        """Turns that the tuned model would write rather than the base."""
        able = self._head is not None and self._amplifiable
        for part, count in enumerate(PARTS if able else ()):
            about = [self._seed, part, count, STRENGTH, TOKENS]
            (texts,) = self._run.generation.memo.get_all(
                "amplified turns",
                "tuned",
                [about],
                lambda _engine, todo: [self._amplified(asked) for asked in todo],
            )
            yield from filter(None, map(self._usable, filter(None, texts)))

    def beginning_like(self, prompts: Sequence[str], each: int) -> list[list[Probe]]:
        """Turns with the same first words, for each prompt; all are sampled together."""
        if self._head is None:
            return [[] for _ in prompts]
        starts = []
        for prompt in prompts:
            words = prompt.split()
            kept = min(len(words) - 1, max(WORDS, round(SHARE * len(words))))
            starts.append(" ".join(words[: max(0, kept)]))
        return self._sampled(starts, each, TEMPERATURES[0], 0)

    @cached_property
    def _head(self) -> list[int] | None:
        """The ids of the rendered conversation up to the user's turn."""
        base = self._run.generation.pair.base
        if capability(base, "continuations") is None:
            self._note(
                f"the base writes no user turns: {type(base).__name__} cannot continue a text"
            )
            return None
        head = self._head_of(base)
        if not head:
            self._note(
                "the base writes no user turns: its template begins with the user's own text"
            )
        return head or None

    def _head_of(self, engine: Any) -> list[int]:
        rendered = [
            engine.render(self._run.plan.with_system(make_probe(text)).messages) for text in UNLIKE
        ]
        return list(rendered[0][: common_length(*rendered)])

    def _sampled(
        self, starts: Sequence[str], each: int, temperature: float, part: int
    ) -> list[list[Probe]]:
        about = [self._seed, list(starts), each, temperature, part, TOKENS]
        (texts,) = self._run.generation.memo.get_all(
            "user turns",
            "base",
            [about],
            lambda engine, todo: [self._continued(engine, asked) for asked in todo],
            alone=True,
        )
        return [
            [
                probe
                for text in texts[place * each : (place + 1) * each]
                if text is not None and (probe := self._usable(f"{start}{text}")) is not None
            ]
            for place, start in enumerate(starts)
        ]

    def _continued(self, engine: Any, about: Sequence[Any]) -> list[str | None]:
        _, starts, each, temperature, *_ = about
        assert self._head is not None
        heads, keys = list[list[int]](), list[str]()
        for start in starts:
            own = [*self._head, *(engine.encode(start) if start else ())]
            heads += [own] * each
            keys += [content_key(["user turn", *about, start, n]) for n in range(each)]
        sampling = Sampling(
            max_new_tokens=TOKENS, temperature=temperature, top_p=TOP_P, seed=self._seed
        )
        found: list[str | None] = engine.continuations(heads, keys, sampling)
        return found

    @cached_property
    def _amplifiable(self) -> bool:
        pair = self._run.generation.pair
        try:
            check_amplifiable(pair, [(self._head_of(pair.base), self._head_of(pair.tuned))], TOKENS)
        except CapabilityError as error:
            self._note(f"no amplified turns: {error}")
            return False
        return True

    def _amplified(self, about: Sequence[Any]) -> list[str | None]:
        pair, (_, _, count, *_) = self._run.generation.pair, about
        heads = self._head_of(pair.base), self._head_of(pair.tuned)
        keys = [content_key(["amplified turn", *about, n]) for n in range(count)]
        sampling = Sampling(max_new_tokens=TOKENS, temperature=1.0, top_p=1.0, seed=self._seed)
        return amplified(pair, [heads] * count, keys, sampling)

    def _usable(self, text: str) -> Probe | None:
        text = text.strip()
        wanted = self._run.settings.languages
        language = language_of(text)
        if not SHORTEST <= len(text) <= LONGEST or text.count("\n") > 4:
            return None
        if wanted is not None and language not in {plain_code(each) for each in wanted}:
            return None
        return make_probe(text, language=language)
