"""Models that answer, score and render prompts known only at run time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmdiff.data.comparison import Comparison, Reply, Run, Side
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.pools import pool_of
from pytest_llmdiff.data.probes import Probe, make_probe, make_reading
from pytest_llmdiff.data.tokens import Likelihood, Passage
from pytest_llmdiff.engines import capability
from pytest_llmdiff.errors import CapabilityError, ConfigError
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.likelihoods import all_likelihoods

if TYPE_CHECKING:
    from pytest_llmdiff.generation.comparisons import Comparer
    from pytest_llmdiff.generation.plan import Plan

Prompt = str | Sequence[Mapping[str, str]]
Given = Prompt | Probe


class ModelRun(Run, Protocol):
    """A run whose models can be asked."""

    @property
    def generation(self) -> ReplyGenerator: ...
    @property
    def comparer(self) -> Comparer: ...
    @property
    def plan(self) -> Plan: ...


class Model:
    """One side of the pair. Its engine is loaded on first use."""

    def __init__(self, side: Side, run: ModelRun, name: str = "") -> None:
        self.side = side
        self.run = run
        self.name = name or f"llm_{side}"

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def generate(self, prompts: Prompt | Sequence[Prompt]) -> list[Reply]:
        """Replies to prompts, each a string or a list of chat messages.

        Raises:
            ProbeError: a prompt cannot be answered (too long for the context).
        """
        return self.run.comparer.reply(self.side, probes_of(prompts))

    def score(self, prompt: Prompt, reply: str) -> Likelihood:
        """Log-probabilities of a given reply's tokens after the prompt.

        Raises:
            CapabilityError: the engine has no logits.
            ProbeError: the reply has no tokens, or too many for the context.
        """
        return self.score_all([(prompt, reply)])[0]

    def score_all(self, pairs: Iterable[tuple[Prompt, str]]) -> list[Likelihood]:
        """Scores of many replies, each after its prompt. They run in batches, and a common prefix
        of prompts runs only once.

        Raises:
            CapabilityError: the engine has no logits.
            ProbeError: a reply has no tokens, or too many for the context.
        """
        passages = []
        for prompt, reply in pairs:
            (probe,) = map(self.run.plan.with_system, probes_of(prompt))
            passages.append(Passage(text=reply, after=probe.messages))
        return all_likelihoods(self.run.generation, self.side, passages)

    def render(self, messages: Prompt) -> list[int]:
        """Prompt token ids by the chat template in use, generation prompt included.

        The run's system prompt is added if the messages have none. A conversation that ends in an
        answer is rendered whole, as in training. Needs no weights.
        """
        answer = None
        if not isinstance(messages, str) and messages and messages[-1].get("role") == "assistant":
            messages, answer = (
                messages[:-1],
                Message(role="assistant", content=str(messages[-1].get("content"))),
            )
        (probe,) = map(self.run.plan.with_system, probes_of(messages))
        if answer is None:
            return list(self.engine.render(probe.messages))
        whole = (*probe.messages, answer)
        renderer = capability(self.engine, "renderer")
        if renderer is not None:
            return list(renderer.ids(whole, add_generation_prompt=False))
        rendered = capability(self.engine, "rendered")  # a server's own template
        if rendered is None:
            raise CapabilityError(f"{type(self.engine).__name__} renders prompts only")
        return list(rendered(whole, add_generation_prompt=False))

    @property
    def engine(self) -> Any:
        return self.run.generation.pair.side(self.side)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer. Raises CapabilityError if the engine has none."""
        found = capability(self.engine, "tokenizer")
        if found is None:
            raise CapabilityError(f"{type(self.engine).__name__} has no tokenizer")
        return found


class ModelPair:
    """Both models, for prompts known only at run time."""

    def __init__(self, base: Model, tuned: Model) -> None:
        self.run = tuned.run
        self.base = base
        self.tuned = tuned

    def compare(self, prompt: Prompt) -> Comparison:
        """Both replies to one prompt. A prompt drawn from a pool (`pytest_llmdiff.strategies`) is
        answered together with the rest of the pool."""
        return self.run.comparer.compare([*_each_probe(self._pooled(prompt))])[0]

    def compare_all(self, prompts: Iterable[Prompt]) -> Iterator[Comparison]:
        """Both replies to each prompt, in order, as they come.

        Prompts are read and answered lazily, a window at a time; earlier windows are not kept in
        memory.

        Raises:
            ConfigError: a prompt is neither a string nor a list of chat messages.
            ProbeError: a prompt cannot be answered (too long for the context).
        """
        count = len(prompts) if isinstance(prompts, Sized) and not _single(prompts) else None
        return self.run.comparer.compare_each(_each_probe(self._pooled(prompts)), count)

    def _pooled(self, prompts: Any) -> Any:
        """The prompts themselves, after answering the pool that each was drawn from."""
        if _single(prompts):
            self._answer_pool(prompts)
        elif isinstance(prompts, Iterable):
            return map(self._answer_pool, prompts)
        return prompts

    def _answer_pool(self, prompt: Any) -> Any:
        if (pool := pool_of(prompt)) is not None:
            self.run.comparer.answer_together(pool)
        return prompt

    def read(self, texts: Iterable[Given]) -> list[Comparison]:
        """Comparisons for given texts that both models read; no reply is generated.

        A plain text is read without a chat template. Of chat messages that end in an answer of the
        assistant, the answer is read after the rest as its prompt. Probes of that form, such as
        those of `bias_pairs`, are accepted too. `assert_retention` and `assert_unbiased` judge how
        likely the texts are.

        Raises:
            ConfigError: a text is empty, or messages do not end in an answer.
        """
        return self.run.comparer.read(list(map(reading, texts)))


def reading(text: Any) -> Probe:
    """A text to be read, as a probe whose last message is the assistant's.

    Raises:
        ConfigError: it is neither a text nor messages that end in an answer.
    """
    if isinstance(text, Probe) and text.messages[-1]["role"] == "assistant":
        return text
    try:
        return make_reading(text)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            "a text to read is a string, or a list of chat messages that ends in an answer of the "
            f"assistant: {error}"
        ) from error


def probes_of(prompts: Any) -> list[Probe]:
    """Probes from one prompt or several: a string, messages, or a list of either.

    Raises:
        ConfigError: a prompt has another form.
    """
    return list(_each_probe(prompts))


def _each_probe(prompts: Any) -> Iterator[Probe]:
    if not _single(prompts) and not isinstance(prompts, Iterable):
        raise ConfigError(f"a prompt is a string or a list of chat messages, not {prompts!r}")
    return map(_probe_of, [prompts] if _single(prompts) else prompts)


def _single(prompts: Any) -> bool:
    """Whether it is a single prompt: a text, or a list of chat messages."""
    return isinstance(prompts, str) or (
        isinstance(prompts, (list, tuple)) and bool(prompts) and isinstance(prompts[0], Mapping)
    )


def _probe_of(prompt: Any) -> Probe:
    if isinstance(prompt, Probe):
        return prompt
    try:
        return make_probe(prompt)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"a prompt is a string or a list of chat messages: {error}") from error
