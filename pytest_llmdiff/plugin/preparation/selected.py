"""What the selected tests ask for: probes, which are planned, and packages and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_llmdiff.config.given import runs_tests
from pytest_llmdiff.errors import StoreError
from pytest_llmdiff.plugin.fixtures import uses_models
from pytest_llmdiff.plugin.marker import asks_for_divergence, case_of, is_set, probes_of
from pytest_llmdiff.suites.arguments import any_of_suites

if TYPE_CHECKING:
    from pytest_llmdiff.plugin.session import Session


def plan_probes(session: Session, items: Sequence[pytest.Item]) -> None:
    """Plan the probes of the selected tests, in the order of the tests."""
    probed = [(item, probes) for item in items if (probes := probes_of(item))]
    for item, probes in probed:
        if (model := session.model_of(item)) is not None:
            session.use(model)
        if is_set(item):
            probes = [again for probe in probes for again in session.plan.repeats(probe)]
        session.expect(probes)
    if session.models:
        session.use(session.models[0])
    if any(map(asks_for_divergence, {getattr(item, "function", None) for item, _ in probed})):
        session.expect_divergences()
    if session.settings.plan and session.specs is not None:
        from pytest_llmdiff.plugin.preparation.preview import preview_lines

        sets = {case_of(item): probes for item, probes in probed if is_set(item)}
        session.closing += preview_lines(session, sets)


def check_needs(session: Session, items: Sequence[pytest.Item]) -> None:
    """Look for what the selected tests need before any of them runs.

    A worker leaves that to the controller, in which a usage error still ends the run as one.
    """
    config = session.config
    using = [item for item in items if uses_models(item)] if runs_tests(config) else []
    pairs = [session.specs, *(model.specs for model in session.models)]
    recorded = all(pair is not None and pair[1].kind == "replay" for pair in pairs)
    if not using or recorded:
        return
    from pytest_llmdiff.plugin.preparation.needs import HUB, MODELS, ROLES, needs_of, require

    needs = {MODELS}
    if session.unusable is None:
        # What was asked for on the command line is meant for this run.
        asked = {role for role in ROLES if session.settings.sources[role] == "command line"}
        needs = needs_of(using) | asked | ({HUB} if _named_on_hub(session) else set())
    if hasattr(config, "workerinput"):
        with _store_may_fail(session):
            session.worker_needs.leave(needs)
    else:
        require(needs, session)


def _named_on_hub(session: Session) -> bool:
    """Whether a model is one of the hub, or may be: the judge is looked at when it is fetched."""
    pairs = [session.specs or (), *(model.specs for model in session.models), [session.served]]
    on_hub = any(spec is not None and spec.repo is not None for pair in pairs for spec in pair)
    return on_hub or session.settings.judge is not None


def check_needs_of_workers(session: Session) -> None:
    if session.settings.store.exists():
        from pytest_llmdiff.plugin.preparation.needs import require

        with _store_may_fail(session):
            require(session.worker_needs.take(), session)


@contextmanager
def _store_may_fail(session: Session) -> Iterator[None]:
    """Each test says that the store cannot be used. Without models none would."""
    try:
        yield
    except StoreError:
        if session.unusable is not None:
            raise


def warn_of_unmatched(session: Session, items: Sequence[pytest.Item]) -> None:
    """Warn of accepted changes that match no collected probe. Called before deselection.

    Skipped where single tests are named, since pytest then collects only those.
    """
    config = session.config
    named = any("::" in argument for argument in config.args)
    if named or not session.allowed.accepted:
        return
    from pytest_llmdiff.verdicts.accepted import unmatched

    collected: dict[str, set[str]] = {}
    for item in items:
        digests = {session.plan.with_system(probe).digest for probe in probes_of(item)}
        collected.setdefault(case_of(item), set()).update(digests)
    for entry in unmatched(session.allowed.accepted.values(), collected, config.rootpath):
        session.warnings.append(
            f"{session.settings.accepted.name}: the entry for {entry.probe} of {entry.test} "
            "no longer matches any probe; remove it, or accept the new probe"
        )


def leave_out(session: Session, items: list[pytest.Item]) -> None:
    """Deselect the tests of ready-made suites in languages that nobody asked for."""
    if not any_of_suites(items):
        return
    from pytest_llmdiff.suites.languages import split

    items[:], left, lines = split(items, session.settings)
    session.left_out += lines
    if left:
        session.config.hook.pytest_deselected(items=left)
