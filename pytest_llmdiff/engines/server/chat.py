"""The engine for a URL: any server with OpenAI's chat completions.

Requests are sent concurrently, as many as keep a server's batch full. A failure of the server is
one clear error; answers that have arrived are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request, Sampling
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.engines.server.completions import generated_of
from pytest_llmdiff.engines.server.endpoint import (
    RETRIES,
    TIMEOUT,
    Absent,
    Connection,
    Endpoint,
    Refused,
)
from pytest_llmdiff.errors import LLMDiffError, ModelError, ProbeError, once_more
from pytest_llmdiff.store import content_key

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# Parameters beyond OpenAI's. They switch off what a server's generation config may set
# (`repeat_penalty` is llama.cpp's name for `repetition_penalty`), and ask vLLM for token ids.
FURTHER = {
    "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1.0,
    "return_token_ids": True,
}  # fmt: skip
# Their greedy replies are part of the fingerprint, since a URL does not identify a model.
CANARIES = (
    "Tell me about yourself.",
    "Complain about this product: the battery is empty after an hour.",
    "用一句话介绍你自己。",
    "Write a Python function that adds two numbers.",
)
CANARY_TOKENS = 32
# Fields of a server's model list that stay the same as long as the model does.
STABLE = ("id", "root", "parent", "max_model_len", "owned_by", "meta")

Ids = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class RequestForm:
    """The form of requests that a server accepts: the `further` parameters beyond OpenAI's and,
    where prompts are rendered here, whether they are sent `as_text` instead of token ids, and
    `without_bos` where the server adds one. With `with_ids` it must answer with token ids."""

    further: Mapping[str, Any] = field(default_factory=dict)
    with_ids: bool = False
    as_text: bool = False
    without_bos: bool = False


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """What the first requests to a server found out: the fingerprint, the form of requests that it
    accepts, and what a subclass asks `besides`."""

    fingerprint: str
    form: RequestForm
    besides: Any = None


class ServerEngine:
    """One model of one server, which renders prompts itself. Nothing is sent before it is used.

    `forms` are tried in turn by the first requests.
    """

    forms: Sequence[RequestForm] = (RequestForm(further=FURTHER), RequestForm())
    lacking = (
        "a server needs prompts as token ids for that, and so its tokenizer here: give its folder "
        "with --llmdiff-tokenizer"
    )

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        in_flight: int | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        retries: int = RETRIES,
        timeout: float = TIMEOUT,
    ) -> None:
        self.endpoint = endpoint
        self.notes: list[str] = []
        self._template_kwargs = dict(template_kwargs or {})
        self._connection = Connection(
            endpoint, in_flight=in_flight, retries=retries, timeout=timeout
        )
        self._known: ServerFacts | LLMDiffError | None = None

    def fingerprint(self) -> str:
        """A hash of the server's entry for the model and of its greedy replies to a few prompts.

        If these replies change from run to run, nothing of earlier runs is used again.

        Raises:
            ModelError: the server cannot be reached, or has no such model.
        """
        return self.server_facts.fingerprint

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        form = self.server_facts.form

        async def answer(client: AsyncOpenAI, request: Request) -> Generated:
            try:
                return await self._answer(client, request, form)
            except (Refused, ProbeError) as error:
                return Generated(error=str(error))

        return self._connection.each(requests, answer)

    def render(self, messages: Sequence[Message]) -> list[int]:
        """Prompt token ids by the server's own template.

        Raises:
            CapabilityError: the server does not return them.
            ProbeError: its template refuses the conversation.
        """
        return self.rendered(messages, add_generation_prompt=True)

    def rendered(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[int]:
        """Capability: as `render`, with or without the generation prompt."""
        from pytest_llmdiff.engines.server.rendering import rendered_ids

        return self._connection.first(
            lambda client: rendered_ids(
                self._connection, client, messages,
                add_generation_prompt=add_generation_prompt,
                template_kwargs=self._template_kwargs,
            )
        )  # fmt: skip

    def close(self) -> None:
        """Nothing is held between calls."""

    # The first requests

    @property
    def server_facts(self) -> ServerFacts:
        if self._known is None:
            try:
                self._prepare()
                facts = self._connection.first(self._find_out)
                self._review(facts)
                self._known = facts
            except LLMDiffError as error:
                self._known = once_more(error)  # not tried again for every further test
                raise
        if isinstance(self._known, LLMDiffError):
            raise once_more(self._known)
        return self._known

    # `_prepare` and `_review` run in the caller's thread, which the store belongs to; the requests
    # between them do not.

    def _prepare(self) -> None:
        """Load what the first requests need."""

    def _review(self, facts: ServerFacts) -> None:
        """Raises ModelError if the facts contradict the settings."""

    async def _find_out(self, client: AsyncOpenAI) -> ServerFacts:
        listed = await self._listed(client)
        form, replies = await self._canaries(client)
        besides = await self._besides(client, form)
        about = [self.endpoint.url, listed, self._template_kwargs, sorted(form.further), replies]
        return ServerFacts(
            fingerprint=content_key(["server", *about, *self._identity(form, besides)]),
            form=form,
            besides=besides,
        )

    def _identity(self, form: RequestForm, besides: Any) -> list[Any]:  # noqa: ARG002
        """What else replies depend on, as plain JSON."""
        return []

    async def _besides(self, client: AsyncOpenAI, form: RequestForm) -> Any:
        """Further facts that a subclass asks for."""

    async def _listed(self, client: AsyncOpenAI) -> dict[str, Any]:
        """The server's entry for the model; empty if it lists no models."""
        try:
            answer = await self._connection.body(client.models.with_raw_response.list())
        except Absent:
            return {}
        rows = answer.get("data") if isinstance(answer, dict) else None
        rows = rows if isinstance(rows, list) else []
        known = [row for row in rows if isinstance(row, dict) and "id" in row]
        if not known:
            return {}
        for row in known:
            if row["id"] == self.endpoint.model:
                return {name: row[name] for name in STABLE if name in row}
        names = ", ".join(str(row["id"]) for row in known)
        raise ModelError(f"{self.endpoint}: the server has no such model; it has {names}")

    async def _canaries(self, client: AsyncOpenAI) -> tuple[RequestForm, list[str]]:
        """The first form that the server accepts, and its replies."""
        refused: Refused | None = None
        for form in self.forms:
            try:
                replies = [await self._canary(client, text, form) for text in CANARIES]
            except Refused as error:
                refused = error
                continue
            if self.forms[0].further and not form.further:
                self.notes.append(
                    f"{self.endpoint} does not accept {', '.join(self.forms[0].further)}: its own "
                    "generation config stays in force for these"
                )
            return form, replies
        raise ModelError(str(refused)) from refused

    async def _canary(self, client: AsyncOpenAI, text: str, form: RequestForm) -> str:
        found = await self._answer(client, self._canary_request(text), form)
        return found.error or (found.reply.text if found.reply else "")

    def _canary_request(self, text: str) -> Request:
        sampling = Sampling(max_new_tokens=CANARY_TOKENS)
        return Request((Message(role="user", content=text),), sampling)

    # One request

    async def _answer(self, client: AsyncOpenAI, request: Request, form: RequestForm) -> Generated:
        """The outcome of a request. Raises Refused, or ModelError if the answer is invalid."""
        prompt = self._prompt(request)
        answer = await self._sent(client, request, form, prompt)
        try:
            found = self._read(answer, form, prompt)
        except ValueError as error:
            raise ModelError(f"{self.endpoint} answered with {error}") from error
        self._check_model(answer.get("model"))
        return found

    def _prompt(self, request: Request) -> Ids:  # noqa: ARG002
        """The prompt's token ids, if it is rendered here."""
        return ()

    def _sent(self, client: AsyncOpenAI, request: Request, form: RequestForm, prompt: Ids) -> Any:  # noqa: ARG002
        body = {"messages": request.messages, **self._parameters(request.sampling), **form.further}
        if self._template_kwargs:
            body["chat_template_kwargs"] = self._template_kwargs
        return self._connection.post(client, "chat/completions", body)

    def _parameters(self, sampling: Sampling) -> dict[str, Any]:
        """The parameters of OpenAI's API."""
        return {
            "model": self.endpoint.model,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "frequency_penalty": 0,
            "presence_penalty": 0,
            "n": 1,
        }

    def _read(self, answer: Any, form: RequestForm, prompt: Ids) -> Generated:  # noqa: ARG002
        """Raises ValueError if the answer is invalid."""
        return generated_of(answer)

    def _check_model(self, name: object) -> None:
        note = f"{self.endpoint}: the server reports that {name!r:.200} answered"
        if isinstance(name, str) and name != self.endpoint.model and note not in self.notes:
            self.notes.append(note)
