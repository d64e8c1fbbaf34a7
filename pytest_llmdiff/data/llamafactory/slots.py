"""The parts of a LLaMA-Factory chat template."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class NamedSlot:
    """The tokenizer's `bos_token` or `eos_token`; no token for any other name."""

    names: tuple[str, ...]

    def to_json(self) -> object:
        return {"named": list(self.names)}


@dataclass(frozen=True, kw_only=True)
class TokenSlot:
    """One token of the vocabulary, looked up instead of tokenized."""

    token: str

    def to_json(self) -> object:
        return {"token": self.token}


Slot = str | NamedSlot | TokenSlot
Kind = Literal["plain", "llama2", "reasoning", "glm47"]


@dataclass(frozen=True, kw_only=True)
class FactoryTemplate:
    """A chat template with LLaMA-Factory's defaults filled in.

    `enable_thinking` and `preserve_thinking` are settings of a training, not of a template; they
    have the training's defaults.
    """

    name: str
    kind: Kind
    user: tuple[Slot, ...]
    assistant: tuple[Slot, ...]
    system: tuple[Slot, ...]
    observation: tuple[Slot, ...]
    prefix: tuple[Slot, ...]
    default_system: str
    stop_words: tuple[str, ...]
    thought_words: tuple[str, str]
    efficient_eos: bool
    replace_eos: bool
    replace_jinja_template: bool
    enable_thinking: bool | None = True
    preserve_thinking: bool = False

    def content(self) -> dict[str, object]:
        """Plain JSON of everything that decides the rendering."""
        # Neither of these affects the token ids.
        left_out = ("name", "replace_jinja_template")
        return {
            field.name: _plain(getattr(self, field.name))
            for field in fields(self)
            if field.name not in left_out
        }


def _plain(value: object) -> object:
    if isinstance(value, (NamedSlot, TokenSlot)):
        return value.to_json()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
