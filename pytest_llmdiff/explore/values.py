"""What an exploration finds: prompts that were answered, themes, and what tuning was about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.probes import Probe

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A prompt that both models answered.

    `score` says how much the models differ: nats per token of the base's reply (KL(base‖tuned),
    teacher-forced), or, where an engine has no logits, the share of changed words. `gained` has the
    tokens that the tuned model prefers, with the rise of their log-probability (nats).
    """

    probe: Probe
    base: Reply
    tuned: Reply
    score: float
    gained: Mapping[str, float] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return self.probe.tags[0]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How far the base is from itself under changes that must not matter.

    `limit` is above the largest of `count` scores, by the margin of calibrated limits. Another
    prompt of an unchanged model exceeds the largest with probability 1/(count + 1), since any of
    them is equally likely to be the largest. `drift` is the same limit for the semantic drift, by
    which tests go where an engine has no logits; None if there is no embedder, or no need of one.
    """

    limit: float
    count: int
    drift: float | None = None

    @property
    def chance(self) -> float:
        return 1 / (self.count + 1)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One prompt of a theme with both replies, and the words that mark the theme in them."""

    prompt: str
    base: str
    tuned: str
    score: float
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Something that changed, on some prompts, in some way.

    `gained` and `lost` are the words by which tuned replies differ most from base replies, `about`
    those by which its prompts differ from the others; `marks` are other changes with the share of
    the theme's prompts that show them ("refuses", "in French"). `size` prompts of the
    `share` of all that were tried belong to it, and `differing` of `near` prompts about the same
    exceed the noise, for which `p` is the chance (adjusted over all themes). `score` is the mean of
    its prompts. `drifts` are the semantic drifts of the prompts, where `Noise.drift` is known, and
    None where the embedder does not read a reply.
    `judged` is a sentence by the judge, if there is one.
    """

    name: str
    title: str
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    about: tuple[str, ...]
    marks: Mapping[str, float]
    size: int
    share: float
    differing: int
    near: int
    p: float
    score: float
    probes: tuple[Probe, ...]
    scores: tuple[float, ...]
    examples: tuple[Example, ...]
    measure: str
    everywhere: bool = False
    accepted: bool = False
    drifts: tuple[float | None, ...] = ()
    judged: str = ""


@dataclass(frozen=True, kw_only=True)
class Lens:
    """What the tuned model was tuned on, by the difference of activations on neutral texts, and by
    the user turns that tuning made likelier.

    `words` have how many standard deviations each stands above the mean of the vocabulary, less the
    same of the controls; `control` is the largest value that any word has under a control. If it
    cannot be told, `unknown` says why. `in_training` are the words that the training data has, None
    where it is not known. `turns` are words that amplified user turns have more often than the
    base's own, with both shares.
    """

    words: tuple[tuple[str, float], ...] = ()
    control: float = 0.0
    texts: int = 0
    controls: int = 0
    unknown: str = ""
    in_training: tuple[str, ...] | None = None
    turns: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """The result of `explore`: themes in order, the strongest first.

    `unit` is that of scores: "nats per token", or "share of changed words" where an engine has no
    logits. `sources` has, by source, how many prompts were tried and how many of them differ.
    """

    themes: tuple[Theme, ...]
    lens: Lens
    noise: Noise
    unit: str
    tried: int
    differing: int
    median: float
    sources: Mapping[str, tuple[int, int]]
    notes: tuple[str, ...]
    seconds: float
    tokens: int
    base: str
    tuned: str
    seed: int
    observed: Sequence[Observed] = field(default=(), repr=False)

    @property
    def everywhere(self) -> bool:
        """Whether the models differ a little on most prompts, and on none in a way of its own."""
        return not self.themes and self.differing > self.tried / 2

    def lines(self) -> list[str]:
        """The result as text."""
        from pytest_llmdiff.reports.explorations import exploration_lines

        return list(exploration_lines(self.as_json()))

    def write(self, folder: Path) -> list[Path]:
        """Write probes, tests, the page and the JSON into a folder. Returns the files.

        Raises:
            ConfigError: a file there is not one that an exploration wrote.
        """
        from pytest_llmdiff.explore.files import write

        return write(self, folder)

    def as_json(self) -> dict[str, Any]:
        from pytest_llmdiff.explore.files import as_json

        return as_json(self)
