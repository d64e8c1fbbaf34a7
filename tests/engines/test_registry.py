"""Every kind of SPEC has an engine, and every engine has what the registry expects."""

from __future__ import annotations

from importlib import import_module
from typing import get_args

import pytest

import pytest_llmdiff.engines.python
import pytest_llmdiff.engines.replay
import pytest_llmdiff.engines.scripted
import pytest_llmdiff.engines.server.opening
import pytest_llmdiff.engines.transformers.opening
import pytest_llmdiff.engines.vllm.opening
from pytest_llmdiff.config.specs import FILE_KINDS, Kind, Runtime, Spec
from pytest_llmdiff.engines.registry import KNOWN, EngineKind, kind_of

# Typed, so that mypy holds the signatures in each module against the protocol.
MODULES: list[EngineKind] = [
    pytest_llmdiff.engines.python,
    pytest_llmdiff.engines.replay,
    pytest_llmdiff.engines.scripted,
    pytest_llmdiff.engines.server.opening,
    pytest_llmdiff.engines.transformers.opening,
    pytest_llmdiff.engines.vllm.opening,
]


def test_the_modules_are_those_of_the_table() -> None:
    assert [import_module(name) for name in KNOWN.values()] == MODULES


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_of_spec_has_an_engine(kind: Kind) -> None:
    assert kind_of(Spec(text="any", kind=kind)) in MODULES


@pytest.mark.parametrize("runtime", get_args(Runtime))
def test_files_are_opened_by_their_runtime(runtime: Runtime) -> None:
    specs = [Spec(text="any", kind=kind, runtime=runtime) for kind in get_args(Kind)]
    assert {spec.engine for spec in specs if spec.kind in FILE_KINDS} == {runtime}
    assert {spec.engine for spec in specs if spec.kind not in FILE_KINDS} == (
        {"python", "replay", "scripted", "server"}
    )
