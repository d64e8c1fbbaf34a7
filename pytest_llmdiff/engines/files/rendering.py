"""Renders chat messages as prompt token ids, with the chat template in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.llamafactory.rendering import encode, prepared, stop_ids, training_pairs
from pytest_llmdiff.data.llamafactory.templates import FactoryTemplate
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.text.differences import common_length
from pytest_llmdiff.data.token_ids import panics_told, token_ids
from pytest_llmdiff.data.tools.definitions import tools_of, without_calls, without_tools
from pytest_llmdiff.data.training.template_source import TemplateSource
from pytest_llmdiff.engines.files.bounded_tokenizer import bounded_tokenizer
from pytest_llmdiff.engines.files.chat_templates import DEFAULT, by_name, chosen, templates_in
from pytest_llmdiff.engines.files.conversion import Conversions, tokenizer_form
from pytest_llmdiff.engines.files.gguf_header import check_gguf
from pytest_llmdiff.engines.files.template_process import chat_templates
from pytest_llmdiff.errors import ModelError, ProbeError


class Renderer:
    """A tokenizer with a chat template. It is loaded on first use; weights never are.

    `template` replaces the tokenizer's own. `fallback` is the folder or file whose template is used
    where the tokenizer has none: base models are often published without one, and then get the
    tuned model's.
    """

    def __init__(
        self,
        path: Path,
        *,
        template: str | None = None,
        fallback: Path | None = None,
        kwargs: Mapping[str, Any] | None = None,
        trust_remote_code: bool = False,
        conversions: Conversions | None = None,
    ) -> None:
        self.path = path
        self.kwargs = dict(kwargs or {})
        self._given = template
        self._fallback = fallback
        self.trust_remote_code = trust_remote_code
        self.conversions = conversions

    @cached_property
    def tokenizer(self) -> Any:
        return self._load(self.path)

    def stop_ids(self) -> tuple[int, ...]:
        """The tokenizer's end-of-sequence token, where it has one."""
        own = self.tokenizer.eos_token_id
        return () if own is None else (int(own),)

    @cached_property
    def template(self) -> str:
        """Jinja source of the template in use.

        Raises:
            ModelError: there is none, or none of several named ones is the default.
        """
        if self._given:
            return self._given
        found = self._templates(self.path, self.tokenizer)
        if not found and self._fallback is not None:
            found = self._templates(self._fallback, self._load(self._fallback))
        return chosen(found, self.path)

    def _templates(self, path: Path, tokenizer: Any) -> dict[str, str]:
        own = by_name(tokenizer.chat_template)
        if DEFAULT in own or not path.is_dir():
            return own
        return templates_in(path) | own  # tokenizers do not read a processor's

    def _load(self, path: Path) -> Any:
        return load_tokenizer(
            path, trust_remote_code=self.trust_remote_code, conversions=self.conversions
        )

    def text(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """The rendered conversation as text.

        Raises:
            ProbeError: the template refuses the conversation (for instance a system message), or
                leaves out the tools that it offers or the calls of its earlier turns.
        """
        text = self._text(messages, add_generation_prompt)
        for part, without in (
            ("tools", without_tools(messages)),
            ("calls of tools", without_calls(messages)),
        ):
            if list(without) != list(messages) and self._same(text, without, add_generation_prompt):
                raise ProbeError(
                    f"the chat template leaves out the {part} of this conversation, so the model "
                    "would not see them: give a template that shows them with --llmdiff-template "
                    "FILE.jinja"
                )
        return text

    def _same(self, text: str, messages: Sequence[Message], prompted: bool) -> bool:
        try:
            return text == self._text(messages, prompted)
        except ProbeError:  # it wants what was left out
            return False

    def _text(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        from transformers import PreTrainedTokenizerBase

        tokenizer, template = self.tokenizer, self.template
        variables = {"add_generation_prompt": add_generation_prompt, **self.kwargs}
        if tools := tools_of(messages):
            variables["tools"] = tools
        messages = without_tools(messages)
        own = getattr(type(tokenizer), "apply_chat_template", None)
        if own is PreTrainedTokenizerBase.apply_chat_template:
            return chat_templates().render(
                messages, template, **tokenizer.special_tokens_map | variables
            )
        try:
            return str(
                tokenizer.apply_chat_template(
                    [dict(message) for message in messages],
                    chat_template=template, tokenize=False, **variables,
                )
            )  # fmt: skip
        except Exception as error:  # code of the model's own may raise anything
            raise ProbeError(f"the chat template refuses this conversation: {error}") from error

    def ids(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> list[int]:
        """Token ids of the rendered conversation.

        The template writes every special token itself, including a BOS where the model needs one.
        If the tokenizer added its own, there would be two.
        """
        text = self.text(messages, add_generation_prompt=add_generation_prompt)
        return token_ids(self.tokenizer, text)

    def answered(self, conversation: Sequence[Message]) -> tuple[list[int], list[int]]:
        """Token ids of a conversation that ends in an answer: those before the answer, and those of
        the answer with its end, as training sees them.

        Raises:
            ProbeError: the template refuses the conversation.
        """
        whole = self.ids(conversation, add_generation_prompt=False)
        # A generation prompt may open a reasoning block that the answer lacks.
        at = common_length(self.ids(conversation[:-1]), whole)
        return whole[:at], whole[at:]


class FactoryRenderer:
    """A tokenizer with a template of LLaMA-Factory, rendered as in its training.

    `enable_thinking` in the template's variables replaces the training setting of that name.
    """

    def __init__(
        self,
        path: Path,
        *,
        template: FactoryTemplate,
        kwargs: Mapping[str, Any] | None = None,
        trust_remote_code: bool = False,
        conversions: Conversions | None = None,
    ) -> None:
        self.path = path
        self.kwargs = dict(kwargs or {})
        self.factory = template
        if "enable_thinking" in self.kwargs:
            self.factory = replace(template, enable_thinking=self.kwargs["enable_thinking"])
        self.trust_remote_code = trust_remote_code
        self.conversions = conversions

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer with the special tokens that LLaMA-Factory adds or replaces."""
        own = load_tokenizer(
            self.path, trust_remote_code=self.trust_remote_code, conversions=self.conversions
        )
        return prepared(own, self.factory)

    def stop_ids(self) -> tuple[int, ...]:
        """The end-of-sequence token and the template's stop words."""
        return stop_ids(self.tokenizer, self.factory)

    def ids(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> list[int]:
        """Token ids; a conversation that ends in an answer is rendered whole, as in training."""
        return encode(
            self.factory, self.tokenizer, messages, add_generation_prompt=add_generation_prompt
        )

    def answered(self, conversation: Sequence[Message]) -> tuple[list[int], list[int]]:
        """As `Renderer.answered`, by the rules of LLaMA-Factory's training."""
        return factory_answered(self.factory, self.tokenizer, conversation)


AnyRenderer = Renderer | FactoryRenderer


def with_template(ours: AnyRenderer, source: TemplateSource) -> AnyRenderer:
    """The same tokenizer with another template."""
    same: dict[str, Any] = {
        "kwargs": ours.kwargs,
        "trust_remote_code": ours.trust_remote_code,
        "conversions": ours.conversions,
    }
    if source.factory is not None:
        return FactoryRenderer(ours.path, template=source.factory, **same)
    return Renderer(ours.path, template=source.jinja, **same)


def factory_answered(
    template: FactoryTemplate, tokenizer: Any, conversation: Sequence[Message]
) -> tuple[list[int], list[int]]:
    """Token ids before the last answer, and of that answer with its end. The tokenizer must have
    the template's special tokens (`prepared`).

    Raises:
        ProbeError: LLaMA-Factory cannot express the conversation.
    """
    pairs = training_pairs(template, tokenizer, conversation)
    before = [i for source, target in pairs[:-1] for i in source + target]
    source, target = pairs[-1]
    return before + source, target


def load_tokenizer(
    path: Path, *, trust_remote_code: bool = False, conversions: Conversions | None = None
) -> Any:
    """A tokenizer from a folder, or from a GGUF file, which is slow unless it is cached.

    Raises:
        ModelError: it cannot be loaded.
    """

    def read(folder: Path, **more: Any) -> Any:
        try:
            with panics_told():
                found = bounded_tokenizer(folder, trust_remote_code=trust_remote_code, **more)
                found("", add_special_tokens=False)  # a value of a wrong type shows on first use
                return found
        except Exception as error:  # the libraries below may raise anything
            raise ModelError(f"the tokenizer of {path} cannot be loaded: {error}") from error

    def expand() -> Any:
        check_gguf(path)
        return read(path.parent, gguf_file=path.name)

    if path.is_dir():
        return read(path)
    return expand() if conversions is None else conversions.load(path, tokenizer_form(expand, read))
