"""A Hugging Face hub on the loopback interface, with the repositories in a folder.

It answers what `huggingface_hub` asks when it downloads: a repository's commit and files, and a
file's content by ranges. `stall_after` bytes of one answer it says nothing more.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 100_000  # bytes from which a file is one of Git LFS
CHUNK = 1 << 16


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.root = root
        self.stall_after: int | None = None
        self.stalled = threading.Event()
        self.released = threading.Event()
        self.asked: list[tuple[str, int]] = []  # the files, and from which byte on

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def starts_of(self, name: str) -> list[int]:
        return [start for asked, start in self.asked if asked == name]


@contextmanager
def hub_of(root: Path) -> Iterator[Hub]:
    server = Hub(root)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def connect(monkeypatch: pytest.MonkeyPatch, server: Hub, cache: Path) -> None:
    """Let this process and those that it starts use this hub and an empty cache."""
    # The hub's client reads its environment when it is imported: first, that of all other tests.
    constants = "huggingface_hub.constants."
    monkeypatch.setattr(constants + "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants + "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants + "ENDPOINT", server.url)
    address = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants + "HUGGINGFACE_CO_URL_TEMPLATE", address)
    environment = {"HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


class Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/.+|/tree/.+)?", path):
            repo, rest = found.groups()
            folder = self.server.root / repo
            if not folder.is_dir():
                return self._error("RepoNotFound")
            if (rest or "").startswith("/tree"):
                return self._json([_entry(folder, file) for file in _files(folder)])
            return self._json({"id": repo, "modelId": repo, "sha": COMMIT, "siblings": []})
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        if found is None:
            return self._error("EntryNotFound")
        file = self.server.root / found[1] / found[2]
        if not file.is_file():
            return self._error("EntryNotFound")
        return self._file(file, found[2], body=body)

    def _file(self, file: Path, name: str, *, body: bool) -> None:
        content = file.read_bytes()
        ranged = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(ranged[1]) if ranged else 0
        self.send_response(206 if ranged else 200)
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{_digest(content)}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.end_headers()
        if body:
            self.server.asked.append((name, start))
            self._send(content[start:])

    def _send(self, content: bytes) -> None:
        sent = 0
        stall = self.server.stall_after if len(content) >= LARGE else None
        try:
            for place in range(0, len(content), CHUNK):
                if stall is not None and sent >= stall:
                    self.server.stalled.set()
                    self.server.released.wait()
                    return
                self.wfile.write(content[place : place + CHUNK])
                sent = min(len(content), place + CHUNK)
        except OSError:  # the client has gone
            self.close_connection = True

    def _json(self, answer: object) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _error(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _entry(folder: Path, file: Path) -> dict[str, object]:
    content = file.read_bytes()
    entry: dict[str, object] = {
        "type": "file", "path": file.relative_to(folder).as_posix(), "size": len(content),
        "oid": hashlib.sha1(content).hexdigest(),
    }  # fmt: skip
    if len(content) >= LARGE:
        entry["lfs"] = {"oid": _digest(content), "size": len(content), "pointerSize": 130}
    return entry


def _digest(content: bytes) -> str:
    """SHA-256 of a large file, as Git LFS has it, and SHA-1 of others."""
    way = hashlib.sha256 if len(content) >= LARGE else hashlib.sha1
    return way(content).hexdigest()
