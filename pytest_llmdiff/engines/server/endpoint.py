"""One model of one server: its address, sending requests, and turning failures into errors."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pytest_llmdiff.engines.server.background import Put, as_they_come
from pytest_llmdiff.errors import LLMDiffError, ModelError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Job = TypeVar("Job")
Result = TypeVar("Result")

# Concurrent requests, unless `--llmdiff-batch-size` says otherwise: more would only wait in the
# queue of most servers.
IN_FLIGHT = 32
# A window has this many times as many requests as run concurrently, since at its end the server is
# partly idle.
ROUNDS = 16
# Retries of a request after 429, 5xx, a lost connection or a timeout, with pauses of half a second
# up to eight: some two minutes in all. The first request has fewer.
RETRIES = 16
FIRST_RETRIES = 4
TIMEOUT = 600.0  # seconds for one reply
# A server that answers nothing for this many timeouts is given up; the second number is for one
# that has never answered. A server that answers other requests is only busy, and is waited for.
SILENCES = 2
FIRST_SILENCES = 1
PAUSES = 30.0  # seconds, for the pauses between retries
ABSENT = (404, 405)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The address of a model: the URL up to the version, the server's name for the model, and its
    role in the run ("base", "tuned", "served"), which is part of its key's variable."""

    url: str
    model: str
    role: str

    def __str__(self) -> str:
        return f"{self.url}#{self.model}"

    @property
    def key_names(self) -> tuple[str, str]:
        """Environment variables for the key; the first one that is set is used."""
        return f"LLMDIFF_{self.role.upper()}_API_KEY", "LLMDIFF_API_KEY"

    @property
    def root(self) -> str:
        """Where servers have paths that are not OpenAI's."""
        return self.url.removesuffix("/v1")


class Refused(LLMDiffError):
    """The server refuses this request."""


class Absent(LLMDiffError):
    """The server has no such path or model. Becomes a ModelError unless a caller handles it."""


class Connection:
    """Sends requests to one endpoint. No connection is kept between calls."""

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
        self._heard: float | None = None  # when the server last answered
        self._absent: set[str] = set()  # paths at the root that the server does not have

    def each(
        self,
        jobs: Sequence[Job],
        ask: Callable[[AsyncOpenAI, Job], Coroutine[Any, Any, Result]],
        *,
        at_most: int | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """Index and answer of each job, sent concurrently, as they arrive.

        After a failure nothing more is sent. Answers to requests already sent are still yielded,
        and then the error is raised.
        """
        made = self._client(self._retries)  # outside the loop, which would log a failure
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

            async with made as client, asyncio.TaskGroup() as tasks:
                for _ in range(width):
                    tasks.create_task(send(client))
            if errors:
                raise errors[0]

        return as_they_come(work)

    def first(self, ask: Callable[[AsyncOpenAI], Coroutine[Any, Any, Result]]) -> Result:
        """The answer to a first request, with few retries, since there may be no server."""

        made = self._client(min(FIRST_RETRIES, self._retries))

        async def work(put: Put[Result]) -> None:
            async with made as client:
                put(await _found(ask(client)))

        (found,) = as_they_come(work)
        return found

    async def post(self, client: AsyncOpenAI, path: str, body: Mapping[str, Any]) -> Any:
        """The server's JSON answer. A path that begins with "/" is at its root, others are below
        the version.

        Raises:
            Refused: the server refuses this request.
            Absent: it has no such path or model.
            ModelError: there is no answer, or it is not JSON.
        """
        if path in self._absent:
            raise Absent(f"{self.endpoint} has no {path}")
        import openai

        where = f"{self.endpoint.root}{path}" if path.startswith("/") else path
        # Not with the client's own methods (`chat.completions.create`), which validate every part
        # of a request: that takes a third of the client's time.
        content = openai.HttpxBinaryResponseContent
        try:
            return await self.body(client.post(where, cast_to=content, body=dict(body)))
        except Absent:
            if path.startswith("/"):
                self._absent.add(path)
            raise

    async def body(self, sent: Any) -> Any:
        """The JSON of a request for a raw response; raises as `post`."""
        raw = (await self._answered(sent)).content
        try:
            return json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise ModelError(
                f"{self.endpoint} answered with something that is not JSON: {raw[:80]!r}"
            ) from error

    async def _answered(self, sent: Any) -> Any:
        """The client's response; its exceptions become those of `post`."""
        import openai

        endpoint = self.endpoint
        try:
            return await self._patiently(sent)
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
            hint = _proxied(endpoint.url) if isinstance(error, openai.APIConnectionError) else ""
            raise ModelError(f"{endpoint} cannot be reached: {_said(error)}{hint}") from error

    async def _patiently(self, sent: Any) -> Any:
        """The response to a request, for which it waits as long as the server answers any request.

        Raises:
            ModelError: the server answers nothing.
        """
        import openai

        asking, since = asyncio.ensure_future(sent), time.monotonic()
        try:
            while not asking.done():
                heard = since if self._heard is None else max(since, self._heard)
                silences = FIRST_SILENCES if self._heard is None else SILENCES
                left = heard + silences * self._timeout + PAUSES - time.monotonic()
                if left <= 0:
                    raise ModelError(
                        f"{self.endpoint} cannot be reached: timed out: it accepts requests, but "
                        f"has answered nothing in {time.monotonic() - heard:.0f} seconds"
                    )
                await asyncio.wait({asking}, timeout=left)
        finally:
            if not asking.done():
                asking.cancel()
                await asyncio.wait({asking})
        if not isinstance(asking.exception(), openai.APIConnectionError):
            self._heard = time.monotonic()
        return asking.result()

    def _client(self, retries: int) -> AsyncOpenAI:
        import openai

        name = next((n for n in self.endpoint.key_names if os.environ.get(n)), None)
        key = "none" if name is None else os.environ[name]
        if not key.isascii() or not key.isprintable() or key != key.strip():
            # Checked here, because the client's message would show the key.
            raise ModelError(
                f"{self.endpoint}: the key in {name} has a character that a header cannot contain "
                "(such as a line end or space at its end): set it to the key alone"
            )
        try:
            return openai.AsyncOpenAI(
                base_url=self.endpoint.url, api_key=key, max_retries=retries, timeout=self._timeout
            )
        except (ImportError, ValueError) as error:  # of an unsupported proxy
            raise ModelError(
                f"{self.endpoint} cannot be reached: {error}; check the proxy in the environment "
                "variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY"
            ) from error


async def _found(asked: Coroutine[Any, Any, Result]) -> Result:
    try:
        return await asked
    except Absent as error:
        raise ModelError(
            f"{error}; the part before # must be the address up to the version, http://HOST:PORT/v1"
        ) from error


def _proxied(url: str) -> str:
    """A hint about the proxy, if requests go through one. Its address may contain a key."""
    scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
    found = getproxies()
    name = next((n for n in (scheme, "all") if found.get(n)), None)
    if name is None or proxy_bypass(host):
        return ""
    return f"; requests go through the proxy of {name.upper()}_PROXY; NO_PROXY={host} bypasses it"


def _said(error: Exception) -> str:
    """An error as one line, with the server's own message if there is one."""
    cause = error.__cause__
    text = f"{error} ({cause})" if cause is not None and str(cause) else str(error)
    return " ".join(text.split())[:300]
