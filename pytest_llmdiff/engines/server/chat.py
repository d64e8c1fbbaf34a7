"""The engine behind a URL: any server that speaks OpenAI's chat completions.

Requests go out side by side, as many as keep a server's batch full. What a server does wrong
becomes one clear error; what it has answered is kept all the same.
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

# What a server's own generation config may set otherwise, each switched off (`repeat_penalty` is
# llama.cpp's name for the one before it), and vLLM's way to ask for the tokens. Not OpenAI's.
FURTHER = {
    "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1.0,
    "return_token_ids": True,
}  # fmt: skip
# Their greedy replies tell one model from another: a URL says nothing of what is behind it.
CANARIES = (
    "Tell me about yourself.",
    "Complain about this product: the battery is empty after an hour.",
    "用一句话介绍你自己。",
    "Write a Python function that adds two numbers.",
)
CANARY_TOKENS = 32
# Of a server's word on a model: what stays the same as long as the model does.
STABLE = ("id", "root", "parent", "max_model_len", "owned_by", "meta")

Ids = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a server takes a request: with which parameters beyond OpenAI's and, where the prompt is
    rendered here, whether as text in place of token ids, and without the BOS that it adds. With
    `told` it has to answer with token ids."""

    further: Mapping[str, Any] = field(default_factory=dict)
    told: bool = False
    as_text: bool = False
    without_bos: bool = False


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the first questions to a server tell: the fingerprint, how it takes requests, and what
    is known `besides`."""

    fingerprint: str
    form: Form
    besides: Any = None


class ServerEngine:
    """One model of one server, which renders prompts by itself. Nothing is sent before it is used.

    `forms` are the ways of asking that are tried at first, in turn.
    """

    forms: Sequence[Form] = (Form(further=FURTHER), Form())
    lacking = (
        "a server is asked for them with token ids, for which its tokenizer is needed: give its "
        "folder with --llmdiff-tokenizer"
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
        self._known: Found | LLMDiffError | None = None

    def fingerprint(self) -> str:
        """By the server's word on the model, and by its greedy replies to a few prompts.

        A server that answers these otherwise from run to run re-uses nothing of earlier runs.

        Raises:
            ModelError: the server cannot be asked, or has no such model.
        """
        return self.found.fingerprint

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        form = self.found.form

        async def answer(client: AsyncOpenAI, request: Request) -> Generated:
            try:
                return await self._answer(client, request, form)
            except (Refused, ProbeError) as error:
                return Generated(error=str(error))

        return self._connection.each(requests, answer)

    def render(self, messages: Sequence[Message]) -> list[int]:
        """Prompt token ids by the server's own template.

        Raises:
            CapabilityError: it does not show them.
            ProbeError: its template refuses the conversation.
        """
        return self.rendered(messages, add_generation_prompt=True)

    def rendered(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[int]:
        """Capability: token ids of a conversation, by the server's own template; as `render`."""
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

    # The first questions

    @property
    def found(self) -> Found:
        if self._known is None:
            try:
                self._prepare()
                found = self._connection.first(self._find_out)
                self._review(found)
                self._known = found
            except LLMDiffError as error:
                self._known = once_more(error)  # not asked again for every further test
                raise
        if isinstance(self._known, LLMDiffError):
            raise once_more(self._known)
        return self._known

    # Before and behind what is asked, in the caller's own thread, to which the store belongs.

    def _prepare(self) -> None:
        """Have at hand what the questions need."""

    def _review(self, found: Found) -> None:
        """Raises ModelError where what was found cannot be."""

    async def _find_out(self, client: AsyncOpenAI) -> Found:
        listed = await self._listed(client)
        form, replies = await self._canaries(client)
        besides = await self._besides(client, form)
        about = [self.endpoint.url, listed, self._template_kwargs, sorted(form.further), replies]
        return Found(
            fingerprint=content_key(["server", *about, *self._identity(form, besides)]),
            form=form,
            besides=besides,
        )

    def _identity(self, form: Form, besides: Any) -> list[Any]:  # noqa: ARG002
        """What else the answers depend on, as plain JSON."""
        return []

    async def _besides(self, client: AsyncOpenAI, form: Form) -> Any:
        """What else is worth asking at first."""

    async def _listed(self, client: AsyncOpenAI) -> dict[str, Any]:
        """The server's word on the model; nothing where it lists none."""
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

    async def _canaries(self, client: AsyncOpenAI) -> tuple[Form, list[str]]:
        """The first form that the server takes, and its replies."""
        refused: Refused | None = None
        for form in self.forms:
            try:
                replies = [await self._canary(client, text, form) for text in CANARIES]
            except Refused as error:
                refused = error
                continue
            if self.forms[0].further and not form.further:
                self.notes.append(
                    f"{self.endpoint} takes no {', '.join(self.forms[0].further)}: what its own "
                    "generation config has for these stays in force"
                )
            return form, replies
        raise ModelError(str(refused)) from refused

    async def _canary(self, client: AsyncOpenAI, text: str, form: Form) -> str:
        found = await self._answer(client, self._canary_request(text), form)
        return found.error or (found.reply.text if found.reply else "")

    def _canary_request(self, text: str) -> Request:
        sampling = Sampling(max_new_tokens=CANARY_TOKENS)
        return Request((Message(role="user", content=text),), sampling)

    # One question

    async def _answer(self, client: AsyncOpenAI, request: Request, form: Form) -> Generated:
        """The outcome of a request. Raises Refused, or ModelError where there is none."""
        prompt = self._prompt(request)
        answer = await self._sent(client, request, form, prompt)
        try:
            found = self._read(answer, form, prompt)
        except ValueError as error:
            raise ModelError(f"{self.endpoint} answered with {error}") from error
        self._check_model(answer.get("model"))
        return found

    def _prompt(self, request: Request) -> Ids:  # noqa: ARG002
        """The prompt as it is rendered here, if it is."""
        return ()

    def _sent(self, client: AsyncOpenAI, request: Request, form: Form, prompt: Ids) -> Any:  # noqa: ARG002
        body = {"messages": request.messages, **self._parameters(request.sampling), **form.further}
        if self._template_kwargs:
            body["chat_template_kwargs"] = self._template_kwargs
        return self._connection.post(client, "chat/completions", body)

    def _parameters(self, sampling: Sampling) -> dict[str, Any]:
        """What OpenAI's interface has."""
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

    def _read(self, answer: Any, form: Form, prompt: Ids) -> Generated:  # noqa: ARG002
        """Raises ValueError where the answer is none."""
        return generated_of(answer)

    def _check_model(self, name: object) -> None:
        note = f"{self.endpoint}: the server says that {name!r:.200} answered"
        if isinstance(name, str) and name != self.endpoint.model and note not in self.notes:
            self.notes.append(note)
