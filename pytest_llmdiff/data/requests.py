"""Requests: what a probe asks of a model under the settings of the run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.data.tools.definitions import tools_of
from pytest_llmdiff.store import content_key


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a reply is sampled. At temperature 0 (greedy), `top_p` and `seed` have no effect."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """One prompt to answer: the unit that is deduplicated, batched and stored."""

    messages: tuple[Message, ...]
    sampling: Sampling

    @cached_property
    def key(self) -> str:
        """Content hash: equal messages and settings have equal keys in every process."""
        return content_key([self.messages, vars(self.sampling)])

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def size(self) -> int:
        tools = tools_of(self.messages)
        own = sum(len(message["content"]) for message in self.messages)
        return own + (len(str(tools)) if tools else 0)


def request_of(probe: Probe, settings: Settings) -> Request:
    """The request of a probe: its own settings take precedence over the run's."""
    values = {
        name: probe.generation.get(name, getattr(settings, name))
        for name in ("max_new_tokens", "temperature", "top_p", "seed")
    }
    if values["temperature"] == 0:
        values |= {"temperature": 0.0, "top_p": 1.0, "seed": 0}
    return Request(probe.messages, Sampling(**values))
