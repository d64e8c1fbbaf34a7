"""A small server of real weights that speaks as vLLM's does: chats, completions of token ids, and
log-probabilities. Field names and shapes are those of vLLM 0.32."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import third_party_warnings_ignored
from tests.support.chat_server import ChatServer, Handler


class Weights:
    """A model of transformers, run in the plainest way."""

    def __init__(self, folder: Path, adapter: Path | None = None, **options: Any) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, **options)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, **options)
        if adapter is not None:
            from peft import PeftModel

            with third_party_warnings_ignored():
                self.model = PeftModel.from_pretrained(self.model, adapter)
        self.model.eval()
        self._lock = threading.Lock()

    def rows(self, ids: Sequence[int]) -> Any:
        """Log-probabilities `[len(ids), vocabulary]` of what follows each token."""
        import torch

        with self._lock, torch.no_grad():
            return self.model(torch.tensor([list(ids)])).logits[0].log_softmax(-1)

    def reply(self, ids: Sequence[int], limit: int, stops: Sequence[int]) -> list[int]:
        said: list[int] = []
        while len(said) < limit and not (said and said[-1] in stops):
            said.append(int(self.rows([*ids, *said])[-1].argmax()))
        return said

    def render(self, messages: Any, **options: Any) -> list[int]:
        return self.encode(self.tokenizer.apply_chat_template(messages, tokenize=False, **options))

    def encode(self, text: str) -> list[int]:
        return [int(i) for i in self.tokenizer(text, add_special_tokens=False)["input_ids"]]


@dataclass
class TokenServer(ChatServer):
    """`max_logprobs` is vLLM's option of that name (-1: no limit); None gives none at all. A server
    that is not vLLM's may take texts only, and put a BOS before them."""

    weights: Mapping[str, Weights] = field(default_factory=dict)
    max_logprobs: int | None = 20
    logits: bool = False  # --logprobs-mode raw_logits
    reads_otherwise: bool = False  # as vLLM where an adapter changes the output layer
    takes_ids: bool = True
    tells_ids: bool = True
    tokenizes: bool = True
    bos: int | None = None


class TokenHandler(Handler):
    @property
    def chat(self) -> Any:
        return self.server.chat

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.chat.lock:
            self.chat.bodies.append(body | {"path": self.path})
        answers = {
            "/v1/completions": self.complete,
            "/v1/chat/completions": self.talk,
            "/tokenize": self.tokenize if self.chat.tokenizes else None,
        }
        answer = answers.get(self.path)
        if answer is None:
            self.refuse(404, f"no such path: {self.path}")
        else:
            answer(body, self.chat.weights[body["model"]])

    def refuse(self, code: int, message: str) -> None:
        error = {"message": message, "type": "BadRequestError", "param": None, "code": code}
        self.send_json({"error": error}, code)

    def tokenize(self, body: dict[str, Any], weights: Weights) -> None:
        if "messages" in body:
            begun = body.get("add_generation_prompt", True)
            ids = weights.render(body["messages"], add_generation_prompt=begun)
        else:
            ids = weights.encode(body["prompt"])
        self.send_json({"count": len(ids), "max_model_len": 192, "tokens": ids})

    def talk(self, body: dict[str, Any], weights: Weights) -> None:
        ids = weights.render(body["messages"], add_generation_prompt=True)
        said = weights.reply(ids, body["max_tokens"], [weights.tokenizer.eos_token_id])
        text = weights.tokenizer.decode(said, skip_special_tokens=True)
        message = {"role": "assistant", "content": text}
        self.answer(body, ids, said, "chat.completion", {"message": message, "token_ids": said})

    def complete(self, body: dict[str, Any], weights: Weights) -> None:
        prompt, most = body["prompt"], self.chat.max_logprobs
        ids: list[int] = []
        if isinstance(prompt, str):
            ids = [*([] if self.chat.bos is None else [self.chat.bos]), *weights.encode(prompt)]
        elif not self.chat.takes_ids:
            self.refuse(400, "prompt must be a string")
            return
        else:
            ids = prompt
        width = len(weights.tokenizer)
        for name in ("prompt_logprobs", "logprobs") if most is not None else ():
            asked = width if body.get(name) == -1 else body.get(name) or 0
            if asked > (width if most == -1 else most):
                self.refuse(400, f"Requested {asked}, which is greater than max allowed: {most}")
                return
        said = weights.reply(ids, body["max_tokens"], self.stops(body, weights))
        choice: dict[str, Any] = {
            "text": weights.tokenizer.decode(said, skip_special_tokens=True), "logprobs": None,
            "stop_reason": None,
        }  # fmt: skip
        if self.chat.tells_ids and body.get("return_token_ids"):
            choice |= {"token_ids": said, "prompt_token_ids": ids}
        if most is not None and body.get("prompt_logprobs") is not None:
            choice["prompt_logprobs"] = self.prompt_logprobs(body["prompt_logprobs"], ids, weights)
        if most is not None and body.get("logprobs") is not None:
            choice["logprobs"] = self.logprobs(body, [*ids, *said], len(ids), weights)
        self.answer(body, ids, said, "text_completion", choice)

    def prompt_logprobs(self, top: int, ids: list[int], weights: Weights) -> list[Any]:
        found: list[Any] = [None]
        rows = self.shown(weights.rows(ids))
        if self.chat.reads_otherwise:
            rows = (-rows).log_softmax(-1)
        for token, row in zip(ids[1:], rows, strict=False):
            order = row.argsort(descending=True).tolist()
            values = row.tolist()
            rank = {each: number for number, each in enumerate(order, 1)}
            found.append(
                {
                    str(each): {
                        "logprob": max(values[each], -9999.0),
                        "rank": rank[each],
                        "decoded_token": weights.tokenizer.decode([each]),
                    }
                    for each in dict.fromkeys([token, *(order if top == -1 else order[:top])])
                }
            )
        return found

    def logprobs(
        self, body: dict[str, Any], ids: list[int], start: int, weights: Weights
    ) -> dict[str, Any]:
        asked, by_id = body["logprobs"], body.get("return_tokens_as_token_ids")
        rows = self.shown(weights.rows(ids)[start - 1 : -1])
        tops: list[dict[str, float]] = []
        for token, row in zip(ids[start:], rows, strict=True):
            values = row.tolist()
            likely = [token, *row.argsort(descending=True).tolist()[:asked]]
            tops.append(
                {
                    f"token_id:{each}" if by_id else weights.tokenizer.decode([each]): values[each]
                    for number, each in enumerate(dict.fromkeys(likely))
                    if asked >= number  # none at all for -1, as with vLLM
                }
            )
        own = [float(row[token]) for token, row in zip(ids[start:], rows, strict=True)]
        return {"tokens": [], "token_logprobs": own, "top_logprobs": tops, "text_offset": []}

    def shown(self, rows: Any) -> Any:
        return rows + 20 if self.chat.logits else rows

    def stops(self, body: Mapping[str, Any], weights: Weights) -> list[int]:
        return [weights.tokenizer.eos_token_id, *body.get("stop_token_ids", ())]

    def answer(
        self, body: dict[str, Any], ids: list[int], said: list[int], kind: str, choice: Any
    ) -> None:
        weights = self.chat.weights[body["model"]]
        ended = said[-1] in self.stops(body, weights)
        whole = {"index": 0, "finish_reason": "stop" if ended else "length", **choice}
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(said)}
        top = {"prompt_token_ids": ids} if kind == "chat.completion" else {}
        self.send_json(
            {"object": kind, "model": body["model"], "choices": [whole], "usage": usage, **top}
        )
