"""A scripted engine: a shipped double for fast tests of suites, without any model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_llmdiff.comparison import Reply, TokenDivergence, TokenDivergences
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.errors import ConfigError, ModelError
from pytest_llmdiff.formats.messages import Message
from pytest_llmdiff.planning import Request, content_key

CALLS = 10_000


class ScriptedEngine:
    """Answers by looking the last user turn up in `replies`; `default` answers all others.

    `divergences` gives mean KL values by prompt for tests of the divergence helper. Tokens are
    Unicode code points. `calls` lists the prompts that were answered, in order; of very many the
    last ones (`CALLS` at least).
    """

    def __init__(
        self,
        replies: Mapping[str, str],
        *,
        default: str | None = None,
        divergences: Mapping[str, float] | None = None,
    ) -> None:
        self.replies = dict(replies)
        self.default = default
        self.divergences = dict(divergences or {})
        self.calls: list[str] = []

    @classmethod
    def from_file(cls, path: Path) -> ScriptedEngine:
        """Read `{"replies": {...}, "default": ..., "divergences": {...}}` (JSON).

        Raises:
            ConfigError: the file is not of that form.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            unknown = set(data) - {"replies", "default", "divergences"}
            if unknown:
                raise ValueError(f"unknown key {', '.join(sorted(unknown))}")
            return cls(
                data.get("replies", {}),
                default=data.get("default"),
                divergences=data.get("divergences"),
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(
                f'scripted:{path}: {error}; expected {{"replies": {{PROMPT: REPLY}}, '
                '"default": REPLY, "divergences": {PROMPT: NUMBER}}'
            ) from error

    def fingerprint(self) -> str:
        return content_key(["scripted", self.replies, self.default, self.divergences])

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

    def close(self) -> None:
        pass
