"""Renders chat templates, and reads replies by them, in a process of its own, with bounds of time
and memory.

A template is a program of whoever published the model: it may loop without end, or ask for a text
of 10^10 characters in one operation, which nothing within a process can stop.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.tools.calls import ToolCall, readable_calls
from pytest_llmdiff.errors import ProbeError

SECONDS = 10.0
MEMORY = 1 << 30
LONGEST = 10_000_000  # characters of a prompt

# The modules are those of this process, wherever it found them.
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pytest_llmdiff.engines.files.template_process import serve; serve(float(sys.argv[2]))"
)
# Libraries for arrays, which are imported and not used, reserve memory for each thread.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class TemplateProcess:
    """The process, which starts with the first conversation and again after a template broke it."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None
        # The templates that broke it are not tried again for each prompt.
        self._broken: dict[str, str] = {}

    def render(self, messages: Sequence[Message], template: str, **variables: Any) -> str:
        """The conversation as text, as `apply_chat_template` of transformers makes it.

        Raises:
            ProbeError: the template refuses it, or is beyond a bound.
        """
        asked = {"messages": messages, "template": template, "variables": variables}
        answer = self._checked(template, asked)
        if "text" in answer:
            return str(answer["text"])
        raise ProbeError(f"the chat template refuses this conversation: {answer['error']}")

    def calls(
        self, text: str, template: Any, *, prefix: str, tools: Sequence[Mapping[str, Any]]
    ) -> tuple[ToolCall, ...]:
        """The calls of tools in a raw reply after the prompt `prefix`, by a tokenizer's
        `response_template`, as `parse_response` of transformers reads them.

        Raises:
            ProbeError: the template does not fit the reply, or is beyond a bound.
        """
        asked = {"reply": text, "template": template, "prefix": prefix, "tools": tools}
        answer = self._checked(json.dumps(template, sort_keys=True, default=str), asked)
        if "error" in answer:
            raise ProbeError(f"the response template does not fit this reply: {answer['error']}")
        return readable_calls(answer["calls"])

    def _checked(self, template: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ProbeError where a template broke the process."""
        line = json.dumps(asked, default=str)
        with self._lock:
            if template in self._broken:
                raise ProbeError(self._broken[template])
            answer = self._answer(line)
            if answer is None:
                self._broken[template] = (
                    f"the chat template does not end within {self._seconds:g} seconds and 1 GB of "
                    "memory; it is tried once. Is it the one that the model was trained with?"
                )
                raise ProbeError(self._broken[template])
        return answer

    def _answer(self, asked: str) -> dict[str, Any] | None:
        """None where the process ended."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(asked + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        except BaseException:  # interrupted: its answer would be taken for that of the next prompt
            self._end()
            raise
        if line:
            return dict(json.loads(line))
        self._end()
        return None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START, json.dumps(sys.path), str(self._seconds)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=os.environ | ONE_THREAD, encoding="utf-8",
            )  # fmt: skip
            atexit.register(self._end)
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        atexit.unregister(self._end)
        process.kill()
        for stream in (process.stdin, process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass  # what was not written is for nobody
        process.wait()


def template_process() -> TemplateProcess:
    """The one of this process; a fork has its own."""
    return _of_process(os.getpid())


@cache
def _of_process(_: int) -> TemplateProcess:
    return TemplateProcess()


# Within the process that renders


def serve(seconds: float) -> None:
    """Answer each line of standard input, JSON, with a line, until the input ends."""
    import faulthandler
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks says when it is enough
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    render = _renderer()
    _limit_memory()
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        for line in sys.stdin:
            asked: Mapping[str, Any] = json.loads(line)
            # Ends the process, even within one operation.
            faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
            try:
                answer = render(asked)
            except MemoryError:
                answer = {"error": "it takes more than 1 GB of memory"}
            except RecursionError:
                answer = {"error": "it calls itself without end"}
            except Exception as error:  # a template is a program: it may divide by zero
                answer = {"error": f"{error}"[:1000]}
            faulthandler.cancel_dump_traceback_later()
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def _renderer() -> Any:
    from transformers.tokenization_utils_base import PreTrainedTokenizerBase

    class Told(PreTrainedTokenizerBase):  # type: ignore[misc]
        """A tokenizer of which nothing is known but what a template is told."""

        special_tokens_map: Mapping[str, Any] = {}
        chat_template = None

        def __init__(self) -> None:
            pass

    tokenizer = Told()

    def render(asked: Mapping[str, Any]) -> dict[str, Any]:
        if "reply" in asked:
            found = tokenizer.parse_response(
                _short(asked["reply"]), schema=asked["template"], prefix=asked["prefix"],
                tools=asked["tools"],
            )  # fmt: skip
            return {"calls": list(found.get("tool_calls") or ())}
        text = tokenizer.apply_chat_template(
            asked["messages"], chat_template=asked["template"], tokenize=False,
            **asked["variables"],
        )  # fmt: skip
        return {"text": _short(str(text))}

    return render


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows: the time bounds what can be taken
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    soft = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (soft, most))
    except (ValueError, OSError):
        return  # macOS has no such limit


def _short(text: str) -> str:
    if len(text) > LONGEST:
        raise ValueError(f"it makes {len(text):,} characters of it; at most {LONGEST:,} are read")
    return text
