"""The pytest plugin: hooks only, each handing over to the run's session or a report."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_llmdiff import run
from pytest_llmdiff.fixtures import comparison, llm_base, llm_pair, llm_tuned
from pytest_llmdiff.options import add_options
from pytest_llmdiff.parametrize import MARKER, parametrize
from pytest_llmdiff.session import SESSION

__all__ = ["comparison", "llm_base", "llm_pair", "llm_tuned"]


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    run.configure(config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    return run.header(config.stash[SESSION])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc)


def pytest_collection_finish(session: pytest.Session) -> None:
    run.expect(session.config.stash[SESSION], session.items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.config.stash[SESSION].enter(item)
    try:
        return (yield)
    finally:
        item.config.stash[SESSION].leave()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    return run.attach((yield), item)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    try:
        yield
    finally:
        run.finish(session.config)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    run.summary(terminalreporter, config.stash[SESSION])
