"""The attention of two models that read the same tokens, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.data.notebook import Saved
from pytest_llmdiff.data.text.spans import tokens_in, user_span, word_spans
from pytest_llmdiff.data.text.words import words_of


@dataclass(frozen=True, kw_only=True)
class HeadShift:
    """How far the attention of one head moved: Jensen–Shannon divergence in bits, 0 to 1. Layers
    and heads count from 0."""

    layer: int
    head: int
    value: float


@dataclass(frozen=True, kw_only=True)
class WordShare:
    """A word of the prompt, and its share of the attention to the user's text under either model,
    0 to 1."""

    word: str
    base: float
    tuned: float


@dataclass(frozen=True, kw_only=True)
class Moves:
    """How far the attention of either model moves from one form of a prompt to another, at the
    tokens of one reply: Jensen–Shannon divergence in bits, 0 to 1. `most` is the head that moves
    most in the tuned model compared with the base, with the difference, -1 to 1; None if the models
    have different heads."""

    base: float
    tuned: float
    most: HeadShift | None = None


Grid = tuple[tuple[float, ...], ...]  # a row for each layer, a number for each head


@dataclass(frozen=True, kw_only=True)
class HeadGrid:
    """Every head of two models, by layer (their numbers are in `layers`) and head.

    `moved` is how far its attention moved: Jensen–Shannon divergence in bits, 0 to 1. `spread` is
    over how many tokens it spreads, of base and of tuned model: entropy in bits; None where only
    the former is known. All are of norm-weighted attention, means over the tokens of a reply.
    """

    layers: tuple[int, ...]
    moved: Grid
    spread: tuple[Grid, Grid] | None = None


@dataclass(frozen=True, kw_only=True)
class AttentionMap(Saved):
    """The attention of one head of both models over the same tokens.

    `base` and `tuned` have a row for each token of the base's `reply`: the share of each token in
    `keys` (the prompt's, then the reply's except the last) in what the head passes on where that
    token is predicted. A row adds up to 1. `asked` are the first of the keys of the last user
    message and the first one after it; None if the template changes that text. `grid` has all heads
    if this one was chosen among them. `sides` names the models.
    """

    layer: int
    head: int
    keys: tuple[str, ...]
    reply: tuple[str, ...]
    base: tuple[tuple[float, ...], ...]
    tuned: tuple[tuple[float, ...], ...]
    asked: tuple[int, int] | None = None
    grid: HeadGrid | None = None
    sides: tuple[str, str] = ("base", "tuned")

    @property
    def prompt(self) -> int:
        """How many of the keys are tokens of the prompt."""
        return len(self.keys) - len(self.reply) + 1

    @property
    def difference(self) -> tuple[tuple[float, ...], ...]:
        """Tuned minus base, -1 to 1."""
        pairs = zip(self.base, self.tuned, strict=True)
        return tuple(tuple(b - a for a, b in zip(*rows, strict=True)) for rows in pairs)


@dataclass(frozen=True, kw_only=True)
class AttentionView:
    """The attention of both models at the tokens of the base's reply.

    `shift` is the Jensen–Shannon divergence (bits, 0 to 1) of the two models' attention, weighted
    by the norm of what is passed on, mean over layers, heads and tokens of the reply. `plain` is
    the same for the bare weights, and `noise` for the base against itself in a pass of another
    shape. `by_head` has it by layer (their numbers are in `layers`) and head, `by_token` by token
    of the reply. `entropy` (bits) and `sink`, the share of the first token, are means of the bare
    weights, base and tuned. `mass` is the weighted share of each token of the prompt, base and
    tuned; `pieces` are the texts of these tokens. `spread` is that of a `HeadGrid`.
    """

    shift: float
    plain: float
    noise: float
    layers: tuple[int, ...]
    by_head: tuple[tuple[float, ...], ...]
    by_token: tuple[float, ...]
    entropy: tuple[float, float]
    sink: tuple[float, float]
    pieces: tuple[str, ...]
    mass: tuple[tuple[float, ...], tuple[float, ...]]
    spread: tuple[Grid, Grid] | None = None

    @property
    def grid(self) -> HeadGrid:
        return HeadGrid(layers=self.layers, moved=self.by_head, spread=self.spread)

    @property
    def by_layer(self) -> tuple[float, ...]:
        return tuple(sum(heads) / len(heads) for heads in self.by_head)

    def most_moved(self) -> list[HeadShift]:
        """The heads, those that moved most first; of equal ones the first first."""
        heads = [
            HeadShift(layer=layer, head=head, value=value)
            for layer, values in zip(self.layers, self.by_head, strict=True)
            for head, value in enumerate(values)
        ]
        return sorted(heads, key=lambda head: -head.value)


@dataclass(frozen=True, kw_only=True)
class AttentionShown:
    """What a failure shows of attention: how far it moved and the noise of rounding (bits), the
    share of the sink under base and tuned model, all heads, those that moved most, the words of the
    user's text whose share changed most, and maps of the first heads, if available."""

    shift: float
    noise: float
    sink: tuple[float, float]
    grid: HeadGrid
    heads: tuple[HeadShift, ...]
    words: tuple[WordShare, ...]
    maps: tuple[AttentionMap, ...]


def moves_from_json(row: Mapping[str, Any]) -> Moves:
    most = None
    if row["most"] is not None:
        layer, head, value = row["most"]
        most = HeadShift(layer=layer, head=head, value=value)
    return Moves(base=row["base"], tuned=row["tuned"], most=most)


def view_from_json(row: Mapping[str, Any]) -> AttentionView:
    base, tuned = row["mass"]
    return AttentionView(
        shift=row["shift"],
        plain=row["plain"],
        noise=row["noise"],
        layers=tuple(row["layers"]),
        by_head=_grid(row["by_head"]),
        by_token=tuple(row["by_token"]),
        entropy=tuple(row["entropy"]),
        sink=tuple(row["sink"]),
        pieces=tuple(row["pieces"]),
        mass=(tuple(base), tuple(tuned)),
        # Rows of an earlier version have none.
        spread=(_grid(spread[0]), _grid(spread[1])) if (spread := row.get("spread")) else None,
    )


def _grid(rows: Sequence[Sequence[float]]) -> Grid:
    return tuple(map(tuple, rows))


def word_shares(view: AttentionView, content: str, words: Sequence[str]) -> WordShare | None:
    """The share of words in the attention to the user's text, under either model.

    Both are sums over layers, heads and tokens of the reply, so that a head that hardly attends to
    the text hardly counts. The first token, the sink, does not count as text. None if the text is
    not in the prompt, or gets no attention at all.
    """
    place = user_span(view.pieces, content)
    if place is None:
        return None
    inside = tokens_in(view.pieces, [place]) - {0}
    spans = [(first + place[0], last + place[0]) for first, last in word_spans(
        "".join(view.pieces)[slice(*place)], words)]  # fmt: skip
    chosen = tokens_in(view.pieces, spans) & inside
    values = []
    for mass in view.mass:
        whole = sum(mass[token] for token in inside)
        if not whole:
            return None
        values.append(sum(mass[token] for token in chosen) / whole)
    return WordShare(word=" ".join(words), base=values[0], tuned=values[1])


def moved_words(view: AttentionView, content: str, count: int) -> list[WordShare]:
    """The words of the user's text whose share changed most."""
    words = dict.fromkeys(word.text.lower() for word in words_of(content).words if not word.mark)
    shares = [word_shares(view, content, [word]) for word in words]
    known = [share for share in shares if share is not None]
    return sorted(known, key=lambda share: -abs(share.tuned - share.base))[:count]
