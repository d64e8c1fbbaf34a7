"""From `@pytest.mark.llmdiff` to test cases: one per probe, or one over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_llmdiff.data.probes import Probe

MARKER = (
    "llmdiff(*prompts, file=None, system=None, reference=None, tags=None, **generation): probes "
    "for the fixtures comparison and comparisons; a prompt is a string or a list of chat messages"
)
PROBED = ("comparison", "comparisons")
FIXTURES = "pytest_llmdiff.plugin.fixtures"


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `comparison` one case per probe of its markers, and one that asks
    for `comparisons` all of them in one case.

    Raises:
        CollectError: a marker or a probe file is unusable, or the test has no use for its marker.
    """
    asked = [name for name in PROBED if name in metafunc.fixturenames]
    if asked:
        taken = _parametrized(metafunc.definition)
        asked = [name for name in asked if name not in taken and is_ours(metafunc.definition, name)]
    if not asked:
        # Of a class or a module, a marker is for those of its tests that ask for the comparison.
        if any(mark.name == "llmdiff" for mark in metafunc.definition.own_markers):
            raise pytest.Collector.CollectError(
                f"{metafunc.definition.nodeid} has @pytest.mark.llmdiff and asks for neither "
                "comparison nor comparisons, so that its prompts are put to no model: name one of "
                "them among its arguments, or remove the marker"
            )
        return
    from pytest_llmdiff.data.probes import unique_ids
    from pytest_llmdiff.errors import LLMDiffError
    from pytest_llmdiff.plugin.marker_probes import probes_of_marker

    # Outermost first (module, class, function), as they read in the file.
    markers = list(metafunc.definition.iter_markers("llmdiff"))[::-1]
    try:
        if len(asked) > 1:
            raise LLMDiffError(
                f"{metafunc.definition.nodeid} asks for both comparison and comparisons: take "
                "comparison for a test case per probe, comparisons for one over the whole set"
            )
        if not markers:
            raise LLMDiffError(
                f"{metafunc.definition.nodeid} asks for the fixture {asked[0]} and has no probes: "
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
    if asked == ["comparison"]:
        metafunc.parametrize(asked[0], probes, ids=[probe.id for probe in probes], indirect=True)
    else:
        metafunc.parametrize(asked[0], [probes], ids=[pytest.HIDDEN_PARAM], indirect=True)


def require_read(item: pytest.Item) -> None:
    """Refuse a marker of a `unittest.TestCase`, for which pytest makes no cases.

    Raises:
        ConfigError: it would put its prompts to no model.
    """
    group = item.getparent(pytest.Class)
    marks = [*item.own_markers, *(group.own_markers if group is not None else ())]
    if group is None or all(mark.name != "llmdiff" for mark in marks):
        return
    from unittest import TestCase

    from pytest_llmdiff.errors import ConfigError

    if issubclass(group.obj, TestCase):
        raise ConfigError(
            f"{item.nodeid} has @pytest.mark.llmdiff and is of a unittest.TestCase, whose tests "
            "get no prompts from pytest: write it as a test function that asks for comparison"
        )


def _parametrized(item: pytest.Item) -> set[str]:
    """The arguments that a project's own `parametrize` marks name."""
    marks = item.iter_markers("parametrize")
    given = [mark.args[0] if mark.args else mark.kwargs.get("argnames", ()) for mark in marks]
    listed = [names.split(",") if isinstance(names, str) else names for names in given]
    return {name.strip() for names in listed for name in names}


def is_ours(item: pytest.Item, name: str) -> bool:
    """Whether a fixture of that name is the one from here: projects may have their own. One that
    asks for the other of its name has that one's values."""
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for found in reversed(known.get(name, ())):
        if name not in found.argnames:
            return getattr(found.func, "__module__", None) == FIXTURES
    return False


def asks_for_divergence(test: object) -> bool:
    """Whether a test's code names the divergence. A hint for the order of work, no more: what is
    not foreseen is computed when it is asked for."""
    code = getattr(test, "__code__", None)
    return bool({"assert_divergence", "divergence"} & set(getattr(code, "co_names", ())))


def is_set(item: pytest.Item) -> bool:
    """Whether a test case has all of its probes as one set."""
    return "comparisons" in getattr(item, "fixturenames", ()) and is_ours(item, "comparisons")


def probes_of(item: pytest.Item) -> Sequence[Probe]:
    """The probes of a test case; none for any other test."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    found = [probe for name in PROBED if name in params for probe in _several(params[name])]
    if not found:
        return found
    from pytest_llmdiff.data.probes import Probe

    return [probe for probe in found if isinstance(probe, Probe)]


def _several(param: object) -> Sequence[Any]:
    return param if isinstance(param, list) else [param]
