"""Renders chat messages to token ids with a LLaMA-Factory template.

Each slot of a template is tokenized separately, as LLaMA-Factory does: the same text in one piece
may tokenize differently.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_llmdiff.data.llamafactory.templates import (
    FactoryTemplate,
    NamedSlot,
    Slot,
    TokenSlot,
)
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.token_ids import panics_told
from pytest_llmdiff.errors import ModelError, ProbeError

# Special tokens


def prepared(tokenizer: Any, template: FactoryTemplate) -> Any:
    """A copy of a transformers tokenizer with the special tokens that a training sets.

    Tokens that the vocabulary lacks are added at its end, where a model without resized embeddings
    has no rows for them.
    """
    result = copy.deepcopy(tokenizer)
    words = list(template.stop_words)
    if template.replace_eos and words:
        _set_eos(result, words.pop(0))
    if result.eos_token_id is None:
        _set_eos(result, "<|endoftext|>")
    if result.pad_token_id is None:
        result.pad_token = result.eos_token
    if words:
        _add_special(result, words)
    return result


def _set_eos(tokenizer: Any, token: str) -> None:
    if tokenizer.eos_token != token:
        tokenizer.add_special_tokens({"eos_token": token})


def _add_special(tokenizer: Any, words: list[str]) -> None:
    from tokenizers import AddedToken

    # transformers 5 renamed the argument; by default both versions drop the other special tokens.
    parameters = inspect.signature(tokenizer.add_special_tokens).parameters
    keep = {
        name: False
        for name in ("replace_extra_special_tokens", "replace_additional_special_tokens")
        if name in parameters
    }
    tokenizer.add_special_tokens({"additional_special_tokens": words}, **keep)
    # The call above skips tokens that are special already, but a training resets how they treat the
    # spaces around them.
    tokenizer.add_tokens(
        [AddedToken(word, special=True, normalized=False) for word in words], special_tokens=True
    )


def stop_ids(tokenizer_prepared: Any, template: FactoryTemplate) -> tuple[int, ...]:
    """The ids that end an answer: the end-of-sequence token and all stop words."""
    own = tokenizer_prepared.eos_token_id
    ids = [] if own is None else [int(own)]
    ids += [_token_id(tokenizer_prepared, word) for word in template.stop_words]
    return tuple(dict.fromkeys(ids))


# Conversations


def encode(
    template: FactoryTemplate,
    tokenizer_prepared: Any,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = True,
) -> list[int]:
    """The token ids of a prompt, or of a whole conversation if it ends in an answer.

    A prompt is rendered as LLaMA-Factory does for inference, a whole conversation as it does for
    training, up to the last answer's slots: the end-of-sequence token that some templates append
    (`efficient_eos`) is only in `training_pairs`. With a reasoning template, the two differ in
    earlier turns, whose thoughts only training keeps.

    The words that open an answer belong to the user's slots. Without `add_generation_prompt`, only
    the empty thought that a reasoning template may put after them is left out.

    Raises:
        ProbeError: LLaMA-Factory cannot express the conversation.
        ModelError: the tokenizer lacks a token that the template names.
    """
    system, turns = _turns(messages)
    if turns[-1]["role"] == "assistant":
        pairs = _pairs(template, tokenizer_prepared, system, turns)
        return [i for source, target in pairs for i in source + target]
    if _is_reasoning(template) and not template.preserve_thinking:
        turns = _without_thoughts(template, turns)
    prompt = [i for ids in _encode_turns(template, tokenizer_prepared, system, turns) for i in ids]
    if add_generation_prompt and not template.enable_thinking and _lacks_thought(template, ""):
        prompt += _empty_thought(template, tokenizer_prepared)
    return prompt


def training_pairs(
    template: FactoryTemplate, tokenizer_prepared: Any, messages: Sequence[Message]
) -> list[tuple[list[int], list[int]]]:
    """The source and target ids of every turn, as supervised training encodes them by default.

    Joined, they are the ids that the model was trained on, before the cut at `cutoff_len`.

    Raises:
        ProbeError: LLaMA-Factory cannot express the conversation, or it ends without an answer.
        ModelError: the tokenizer lacks a token that the template names.
    """
    system, turns = _turns(messages)
    if turns[-1]["role"] != "assistant":
        raise ProbeError(
            f"the conversation ends with the role {turns[-1]['role']!r}; "
            "training needs one that ends with 'assistant'"
        )
    pairs = _pairs(template, tokenizer_prepared, system, turns)
    if template.efficient_eos:
        pairs[-1][1].append(int(tokenizer_prepared.eos_token_id))
    return pairs


def _pairs(
    template: FactoryTemplate, tokenizer: Any, system: str, turns: Sequence[Message]
) -> list[tuple[list[int], list[int]]]:
    if _is_reasoning(template) and template.enable_thinking is False:
        turns = _without_thoughts(template, turns)
    encoded = _encode_turns(template, tokenizer, system, turns)
    for i in range(0, len(turns), 2):
        if _lacks_thought(template, turns[i + 1]["content"]):
            thought = _empty_thought(template, tokenizer)
            # A reasoning model learns to write the empty thought; others get it in the prompt.
            if template.enable_thinking:
                encoded[i + 1] = thought + encoded[i + 1]
            else:
                encoded[i] = encoded[i] + thought
    return list(zip(encoded[::2], encoded[1::2], strict=True))


def _turns(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    if any("tools" in message or "tool_calls" in message for message in messages):
        raise ProbeError(
            "a template of LLaMA-Factory is rendered here without tools and calls of them: give "
            "the chat template that the model is served with, --llmdiff-template FILE.jinja"
        )
    system = ""
    turns = list(messages)
    if turns and turns[0]["role"] == "system":
        system = turns.pop(0)["content"]
    if not turns:
        raise ProbeError("the conversation has no user message; expected at least one")
    for number, message in enumerate(turns):
        allowed = ("assistant",) if number % 2 else ("user", "tool")
        if message["role"] not in allowed:
            place = number + 1 + len(messages) - len(turns)
            raise ProbeError(
                f"message {place} has the role {message['role']!r} where a template of "
                f"LLaMA-Factory takes {' or '.join(map(repr, allowed))}: "
                "user (or tool) and assistant must alternate"
            )
    return system, turns


def _encode_turns(
    template: FactoryTemplate, tokenizer: Any, system: str, turns: Sequence[Message]
) -> list[list[int]]:
    system = system or template.default_system
    encoded = []
    for number, turn in enumerate(turns):
        slots: list[Slot] = []
        content = turn["content"]
        if number == 0:
            slots += template.prefix
            opening = _filled(template.system, {"content": system}) if system else []
            if template.kind != "llama2":
                slots += opening
            elif opening:
                content = _first_text(template, opening, turn) + content
        values = {"content": content}
        if turn["role"] == "user":
            if template.kind != "llama2":
                values["idx"] = str(number // 2)
            slots += _filled(template.user, values)
        elif turn["role"] == "assistant":
            slots += _filled(template.assistant, values)
        else:
            slots += _filled(template.observation, values)
        encoded.append(_slot_ids(tokenizer, slots))
    return encoded


def _first_text(template: FactoryTemplate, opening: Sequence[Slot], turn: Message) -> str:
    if not isinstance(opening[0], str):
        raise ProbeError(
            f"the template {template.name!r} puts the system message into the first user message, "
            "but its system slots do not start with text"
        )
    # The result of a tool does not get the system message.
    return opening[0] if turn["role"] == "user" else ""


def _filled(slots: Iterable[Slot], values: dict[str, str]) -> list[Slot]:
    result: list[Slot] = []
    for slot in slots:
        if isinstance(slot, str):
            # One after the other, so that an {{idx}} in the content is replaced, too, as in
            # training.
            for name, value in values.items():
                slot = slot.replace("{{" + name + "}}", value, 1)
        result.append(slot)
    return result


def _slot_ids(tokenizer: Any, slots: Iterable[Slot]) -> list[int]:
    ids: list[int] = []
    for slot in slots:
        if isinstance(slot, str):
            if slot:
                with panics_told():
                    ids += tokenizer.encode(slot, add_special_tokens=False)
        elif isinstance(slot, TokenSlot):
            ids.append(_token_id(tokenizer, slot.token))
        else:
            ids += _named_ids(tokenizer, slot)
    return [int(i) for i in ids]


def _named_ids(tokenizer: Any, slot: NamedSlot) -> list[int]:
    if "bos_token" in slot.names and tokenizer.bos_token_id is not None:
        return [tokenizer.bos_token_id]
    if "eos_token" in slot.names and tokenizer.eos_token_id is not None:
        return [tokenizer.eos_token_id]
    return []


def _token_id(tokenizer: Any, token: str) -> int:
    # As in training, this is the unknown token (if any) for tokens that the vocabulary lacks.
    token_id = tokenizer.convert_tokens_to_ids(token)
    if token_id is None:
        raise ModelError(
            f"the tokenizer has no token {token!r}, which the template needs, "
            "and no unknown token to replace it"
        )
    return int(token_id)


# Thoughts


def _is_reasoning(template: FactoryTemplate) -> bool:
    return template.kind in ("reasoning", "glm47")


def _without_thoughts(template: FactoryTemplate, turns: Iterable[Message]) -> list[Message]:
    opening, closing = map(re.escape, template.thought_words)
    thought = re.compile(f"{opening}(.*?){closing}", re.DOTALL)
    return [
        Message(role=turn["role"], content=thought.sub("", turn["content"]).lstrip("\n"))
        if turn["role"] == "assistant"
        else turn
        for turn in turns
    ]


def _lacks_thought(template: FactoryTemplate, answer: str) -> bool:
    # Blank thought words are in every answer, so that no thought is added for them.
    return _is_reasoning(template) and not any(
        word.strip() in answer for word in template.thought_words
    )


def _empty_thought(template: FactoryTemplate, tokenizer: Any) -> list[int]:
    opening, closing = template.thought_words
    text = closing if template.kind == "glm47" else opening + closing
    return [int(i) for i in tokenizer.encode(text, add_special_tokens=False)]
