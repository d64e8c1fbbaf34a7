"""A small server of chat completions on loopback, with every fault that a test asks of it."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from pytest_llmdiff.engines.server.chat import CANARIES

MODELS = ("base", "tuned")
SOON = {"retry-after-ms": "5"}

Fault = Callable[["Handler", dict[str, Any]], bool]
Chat = TypeVar("Chat", bound="ChatServer")


@dataclass
class ChatServer:
    """What it says and did. `faults` are asked in turn before each answer to a prompt that is not
    `spared`; one that returns True has answered."""

    replies: Callable[[str, str], str] = lambda model, prompt: f"{model} on {prompt}"
    faults: tuple[Fault, ...] = ()
    spared: tuple[str, ...] = CANARIES  # prompts that get no fault
    listed: tuple[str, ...] = MODELS
    known: tuple[str, ...] | None = None  # the models that it has, if it looks at their names
    refused: tuple[str, ...] = ()  # parameters that it takes for unknown
    key: str | None = None
    answered: Counter[tuple[str, str]] = field(default_factory=Counter)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    most_at_once: int = 0
    under_way: int = 0
    lock: Any = field(default_factory=threading.Lock)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def specs(self) -> list[str]:
        return [f"--llm-base={self.url}#base", f"--llm-tuned={self.url}#tuned"]


class Handler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    @property
    def chat(self) -> ChatServer:
        found: ChatServer = self.server.chat
        return found

    def do_GET(self) -> None:
        if self.unknown_key():
            return
        listed: Any = self.chat.listed
        if isinstance(listed, tuple):
            listed = [{"id": name, "created": time.time()} for name in listed]
        self.send_json({"data": listed})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.unknown_key():
            return
        if not self.path.endswith("/chat/completions"):
            self.send_json({"error": {"message": f"no such path: {self.path}"}}, 404)
            return
        if self.chat.known is not None and body["model"] not in self.chat.known:
            self.send_json({"error": {"message": f"no model {body['model']}"}}, 404)
            return
        unknown = [name for name in self.chat.refused if name in body]
        if unknown:
            self.send_json({"error": {"message": f"unknown parameter {unknown[0]}"}}, 400)
            return
        prompt = body["messages"][-1]["content"]
        about = body["model"], prompt
        with self.chat.lock:
            self.chat.bodies.append(body)
            self.chat.asked[about] += 1
            self.chat.under_way += 1
            self.chat.most_at_once = max(self.chat.most_at_once, self.chat.under_way)
        try:
            faulty = prompt not in self.chat.spared
            if faulty and any(fault(self, body) for fault in self.chat.faults):
                return
            reply = completion(body["model"], self.chat.replies(*about))
            with self.chat.lock:  # before the client can have read it
                self.chat.answered[about] += 1
            try:
                self.send_json(reply)
            except OSError:
                with self.chat.lock:
                    self.chat.answered[about] -= 1
                raise
        finally:
            with self.chat.lock:
                self.chat.under_way -= 1

    def unknown_key(self) -> bool:
        key = self.chat.key
        if key is None or self.headers["authorization"] == f"Bearer {key}":
            return False
        self.send_json({"error": {"message": "who are you?"}}, 401)
        return True

    def send_json(
        self, value: object, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_text(json.dumps(value).encode(), status, headers)

    def send_text(
        self, data: bytes, status: int = 200, headers: Mapping[str, str] | None = None,
        *, claimed: int | None = None,
    ) -> None:  # fmt: skip
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data) if claimed is None else claimed))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def completion(model: str, text: str, **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "1", "object": "chat.completion", "created": 0, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }  # fmt: skip


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is what some tests are about."""


@contextmanager
def running(chat: Chat, handler: type[Handler] = Handler) -> Iterator[Chat]:
    server = Quiet(("127.0.0.1", 0), handler)
    server.chat = chat  # type: ignore[attr-defined]
    chat.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield chat
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# Faults


def times(count: int, fault: Fault) -> Fault:
    """The fault for the first so many times that each model is asked each prompt."""
    seen: Counter[tuple[str, str]] = Counter()
    lock = threading.Lock()

    def some(handler: Handler, body: dict[str, Any]) -> bool:
        about = body["model"], body["messages"][-1]["content"]
        with lock:
            seen[about] += 1
            now = seen[about] <= count
        return now and fault(handler, body)

    return some


def on(prompt: str, fault: Fault) -> Fault:
    def there(handler: Handler, body: dict[str, Any]) -> bool:
        return body["messages"][-1]["content"] == prompt and fault(handler, body)

    return there


def status(code: int, message: str = "busy", headers: Mapping[str, str] | None = None) -> Fault:
    def refuse(handler: Handler, _: dict[str, Any]) -> bool:
        handler.send_json(
            {"error": {"message": message}}, code, SOON if headers is None else headers
        )
        return True

    return refuse


def reset(handler: Handler, _: dict[str, Any]) -> bool:
    handler.close_connection = True
    handler.connection.close()
    return True


def half_a_body(handler: Handler, body: dict[str, Any]) -> bool:
    data = json.dumps(completion(body["model"], "only half")).encode()
    handler.send_text(data[: len(data) // 2], claimed=len(data))
    handler.close_connection = True
    return True


def hang(handler: Handler, _: dict[str, Any]) -> bool:
    time.sleep(1.5)
    handler.close_connection = True
    return True


def drip(handler: Handler, body: dict[str, Any]) -> bool:
    """The whole answer, a few bytes at a time."""
    data = json.dumps(completion(body["model"], "drop by drop")).encode()
    handler.send_text(b"", claimed=len(data))
    for start in range(0, len(data), 40):
        handler.wfile.write(data[start : start + 40])
        handler.wfile.flush()
        time.sleep(0.01)
    return True


def says(value: object) -> Fault:
    def answer(handler: Handler, _: dict[str, Any]) -> bool:
        handler.send_text(value if isinstance(value, bytes) else json.dumps(value).encode())
        return True

    return answer
