"""From `@pytest.mark.llmdiff` to test cases: one per probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_llmdiff.probes import Probe

MARKER = (
    "llmdiff(*prompts, file=None, system=None, reference=None, tags=None, **generation): probes "
    "for the comparison fixture; a prompt is a string or a list of chat messages"
)


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `comparison` one case per probe of its markers.

    Raises:
        CollectError: a marker or a probe file is unusable.
    """
    if "comparison" not in metafunc.fixturenames:
        return
    from pytest_llmdiff.errors import LLMDiffError
    from pytest_llmdiff.probes import probes_of_marker, unique_ids

    # Outermost first (module, class, function), as they read in the file.
    markers = list(metafunc.definition.iter_markers("llmdiff"))[::-1]
    try:
        if not markers:
            raise LLMDiffError(
                f"{metafunc.definition.nodeid} asks for the fixture comparison and has no probes: "
                'add @pytest.mark.llmdiff("a prompt") or @pytest.mark.llmdiff(file=...)'
            )
        folder = metafunc.definition.path.parent
        probes = unique_ids(
            probe
            for marker in markers
            for probe in probes_of_marker(marker.args, marker.kwargs, folder=folder)
        )
    except LLMDiffError as error:
        raise pytest.Collector.CollectError(str(error)) from error
    metafunc.parametrize("comparison", probes, ids=[probe.id for probe in probes], indirect=True)


def asks_for_divergence(test: object) -> bool:
    """Whether a test's code names the divergence. A hint for the order of work, no more: what is
    not foreseen is computed when it is asked for."""
    code = getattr(test, "__code__", None)
    return bool({"assert_divergence", "divergence"} & set(getattr(code, "co_names", ())))


def probe_of(item: pytest.Item) -> Probe | None:
    """The probe of a test case, or None for any other test."""
    callspec = getattr(item, "callspec", None)
    found = None if callspec is None else callspec.params.get("comparison")
    if found is None:
        return None
    from pytest_llmdiff.probes import Probe

    return found if isinstance(found, Probe) else None
