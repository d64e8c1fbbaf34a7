"""The hooks of the plugin, each of which hands over to `lifecycle` or to the session."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_llmdiff.config.options import add_options
from pytest_llmdiff.plugin import lifecycle
from pytest_llmdiff.plugin.fixtures import FIXTURES, ProbeFixtures
from pytest_llmdiff.plugin.marker import MARKER, parametrize, reject_lost_markers
from pytest_llmdiff.plugin.session import RUN_ID, SESSION


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    add_options(parser)
    pluginmanager.register(ProbeFixtures(), FIXTURES)  # now, so that a project's own override them


@pytest.hookimpl(wrapper=True)  # after conftest.py, which may define options
def pytest_load_initial_conftests(parser: pytest.Parser, args: list[str]) -> Generator[None]:
    yield
    lifecycle.check_spelling(parser, args)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the options that it changes
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    return lifecycle.prepare(config)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    lifecycle.configure(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[RUN_ID] = node.config.stash[SESSION].run_id


def pytest_report_header(config: pytest.Config) -> list[str]:
    return lifecycle.header(config.stash[SESSION])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    lifecycle.parametrize_models(metafunc)  # first, so that ids begin with the model's name
    parametrize(metafunc)


@pytest.hookimpl(tryfirst=True)  # before anything is deselected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    lifecycle.select(config, items)


@pytest.hookimpl(wrapper=True)  # before xdist reports the tests of this worker
def pytest_collection_finish(session: pytest.Session) -> Generator[None]:
    lifecycle.plan(session.config.stash[SESSION], session.items)
    with lifecycle.without_list(session.config):
        return (yield)


@pytest.hookimpl(optionalhook=True)  # of xdist's controller, before any test runs
def pytest_xdist_node_collection_finished(node: Any) -> None:
    lifecycle.check_workers(node.config.stash[SESSION])


@pytest.hookimpl(optionalhook=True, tryfirst=True)  # of pytest-timeout
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    item.config.stash[SESSION].timer.began(item, settings)


@pytest.hookimpl(optionalhook=True, tryfirst=True)  # of pytest-timeout
def pytest_timeout_cancel_timer(item: pytest.Item) -> None:
    item.config.stash[SESSION].timer.ended()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    finally:
        item.config.stash[SESSION].leave()


@pytest.hookimpl(tryfirst=True)  # before any fixture
def pytest_runtest_setup(item: pytest.Item) -> None:
    reject_lost_markers(item)
    item.config.stash[SESSION].begin(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, Any, Any]:
    return lifecycle.attach_row((yield), item, call)


@pytest.hookimpl(tryfirst=True)  # before xdist reports this worker as finished
def pytest_sessionfinish(session: pytest.Session) -> None:
    lifecycle.finish(session)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    lifecycle.release(config)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lifecycle.summary(terminalreporter, config.stash[SESSION])
