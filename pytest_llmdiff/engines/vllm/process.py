"""Runs vLLM in the process of the tests: its environment, and undoing what it does to others."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

# Defaults that the user can override: no telemetry, and no log lines in a test's output.
ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_CONFIGURE_LOGGING": "0"}
# On a CPU: one process, since a second one takes more memory and time to start. The system places
# its threads, since other workers run on the same cores.
CPU_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


def set_environment(*, cpu: bool) -> None:
    """Set the defaults, before vLLM is imported."""
    for name, value in (ENVIRONMENT | (CPU_ENVIRONMENT if cpu else {})).items():
        os.environ.setdefault(name, value)


@contextmanager
def untraced() -> Iterator[None]:
    """Remove pytest's handlers from torch's trace logger: with a handler, torch's compiler logs
    each of its steps."""
    trace = logging.getLogger("torch.__trace")
    ours = [each for each in trace.handlers if type(each).__module__.partition(".")[0] != "torch"]
    for handler in ours:
        trace.removeHandler(handler)
    try:
        yield
    finally:
        for handler in ours:
            trace.addHandler(handler)


@contextmanager
def keep_set_num_threads() -> Iterator[None]:
    """vLLM disables `torch.set_num_threads`, which scorers in this process still use."""
    import torch

    before = torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = before
