"""Why a comparison failed. Each kind of explanation is a folder or a module here, and a line in
`KINDS`: without both, the feature is gone, and nothing else changes."""

from __future__ import annotations

from collections.abc import Container, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmdiff.explain.kind import Kind

# By their key in the JSON report, in its order: where the `Kind` is declared. Nothing is imported
# before a comparison is explained.
KINDS: Mapping[str, str] = {
    "nearest": "training.kinds:NEAREST",
    "learnt": "training.kinds:LEARNT",
    "carried": "carriers:CARRIERS",
    "seen": "tokens.kind:TOKENS",
    "attention": "attention.kind:ATTENTION",
    "words": "attribution.kind:WORD_BY_WORD",
    "attributions": "attribution.kind:ASKED_FOR",
}


def load_kinds(names: Container[str] = KINDS) -> dict[str, Kind[Any]]:
    """Some kinds by name, in the order in which reports show them: what the two models do comes
    before what the training did."""
    kinds = {name: _load(place) for name, place in KINDS.items() if name in names}
    return dict(sorted(kinds.items(), key=lambda item: item[1].of_training))


def _load(place: str) -> Kind[Any]:
    module, _, name = place.partition(":")
    kind: Kind[Any] = getattr(import_module(f"{__name__}.{module}"), name)
    return kind
