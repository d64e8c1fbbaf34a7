"""A scripted engine: a test double that ships with the package, for fast tests of suites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec, fetch
from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.files.strict_json import bounded_json
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.engines import Engine, Generated
from pytest_llmdiff.engines.context import Context
from pytest_llmdiff.errors import CapabilityError, ConfigError, ModelError
from pytest_llmdiff.store import content_key

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import Passage, TokenDivergences

CALLS = 10_000


def check(spec: Spec, _option: str, _base: Spec, _settings: Settings) -> None:
    ScriptedEngine.from_file(fetch(spec))


def open_engine(spec: Spec, _side: str, _context: Context) -> Engine:
    return ScriptedEngine.from_file(fetch(spec))


class ScriptedEngine:
    """Answers with the entry of `replies` for the last user turn, or else with `default`.

    `divergences` has the mean KL by prompt, `likelihoods` the log-probability of each token by
    text. `attention` has, by prompt, facts about both models' attention: its `shift`, the share of
    each of `words` in either model, and how far it `moves` in either model from another form of the
    prompt to this one. Tokens are Unicode code points.

    `calls` lists the prompts that were answered, in order: the last ones, at least `CALLS`.
    """

    def __init__(
        self,
        replies: Mapping[str, str],
        *,
        default: str | None = None,
        divergences: Mapping[str, float] | None = None,
        likelihoods: Mapping[str, float] | None = None,
        attention: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.replies = dict(replies)
        self.default = default
        self.divergences = dict(divergences or {})
        self.likelihoods = dict(likelihoods or {})
        self.scripted_attention = {
            prompt: dict(facts) for prompt, facts in (attention or {}).items()
        }
        self.calls: list[str] = []

    @classmethod
    def from_file(cls, path: Path) -> ScriptedEngine:
        """Read `{"replies": {...}, "default": ..., "divergences": {...}, "likelihoods": {...},
        "attention": {...}}`.

        Raises:
            ConfigError: the file has another form.
        """
        try:
            data = bounded_json(path.read_text(encoding="utf-8"))
            unknown = set(data) - {"replies", "default", "divergences", "likelihoods", "attention"}
            if unknown:
                raise ValueError(f"unknown key {', '.join(sorted(unknown))}")
            texts = [*data.get("replies", {}).values(), data.get("default", "")]
            if not all(isinstance(text, str | None) for text in texts):
                raise TypeError("a reply is not text")
            for name in ("divergences", "likelihoods"):
                if not all(type(value) in (int, float) for value in data.get(name, {}).values()):
                    raise TypeError(f"one of the {name} is not a number")
            return cls(
                data.get("replies", {}),
                default=data.get("default"),
                divergences=data.get("divergences"),
                likelihoods=data.get("likelihoods"),
                attention=data.get("attention"),
            )
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(
                f'scripted:{path}: {error}; expected {{"replies": {{PROMPT: REPLY}}, '
                '"default": REPLY, "divergences": {PROMPT: NUMBER}, "likelihoods": {TEXT: NUMBER}, '
                '"attention": {PROMPT: {"shift": NUMBER, "words": {WORD: [NUMBER, NUMBER]}, '
                '"moves": [NUMBER, NUMBER]}}}'
            ) from error

    def fingerprint(self) -> str:
        content: list[Any] = [self.replies, self.default, self.divergences, self.likelihoods]
        if self.scripted_attention:
            content.append(self.scripted_attention)
        return content_key(["scripted", *content])

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        for index, request in enumerate(requests):
            prompt = request.messages[-1]["content"]
            if len(self.calls) >= 2 * CALLS:
                del self.calls[:CALLS]
            self.calls.append(prompt)
            text = self.replies.get(prompt, self.default)
            prompt_ids = tuple(self.render(request.messages))
            if text is None:
                yield index, Generated(error=f"the scripted engine has no reply to {prompt!r}")
                continue
            ids = tuple(map(ord, text))
            limit = request.sampling.max_new_tokens
            reply = Reply(
                text=text[:limit],
                token_ids=ids[:limit],
                finish_reason="length" if len(ids) > limit else "stop",
                prompt_tokens=len(prompt_ids),
            )
            yield index, Generated(reply=reply, prompt_ids=prompt_ids)

    def render(self, messages: Sequence[Message]) -> list[int]:
        return [ord(c) for m in messages for c in f"<{m['role']}>{m['content']}"]

    def divergence(self, request: Request, base: Reply) -> TokenDivergences:
        from pytest_llmdiff.data.tokens import TokenDivergence, TokenDivergences

        prompt = request.messages[-1]["content"]
        if prompt not in self.divergences:
            raise ModelError(f"the scripted engine has no divergence for {prompt!r}")
        kl = self.divergences[prompt]
        token: dict[str, Any] = {
            "text": base.text[:1],
            "kl": kl,
            "base_logprob": 0.0,
            "tuned_logprob": -kl,
            "tuned_text": (self.replies.get(prompt, self.default) or "")[:1],
            "tuned_text_base_logprob": -kl,
            "tuned_text_tuned_logprob": 0.0,
            "flipped": kl > 0.5,
        }
        return TokenDivergences(tokens=(TokenDivergence(**token),))

    def token_view(self, prompt: str, base: str, tuned: str) -> dict[str, Any]:
        """Capability: both replies token by token, for prompts that have a divergence."""
        from pytest_llmdiff.data.text.differences import first_difference

        if prompt not in self.divergences:
            raise CapabilityError(f"the scripted engine has no divergence for {prompt!r}")
        kl = self.divergences[prompt]
        at = first_difference(base, tuned, cut=True)
        known = at is not None and {"base": [[base[at], 1.0]], "tuned": [[tuned[at], 1.0]]}
        return {
            "at": at,
            "likely": known or None,
            "base": [[token, kl, 0.0, -kl] for token in base],
            "tuned": [[token, kl, -kl, 0.0] for token in tuned],
        }

    @property
    def logprobs(self) -> Callable[[Passage], list[float]] | None:
        """Capability: log-probabilities of given texts; None where the script has none."""
        return self._logprobs if self.likelihoods else None

    def _logprobs(self, passage: Passage) -> list[float]:
        if passage.text not in self.likelihoods:
            raise CapabilityError(
                f"the scripted engine has no likelihood for {passage.text!r}, and no logits"
            )
        return [self.likelihoods[passage.text]] * len(passage.text)

    @property
    def attention(self) -> Callable[[Sequence[Message]], dict[str, Any]] | None:
        """Capability: both models' attention; None where the script has none."""
        return self._attention if self.scripted_attention else None

    @property
    def attention_map(self) -> Callable[[Sequence[Message], str], dict[str, Any]] | None:
        """Capability: a map of the only head, the same for every token of the reply."""
        return self._map if self.scripted_attention else None

    @property
    def attention_moves(self) -> Callable[[Sequence[Message]], dict[str, Any]] | None:
        """Capability: how far attention moves from another prompt to this one."""
        return self._moves if self.scripted_attention else None

    def _attention(self, messages: Sequence[Message]) -> dict[str, Any]:
        """One layer with one head. The user's other characters share evenly what the given words
        leave."""
        from pytest_llmdiff.data.text.spans import tokens_in, user_span, word_spans

        given = self._given(messages)
        pieces = [chr(token) for token in self.render(messages)]
        begin, end = user_span(pieces, messages[-1]["content"]) or (0, 0)
        words = {
            word: tokens_in(pieces[begin:end], word_spans("".join(pieces[begin:end]), [word]))
            for word in given.get("words", {})
        }
        named = set[int]().union(*words.values())
        masses = []
        for side in (0, 1):
            shares = {word: given["words"][word][side] for word in words}
            rest = (1 - sum(shares.values())) / max(1, end - begin - len(named))
            mass = [0.0] * begin + [rest] * (end - begin) + [0.0] * (len(pieces) - end)
            for word, tokens in words.items():
                for token in tokens:
                    mass[begin + token] = shares[word] / len(tokens)
            masses.append(mass)
        shift = given.get("shift", 0.0)
        return {
            "shift": shift, "plain": shift, "noise": 0.0, "layers": [0], "by_head": [[shift]],
            "by_token": [shift], "entropy": [0.0, 0.0], "sink": [0.0, 0.0],
            "pieces": pieces, "mass": masses,
        }  # fmt: skip

    def _map(self, messages: Sequence[Message], reply: str) -> dict[str, Any]:
        seen = self._attention(messages)
        base, tuned = ([*mass, *[0.0] * (len(reply) - 1)] for mass in seen["mass"])
        return {
            "keys": [*seen["pieces"], *reply[:-1]],
            "reply": list(reply),
            "base": [base] * len(reply),
            "tuned": [tuned] * len(reply),
        }

    def _moves(self, messages: Sequence[Message]) -> dict[str, Any]:
        base, tuned = self._given(messages).get("moves", (0.0, 0.0))
        return {"base": base, "tuned": tuned, "most": [0, 0, tuned - base]}

    def _given(self, messages: Sequence[Message]) -> dict[str, Any]:
        prompt = messages[-1]["content"]
        if prompt not in self.scripted_attention:
            raise CapabilityError(f"the scripted engine has no attention for {prompt!r}")
        return self.scripted_attention[prompt]

    def close(self) -> None:
        pass
