"""Turns `@pytest.mark.llmdiff` into test cases: one per probe, or one over all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_llmdiff.data.probes import Probe

MARKER = (
    "llmdiff(*prompts, file=None, columns=None, system=None, reference=None, tags=None, "
    "tools=None, **generation): probes for the fixtures comparison and comparisons; a prompt is a "
    "string or a list of chat messages"
)
PROBED = ("comparison", "comparisons")
# pytest's ini key with which it shows ids as they are; else it escapes what is not ASCII.
UNESCAPED = "disable_test_id_escaping_and_forfeit_all_rights_to_community_support"
FIXTURES = "pytest_llmdiff.plugin.fixtures"


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test that requests `comparison` one case per probe of its markers, and a test that
    requests `comparisons` one case with all of them.

    Raises:
        CollectError: a marker or a probe file is unusable, or the test does not use its marker.
    """
    _reject_indirect(metafunc.definition)
    asked = [name for name in PROBED if name in metafunc.fixturenames]
    if asked:
        taken = _parametrized(metafunc.definition)
        asked = [name for name in asked if name not in taken and is_ours(metafunc.definition, name)]
    if not asked:
        # A marker of a class or module may be meant for other tests in it; the test's own is not.
        if any(mark.name == "llmdiff" for mark in metafunc.definition.own_markers):
            raise pytest.Collector.CollectError(
                f"{metafunc.definition.nodeid} has @pytest.mark.llmdiff but requests neither "
                "comparison nor comparisons, so no model would ever see its prompts: add one of "
                "them as an argument, or remove the marker"
            )
        return
    from pytest_llmdiff.data.probes import unique_ids
    from pytest_llmdiff.errors import LLMDiffError
    from pytest_llmdiff.plugin.preparation.marker_probes import probes_of_marker

    markers = _as_written(metafunc.definition)
    try:
        if len(asked) > 1:
            raise LLMDiffError(
                f"{metafunc.definition.nodeid} requests both comparison and comparisons: use "
                "comparison for one case per probe, comparisons for one case over the whole set"
            )
        if not markers:
            raise LLMDiffError(
                f"{metafunc.definition.nodeid} requests the fixture {asked[0]} but has no probes: "
                'add @pytest.mark.llmdiff("a prompt") or @pytest.mark.llmdiff(file=...)'
            )
        folder = metafunc.definition.path.parent
        any_script = bool(metafunc.config.getini(UNESCAPED))
        probes = unique_ids(
            probe
            for marker in markers
            for probe in probes_of_marker(
                marker.args, marker.kwargs, folder=folder, any_script=any_script
            )
        )
    except LLMDiffError as error:
        raise pytest.Collector.CollectError(str(error)) from error
    if asked == ["comparison"]:
        metafunc.parametrize(asked[0], probes, ids=[probe.id for probe in probes], indirect=True)
    else:
        metafunc.parametrize(asked[0], [probes], ids=[pytest.HIDDEN_PARAM], indirect=True)


def _as_written(item: pytest.Item) -> list[pytest.Mark]:
    """The markers of a test in the order in which one reads them: module, class, function, and each
    list and each stack of decorators from its beginning."""
    found: list[pytest.Mark] = []
    for node in item.listchain():
        marks = [mark for mark in node.own_markers if mark.name == "llmdiff"]
        # Python applies decorators from the last one on.
        found += marks if len(marks) < 2 or _lists_marks(node) else marks[::-1]
    return found


def _lists_marks(node: object) -> bool:
    """Whether the marks of a module or class are those of its `pytestmark`, not of decorators."""
    if not isinstance(node, pytest.Class):
        return not isinstance(node, pytest.Function)
    import inspect

    try:
        return re.search(r"^\s+pytestmark\b", inspect.getsource(node.obj), re.MULTILINE) is not None
    except (OSError, TypeError):
        return False


def _reject_indirect(item: pytest.Item) -> None:
    """Raises CollectError if `parametrize` gives values to a fixture of this plugin, which would
    take no notice of them."""
    for mark in item.iter_markers("parametrize"):
        indirect = mark.kwargs.get("indirect", False)
        names = _names(mark) if indirect is True else indirect or ()
        for name in (name for name in names if is_ours(item, name)):
            way = (
                'put its prompts into @pytest.mark.llmdiff("a prompt", ...)'
                if name in PROBED
                else "request it without, and give models with --llm-base and --llm-tuned"
            )
            raise pytest.Collector.CollectError(
                f"{item.nodeid} gives {name} values with parametrize(..., indirect=...), which "
                f"the fixture does not take: {way}"
            )


def reject_lost_markers(item: pytest.Item) -> None:
    """Refuse a marker on a `unittest.TestCase`, which pytest does not parametrize, or on a
    parameter, which comes too late: the test's cases are known by then.

    Raises:
        ConfigError: there is one; no model would ever see its prompts.
    """
    if (case := getattr(item, "callspec", None)) is not None:  # which a `TestCase` never has
        _reject_on_parameters(item, case.marks)
        return
    group = item.getparent(pytest.Class)
    marks = [*item.own_markers, *(group.own_markers if group is not None else ())]
    if group is None or all(mark.name != "llmdiff" for mark in marks):
        return
    from unittest import TestCase

    from pytest_llmdiff.errors import ConfigError

    if issubclass(group.obj, TestCase):
        raise ConfigError(
            f"{item.nodeid} has @pytest.mark.llmdiff but belongs to a unittest.TestCase, which "
            "pytest gives no prompts: write it as a test function that requests comparison"
        )


def _reject_on_parameters(item: pytest.Item, marks: Sequence[pytest.Mark]) -> None:
    lost = next((mark for mark in marks if mark.name == "llmdiff"), None)
    if lost is not None:
        from pytest_llmdiff.errors import ConfigError

        prompts = ", ".join(map(repr, lost.args)) or f"file={lost.kwargs.get('file')!r}"
        raise ConfigError(
            f"{item.nodeid} has llmdiff({prompts}) in pytest.param(..., marks=...), where no model "
            "would ever see it: put the prompts into @pytest.mark.llmdiff on the function, or ask "
            "for them with llm_pair.compare(prompt)"
        )


def _parametrized(item: pytest.Item) -> set[str]:
    """The arguments that the project's own `parametrize` marks name."""
    return {name for mark in item.iter_markers("parametrize") for name in _names(mark)}


def _names(mark: pytest.Mark) -> list[str]:
    """The arguments that one of them names."""
    given = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
    return [name.strip() for name in (given.split(",") if isinstance(given, str) else given)]


def is_ours(item: pytest.Item, name: str) -> bool:
    """Whether this plugin's fixture of that name serves the test: a project may define its own. One
    that overrides this plugin's and requests it, under the same name, passes its values on."""
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for definition in reversed(known.get(name, ())):
        if name not in definition.argnames:
            return getattr(definition.func, "__module__", None) == FIXTURES
    return False


def asks_for_divergence(test: object) -> bool:
    """Whether a test's code mentions the divergence. Only a hint for the order of work: what it
    misses is computed on demand."""
    code = getattr(test, "__code__", None)
    return bool({"assert_divergence", "divergence"} & set(getattr(code, "co_names", ())))


def is_set(item: pytest.Item) -> bool:
    """Whether a test case gets all of its probes as one set."""
    return "comparisons" in getattr(item, "fixturenames", ()) and is_ours(item, "comparisons")


def probes_of(item: pytest.Item) -> Sequence[Probe]:
    """The probes of a test case; none for tests that do not use the marker."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    values = [value for name in PROBED if name in params for value in _several(params[name])]
    if not values:
        return values
    from pytest_llmdiff.data.probes import Probe

    return [value for value in values if isinstance(value, Probe)]


def _several(param: object) -> Sequence[Any]:
    return param if isinstance(param, list) else [param]


def case_of(item: pytest.Item) -> str:
    """A test's id without the parameters: what its cases have in common."""
    name = getattr(item, "originalname", None) or item.name
    return item.nodeid if item.parent is None else f"{item.parent.nodeid}::{name}"
