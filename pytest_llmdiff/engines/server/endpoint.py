"""One model of one server: where it is, how it is asked, and what becomes of a bad answer."""

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
# Timeouts after which a server that has answered nothing meanwhile is given up, and one that has
# never answered. One that answers other requests is slow or busy, and is waited for.
SILENCES = 2
FIRST_SILENCES = 1
PAUSES = 30.0  # seconds, for those between tries
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
        self._heard: float | None = None  # when the server last answered
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
        made = self._client(self._retries)  # of a half-made one a running loop would tell on stderr
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
        """The outcome of a first question: with few retries, since nobody may be there."""

        made = self._client(min(FIRST_RETRIES, self._retries))

        async def work(put: Put[Result]) -> None:
            async with made as client:
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
        except (ValueError, RecursionError) as error:
            raise ModelError(
                f"{self.endpoint} answered with what is no JSON: {raw[:80]!r}"
            ) from error

    async def _answered(self, sent: Any) -> Any:
        """What the client has for an answer; its exceptions become those of `post`."""
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
            raise ModelError(f"{endpoint} cannot be asked: {_said(error)}{hint}") from error

    async def _patiently(self, sent: Any) -> Any:
        """The outcome of a request, which is tried again for as long as the server answers any.

        Raises:
            ModelError: nothing comes from it.
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
                        f"{self.endpoint} cannot be asked: timed out: it takes requests, and has "
                        f"answered nothing in {time.monotonic() - heard:.0f} seconds"
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
            # Said here and not by the client, which would show the key.
            raise ModelError(
                f"{self.endpoint}: the key in {name} has a character that no header can hold (a "
                "line end or space at its end, say): set it to the key alone"
            )
        try:
            return openai.AsyncOpenAI(
                base_url=self.endpoint.url, api_key=key, max_retries=retries, timeout=self._timeout
            )
        except (ImportError, ValueError) as error:  # of a proxy of another kind
            raise ModelError(
                f"{self.endpoint} cannot be asked: {error}; is a proxy meant? See the environment "
                "variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY"
            ) from error


async def _found(asked: Coroutine[Any, Any, Result]) -> Result:
    try:
        return await asked
    except Absent as error:
        raise ModelError(
            f"{error}; is the part before # the address up to the version, http://HOST:PORT/v1?"
        ) from error


def _proxied(url: str) -> str:
    """What is to be said of a proxy, if requests go through one; its own address may hold a key."""
    scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
    found = getproxies()
    name = next((n for n in (scheme, "all") if found.get(n)), None)
    if name is None or proxy_bypass(host):
        return ""
    return (
        f"; requests go through the proxy of {name.upper()}_PROXY, and past it with NO_PROXY={host}"
    )


def _said(error: Exception) -> str:
    """An error in a line: the server's own words where it has any."""
    cause = error.__cause__
    text = f"{error} ({cause})" if cause is not None and str(cause) else str(error)
    return " ".join(text.split())[:300]
