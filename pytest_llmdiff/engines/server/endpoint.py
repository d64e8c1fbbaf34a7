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
from pytest_llmdiff.engines.server.faults import Fault, fault_within, untrusted, words_of
from pytest_llmdiff.engines.server.transport import ELSEWHERE, LARGEST, bounded_client
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
# up to eight: some two minutes in all. There are fewer where there may be no server, and for a
# fault that a server which answers others may have with this request alone.
RETRIES = 16
FEW_RETRIES = 4
PAUSE = 8.0  # seconds before each retry beyond the few
# A server that is busy, restarts or still loads its model says so with these.
BUSY = (408, 429, 502, 503, 504)
# So many requests in turn that fail with another fault are no longer the requests' own fault.
IN_TURN = 5
TIMEOUT = 600.0  # seconds for one reply
# A server that answers nothing for this many timeouts is given up; the second number is for one
# that has never answered. A server that answers other requests is only busy, and is waited for.
SILENCES = 2
FIRST_SILENCES = 1
PAUSES = 30.0  # seconds, for the pauses between retries
ABSENT = (404, 405)
SECRET = 12  # characters from which a key is a secret, and no word that a reply may have


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The address of a model: the URL up to the version, the server's name for the model, its role
    in the run ("base", "tuned", "served"), which is part of its key's variable, and the query that
    every address needs (`api-version`)."""

    url: str
    model: str
    role: str
    query: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.url}#{self.model}"

    @property
    def key_names(self) -> tuple[str, str]:
        """Environment variables for the key; the first one that is set is used."""
        return f"LLMDIFF_{self.role.upper()}_API_KEY", "LLMDIFF_API_KEY"

    @property
    def root(self) -> str:
        """Where servers have paths that are not OpenAI's."""
        return self.url.removesuffix("/v1").removesuffix("/api")


class Refused(LLMDiffError):
    """The server refuses this request; `passing` if it may answer it another time."""

    passing = False


class Failed(Refused):
    """The server fails at this request, and answers others."""

    passing = True


class Absent(LLMDiffError):
    """The server has no such path or model. Becomes a ModelError unless a caller handles it."""


class Unreachable(ModelError):
    """There is no server, or none that answers."""


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
        self.served = False  # whether it has answered a prompt
        self._failed_in_turn = 0
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
        made = self._client()  # outside the loop, which would log a failure
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
        """The answer to a single request."""
        made = self._client()

        async def work(put: Put[Result]) -> None:
            async with made as client:
                put(await _found(ask(client)))

        (found,) = as_they_come(work)
        return found

    async def post(self, client: AsyncOpenAI, path: str, body: Mapping[str, Any]) -> Any:
        """The server's JSON answer. A path that begins with "/" is at its root, others are below
        the version.

        Raises:
            Refused: the server refuses this request, or fails at it while it answers others.
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
            return await self.body(
                client, lambda client: client.post(where, cast_to=content, body=dict(body))
            )
        except Absent as error:
            if path.startswith("/"):
                self._absent.add(path)
            elif self.served:
                raise Refused(str(error)) from error
            raise

    async def body(self, client: AsyncOpenAI, send: Callable[[AsyncOpenAI], Any]) -> Any:
        """The JSON that a request for a raw response gets; raises as `post`.

        The client retries a few times by itself. A server that is busy is waited for beyond that.
        """
        import openai

        left = self._retries - FEW_RETRIES
        while True:
            try:
                raw = self._without_key((await self._patiently(send(client))).content)
                if len(raw) > LARGEST:
                    raise self.refusal(f"answered with more than {LARGEST >> 20} MiB")
                found = json.loads(raw)
                if fault := fault_within(found):
                    raise Fault(*fault)
            except (openai.OpenAIError, Fault) as error:
                if left <= 0 or not self._passes(error):
                    raise self._error_for(error) from error
            except (ValueError, RecursionError) as error:
                text = f"answered with something that is not JSON: {raw[:80]!r}"
                raise self.refusal(text) from error
            else:
                self._failed_in_turn = 0
                return found
            await asyncio.sleep(PAUSE)
            client, left = client.with_options(max_retries=0), left - 1

    def refusal(self, text: str) -> LLMDiffError:
        """An error of this request alone, if the server has answered others."""
        return (Failed if self.served else ModelError)(f"{self.endpoint} {text}")

    def _without_key(self, raw: bytes) -> bytes:
        """An answer, which may repeat the key, as it may go into reports and the store."""
        _, key = self._key()
        return raw.replace(key.encode(), b"***") if len(key) >= SECRET else raw

    def _passes(self, error: Exception) -> bool:
        """Whether a fault is one that passes by itself."""
        import openai

        if isinstance(error, openai.APIConnectionError):
            return self._heard is not None
        return getattr(error, "status_code", None) in BUSY

    def _error_for(self, error: Exception) -> LLMDiffError:
        """What the client's exception means for the run."""
        import openai

        endpoint, status = self.endpoint, getattr(error, "status_code", None)
        said = self._said(error)
        if isinstance(error, openai.APIConnectionError) or status is None:
            hint = untrusted(error) or _proxied(endpoint.url)
            return Unreachable(f"{endpoint} cannot be reached: {said}{hint}")
        if status < 400:
            other = getattr(error, "response").headers.get(ELSEWHERE, "nowhere")  # noqa: B009
            return self.refusal(
                f"redirects to {other}, another server, which gets neither prompt nor key: if that "
                "is the one to ask, give its address"
            )
        own = status < 500 and status not in (401, *ABSENT, *BUSY)
        if status in (400, 422) or (self.served and own):
            return Refused(f"{endpoint} refuses the request: {said}")
        if status in (401, 403):
            names = " or ".join(endpoint.key_names)
            return ModelError(
                f"{endpoint} refuses the key ({said}): set the environment variable {names}"
            )
        if status in ABSENT:
            return Absent(f"{endpoint}: not found: {said}")
        self._failed_in_turn += 1
        if self.served and status not in BUSY and self._failed_in_turn <= IN_TURN:
            return Failed(f"{endpoint} fails at this request: {said}")
        return Unreachable(f"{endpoint} cannot be reached: {said}")

    def _said(self, error: Exception) -> str:
        """An error as one line, with the server's own message if there is one, and without the key,
        which a server may repeat."""
        response = getattr(error, "response", None)
        if response is not None or isinstance(error, Fault):
            words = str(error) if response is None else words_of(response.text)
            text = f"Error code: {error.status_code} - {words}"  # type: ignore[attr-defined]
        else:
            cause = error.__cause__
            text = f"{error} ({cause})" if cause is not None and str(cause) else str(error)
        _, key = self._key()
        return " ".join((text.replace(key, "***") if key else text).split())[:300]

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

    def _key(self) -> tuple[str, str]:
        """The variable that holds the key, and the key; empty if there is none."""
        name = next((n for n in self.endpoint.key_names if os.environ.get(n)), "")
        return name, os.environ.get(name, "")

    def _client(self) -> AsyncOpenAI:
        import openai

        (name, key), query = self._key(), self.endpoint.query
        if not key.isascii() or not key.isprintable() or key != key.strip():
            # Checked here, because the client's message would show the key.
            raise ModelError(
                f"{self.endpoint}: the key in {name} has a character that a header cannot contain "
                "(such as a line end or space at its end): set it to the key alone"
            )
        try:
            return openai.AsyncOpenAI(
                base_url=self.endpoint.url,
                api_key=key or "none",
                max_retries=min(FEW_RETRIES, self._retries),
                timeout=self._timeout,
                http_client=bounded_client(),
                default_query=dict(query),
                # Azure's name for the key, where the address has Azure's query.
                default_headers={"api-key": key} if key and query else None,
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
