"""The engine for a URL with the server's tokenizer: prompts are rendered here, sent as token ids.

Since the prompt's tokens are known, the server can also be asked for the log-probabilities of given
tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.data.token_ids import token_ids
from pytest_llmdiff.engines import Continuation, Generated
from pytest_llmdiff.engines.context import Remember
from pytest_llmdiff.engines.files.artifacts import generation_stop_ids
from pytest_llmdiff.engines.files.rendering import AnyRenderer
from pytest_llmdiff.engines.files.replies import reply_of_text, reply_of_tokens
from pytest_llmdiff.engines.server.chat import CANARIES, Ids, ServerEngine, ServerFacts
from pytest_llmdiff.engines.server.completions import raw_completion_of
from pytest_llmdiff.engines.server.endpoint import Endpoint, Refused
from pytest_llmdiff.engines.server.forms import FURTHER, RequestForm
from pytest_llmdiff.engines.server.logprobs import (
    Logprobs,
    Row,
    find_logprobs,
    prompt_rows,
    whole_row,
)
from pytest_llmdiff.engines.server.rendering import text_ids
from pytest_llmdiff.errors import ModelError, ProbeError

if TYPE_CHECKING:
    import torch
    from openai import AsyncOpenAI

STOPS = 4  # OpenAI's limit on the number of stop texts
WHOLE_ROWS = 4  # concurrent requests for whole rows, whose answers have megabytes
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TokenFacts:
    """The log-probabilities that the server returns, and its tokens of the first prompts if it
    returns them."""

    logprobs: Logprobs
    pieces: Ids | None


class RawServerEngine(ServerEngine):
    """One model of one server, which has the tokenizer of `renderer`.

    `identity` is the content hash of the tokenizer and the template. `remembered` returns a fact
    about them from the store, or computes and stores it, so that a run from the store loads no
    tokenizer.
    """

    lacking = (
        "the server does not return log-probabilities of the whole vocabulary by token id "
        "(llama.cpp does, and vLLM if it is started with --max-logprobs -1)"
    )

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        renderer: AnyRenderer,
        identity: str,
        remembered: Remember = lambda _, compute: compute(),
        **options: Any,
    ) -> None:
        super().__init__(endpoint, **options)
        self.renderer = renderer
        self._tokenizer_identity = identity
        self._remembered = remembered

    @property
    def tokenizer(self) -> Any:
        return self.renderer.tokenizer

    def render(self, messages: Sequence[Message]) -> list[int]:
        return self.renderer.ids(messages)

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        # Loaded here, because the requests are sent in a thread that may not use the store.
        _ = self.stop_ids(), self.tokenizer, getattr(self.renderer, "template", None)
        return super().generate(requests)

    def encode(self, text: str) -> list[int]:
        """Token ids of a reply's text, without special tokens."""
        return token_ids(self.tokenizer, text)

    def token_text(self, token_id: int) -> str:
        return str(self.tokenizer.decode([token_id]))

    def declared_stop_ids(self) -> tuple[int, ...]:
        """Stop tokens of the template, the tokenizer and the generation config together."""
        own = generation_stop_ids(self.renderer.path)
        return tuple(sorted({*own, *self.renderer.stop_ids()}))

    def stop_ids(self) -> tuple[int, ...]:
        return tuple(self._facts["stop_ids"])

    def embedding_rows(self) -> int:
        """Number of rows of the model's embeddings, or of the tokenizer if that is unknown."""
        return self._logprobs.width or len(self.tokenizer)

    # Capabilities; None where the server lacks what they need

    @property
    def likely_tokens(self) -> Callable[..., Iterator[tuple[int, list[Row]]]] | None:
        return self._likely_tokens if self._logprobs.top else None

    @property
    def token_logits(self) -> Callable[..., Iterator[tuple[int, torch.Tensor]]] | None:
        return self._token_logits if self._logprobs.width else None

    @property
    def _logprobs(self) -> Logprobs:
        found: TokenFacts = self.server_facts.besides
        return found.logprobs

    def _likely_tokens(self, items: Sequence[Continuation]) -> Iterator[tuple[int, list[Row]]]:
        top = self._logprobs.top

        async def ask(client: AsyncOpenAI, item: Continuation) -> list[Row]:
            sent = (*item.prompt_ids, *item.reply_ids)
            rows = await _scored(prompt_rows(self._connection, client, sent, top))
            return rows[len(item.prompt_ids) - 1 :]  # rows begin at the second token

        return self._connection.each(items, ask)

    def _token_logits(
        self,
        items: Sequence[Continuation],
        rows: int,  # noqa: ARG002 - an answer has one row
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Whole rows of log-probabilities, which are logits up to a constant: one request for each
        token."""
        import torch

        width = self._logprobs.width
        places = [(n, at) for n, item in enumerate(items) for at in range(len(item.reply_ids))]

        async def ask(client: AsyncOpenAI, place: tuple[int, int]) -> torch.Tensor:
            item, at = items[place[0]], place[1]
            sent = (*item.prompt_ids, *item.reply_ids[:at])
            found = await _scored(whole_row(self._connection, client, sent, width))
            return torch.tensor(found)

        held: dict[int, dict[int, torch.Tensor]] = {}
        for place, row in self._connection.each(places, ask, at_most=WHOLE_ROWS):
            index, at = places[place]
            held.setdefault(index, {})[at] = row
            if len(held[index]) == len(items[index].reply_ids):
                done = held.pop(index)
                yield index, torch.stack([done[at] for at in range(len(done))])

    # The first requests

    @cached_property
    def _facts(self) -> Mapping[str, Any]:
        """What every run needs of the tokenizer: the first prompts, and where replies stop."""

        def compute() -> dict[str, Any]:
            stops = self.declared_stop_ids()
            bos = self.tokenizer.bos_token_id
            prompts = [self.render(({"role": "user", "content": text},)) for text in CANARIES]
            return {
                "prompts": prompts,
                "stop_ids": list(stops),
                # An id that the tokenizer lacks has no text to stop at.
                "stops": [text for token in stops if (text := self.token_text(token))],
                "bos": self.tokenizer.bos_token if bos in {prompt[0] for prompt in prompts} else "",
                "pieces": self.encode("\n".join(CANARIES)),
            }

        return self._remembered("raw completions", compute)

    @property
    def forms(self) -> Sequence[RequestForm]:  # type: ignore[override]
        further = {**FURTHER, "stop_token_ids": self._facts["stop_ids"]}
        bos = [False, True] if self._facts["bos"] else [False]
        as_text = [RequestForm(as_text=True, without_bos=without) for without in bos]
        return (
            RequestForm(further=further, with_ids=True),
            # llama.cpp returns ids beside log-probabilities
            RequestForm(further={**further, "logprobs": 1}, with_ids=True),
            RequestForm(further=further),
            RequestForm(),
            *(replace(form, further=further) for form in as_text),
            *as_text,
        )

    def _identity(self, form: RequestForm, besides: Any) -> list[Any]:
        facts = [form.as_text, form.without_bos, besides.logprobs.top, besides.logprobs.width]
        return ["raw", self._tokenizer_identity, facts]

    def _prepare(self) -> None:
        _ = self._facts

    async def _besides(self, client: AsyncOpenAI, form: RequestForm) -> TokenFacts:
        logprobs = Logprobs()
        if not form.as_text:
            prompt = self._facts["prompts"][0]
            logprobs = await find_logprobs(self._connection, client, prompt)
        pieces = await text_ids(self._connection, client, "\n".join(CANARIES))
        return TokenFacts(logprobs=logprobs, pieces=pieces)

    def _review(self, facts: ServerFacts) -> None:
        """Check that both tokenizers agree, if the server returns its tokens."""
        if facts.besides.logprobs.unlike:
            self.notes.append(
                f"{self.endpoint}: its prompt_logprobs are not those that it generates with "
                "(vLLM ignores what an adapter changes at lm_head), and are not used"
            )
        text, ours, theirs = "\n".join(CANARIES), self._facts["pieces"], facts.besides.pieces
        if theirs is None:
            self.notes.append(
                f"{self.endpoint} has no /tokenize, so it is not checked whether its tokenizer is "
                "that of --llmdiff-tokenizer"
            )
        # The text may be split differently, as long as the ids mean the same.
        elif list(theirs) != ours and self.tokenizer.decode(list(theirs)) != text:
            raise ModelError(
                f"{self.endpoint} has another tokenizer than --llmdiff-tokenizer: its tokens of "
                f"{text!r} mean {self.tokenizer.decode(list(theirs))!r} there"
            )

    # One request

    def _prompt(self, request: Request) -> Ids:
        for text, prompt in zip(CANARIES, self._facts["prompts"], strict=True):
            if request.messages == ({"role": "user", "content": text},):
                return tuple(prompt)
        return tuple(self.render(request.messages))

    def _sent(self, client: AsyncOpenAI, request: Request, form: RequestForm, prompt: Ids) -> Any:
        asked: Any = list(prompt)
        if form.as_text:
            asked = self.tokenizer.decode(list(prompt), skip_special_tokens=False)
            asked = asked.removeprefix(self._facts["bos"]) if form.without_bos else asked
        stops = self._facts["stops"][:STOPS]
        further = {"stop": stops} if stops else {}
        body = {"prompt": asked, **self._asked(request.sampling, form, further)}
        return self._connection.post(client, "completions", body)

    async def _canary(self, client: AsyncOpenAI, text: str, form: RequestForm) -> str:
        request = self._canary_request(text)
        prompt = self._prompt(request)
        answer = await self._sent(client, request, form, prompt)
        try:
            completion = raw_completion_of(answer)
        except ValueError as error:
            raise self._connection.refusal(f"answered with {error}") from error
        self._check_count(completion.prompt_tokens, form, prompt)
        if form.with_ids and not completion.token_ids:
            raise Refused(f"{self.endpoint} does not return the tokens of its replies")
        return completion.text

    def _read(self, answer: Any, form: RequestForm, prompt: Ids) -> Generated:
        completion = raw_completion_of(answer)
        self._check_count(completion.prompt_tokens, form, prompt)
        stops = self.stop_ids()
        if completion.token_ids:
            ids = completion.token_ids
            end = next((n for n, token in enumerate(ids, 1) if token in stops), len(ids))
            stopped = completion.finish_reason == "stop" or ids[end - 1] in stops
            reply = reply_of_tokens(self.tokenizer, prompt, ids[:end], stopped=stopped)
        else:
            text, reason = completion.text, completion.finish_reason
            for stop in self._facts["stops"]:
                if stop in text:
                    text, reason = text.partition(stop)[0], "stop"
            reply = reply_of_text(self.tokenizer, prompt, text, reason)
        return Generated(reply=reply, prompt_ids=prompt)

    def _check_count(self, counted: int, form: RequestForm, prompt: Ids) -> None:
        if counted == len(prompt) or (not counted and not form.as_text):
            return
        read = f"reads {counted}" if counted else "does not say how many it reads"
        raise Refused(
            f"{self.endpoint}: of a prompt of {len(prompt)} tokens the server {read}: it adds some "
            "(such as a second BOS), or its tokenizer is not that of --llmdiff-tokenizer"
        )


async def _scored(asked: Coroutine[Any, Any, T]) -> T:
    """The answer about one text. If the server refuses it, only this text fails."""
    try:
        return await asked
    except Refused as error:
        raise ProbeError(str(error)) from error
