"""The engine behind a URL: any server that speaks OpenAI's chat completions.

Requests go out side by side, as many as keep a server's batch full. What a server does wrong
becomes one clear error; what it has answered is kept all the same.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines import Generated
from pytest_llmdiff.engines.background import Put, as_they_come
from pytest_llmdiff.engines.completions import generated_of
from pytest_llmdiff.errors import CapabilityError, LLMDiffError, ModelError
from pytest_llmdiff.formats.messages import Message
from pytest_llmdiff.planning import Request, Sampling, content_key

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# Requests under way at once, unless `--llmdiff-batch-size` says otherwise: more only wait in the
# queue of most servers.
IN_FLIGHT = 32
# Times that a request is tried again after 429, 5xx, a lost connection or a timeout, with pauses
# of half a second and up to eight: some two minutes in all. For the first one a few are enough.
RETRIES = 16
FIRST_RETRIES = 4
TIMEOUT = 600.0  # seconds for one reply
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


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a model is: the URL up to the version, the name that the server knows it by, and what
    it is to the run ("base", "tuned", "served"), after which its key is named."""

    url: str
    model: str
    role: str

    def __str__(self) -> str:
        return f"{self.url}#{self.model}"

    @property
    def key_names(self) -> tuple[str, str]:
        """Environment variables that may hold the key; the first one that is set counts."""
        return f"LLMDIFF_{self.role.upper()}_API_KEY", "LLMDIFF_API_KEY"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the first questions to a server tell: the fingerprint, and which sampling parameters
    beyond OpenAI's it takes."""

    fingerprint: str
    further: Mapping[str, Any]


class ServerEngine:
    """One model of one server. Nothing is sent before it is used."""

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
        self._in_flight = in_flight or IN_FLIGHT
        self._template_kwargs = dict(template_kwargs or {})
        self._retries = retries
        self._timeout = timeout
        self._found: Found | LLMDiffError | None = None

    def fingerprint(self) -> str:
        """By the server's word on the model, and by its greedy replies to a few prompts.

        A server that answers these otherwise from run to run re-uses nothing of earlier runs.

        Raises:
            ModelError: the server cannot be asked, or has no such model.
        """
        return self._asked().fingerprint

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        further = self._asked().further

        async def work(put: Put[tuple[int, Generated]]) -> None:
            waiting = iter(enumerate(requests))
            errors: list[LLMDiffError] = []

            async def send(client: AsyncOpenAI) -> None:
                # One that fails ends the sending; what is under way already may still come.
                for index, request in waiting:
                    try:
                        put((index, await self._answer(client, request, further)))
                    except LLMDiffError as error:
                        errors.append(error)
                    if errors:
                        return

            async with self._client(self._retries) as client, asyncio.TaskGroup() as tasks:
                for _ in range(min(self._in_flight, len(requests))):
                    tasks.create_task(send(client))
            if errors:
                raise errors[0]

        return as_they_come(work)

    def render(self, messages: Sequence[Message]) -> list[int]:  # noqa: ARG002
        """Raises CapabilityError: the template is the server's."""
        raise CapabilityError(
            f"{self.endpoint} renders prompts by itself and does not show their tokens"
        )

    def close(self) -> None:
        """Nothing is held between calls."""

    # The first questions

    def _asked(self) -> Found:
        if self._found is None:
            try:
                (self._found,) = as_they_come(self._find_out)
            except LLMDiffError as error:
                self._found = error  # not asked again for every further test
        if isinstance(self._found, LLMDiffError):
            raise self._found
        return self._found

    async def _find_out(self, put: Put[Found]) -> None:
        import openai

        async with self._client(min(FIRST_RETRIES, self._retries)) as client:
            listed = await self._listed(client)
            try:
                replies = [await self._canary(client, text, FURTHER) for text in CANARIES]
                further = FURTHER
            except openai.BadRequestError:
                replies = [await self._canary(client, text, {}) for text in CANARIES]
                further = {}
                self.notes.append(
                    f"{self.endpoint} takes no {', '.join(FURTHER)}: what its own generation "
                    "config has for these stays in force"
                )
        about = [self.endpoint.url, listed, self._template_kwargs, sorted(further), replies]
        put(Found(fingerprint=content_key(["server", about]), further=further))

    async def _listed(self, client: AsyncOpenAI) -> dict[str, Any]:
        """The server's word on the model; nothing where it lists none."""
        import openai

        try:
            answer = await self._body(client.models.with_raw_response.list())
        except openai.NotFoundError:
            return {}
        rows = answer.get("data") if isinstance(answer, dict) else None
        known = [row for row in rows or () if isinstance(row, dict) and "id" in row]
        if not known:
            return {}
        for row in known:
            if row["id"] == self.endpoint.model:
                return {name: row[name] for name in STABLE if name in row}
        names = ", ".join(str(row["id"]) for row in known)
        raise ModelError(f"{self.endpoint}: the server has no such model; it has {names}")

    async def _canary(self, client: AsyncOpenAI, text: str, further: Mapping[str, Any]) -> str:
        request = Request(
            ({"role": "user", "content": text},), Sampling(max_new_tokens=CANARY_TOKENS)
        )
        found = generated_of(await self._complete(client, request, further))
        return found.error or (found.reply.text if found.reply else "")

    # One question

    async def _answer(
        self, client: AsyncOpenAI, request: Request, further: Mapping[str, Any]
    ) -> Generated:
        import openai

        try:
            answer = await self._complete(client, request, further)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            return Generated(error=f"{self.endpoint} refuses the request: {_said(error)}")
        try:
            found = generated_of(answer)
        except ValueError as error:
            raise ModelError(f"{self.endpoint} answered with {error}") from error
        self._check_model(answer.get("model"))
        return found

    async def _complete(
        self, client: AsyncOpenAI, request: Request, further: Mapping[str, Any]
    ) -> Any:
        sampling = request.sampling
        extra: dict[str, Any] = dict(further)
        if self._template_kwargs:
            extra["chat_template_kwargs"] = self._template_kwargs
        messages: Any = [dict(message) for message in request.messages]
        return await self._body(
            client.chat.completions.with_raw_response.create(
                model=self.endpoint.model,
                messages=messages,
                max_tokens=sampling.max_new_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=sampling.seed,
                frequency_penalty=0,
                presence_penalty=0,
                n=1,
                extra_body=extra,
            )
        )

    async def _body(self, sent: Any) -> Any:
        """The JSON of an answer. A refusal of the very request stays openai's BadRequestError.

        Raises:
            ModelError: there is none, with what to do.
        """
        import openai

        try:
            raw = (await sent).content
        except (openai.BadRequestError, openai.UnprocessableEntityError, openai.NotFoundError) as e:
            if isinstance(e, openai.NotFoundError) and "models" not in str(e.request.url):
                raise ModelError(f"{self.endpoint}: not found: {_said(e)}") from e
            raise
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            names = " or ".join(self.endpoint.key_names)
            raise ModelError(
                f"{self.endpoint} refuses the key ({_said(error)}): set the environment variable "
                f"{names}"
            ) from error
        except openai.OpenAIError as error:
            raise ModelError(f"{self.endpoint} cannot be asked: {_said(error)}") from error
        try:
            return json.loads(raw)
        except ValueError as error:
            raise ModelError(
                f"{self.endpoint} answered with what is no JSON: {raw[:80]!r}"
            ) from error

    def _check_model(self, name: object) -> None:
        note = f"{self.endpoint}: the server says that {name!r} answered"
        if isinstance(name, str) and name != self.endpoint.model and note not in self.notes:
            self.notes.append(note)

    def _client(self, retries: int) -> AsyncOpenAI:
        import openai

        key = next((os.environ[n] for n in self.endpoint.key_names if os.environ.get(n)), "none")
        return openai.AsyncOpenAI(
            base_url=self.endpoint.url, api_key=key, max_retries=retries, timeout=self._timeout
        )


def _said(error: Exception) -> str:
    """An error in a line: the server's own words where it has any."""
    cause = error.__cause__
    text = f"{error} ({cause})" if cause is not None and str(cause) else str(error)
    return " ".join(text.split())[:300]
