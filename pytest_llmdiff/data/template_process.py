"""Renders templates of strangers in a process of its own, with bounds of time and memory.

A template is a program of whoever published it: it may loop without end, or ask for a text of
10^10 characters in one operation, which nothing within a process can stop.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

from pytest_llmdiff.errors import ProbeError

SECONDS = 10.0
MEMORY = 1 << 30
LONGEST = 10_000_000  # characters of a text

# The modules are those of this process, wherever it found them.
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pytest_llmdiff.data.template_process import serve; serve(float(sys.argv[2]), sys.argv[3])"
)
# Libraries for arrays, which are imported and not used, reserve memory for each thread.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# From what is asked to the answer, plain JSON: a `text`, or what else the one who asks expects.
Render = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class TemplateProcess:
    """The process, which starts with the first template and again after one broke it.

    `renderer` is the `module:function` that makes the function which renders there, `named` and
    `refuses` what errors call a template and what it is asked for, `hint` ends the one of a
    template that does not end.
    """

    renderer: ClassVar[str]
    named: ClassVar[str]
    refuses: ClassVar[str]
    hint: ClassVar[str] = ""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None
        # The templates that broke it are not tried again for each text.
        self._broken: dict[str, str] = {}

    def rendered(self, template: str, **asked: Any) -> str:
        """The text that the renderer makes of a template and of what else it is asked.

        Raises:
            ProbeError: the template refuses it, or is beyond a bound.
        """
        answer = self.answered(template, {"template": template, **asked})
        if "text" in answer:
            return str(answer["text"])
        raise ProbeError(f"{self.named} refuses {self.refuses}: {answer['error']}")

    def answered(self, template: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What the renderer answers: an `error` where it refuses.

        Raises:
            ProbeError: the template broke the process, now or before.
        """
        line = json.dumps(asked, default=str)
        with self._lock:
            if template in self._broken:
                raise ProbeError(self._broken[template])
            answer = self._answer(line)
            if answer is None:
                self._broken[template] = (
                    f"{self.named} does not end within {self._seconds:g} seconds and 1 GB of "
                    f"memory; it is tried once{self.hint}"
                )
                raise ProbeError(self._broken[template])
        return answer

    def close(self) -> None:
        """End the process; the next text starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        atexit.unregister(self.close)
        process.kill()
        for stream in (process.stdin, process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass  # what was not written is for nobody
        process.wait()

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
            self.close()
            raise
        if line:
            return dict(json.loads(line))
        self.close()
        return None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START, json.dumps(sys.path), str(self._seconds),
                 self.renderer],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=os.environ | ONE_THREAD, encoding="utf-8",
            )  # fmt: skip
            atexit.register(self.close)
        return self._process


# Within the process that renders


def serve(seconds: float, renderer: str) -> None:
    """Answer each line of standard input, JSON, with a line, until the input ends."""
    import faulthandler
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks says when it is enough
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    module, _, name = renderer.partition(":")
    render: Render = getattr(importlib.import_module(module), name)()
    _limit_memory()
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        for line in sys.stdin:
            asked: Mapping[str, Any] = json.loads(line)
            # Ends the process, even within one operation.
            faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
            try:
                answer = dict(render(asked))
            except MemoryError:
                answer = {"error": "it takes more than 1 GB of memory"}
            except RecursionError:
                answer = {"error": "it calls itself without end"}
            except Exception as error:  # a template is a program: it may divide by zero
                answer = {"error": f"{error}"[:1000]}
            faulthandler.cancel_dump_traceback_later()
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


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


def short(text: str) -> str:
    """The text. Raises ValueError: it is too long to go on with."""
    if len(text) > LONGEST:
        raise ValueError(f"it makes {len(text):,} characters of it; at most {LONGEST:,} are read")
    return text
