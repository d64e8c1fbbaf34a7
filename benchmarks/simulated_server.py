"""A chat server without a model: scripted answers after a fixed time, with limited concurrency.

    python benchmarks/simulated_server.py --service 0.2 --batch 64

It simulates a server whose batch holds `--batch` requests and whose replies each take `--service`
seconds; further requests wait in its queue. It prints its URL once it is ready, counts until its
standard input is closed, and then prints its counts as a line of JSON.

It parses requests by hand to leave the CPU to the client, which is what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

MODELS = ("base", "tuned")
TOKENS = 64  # per reply, half as many per prompt, in vLLM's format
SENTENCES = (
    "You can find it in My Orders.",
    "Please allow three to five working days for this.",
    "Our support team answers every question within a day.",
    "The form is at the bottom of the page.",
    "You will get an e-mail as soon as it is done.",
    "Refunds go to the card that you paid with.",
    "Thank you for your patience.",
)


@dataclass(kw_only=True)
class Load:
    """A server's capacity, its load, and the highest load so far."""

    service: float
    batch: int
    running: int = 0
    most_running: int = 0
    most_waiting: int = 0
    connections: int = 0
    answered: int = 0
    first: float | None = None
    last: float = 0.0
    waiting: deque[tuple[Connection, bytes]] = field(default_factory=deque)

    def take(self, connection: Connection, body: bytes) -> None:
        if self.first is None:
            self.first = time.monotonic()
        if self.running < self.batch:
            self.start(connection, body)
        else:
            self.waiting.append((connection, body))
            self.most_waiting = max(self.most_waiting, len(self.waiting))

    def start(self, connection: Connection, body: bytes) -> None:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        loop = asyncio.get_running_loop()
        loop.call_later(self.service, self.finish, connection, body)

    def finish(self, connection: Connection, body: bytes) -> None:
        connection.send(completion(json.loads(body)))
        self.running -= 1
        self.answered += 1
        self.last = time.monotonic()
        if self.waiting:
            self.start(*self.waiting.popleft())

    def counted(self) -> dict[str, Any]:
        return {
            "answered": self.answered,
            "most_running": self.most_running,
            "most_waiting": self.most_waiting,
            "connections": self.connections,
            "seconds": self.last - (self.first or self.last),
            "cpu_seconds": time.process_time(),
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection and its requests, one after the other."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.received = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.load.connections += 1

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, rest = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return
        self.received = rest[length:]
        if head.startswith(b"GET"):
            self.send({"data": [{"id": name} for name in MODELS]})
        else:
            self.load.take(self, rest[:length])

    def send(self, value: object) -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        if not self.transport.is_closing():
            self.transport.write(head.encode() + b"\r\n\r\n" + body)


def completion(asked: dict[str, Any]) -> dict[str, Any]:
    """An answer in vLLM's format. The tuned model's differs from the base's in a sentence."""
    prompt = asked["messages"][-1]["content"]
    seed = zlib.crc32(prompt.encode())
    chosen = [SENTENCES[seed // 7**place % 7] for place in range(6)]
    if asked["model"] == "tuned":
        chosen[2] = "Good day!"
    ids = [(seed + 7919 * place) % 49152 for place in range(TOKENS)]
    found: dict[str, Any] = {
        "index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": " ".join(chosen)},
    }  # fmt: skip
    answer = {
        "id": f"chatcmpl-{seed:032x}", "object": "chat.completion", "created": int(time.time()),
        "model": asked["model"], "choices": [found],
        "usage": {"prompt_tokens": TOKENS // 2, "completion_tokens": TOKENS,
                  "total_tokens": TOKENS + TOKENS // 2},
    }  # fmt: skip
    if asked.get("return_token_ids"):
        found["token_ids"] = ids
        answer["prompt_token_ids"] = ids[: TOKENS // 2]
    return answer


async def serve(load: Load) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(load), "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}/v1", flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(load.counted()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--service", type=float, default=0.0, help="seconds that a reply takes")
    parser.add_argument("--batch", type=int, default=64, help="requests that run at once")
    options = parser.parse_args()
    asyncio.run(serve(Load(service=options.service, batch=options.batch)))


if __name__ == "__main__":
    main()
