"""The base compared with itself under changes that must not matter. What differs is noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.engines import Engine, Generated
from pytest_llmdiff.engines.opening import open_pair
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.store import Store, content_key

if TYPE_CHECKING:
    from pytest_llmdiff.engines.transformers.weights import Weights

# Primes, and unlike any usual batch size, so that few prompts share a batch with the same others.
OTHER_BATCHES = (7, 5)
OTHER_SEED = 1_000_003
FULL = "float32"


def check_noise(base: Spec) -> None:
    """Raises ConfigError where the base cannot answer a second time."""
    if base.kind == "replay":
        raise ConfigError(
            f"--llmdiff-calibrate: --llm-base {base.text} is a recording, which repeats its "
            "replies; give the model itself"
        )


def open_noise(base: Spec, settings: Settings, store: Store, *, quick: bool = False) -> Pair:
    """The base, and in the tuned model's place the base again, in batches of another size. Weights
    from files also have another dtype, and sampled replies another seed.

    With `quick`, float32 weights on a CPU give about what bfloat16 would (`rounding`), in a tenth
    of the time.
    """
    first = open_pair(base, base, settings, store)
    size = next(size for size in OTHER_BATCHES if size != settings.batch_size)
    rounded = (
        quick and first.resolved.get("device") == "cpu" and first.resolved.get("dtype") == FULL
    )
    dtype = settings.dtype if rounded else other_dtype(first.resolved, settings.dtype)
    second = open_pair(base, base, replace(settings, batch_size=size, dtype=dtype), store)
    again: Engine = second.base
    changes = f"in batches of {size}"
    if "dtype" in second.resolved:
        from pytest_llmdiff.engines.transformers.engine import TransformersEngine

        changes += " and " + (
            "rounded to bfloat16" if rounded else f"in {second.resolved['dtype']}"
        )
        if isinstance(again, TransformersEngine):
            again = replace(again, identity=content_key(["again", rounded, again.identity]))
            if rounded:
                again = replace(again, weights=_rounded(again.weights))
    if settings.temperature > 0:
        changes += " and from other seeds"
    if settings.temperature > 0 or again is second.base:
        again = Repeated(again)
    notes = [*first.notes, f"noise: the base is compared with itself, asked again {changes}"]
    return replace(first, tuned=again, notes=notes)


def _rounded(weights: Weights) -> Weights:
    from pytest_llmdiff.engines.transformers.weights import Weights

    content = content_key(["rounded", weights.files.content])
    files = replace(weights.files, content=content)
    return Weights(files, adapter=weights.adapter, rounded=True)


def other_dtype(resolved: Mapping[str, str], requested: str) -> str:
    """A dtype that changes replies by rounding only, and takes no more memory on a GPU."""
    used, device = resolved.get("dtype"), resolved.get("device", "cpu")
    if used is None:
        return requested
    if used in (FULL, "float16"):
        return "bfloat16"
    return "float16" if device.startswith("cuda") else FULL


class Repeated:
    """An engine that answers a second time, under another fingerprint and with other seeds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        if name == "generate_drafted":  # it would bypass `generate` and the other seeds
            raise AttributeError(name)
        return getattr(self._engine, name)

    def fingerprint(self) -> str:
        return content_key(["again", self._engine.fingerprint()])

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        return self._engine.generate([_reseeded(request) for request in requests])

    def render(self, messages: Sequence[Message]) -> list[int]:
        return self._engine.render(messages)

    def close(self) -> None:
        self._engine.close()


def _reseeded(request: Request) -> Request:
    sampling = request.sampling
    if sampling.temperature == 0:
        return request
    return Request(request.messages, replace(sampling, seed=sampling.seed + OTHER_SEED))
