"""How pytest shows an error: without frames of this plugin, told once, with its reason in the line
of the short summary, and with nothing that the runner of a CI job would obey."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdiff.data.text.printing import printable, shortened
from pytest_llmdiff.errors import LLMDiffError, harmless
from pytest_llmdiff.plugin.marker import probes_of

if TYPE_CHECKING:
    from pytest_llmdiff.plugin.session import Session

PACKAGE = "pytest_llmdiff"
PYTEST = (pytest.Item.__module__.partition(".")[0], "pluggy")
PROMPT = 30  # columns of a prompt before a reason
REASON = 300  # characters of a reason in the short summary, which pytest cuts to the terminal
COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")  # of a word, as pytest marks it
HOME = Path(__file__).parents[1]
INSTALLED = ("site-packages", "dist-packages")


@contextmanager
def shown_briefly(
    item: pytest.Item, call: pytest.CallInfo[Any], session: Session
) -> Iterator[None]:
    """While pytest makes the report, an error has no frames and no causes of this plugin's own.
    Debuggers and other plugins see it whole before and after."""
    whole = call.excinfo
    if whole is None or item.config.getoption("fulltrace", False):
        yield
        return
    error = whole.value
    causes = _Causes(error)
    try:
        if isinstance(error, LLMDiffError):
            causes.hide(item.config.rootpath)
            lines = tuple(
                (_file(step), step.tb_lineno)
                for step in _steps(whole.tb)
                if _file(step) == item.path or _of_project(step, item.config.rootpath)
            )
            key = hash((type(error), str(error), lines))
            first = session.told.setdefault(key, item.nodeid)
            if first != item.nodeid:
                again = f"the same error as in {first}: {_first_line(str(error))}"
                call.excinfo = _plain(again, whole)
            elif lines:
                call.excinfo = _without_internals(whole)
            else:
                told = f"{type(error).__name__}: {error}"
                call.excinfo = _plain("\n".join(f"E   {x}" for x in told.splitlines()), whole)
        elif _calls_back(whole.tb, item.config.rootpath):
            causes.hide(item.config.rootpath)
            call.excinfo = _without_internals(whole)
        yield
    finally:
        call.excinfo = whole
        causes.restore()


def short_reason(
    report: pytest.TestReport, call: pytest.CallInfo[Any], item: pytest.Item
) -> str | None:
    """Put the reason of a failure that this plugin raised into the line of the short summary.

    Returns the whole message that stood there, for the reports; None for any other failure.
    """
    crash = getattr(report.longrepr, "reprcrash", None)
    if call.excinfo is None or crash is None or not report.failed:
        return None
    error = call.excinfo.value
    *_, last = _steps(call.excinfo.tb)
    judged = isinstance(error, (AssertionError, pytest.fail.Exception)) and _internal(last)
    if not (judged or isinstance(error, LLMDiffError)):
        return None
    if Path(crash.path).is_relative_to(HOME) and not item.path.is_relative_to(HOME):
        file, line, _ = item.location
        crash.path, crash.lineno = str(item.config.rootpath / file), (line or 0) + 1
    crash.message = f"{_asked(item)}{_first_line(str(error))}"
    for entry in _entries(report):  # the text has what the arguments of the test would say again
        entry.reprfuncargs = None
    return call.excinfo.exconly(tryshort=True)


def _asked(item: pytest.Item) -> str:
    """The prompt of a test whose id has no word of it."""
    probes = probes_of(item)
    if len(probes) != 1 or not probes[0].id.startswith("probe-"):
        return ""
    return f"{shortened(printable(probes[0].prompt), PROMPT)}: "


def silence_commands(report: pytest.TestReport) -> None:
    """Escape what the runner of a CI job or a terminal would obey in pytest's account of a test: a
    model wrote some of the values that it prints."""
    shown: Any = report.longrepr
    if isinstance(shown, str):
        report.longrepr = _tamed(shown)
    elif isinstance(shown, tuple):  # of a skipped test: file, line and reason
        report.longrepr = (*shown[:2], _tamed(shown[2]))
    if (reason := getattr(report, "wasxfail", None)) is not None:
        report.wasxfail = _tamed(reason)
    for _, crash in _tracebacks(report):
        if crash is not None:
            crash.message = _tamed(crash.message)
    for entry in _entries(report):
        entry.lines = [_tamed(line) for line in entry.lines]
        if (local := getattr(entry, "reprlocals", None)) is not None:
            local.lines = [_tamed(line) for line in local.lines]
        if (given := getattr(entry, "reprfuncargs", None)) is not None:
            given.args = [(name, _tamed(value)) for name, value in given.args]


def _tamed(text: str) -> str:
    """The text without hidden characters and commands, but with pytest's own colours."""
    return "".join(part if COLOUR.fullmatch(part) else harmless(part)
                   for part in COLOUR.split(text))  # fmt: skip


def _entries(report: pytest.TestReport) -> Iterator[Any]:
    """The frames of a failure and of what led to it, as pytest shows them."""
    for traceback, _ in _tracebacks(report):
        yield from traceback.reprentries


def _tracebacks(report: pytest.TestReport) -> Iterator[tuple[Any, Any]]:
    """Each traceback with its last line. A failure has several, or with --tb=native one."""
    shown: Any = report.longrepr
    for traceback, crash, _ in getattr(shown, "chain", ()):
        yield traceback, crash
    if not hasattr(shown, "chain") and hasattr(shown, "reprtraceback"):
        yield shown.reprtraceback, shown.reprcrash


def _first_line(text: str) -> str:
    first = text.strip().partition("\n")[0]
    return first if len(first) <= REASON else f"{first[:REASON]}…"


def _without_internals(whole: pytest.ExceptionInfo[BaseException]) -> Any:
    """The error with the frames that are neither this plugin's nor pytest's."""
    kept = _outside(whole.tb) or whole.tb
    return pytest.ExceptionInfo.from_exc_info((whole.type, whole.value, kept))


def _outside(traceback: TracebackType | None) -> TracebackType | None:
    """The frames of a traceback that are neither this plugin's nor pytest's."""
    kept: TracebackType | None = None
    for step in reversed(list(_steps(traceback))):
        if _of_a_test(step):
            kept = TracebackType(kept, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return kept


def _plain(text: str, whole: pytest.ExceptionInfo[BaseException]) -> Any:
    """A failure that pytest shows as its text alone."""
    failed = pytest.fail.Exception(text, pytrace=False)
    return pytest.ExceptionInfo.from_exc_info((type(failed), failed, whole.tb))


class _Causes:
    """The exceptions that led to an error, which pytest prints above it."""

    def __init__(self, error: BaseException) -> None:
        self._kept: list[tuple[BaseException, Any, Any, bool]] = []
        self._error = error

    def hide(self, project: Path) -> None:
        """Cut them where this plugin caught one that is not of the project's code, and leave out
        its frames in the others."""
        error, seen = self._error, set[int]()
        while id(error) not in seen:
            seen.add(id(error))
            self._kept.append(
                (error, error.__traceback__, error.__cause__, error.__suppress_context__)
            )
            if error is not self._error:
                error.__traceback__ = _outside(error.__traceback__)
            cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
            if cause is None or not _tells(error, cause, project):
                error.__cause__ = None  # also suppresses the context
                return
            error = cause

    def restore(self) -> None:
        for error, traceback, cause, suppressed in self._kept:
            error.__traceback__, error.__cause__ = traceback, cause
            error.__suppress_context__ = suppressed


def _tells(error: BaseException, cause: BaseException, project: Path) -> bool:
    """Whether users have a part in what led to an error.

    A traceback begins where the exception was caught; one that was never raised has none.
    """
    named = cause is error.__cause__ and not isinstance(error, LLMDiffError)
    steps = list(_steps(cause.__traceback__))
    caught_here = not steps or _internal(steps[0])
    return named or not caught_here or any(_of_project(step, project) for step in steps)


def _calls_back(traceback: TracebackType, project: Path) -> bool:
    """Whether the project's code raised an error after this plugin had called it."""
    steps = list(_steps(traceback))
    called = max((at for at, step in enumerate(steps) if _internal(step)), default=len(steps))
    return any(_of_project(step, project) for step in steps[called:])


def _steps(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _of_project(step: TracebackType, project: Path) -> bool:
    file = _file(step)
    installed = set(INSTALLED) & set(file.parts)
    return file.is_relative_to(project) and not installed and not _internal(step)


def _file(step: TracebackType) -> Path:
    return Path(step.tb_frame.f_code.co_filename)


def _of_a_test(step: TracebackType) -> bool:
    """Whether a frame is neither this plugin's nor pytest's."""
    return not _internal(step) and _module(step).partition(".")[0] not in PYTEST


def _internal(step: TracebackType) -> bool:
    """Whether a frame is this plugin's. The tests of its suites are tests."""
    package, _, rest = _module(step).partition(".")
    return package == PACKAGE and not rest.rpartition(".")[2].startswith("test_")


def _module(step: TracebackType) -> str:
    return str(step.tb_frame.f_globals.get("__name__", ""))
