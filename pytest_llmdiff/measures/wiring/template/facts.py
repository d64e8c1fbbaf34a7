"""Compares the chat template in use with that of the training, over the engines of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.data.training.template_source import TemplateSource
from pytest_llmdiff.data.training.training import Training
from pytest_llmdiff.engines import Engine, capability
from pytest_llmdiff.engines.files.rendering import (
    AnyRenderer,
    FactoryRenderer,
    Renderer,
    with_template,
)
from pytest_llmdiff.errors import CapabilityError, ProbeError
from pytest_llmdiff.measures.wiring.template.comparison import (
    BATTERY,
    check_template,
    compare_endings,
    compare_renderings,
)
from pytest_llmdiff.measures.wiring.template.question import QUESTIONS, lost_questions

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, kw_only=True)
class ServedTemplate:
    """The template of a server that shows the tokens of conversations, or prompts as text, whose
    tokens are then those of `tokenizer`."""

    engine: Any
    tokenizer: Any

    def ids(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> list[int]:
        as_text = capability(self.engine, "rendered_text")
        if as_text is not None:
            if not add_generation_prompt:
                raise CapabilityError("the server shows prompts alone")
            return self._read(as_text(messages))
        tokens = self.engine.rendered(messages, add_generation_prompt=add_generation_prompt)
        return [int(token) for token in tokens]

    def _read(self, prompt: str) -> list[int]:
        """A server adds the BOS that its tokenizer adds, where the prompt has none."""
        bos = self.tokenizer.bos_token
        has = bos is None or prompt.startswith(bos)
        return list(self.tokenizer(prompt, add_special_tokens=not has)["input_ids"])


def _shows_prompts(engine: Any) -> bool:
    """Whether this is a server that shows the prompts that it makes, as tokens or as text."""
    return any(capability(engine, name) is not None for name in ("rendered", "rendered_text"))


def served_renderings(engine: Any) -> list[Any] | None:
    """The conversations of all checks as a server renders them; None for an engine that renders in
    this process.

    They are part of the key under which the facts are stored, since the fingerprint of a server
    does not cover its template.

    Raises:
        CapabilityError: the server does not show its renderings.
    """
    if capability(engine, "renderer") is not None or not _shows_prompts(engine):
        return None
    shown = capability(engine, "rendered_text") or engine.render
    renderings: list[Any] = []
    for conversation in (*BATTERY, *QUESTIONS.values()):
        try:
            renderings.append(shown(conversation))
        except ProbeError as error:
            renderings.append(str(error))
    return renderings


def template_facts(
    engine: Any, base: Engine, given: TemplateSource | None, training: Training
) -> dict[str, Any]:
    """Plain JSON: `problems`, what was `compared with`, and why the training's template is
    `unknown`, or None.

    The template in use is compared with the given one, else that of the training, else the
    base's.

    Raises:
        CapabilityError: an engine has no chat template of its own.
    """
    ours: AnyRenderer | None = capability(engine, "renderer")
    base_renderer: AnyRenderer | None = capability(base, "renderer")
    rendered: AnyRenderer | ServedTemplate | None = ours
    if ours is None and _shows_prompts(engine) and base_renderer is not None:
        # The base's tokenizer reads what the server shows.
        ours = base_renderer
        rendered = ServedTemplate(engine=engine, tokenizer=ours.tokenizer)
    if ours is None or rendered is None:
        raise CapabilityError(
            f"the template check needs a chat template, and {type(engine).__name__} has none "
            "(for a server, give --llmdiff-tokenizer, or a base that is not a server)"
        )

    def decode(ids: Sequence[int]) -> str:
        return str(ours.tokenizer.decode(list(ids)))

    unknown: str | None = None
    theirs, against = _known(ours, base_renderer, given, training)
    if theirs is None:
        unknown, against, theirs = training.unknown, "the base's template", base_renderer
    if theirs is None:
        raise CapabilityError(
            "the template check needs engines with a chat template of their own; "
            f"{type(base).__name__} has none"
        )
    bos = ours.tokenizer.bos_token
    problems = lost_questions(engine, base_renderer) or []
    problems += compare_renderings(rendered.ids, theirs.ids, decode, bos=bos)
    if isinstance(rendered, ServedTemplate):
        try:
            problems += compare_endings(rendered.ids, theirs.ids, decode)
        except CapabilityError:
            against += " (prompts only: the server shows no conversation that ends in an answer)"
        return {"problems": problems, "compared with": against, "unknown": unknown}
    problems += [*compare_endings(ours.ids, theirs.ids, decode), *own_findings(engine)]
    if given is None and training.predictions and unknown is not None:
        mismatches = _predictions(ours, training.predictions)
        if mismatches is not None:
            problems, unknown = [*problems, *mismatches], None
            against = "the prompts in generated_predictions.jsonl"
    return {"problems": problems, "compared with": against, "unknown": unknown}


def own_findings(engine: Any) -> list[str]:
    """Findings about the template in use by itself: doubled BOS, generation prompt, stops."""
    renderer: AnyRenderer = engine.renderer

    if isinstance(renderer, FactoryRenderer):
        return []  # its stop words are stop tokens, and its user turns end where answers begin
    return check_template(
        renderer.ids,
        bos_id=renderer.tokenizer.bos_token_id,
        stop_ids=engine.declared_stop_ids(),
        decode=lambda ids: str(renderer.tokenizer.decode(list(ids))),
    )


def _known(
    ours: AnyRenderer,
    base: AnyRenderer | None,
    given: TemplateSource | None,
    training: Training,
) -> tuple[AnyRenderer | None, str]:
    if given is not None:
        return with_template(ours, given), f"the given template ({given.name})"
    if training.template is not None:
        text = f"the template of the training ({training.template.name}, {training.found_in})"
        return with_template(ours, training.template), text
    if training.own_template is not None and base is not None:
        own = with_template(ours, training.own_template)
        if compare_renderings(own.ids, base.ids, lambda ids: str(ours.tokenizer.decode(list(ids)))):
            return own, f"the tuned model's own {training.own_template.name}, unlike the base's"
    return None, ""


MARK = "\u2060mark\u2060"


def _predictions(ours: AnyRenderer, prompts: Sequence[str]) -> list[str] | None:
    """How the prompts that the training recorded for its predictions differ from the template.

    None if the renderer cannot show prompts as text. It is a finding as well if all of them have a
    system prompt that a plain question does not get from the template in use.
    """
    if not isinstance(ours, Renderer):
        return None
    head, _, tail = ours.text([Message(role="user", content=MARK)]).partition(MARK)
    system = [Message(role="system", content=MARK), Message(role="user", content=MARK)]
    parts = ours.text(system).split(MARK)
    plain = re.compile(f"{re.escape(head)}.*{re.escape(tail)}", re.DOTALL)
    if all(plain.fullmatch(prompt) for prompt in prompts):
        return []
    with_system = re.compile("(.*?)".join(map(re.escape, parts)), re.DOTALL)
    systems = {m[1] if (m := with_system.fullmatch(prompt)) else None for prompt in prompts}
    if systems == {None}:
        at = first_difference(head, prompts[0], cut=True) or 0
        return [
            "the prompts in generated_predictions.jsonl do not begin and end as the template in "
            f"use writes them: {prompts[0][max(0, at - 20) : at + 20]!r} there, "
            f"{head[max(0, at - 20) : at + 20]!r} in use"
        ]
    if len(systems) == 1:
        (text,) = systems
        return [
            "every prompt in generated_predictions.jsonl has the system prompt "
            f"{text!r}, which a question without one does not get from the template in use"
        ]
    return []
