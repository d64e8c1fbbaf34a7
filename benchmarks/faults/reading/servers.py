"""A server whose answers are the files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


def good_answer() -> bytes:
    from tests.support.chat_server import completion

    return json.dumps(completion("base", "On its way.")).encode()


def ask(folder: Path) -> None:
    """Ask a server whose answer is the file `body`."""
    asked(server_of(os.getpid(), {}), (folder / "body").read_bytes())


def asked(server: Server, body: bytes) -> None:
    """Let it answer one prompt. A reply that is an error of its prompt is told as any is."""
    from pytest_llmdiff.data.requests import Request, Sampling

    server.body = body
    request = Request(({"role": "user", "content": "Where is it?"},), Sampling(max_new_tokens=8))
    for _ in server.engine.generate([request]):
        pass


class Server:
    """A server in a thread of this process, which answers all but the first prompts with one
    body."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        import threading

        from pytest_llmdiff.engines.server.chat import ServerEngine
        from pytest_llmdiff.engines.server.endpoint import Endpoint
        from tests.support.chat_server import ChatServer, Handler, Quiet

        self.body = b""

        def answered(handler: Handler, _: dict[str, Any]) -> bool:
            handler.send_text(self.body, headers=headers)
            return True

        chat = ChatServer(faults=(answered,))
        served = Quiet(("127.0.0.1", 0), Handler)
        served.chat = chat  # type: ignore[attr-defined]
        chat.port = served.server_address[1]
        threading.Thread(target=served.serve_forever, daemon=True).start()
        self.engine = ServerEngine(Endpoint(url=chat.url, model="base", role="base"), retries=0)
        self.engine.fingerprint()


@cache
def _server(_: int, headers: tuple[tuple[str, str], ...]) -> Server:
    return Server(dict(headers))


def server_of(process: int, headers: Mapping[str, str]) -> Server:
    """One for each process: a fork has no threads."""
    return _server(process, tuple(headers.items()))
