"""The engine for a URL: any server with OpenAI's chat completions.

Requests are sent concurrently, as many as keep a server's batch full. A failure of the server is
one clear error; answers that have arrived are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    Unreachable,
)
from pytest_llmdiff.engines.server.forms import FURTHER, RequestForm, may_mean
from pytest_llmdiff.engines.server.parameters import changed
from pytest_llmdiff.engines.server.tools import openai_form
from pytest_llmdiff.errors import LLMDiffError, ModelError, ProbeError, once_more
from pytest_llmdiff.store import content_key

if TYPE_CHECKING:
    from openai import AsyncOpenAI

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
class ServerFacts:
    """What the first requests to a server found out: the fingerprint, the form of requests that it
    accepts, and what a subclass asks `besides`."""

    fingerprint: str
    form: RequestForm
    besides: Any = None


class ServerEngine:
    """One model of one server, which renders prompts itself. Nothing is sent before it is used.

    `forms` are tried in turn by the first requests; the user's `parameters` change each of them.
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
        parameters: Mapping[str, Any] | None = None,
        retries: int = RETRIES,
        timeout: float = TIMEOUT,
    ) -> None:
        self.endpoint = endpoint
        self.notes: list[str] = []
        self._template_kwargs = dict(template_kwargs or {})
        self._given = dict(parameters or {})
        self._connection = Connection(
            endpoint, in_flight=in_flight, retries=retries, timeout=timeout
        )
        self._known: ServerFacts | LLMDiffError | None = None
        self._ollama = False  # whether that is what answers in OpenAI's form

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
                return Generated(error=str(error), passing=getattr(error, "passing", False))

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
        if self._ollama and facts.besides is not None:
            from pytest_llmdiff.engines.server.ollama import OF_OPENAI, notes_of, openai_note

            self.notes.append(openai_note(str(self.endpoint)))
            self.notes += notes_of(str(self.endpoint), facts.besides, sent=OF_OPENAI)

    async def _find_out(self, client: AsyncOpenAI) -> ServerFacts:
        listed, names = await self._listed(client)
        try:
            form, replies = await self._canaries(client)
        except Absent as error:
            if not names:
                raise
            raise ModelError(
                f"{self.endpoint}: the server has no such model; it has {', '.join(names)}"
            ) from error
        if names and not any(may_mean(name, self.endpoint.model) for name in names):
            self.notes.append(
                f"{self.endpoint} answers, although the server lists other models only: "
                f"{', '.join(names)}"
            )
        besides = await self._besides(client, form)
        about = [self.endpoint.url, listed, self._template_kwargs, form.identity(), replies]
        about += [{"parameters": self._given}] if self._given else []
        return ServerFacts(
            fingerprint=content_key(["server", *about, *self._identity(form, besides)]),
            form=form,
            besides=besides,
        )

    def _identity(self, form: RequestForm, besides: Any) -> list[Any]:  # noqa: ARG002
        """What else replies depend on, as plain JSON."""
        return [] if besides is None else [besides]

    async def _besides(self, client: AsyncOpenAI, form: RequestForm) -> Any:  # noqa: ARG002
        """Further facts: of Ollama, what it tells of the model."""
        if self._ollama:
            from pytest_llmdiff.engines.server.ollama import API, told_of

            return await told_of(self._connection, client, f"{API}/show")
        return None

    async def _listed(self, client: AsyncOpenAI) -> tuple[dict[str, Any], list[str]]:
        """The server's entry for the model and the names of all, each empty if it lists none.

        Only a hint: proxies list wildcards, or nothing without a right of its own.
        """
        try:
            answer = await self._connection.body(
                client, lambda client: client.models.with_raw_response.list()
            )
        except Unreachable:
            raise
        except LLMDiffError:
            return {}, []
        rows = answer.get("data") if isinstance(answer, dict) else None
        rows = rows if isinstance(rows, list) else []
        known = [row for row in rows if isinstance(row, dict) and "id" in row]
        own = next((row for row in known if row["id"] == self.endpoint.model), {})
        entry = {name: own[name] for name in STABLE if name in own}
        return entry, [str(row["id"]) for row in known]

    async def _canaries(self, client: AsyncOpenAI) -> tuple[RequestForm, list[str]]:
        """The first form that the server accepts, and its replies."""
        form, first = await self._accepted_form(client)
        self._connection.served = True
        replies = [first]
        for text in CANARIES[1:]:
            try:
                replies.append(await self._canary(client, text, form))
            except Refused:
                replies.append("refused")
        dropped = form.left_out(self.forms[0])
        if dropped:
            self.notes.append(
                f"{self.endpoint} does not accept {', '.join(dropped)}: its own generation config "
                "stays in force for these"
            )
        if await self._canary(client, CANARIES[0], form) != first:
            self.notes.append(
                f"{self.endpoint}: its greedy replies change from call to call (asked twice, it "
                "gave two replies): differences between the models may be its own"
            )
        return form, replies

    async def _accepted_form(self, client: AsyncOpenAI) -> tuple[RequestForm, str]:
        """The first form that the server accepts, without single parameters that it refuses, and
        its first reply."""
        refused: Refused | None = None
        sampling = Sampling(max_new_tokens=CANARY_TOKENS)
        forms = [*self.forms][::-1]
        while forms:
            form = forms.pop()
            try:
                return form, await self._canary(client, CANARIES[0], form)
            except Refused as error:
                refused = error
                said = str(error).removeprefix(str(self.endpoint))
                sent = form.parameters(self._parameters(sampling))
                own = {name: value for name, value in sent.items() if name not in self._given}
                lighter = form.without(said, own)
                forms += [] if lighter is None else [lighter]
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
            raise self._connection.refusal(f"answered with {error}") from error
        self._check_model(answer.get("model"))
        self._ollama |= answer.get("system_fingerprint") == "fp_ollama"
        return found

    def _prompt(self, request: Request) -> Ids:  # noqa: ARG002
        """The prompt's token ids, if it is rendered here."""
        return ()

    def _sent(self, client: AsyncOpenAI, request: Request, form: RequestForm, prompt: Ids) -> Any:  # noqa: ARG002
        kwargs = self._template_kwargs
        further = {"chat_template_kwargs": kwargs} if kwargs else {}
        conversation = openai_form(request.messages)
        body = {**conversation, **self._asked(request.sampling, form, further)}
        return self._connection.post(client, "chat/completions", body)

    def _asked(
        self, sampling: Sampling, form: RequestForm, further: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The parameters of a request, with `further` ones that no server is known to refuse."""
        return changed({**form.parameters(self._parameters(sampling)), **further}, self._given)

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
        }

    def _read(self, answer: Any, form: RequestForm, prompt: Ids) -> Generated:  # noqa: ARG002
        """Raises ValueError if the answer is invalid."""
        return generated_of(answer)

    def _check_model(self, name: object) -> None:
        note = f"{self.endpoint}: the server reports that {name!r:.200} answered"
        if isinstance(name, str) and name != self.endpoint.model and note not in self.notes:
            self.notes.append(note)
