"""Servers that answer as Ollama, TGI and SGLang do, where that differs from `chat_server`.

Written after their sources: ollama/ollama (server/routes.go, openai/openai.go),
huggingface/text-generation-inference (router/src/validation.rs), sgl-project/sglang
(sampling_params.py, protocol.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.chat_server import ChatServer, Handler, completion

CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"


def chatml(messages: Sequence[dict[str, Any]]) -> str:
    turns = (f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return "".join(turns) + "<|im_start|>assistant\n"


@dataclass
class OllamaServer(ChatServer):
    """`shown` is what `/api/show` tells; `renders` is None for a release that shows no prompts."""

    shown: dict[str, Any] = field(default_factory=lambda: {
        "template": CHATML, "parameters": 'stop                           "<|im_end|>"',
        "details": {"family": "qwen2", "parameter_size": "1.5B", "quantization_level": "Q4_K_M"},
    })  # fmt: skip
    renders: Any = chatml
    digest: str = "sha256:1"
    context: int = 4096  # characters, here

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"


class OllamaHandler(Handler):
    def do_GET(self) -> None:
        if not self.path.startswith("/api"):
            super().do_GET()
        elif self.path == "/api/tags":
            names = [f"{name}:latest" for name in self.chat.listed]
            digest = self.server.chat.digest
            self.send_json({"models": [{"name": name, "digest": digest} for name in names]})
        else:
            self.send_text(b"404 page not found", 404)

    def do_POST(self) -> None:
        chat: OllamaServer = self.server.chat
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["model"] not in chat.listed:
            self.send_json({"error": f"model '{body['model']}' not found"}, 404)
        elif self.path == "/api/show":
            self.send_json(chat.shown)
        elif self.path == "/api/chat":
            self.chat_of_its_own(chat, body)
        elif self.path == "/v1/chat/completions":
            prompt = body["messages"][-1]["content"]
            chat.bodies.append(body)
            answer = completion(body["model"], chat.replies(body["model"], prompt))
            self.send_json({**answer, "system_fingerprint": "fp_ollama"})
        else:
            self.send_text(b"404 page not found", 404)

    def chat_of_its_own(self, chat: OllamaServer, body: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"model": body["model"], "created_at": "2026-01-01T00:00:00Z"}
        prompt = body["messages"][-1]["content"]
        if body.get("_debug_render_only") and chat.renders is not None:
            message = {"role": "", "content": ""}
            told = {"rendered_template": chat.renders(body["messages"])}
            self.send_json({**answer, "message": message, "done": False, "_debug_info": told})
            return
        with chat.lock:
            chat.bodies.append(body)
        if len(prompt) > chat.context and not body["truncate"]:
            self.send_json({"error": "the input length exceeds the context length"}, 400)
            return
        if prompt not in chat.spared and any(fault(self, body) for fault in chat.faults):
            return
        text = chat.replies(body["model"], prompt)
        cut = text[: body["options"]["num_predict"] * 4]
        answer |= {
            "message": {"role": "assistant", "content": cut, "thinking": "Well."},
            "done": True, "done_reason": "stop" if cut == text else "length",
            "prompt_eval_count": 11, "eval_count": 3,
        }  # fmt: skip
        self.send_json(answer)


class TGIHandler(Handler):
    """TGI lists the one model that it serves, wants `top_p` below 1, and answers under its name."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        top_p = body.get("top_p")
        if top_p is not None and not 0 < top_p < 1:
            said = "Input validation error: `top_p` must be > 0.0 and < 1.0"
            self.send_json({"error": said, "error_type": "validation"}, 422)
            return
        with self.chat.lock:
            self.chat.bodies.append(body)
        text = self.chat.replies(body["model"], body["messages"][-1]["content"])
        self.send_json(completion("org/served", text, finish_reason="eos_token"))


class SGLangHandler(Handler):
    """SGLang refuses a `top_k` of 0, and shows the tokens of a prompt at `/tokenize`."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body.get("top_k") == 0:
            said = "top_k must be -1 (disable), or at least 1, got 0."
            self.send_json({"object": "error", "message": said, "code": 400}, 400)
            return
        with self.chat.lock:
            self.chat.bodies.append(body)
        text = self.chat.replies(body["model"], body["messages"][-1]["content"])
        answer = completion(body["model"], text, matched_stop=2, logprobs=None)
        self.send_json({**answer, "metadata": {"weight_version": "default"}})
