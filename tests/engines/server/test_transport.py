"""Answers from elsewhere, without end, and with the key."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_llmdiff.data.requests import Request, Sampling
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.engines.server.chat import ServerEngine
from pytest_llmdiff.engines.server.endpoint import Endpoint
from pytest_llmdiff.engines.server.transport import LARGEST
from pytest_llmdiff.errors import ModelError
from tests.support.chat_server import ChatServer, Fault, completion, on, running, says

KEY = "sk-of-nobody-else-42"


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    with running(ChatServer()) as found:
        yield found


@pytest.fixture
def stranger() -> Iterator[ChatServer]:
    with running(ChatServer()) as found:
        yield found


def engine(chat: ChatServer) -> ServerEngine:
    return ServerEngine(Endpoint(url=chat.url, model="base", role="base"), retries=1)


def ask(model: ServerEngine, *prompts: str) -> list[Generated]:
    sampling = Sampling(max_new_tokens=9)
    asked = [Request(({"role": "user", "content": prompt},), sampling) for prompt in prompts]
    return [outcome for _, outcome in sorted(model.generate(asked), key=lambda item: item[0])]


def moved(location: str) -> Fault:
    def redirect(handler: Any, _: dict[str, Any]) -> bool:
        if handler.path.startswith("/moved"):
            return False
        handler.send_text(b"", 307, {"location": location})
        return True

    return redirect


def packed(data: bytes, times: int = 1) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packer.compress(data) for _ in range(times)) + packer.flush()


def gzipped(data: bytes, code: int = 200) -> Fault:
    def answer(handler: Any, _: dict[str, Any]) -> bool:
        handler.send_text(data, code, {"content-encoding": "gzip"})
        return True

    return answer


def test_a_redirect_to_another_server_is_not_followed(
    chat: ChatServer, stranger: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMDIFF_API_KEY", KEY)
    there = f"http://127.0.0.1:{stranger.port}"
    chat.faults = (on("one", moved(f"{there}/v1/chat/completions?key={KEY}")),)
    one, two = ask(engine(chat), "one", "two")
    assert one.error == (
        f"{chat.url}#base redirects to {there}, another server, which gets neither prompt nor key: "
        "if that is the one to ask, give its address"
    )
    assert two.reply is not None
    assert not stranger.bodies


def test_a_server_that_redirects_everything_is_one_error(
    chat: ChatServer, stranger: ChatServer
) -> None:
    chat.spared = ()
    chat.faults = (moved(f"http://localhost:{stranger.port}/v1/chat/completions"),)
    with pytest.raises(ModelError, match=rf"redirects to http://localhost:{stranger.port}, anoth"):
        engine(chat).fingerprint()
    assert not stranger.bodies


@pytest.mark.parametrize("whole", [False, True])
def test_a_redirect_within_the_server_is_followed(chat: ChatServer, whole: bool) -> None:
    there = "/moved/chat/completions"
    chat.faults = (on("one", moved(chat.url.removesuffix("/v1") * whole + there)),)
    (one,) = ask(engine(chat), "one")
    assert one.reply is not None
    assert one.reply.text == "base on one"


@pytest.mark.parametrize("code", [200, 400])
def test_an_answer_that_unpacks_without_end_is_given_up(chat: ChatServer, code: int) -> None:
    chat.faults = (on("one", gzipped(packed(b" " * (1 << 20), 2 * (LARGEST >> 20)), code)),)
    one, two = ask(engine(chat), "one", "two")
    assert one.error is not None
    said = "answered with more than 64 MiB" if code == 200 else "refuses the request"
    assert said in one.error
    assert len(one.error) < 500
    assert two.reply is not None


def test_a_packed_answer_is_read(chat: ChatServer) -> None:
    chat.faults = (on("one", gzipped(packed(json.dumps(completion("base", "packed")).encode()))),)
    (one,) = ask(engine(chat), "one")
    assert one.reply is not None
    assert one.reply.text == "packed"


@pytest.mark.parametrize(
    "answer",
    [
        completion("base", f"Your key is {KEY}."),
        completion(f"base for {KEY}", "yes"),
        {"no": KEY},
        f"not JSON: {KEY}".encode(),
        {"error": {"message": KEY}},
    ],
    ids=["reply", "name", "shape", "not JSON", "error"],
)
def test_a_key_that_an_answer_repeats_is_not_kept(
    chat: ChatServer, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setenv("LLMDIFF_API_KEY", KEY)
    chat.faults = (on("one", says(answer)),)
    model = engine(chat)
    (one,) = ask(model, "one")
    told = f"{one} {model.notes}"
    assert "***" in told
    assert KEY not in told
