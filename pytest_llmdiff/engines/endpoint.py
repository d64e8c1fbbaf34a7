"""One model of one server: where it is, how it is asked, and what becomes of a bad answer."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_llmdiff.engines.background import Put, as_they_come
from pytest_llmdiff.errors import LLMDiffError, ModelError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Job = TypeVar("Job")
Result = TypeVar("Result")

# Requests under way at once, unless `--llmdiff-batch-size` says otherwise: more only wait in the
# queue of most servers.
IN_FLIGHT = 32
# Times that as many go out before the last reply of a window is waited for.
ROUNDS = 16
# Times that a request is tried again after 429, 5xx, a lost connection or a timeout, with pauses
# of half a second and up to eight: some two minutes in all. For the first one a few are enough.
RETRIES = 16
FIRST_RETRIES = 4
TIMEOUT = 600.0  # seconds for one reply
ABSENT = (404, 405)


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

    @property
    def root(self) -> str:
        """Where a server has what is not OpenAI's."""
        return self.url.removesuffix("/v1")


class Refused(LLMDiffError):
    """The server will not do it for this very request."""


class Absent(LLMDiffError):
    """The server has no such thing. Where nobody asks whether, it becomes a ModelError."""


class Connection:
    """Asks one endpoint. Nothing is held between calls."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        in_flight: int | None = None,
        retries: int = RETRIES,
        timeout: float = TIMEOUT,
    ) -> None:
        self.endpoint = endpoint
        self._in_flight = in_flight or IN_FLIGHT
        self._retries = retries
        self._timeout = timeout
        self._absent: set[str] = set()  # paths at the root that the server has said not to know

    def each(
        self,
        jobs: Sequence[Job],
        ask: Callable[[AsyncOpenAI, Job], Coroutine[Any, Any, Result]],
        *,
        at_most: int | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """Index and answer of each job, side by side, as they come.

        One that fails ends the sending; what is under way already may still come, and the error
        is raised behind it.
        """
        width = min(self._in_flight, len(jobs), at_most or len(jobs))

        async def work(put: Put[tuple[int, Result]]) -> None:
            waiting = iter(enumerate(jobs))
            errors: list[LLMDiffError] = []

            async def send(client: AsyncOpenAI) -> None:
                for index, job in waiting:
                    try:
                        put((index, await _found(ask(client, job))))
                    except LLMDiffError as error:
                        errors.append(error)
                    if errors:
                        return

            async with self._client(self._retries) as client, asyncio.TaskGroup() as tasks:
                for _ in range(width):
                    tasks.create_task(send(client))
            if errors:
                raise errors[0]

        return as_they_come(work)

    def first(self, ask: Callable[[AsyncOpenAI], Coroutine[Any, Any, Result]]) -> Result:
        """The outcome of a first question: with few retries, since nobody may be there."""

        async def work(put: Put[Result]) -> None:
            async with self._client(min(FIRST_RETRIES, self._retries)) as client:
                put(await _found(ask(client)))

        (found,) = as_they_come(work)
        return found

    async def post(self, client: AsyncOpenAI, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that the server answers at a path: below the version, or from "/" at its root.

        Raises:
            Refused: the server will not answer this request.
            Absent: it knows no such path, or no such model.
            ModelError: there is no JSON to be had.
        """
        if path in self._absent:
            raise Absent(f"{self.endpoint} has no {path}")
        import openai

        where = f"{self.endpoint.root}{path}" if path.startswith("/") else path
        # Not by the client's own methods (`chat.completions.create`): they hold every part of a
        # request against its types, which takes a third of the client's time.
        content = openai.HttpxBinaryResponseContent
        try:
            return await self.body(client.post(where, cast_to=content, body=dict(body)))
        except Absent:
            if path.startswith("/"):
                self._absent.add(path)
            raise

    async def body(self, sent: Any) -> Any:
        """The JSON of what was sent for a raw response; raises as `post`."""
        raw = (await self._answered(sent)).content
        try:
            return json.loads(raw)
        except ValueError as error:
            raise ModelError(
                f"{self.endpoint} answered with what is no JSON: {raw[:80]!r}"
            ) from error

    async def _answered(self, sent: Any) -> Any:
        """What the client has for an answer; its exceptions become those of `post`."""
        import openai

        endpoint = self.endpoint
        try:
            return await sent
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise Refused(f"{endpoint} refuses the request: {_said(error)}") from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            names = " or ".join(endpoint.key_names)
            raise ModelError(
                f"{endpoint} refuses the key ({_said(error)}): set the environment variable {names}"
            ) from error
        except openai.OpenAIError as error:
            if getattr(error, "status_code", None) in ABSENT:
                raise Absent(f"{endpoint}: not found: {_said(error)}") from error
            raise ModelError(f"{endpoint} cannot be asked: {_said(error)}") from error

    def _client(self, retries: int) -> AsyncOpenAI:
        import openai

        key = next((os.environ[n] for n in self.endpoint.key_names if os.environ.get(n)), "none")
        return openai.AsyncOpenAI(
            base_url=self.endpoint.url, api_key=key, max_retries=retries, timeout=self._timeout
        )


async def _found(asked: Coroutine[Any, Any, Result]) -> Result:
    try:
        return await asked
    except Absent as error:
        raise ModelError(str(error)) from error


def _said(error: Exception) -> str:
    """An error in a line: the server's own words where it has any."""
    cause = error.__cause__
    text = f"{error} ({cause})" if cause is not None and str(cause) else str(error)
    return " ".join(text.split())[:300]
