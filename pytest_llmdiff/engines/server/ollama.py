"""Ollama: its own API, and what it tells of a model.

`http://HOST:11434/api#MODEL` speaks it. In OpenAI's form (`/v1`) Ollama ignores what that form has
no name for, so that `repeat_penalty`, `top_k` and `min_p` of a Modelfile stay in force unsaid, and
it cuts long prompts. Fields: ollama/ollama, api/types.go; which of OpenAI's it reads:
openai/openai.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request, Sampling
from pytest_llmdiff.data.text.printing import counted
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.engines.server.chat import Ids, ServerEngine, ServerFacts
from pytest_llmdiff.engines.server.completions import generated_of
from pytest_llmdiff.engines.server.endpoint import Absent, Refused
from pytest_llmdiff.engines.server.forms import RequestForm
from pytest_llmdiff.engines.server.tools import ollama_form
from pytest_llmdiff.errors import CapabilityError, LLMDiffError, ModelError, ProbeError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from pytest_llmdiff.engines.server.endpoint import Connection

API = "/api"  # what the address of its own API ends with
# Switched off, as a Modelfile or an older release may set them.
OFF = {"top_k": 0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0}
# Parameters of a request that are not among its options.
BESIDE_OPTIONS = ("think", "keep_alive", "format", "truncate", "shift", "logprobs", "top_logprobs")
# What it reads of a request in OpenAI's form; a Modelfile decides about the rest.
OF_OPENAI = (
    "stop", "num_predict", "temperature", "seed", "frequency_penalty", "presence_penalty", "top_p",
)  # fmt: skip
# What a Modelfile sets that changes no reply, or belongs to the template.
HARMLESS = (
    "stop",
    "num_ctx",
    "num_keep",
    "num_batch",
    "num_gpu",
    "num_thread",
    "main_gpu",
    "use_mmap",
)
TOLD = ("template", "system", "parameters", "messages", "renderer", "parser", "details")
SHOWN = 60  # characters


class OllamaEngine(ServerEngine):
    """A model of Ollama, by its own API. Nothing is sent before it is used."""

    forms = (RequestForm(further=OFF),)
    lacking = "Ollama does not return log-probabilities of given tokens"
    rendered = None  # type: ignore[assignment]  # it shows prompts as text: `rendered_text`

    def render(self, messages: Sequence[Message]) -> list[int]:  # noqa: ARG002
        raise CapabilityError(f"{self.endpoint}: Ollama shows prompts as text, not as token ids")

    def rendered_text(self, messages: Sequence[Message]) -> str:
        """Capability: the prompt as its template or renderer writes it, by `_debug_render_only`.

        Raises:
            CapabilityError: this release does not know that.
            ProbeError: its template refuses the conversation.
        """
        body = {
            "model": self.endpoint.model, **ollama_form(messages),
            "stream": False, **self._thinking(), "options": {"num_predict": 1},
            "_debug_render_only": True,
        }  # fmt: skip
        try:
            answer = self._connection.first(
                lambda client: self._connection.post(client, "chat", body)
            )
        except Refused as error:
            raise ProbeError(str(error)) from error
        told = answer.get("_debug_info") if isinstance(answer, Mapping) else None
        text = told.get("rendered_template") if isinstance(told, Mapping) else None
        if not isinstance(text, str) or not text:
            raise CapabilityError(
                f"{self.endpoint}: this release of Ollama does not show the prompts that it makes"
            )
        return text

    def _thinking(self) -> dict[str, Any]:
        """The one of the template's variables that Ollama's API has a name for."""
        thinking = self._template_kwargs.get("enable_thinking")
        return {} if thinking is None else {"think": thinking}

    # The first requests

    async def _listed(self, client: AsyncOpenAI) -> tuple[dict[str, Any], list[str]]:
        import openai

        try:
            found = await self._connection.body(
                client,
                lambda client: client.get("tags", cast_to=openai.HttpxBinaryResponseContent),
            )
        except Absent:
            found = None
        rows = found.get("models") if isinstance(found, Mapping) else None
        if not isinstance(rows, list):
            raise ModelError(
                f"{self.endpoint}: an address that ends in {API} is that of Ollama's own API, and "
                f"this server lists no models at {API}/tags: for OpenAI's form give the address up "
                "to its version, such as http://HOST:PORT/v1"
            )
        rows = [row for row in rows if isinstance(row, dict)]
        names = (self.endpoint.model, f"{self.endpoint.model}:latest")
        own: dict[str, Any] = next((row for row in rows if row.get("name") in names), {})
        return {"digest": own.get("digest")}, [str(row.get("name")) for row in rows]

    async def _besides(self, client: AsyncOpenAI, form: RequestForm) -> Any:  # noqa: ARG002
        return await told_of(self._connection, client, "show")

    def _identity(self, form: RequestForm, besides: Any) -> list[Any]:  # noqa: ARG002
        return ["ollama", besides]

    def _review(self, facts: ServerFacts) -> None:
        self.notes += notes_of(str(self.endpoint), facts.besides, sent=(*OF_OPENAI, *OFF))

    # One request

    def _parameters(self, sampling: Sampling) -> dict[str, Any]:
        return {
            "num_predict": sampling.max_new_tokens, "temperature": sampling.temperature,
            "top_p": sampling.top_p, "seed": sampling.seed,
            "frequency_penalty": 0.0, "presence_penalty": 0.0,
        }  # fmt: skip

    def _sent(self, client: AsyncOpenAI, request: Request, form: RequestForm, prompt: Ids) -> Any:  # noqa: ARG002
        options = self._asked(request.sampling, form, {})
        beside = {name: options.pop(name) for name in BESIDE_OPTIONS if name in options}
        body = {
            "model": self.endpoint.model, **ollama_form(request.messages), "stream": False,
            # A prompt that is too long is an error, and not one without its beginning.
            "truncate": False, "shift": False,
            **self._thinking(), **beside, "options": options,
        }  # fmt: skip
        return self._connection.post(client, "chat", body)

    def _read(self, answer: Any, form: RequestForm, prompt: Ids) -> Generated:  # noqa: ARG002
        """Raises ValueError if the answer is invalid."""
        if not isinstance(answer, Mapping) or answer.get("done") is not True:
            raise ValueError(f"no whole reply: {str(answer)[:SHOWN]!r}")
        message = answer.get("message")
        thoughts = message.get("thinking") if isinstance(message, Mapping) else None
        message = {**message, "reasoning": thoughts} if isinstance(message, Mapping) else message
        choice = {"message": message, "finish_reason": answer.get("done_reason")}
        usage = {"prompt_tokens": answer.get("prompt_eval_count")}
        return generated_of({"choices": [choice], "usage": usage})


async def told_of(connection: Connection, client: AsyncOpenAI, path: str) -> dict[str, Any]:
    """What Ollama tells of the model at `path`, its own `/api/show`; nothing if it does not."""
    try:
        found = await connection.post(client, path, {"model": connection.endpoint.model})
    except (Absent, LLMDiffError):
        return {}
    return (
        {name: found[name] for name in TOLD if found.get(name)} if isinstance(found, dict) else {}
    )


def notes_of(endpoint: str, told: Mapping[str, Any], *, sent: Sequence[str]) -> Iterator[str]:
    """Lines on what its Modelfile adds to what is `sent`."""
    if not told:
        return
    template, renderer = told.get("template"), told.get("renderer")
    made = f"its renderer {renderer}" if renderer else f"the template {str(template)[:SHOWN]!r}…"
    details = told.get("details")
    details = details if isinstance(details, Mapping) else {}
    names = ("family", "parameter_size", "quantization_level")
    what = " ".join(str(details[name]) for name in names if details.get(name)) or "a model"
    yield f"{endpoint}: Ollama serves {what}, and makes prompts by {made}"
    if system := told.get("system"):
        yield (
            f"{endpoint}: its Modelfile has a system prompt, which prompts without one get there: "
            f"{str(system)[:SHOWN]!r}"
        )
    messages = told.get("messages")
    if isinstance(messages, list):
        several = counted(len(messages), "message")
        yield f"{endpoint}: its Modelfile puts {several} before every prompt"
    lines = (line.split(None, 1) for line in str(told.get("parameters", "")).splitlines())
    kept = {each[0]: each[1].strip() for each in lines if len(each) == 2}
    left = [f"{n} {kept[n]}" for n in sorted(kept) if n not in (*sent, *HARMLESS)]
    if left:
        yield f"{endpoint}: of its Modelfile, {', '.join(left)} stay in force"


def openai_note(endpoint: str) -> str:
    """On Ollama in OpenAI's form."""
    return (
        f"{endpoint}: Ollama reads no top_k, min_p and repeat_penalty in OpenAI's form, so its own "
        "stay in force (older releases penalise repetitions by themselves), and it cuts prompts "
        f"that are too long: ask it by its own API, …{API}#MODEL"
    )
