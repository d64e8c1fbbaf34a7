"""The form of requests that a server accepts, and what its list of models means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

# Parameters beyond OpenAI's. They switch off what a server's generation config may set
# (`repeat_penalty` is llama.cpp's name for `repetition_penalty`), and ask vLLM for token ids.
FURTHER = {
    "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1.0,
    "return_token_ids": True,
}  # fmt: skip
# The names that other servers have for parameters.
OTHER_NAMES = {
    "max_tokens": ("max_completion_tokens", "max_new_tokens"),
    "seed": ("random_seed",),
}
# Without these, replies would be others: a server that refuses one cannot be judged as it is.
NEEDED = ("max_tokens", "temperature")
# Refused for their neutral value only: what a test asks for is sent.
BY_VALUE = ("top_p", "top_k", "min_p")
# No generation config sets these.
OF_REQUESTS = ("seed", "return_token_ids", "logprobs", "stop_token_ids")


@dataclass(frozen=True, kw_only=True)
class RequestForm:
    """The form of requests that a server accepts: the `further` parameters beyond OpenAI's and,
    where prompts are rendered here, whether they are sent `as_text` instead of token ids, and
    `without_bos` where the server adds one. With `with_ids` it must answer with token ids.

    `refused` are the parameters that the server does not take, with the refused value, and
    `renamed` those that it knows under another name.
    """

    further: Mapping[str, Any] = field(default_factory=dict)
    with_ids: bool = False
    as_text: bool = False
    without_bos: bool = False
    refused: Mapping[str, Any] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    def parameters(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent of OpenAI's `own` parameters and the further ones."""
        return {
            self.renamed.get(name, name): value
            for name, value in {**own, **self.further}.items()
            if name not in self.refused or (name in BY_VALUE and value != self.refused[name])
        }

    def without(self, said: str, sent: Mapping[str, Any]) -> RequestForm | None:
        """The form without the parameter that a server's refusal names, or with the name that it
        suggests; None if it names none of those `sent`, or one that replies depend on."""
        places = ((_place(said, name), name) for name in sent if name != "model")  # any text may
        named = sorted((at, name) for at, name in places if at is not None)
        if not named:
            return None
        name = named[0][1]
        others = (other for other in OTHER_NAMES.get(name, ()) if _place(said, other) is not None)
        if (other := next(others, None)) is not None:
            return replace(self, renamed={**self.renamed, name: other})
        if name in NEEDED or name in self.renamed.values():
            return None
        return replace(self, refused={**self.refused, name: sent[name]})

    def left_out(self, full: RequestForm) -> list[str]:
        """The parameters that are not sent, of those in the `full` form, and that the server's own
        generation config may set."""
        names = dict.fromkeys([*(full.further.keys() - self.further.keys()), *self.refused])
        order = [*full.further, *self.refused]
        return sorted((name for name in names if name not in OF_REQUESTS), key=order.index)

    def identity(self) -> list[Any]:
        """What replies depend on, as plain JSON."""
        sent = sorted(name for name in self.further if name not in self.refused)
        dropped = sorted(name for name in self.refused if name not in self.further)
        return [sent, dropped] if dropped else sent


def may_mean(listed: str, model: str) -> bool:
    """Whether an entry of a server's list may stand for a model: a wildcard, or a name with a tag
    (`name:latest`) that either of them leaves out."""
    same = listed.partition(":")[0] == model.partition(":")[0]
    return fnmatchcase(model, listed) or (same and ":" in listed + model)


def _place(said: str, name: str) -> int | None:
    """Where a text names a parameter as a word of its own."""
    found = re.search(rf"(?<![a-z_]){name}(?![a-z_])", said, re.IGNORECASE)
    return None if found is None else found.start()
