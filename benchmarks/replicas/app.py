"""A Ray Serve application: llama.cpp's server in each replica, base and adapter as two models."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

BASE, TUNED = "base", "support-lora"


class Replica:
    """One process with the weights. It notes each chat that it is asked, in one file for all."""

    def __init__(self, gguf: str, adapter: str, log: str) -> None:
        import httpx
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = gguf
        lora = xllamacpp.CommonAdapterLoraInfo()
        lora.path, lora.scale = adapter, 0.0
        params.lora_adapters = [lora]
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        # One chat at a time in one thread: replies do not depend on what else is in a batch, and
        # throughput tells how many replicas work.
        params.n_parallel = 1
        params.n_ctx = 1024
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.warmup = False
        self._server = xllamacpp.Server(params)
        self._client = httpx.AsyncClient(base_url=self._server.listening_address, timeout=600)
        self._log = log

    async def __call__(self, request: Any) -> Any:
        from starlette.responses import JSONResponse

        if request.url.path.endswith("/models"):
            models = [{"id": name, "object": "model"} for name in (BASE, TUNED)]
            return JSONResponse({"object": "list", "data": models})
        asked = json.loads(await request.body())
        with open(self._log, "a", encoding="utf-8") as file:  # noqa: PTH123 (appended by several)
            file.write(
                json.dumps([time.time(), os.getpid(), asked["model"], asked["messages"]]) + "\n"
            )
        scale = {BASE: 0.0, TUNED: 1.0}[asked["model"]]
        sent = {**asked, "lora": [{"id": 0, "scale": scale}], "cache_prompt": False}
        answer = await self._client.post("/v1/chat/completions", json=sent)
        return JSONResponse({**answer.json(), "model": asked["model"]}, answer.status_code)


def application(args: Mapping[str, str]) -> Any:
    from ray import serve

    deployed: Any = serve.deployment(
        num_replicas=int(args["replicas"]),
        max_ongoing_requests=16,
        health_check_period_s=2,
        ray_actor_options={"num_cpus": 0.5},
    )(Replica)
    return deployed.bind(args["gguf"], args["adapter"], args["log"])
