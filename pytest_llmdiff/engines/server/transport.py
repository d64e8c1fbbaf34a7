"""How answers come in: from the host that was asked, and of a bounded size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import DefaultAsyncHttpxClient

# Bytes of an answer, unpacked. The largest that is wanted has the log-probabilities of a whole
# vocabulary: some 100 bytes for each entry, and 256,000 entries.
LARGEST = 64 << 20
# The header of an answer that redirects elsewhere, in place of `Location`.
ELSEWHERE = "x-llmdiff-elsewhere"
PORTS = {"http": 80, "https": 443}


def bounded_client() -> DefaultAsyncHttpxClient:
    """A client that follows no redirect to another host: the answer is then the redirect, which
    names the host in the header `ELSEWHERE`. Of answers larger than `LARGEST`, it reads only a
    little more than that.

    Raises:
        ImportError, ValueError: the environment names a proxy that is not supported.
    """
    import openai

    return openai.DefaultAsyncHttpxClient(event_hooks={"response": [_check]})


# No exception ends an answer here, because the client would send the request again.


async def _check(response: Any) -> None:
    """Called with each answer before its body is read, those that redirect among them."""
    if response.has_redirect_location:
        asked, target = response.url, response.url.join(response.headers["location"])
        if not _same_server(asked, target):
            del response.headers["location"]
            response.headers[ELSEWHERE] = f"{target.scheme}://{target.netloc.decode('ascii')}"
    response.aiter_bytes = _bounded(response)


def _same_server(asked: Any, target: Any) -> bool:
    """Whether a redirect stays at its server; it may begin to encrypt, and not stop to."""
    if asked.host != target.host:
        return False
    if (asked.scheme, target.scheme) == ("http", "https"):
        return True
    return asked.scheme == target.scheme and _port(asked) == _port(target)


def _port(url: Any) -> int | None:
    return url.port or PORTS.get(url.scheme)


def _bounded(response: Any) -> Any:
    """The method that reads the body of an answer, up to the chunk that makes it too large."""
    whole = response.aiter_bytes

    async def parts(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        size = 0
        async with aclosing(whole(chunk_size)) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                yield chunk
                if size > LARGEST:
                    break
        if size > LARGEST:
            await response.aclose()

    return parts
