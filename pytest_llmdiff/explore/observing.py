"""Asks both models, says how much they differ at a prompt, and how much noise is in that."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.probes import Probe, briefly
from pytest_llmdiff.data.text.printing import counted
from pytest_llmdiff.data.tokens import TokenDivergences
from pytest_llmdiff.engines import capability
from pytest_llmdiff.engines.pair.lower_bounds import SCORES
from pytest_llmdiff.errors import CapabilityError, LLMDiffError, ModelError
from pytest_llmdiff.explore.values import Noise, Observed
from pytest_llmdiff.verdicts.baseline import LEAST

if TYPE_CHECKING:
    from pytest_llmdiff.explore.run import ExploreRun

NATS, WORDS = "nats per token", "share of changed words"
SHORT = 24  # tokens of the replies by which prompts are compared
LONG = 48  # tokens of the replies that are looked at
NOISE = 64  # prompts that the base is compared with itself on
FIRST = 4  # tokens at the beginning of a reply, where a change of behaviour shows most


class Observer:
    """Asks both models and scores how they differ: by logits where both engines have any and read
    the same tokens."""

    def __init__(self, run: ExploreRun, note: Callable[[str], object]) -> None:
        self._run = run
        self._note = note
        self._scored = False
        self._unanswered, self._why = 0, ""
        self.by_logits = self._has_logits()
        if not self.by_logits:
            note("by replies alone: an engine has no logits, so that small changes stay unseen")

    @property
    def unit(self) -> str:
        return NATS if self.by_logits else WORDS

    def _has_logits(self) -> bool:
        pair = self._run.generation.pair
        if capability(pair.tuned, "divergence") is not None:
            return True
        return all(any(capability(s, n) for n in SCORES) for s in (pair.base, pair.tuned))

    @property
    def unanswered(self) -> str:
        """How many prompts a model could not answer, and why; empty if there are none."""
        if not self._unanswered:
            return ""
        return f"{counted(self._unanswered, 'prompt')} could not be answered; {self._why}"

    def observe(self, probes: Sequence[Probe]) -> list[Observed]:
        """The prompts that both models answer, with short replies and their scores.

        Raises:
            ModelError: the models' logits are not numbers.
        """
        self._run.generation.windows.divergences_expected = self.by_logits
        comparisons = self.compared(probes, SHORT)
        found = self._divergences(comparisons)
        if not self.by_logits:
            return [_by_words(comparison) for comparison in comparisons]
        judged = [
            _by_divergence(comparison, divergences)
            for comparison, divergences in zip(comparisons, found, strict=True)
            if divergences.tokens and divergences.unsupported is None
        ]
        if len(judged) < len(found):
            reasons = [one.unsupported for one in found if one.unsupported]
            self._note(f"some prompts have no divergence: {(reasons or ['no tokens'])[0]}")
        return judged

    def compared(self, probes: Sequence[Probe], tokens: int) -> list[Comparison]:
        """Both replies of up to so many tokens; what a model cannot answer is left out."""
        asked = [replace(p, generation={"max_new_tokens": tokens}) for p in probes]
        found = list(self._run.members(asked))
        answered = [member for member in found if isinstance(member, Comparison)]
        if left := len(found) - len(answered):
            first = next(m for m in found if not isinstance(m, Comparison))
            self._unanswered, self._why = self._unanswered + left, self._why or first.reason
        return answered

    def _divergences(self, comparisons: Sequence[Comparison]) -> list[TokenDivergences]:
        if not self.by_logits or not comparisons:
            return []
        requests = [self._run.comparer.request(comparison) for comparison in comparisons]
        try:
            found = list(self._run.generation.divergences(requests))
        except CapabilityError as error:
            self._by_replies(str(error))
            return []
        if not self._scored and not any(one.tokens for one in found):
            self._by_replies(next((o.unsupported for o in found if o.unsupported), "no tokens"))
            return []
        self._scored = True
        return found

    def _by_replies(self, reason: str) -> None:
        self.by_logits = False
        self._note(f"by replies alone: {reason}")

    def noise(self, observed: Sequence[Observed]) -> Noise:
        """How far the base is from itself, on its own replies to these prompts."""
        chosen = _spread(observed, NOISE)
        about = [[[o.probe.digest, len(o.base.text)] for o in chosen], self.by_logits]
        (found,) = self._run.generation.memo.get_all(
            "noise of rounding" if self.by_logits else "replies again",
            "base",
            [about],
            lambda _engine, _about: [self._again(chosen)],
            alone=True,
        )
        if self.by_logits:
            return Noise(limit=max(found, default=0.0) + LEAST, count=len(found))
        pairs = [
            (one.base.text, text)
            for one, text in zip(chosen, found, strict=True)
            if text is not None
        ]
        values = [changed_words(*pair) for pair in pairs]
        drifts = [drift for drift in self.drifts(pairs) or () if drift is not None]
        return Noise(
            limit=max(values, default=0.0) + LEAST, count=len(values),
            drift=max(drifts) + LEAST if drifts else None,
        )  # fmt: skip

    def drifts(self, pairs: Sequence[tuple[str, str]]) -> list[float | None] | None:
        """The semantic drift, 0 to 2, between two texts each, None where the embedder does not read
        them; None without an embedder."""
        import numpy as np

        try:
            found = self._run.scoring.vectors([text for pair in pairs for text in pair])
        except LLMDiffError:
            return None
        rows, unread = np.asarray(found.rows, dtype=np.float64), found.unsupported
        values = (1 - (rows[::2] * rows[1::2]).sum(axis=1)).clip(0, 2).tolist()
        return [
            None if ours or theirs else value
            for value, ours, theirs in zip(values, unread[::2], unread[1::2], strict=True)
        ]

    def _again(self, observed: Sequence[Observed]) -> list[Any]:
        """The scores of the base beside itself or, without logits, the replies it gives again."""
        from pytest_llmdiff.engines import Generated
        from pytest_llmdiff.engines.noise import open_noise
        from pytest_llmdiff.engines.pair.divergence import pair_divergences

        run = self._run
        # The base that is in memory already, beside itself in another form.
        again = open_noise(run.specs[0], run.settings, run.store, quick=True)
        pair = replace(again, base=run.generation.pair.base)
        asked = [
            run.plan.asked_for(replace(o.probe, generation={"max_new_tokens": SHORT}))[1]
            for o in observed
        ]
        try:
            if self.by_logits:
                items = []
                for request, one in zip(asked, observed, strict=True):
                    ids = tuple(pair.base.render(request.messages))
                    own = Generated(reply=one.base, prompt_ids=ids)
                    items.append((request, own, own))
                found = [value for _, value in pair_divergences(pair, items)]
                return [_score(one) for one in found if one.tokens]
            replies = dict(pair.tuned.generate(asked))
            answers = [replies[index].reply for index in range(len(asked))]
            return [reply and reply.text for reply in answers]
        finally:
            pair.tuned.close()


def _by_words(comparison: Comparison) -> Observed:
    return Observed(
        probe=replace(comparison.probe, generation={}), base=comparison.base,
        tuned=comparison.tuned, score=changed_words(comparison.base.text, comparison.tuned.text),
    )  # fmt: skip


def _by_divergence(comparison: Comparison, divergences: TokenDivergences) -> Observed:
    score = _score(divergences)
    if not math.isfinite(score):  # no limit holds it, so that a broken model would seem unchanged
        raise ModelError(
            f"the divergence is {score} at the prompt {briefly(comparison.probe.prompt)}: the "
            "logits of a model are not numbers; look at its weights, or load it with "
            "--llmdiff-dtype=float32"
        )
    gained: dict[str, float] = {}
    for token in divergences.tokens:
        if token.flipped:
            rise = token.tuned_text_tuned_logprob - token.tuned_text_base_logprob
            gained[token.tuned_text] = max(rise, gained.get(token.tuned_text, 0.0))
    return Observed(
        probe=replace(comparison.probe, generation={}), base=comparison.base,
        tuned=comparison.tuned, score=score, gained=gained,
    )  # fmt: skip


def _score(divergences: TokenDivergences) -> float:
    """The mean divergence, or that of the first tokens if it is larger: a changed behaviour may
    show in the first words alone, since the rest is read after the base's own beginning."""
    first = divergences.tokens[:FIRST]
    return max(divergences.mean, sum(token.kl for token in first) / max(1, len(first)))


def changed_words(one: str, other: str) -> float:
    """The share of words that two texts do not have in common, in order: 0 if they are equal."""
    if one == other:
        return 0.0
    matcher = difflib.SequenceMatcher(a=one.split(), b=other.split(), autojunk=False)
    return 1 - matcher.ratio()


def _spread(observed: Sequence[Observed], most: int) -> list[Observed]:
    """Evenly spaced ones, so that all sources are among them."""
    step = max(1, len(observed) // most)
    return list(observed[::step][:most])
