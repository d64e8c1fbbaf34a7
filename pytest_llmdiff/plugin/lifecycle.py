"""What the hooks do: read the settings, plan the run, put rows into test reports, end the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdiff.config.settings import (
    Settings,
    only_plans,
    read_settings,
    require_apart,
    runs_tests,
)
from pytest_llmdiff.errors import ConfigError, LLMDiffError, StoreError
from pytest_llmdiff.plugin.fixtures import MODEL_FIXTURES
from pytest_llmdiff.plugin.marker import asks_for_divergence, case_of, is_ours, is_set, probes_of
from pytest_llmdiff.plugin.session import SESSION, Session

if TYPE_CHECKING:
    from pytest_llmdiff.config.specs import Spec

CONTROLLER = "llmdiff-controller"


def configure(config: pytest.Config) -> None:
    """Check options and SPECs here, before xdist starts its workers: usage errors still work."""
    try:
        settings = read_settings(config)
        if settings.suite_limits:
            from pytest_llmdiff.suites.limits import check_limits

            check_limits(settings.suite_limits)
        if config.getoption("pyargs") and not hasattr(config, "workerinput"):
            from pytest_llmdiff.suites.selection import check_selection

            check_selection(config)
        notes: tuple[str, ...] = ()
        if _is_incomplete(settings):
            from pytest_llmdiff.data.training.models import named_models

            named = named_models(settings)
            settings, notes = named.settings, named.notes
        session = Session(config, settings)
        session.notes += notes
        if settings.has_models:
            session.specs = checked_specs(session)
    except LLMDiffError as error:
        raise pytest.UsageError(f"llmdiff: {error}") from error
    config.stash[SESSION] = session
    if hasattr(config, "workerinput") or not runs_tests(config):
        return
    if session.specs is None:
        config.pluginmanager.register(SkipCounter(session), CONTROLLER)
        return
    from pytest_llmdiff.plugin.controller import Controller

    config.pluginmanager.register(Controller(session), CONTROLLER)


def _is_incomplete(settings: Settings) -> bool:
    """Whether the files of a training are to name a model."""
    tuned = settings.tuned
    return tuned is not None and (settings.base is None or tuned.endswith((".yaml", ".yml")))


class SkipCounter:
    """Counts the tests that were skipped because the run has no models, in all processes."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.session.skipped += report.skipped and hasattr(report, "llmdiff")


def prepare(config: pytest.Config) -> int | None:
    """Run pytest again where it misread an option, and return the exit code of that run.

    A run that only plans stops after collection, in this process alone.
    """
    from pytest_llmdiff.config.command_line import run_again

    exit_code = run_again(config)
    if exit_code is not None:
        return exit_code
    try:
        if only_plans(config):
            config.option.collectonly = True
    except ConfigError as error:
        raise pytest.UsageError(f"llmdiff: {error}") from error
    return None


def checked_specs(session: Session) -> tuple[Spec, Spec]:
    from pytest_llmdiff.config.specs import FILE_KINDS, given_tokenizer, parse_spec
    from pytest_llmdiff.engines.spec_checks import check_pair, check_served
    from pytest_llmdiff.scorers.opening import check_scorer

    settings = session.settings

    def parsed(side: str, text: str | None) -> Spec:
        return parse_spec(text or "", option=f"--llm-{side}", folder=settings.folder_of(side))

    base, tuned = parsed("base", settings.base), parsed("tuned", settings.tuned)
    session.notes += [f"{spec.text} is {spec.note}" for spec in (base, tuned) if spec.note]
    check_pair(base, tuned, settings)
    if settings.calibrating:
        from pytest_llmdiff.engines.noise import check_noise

        check_noise(base)
        tuned = base
    if settings.served is not None:
        session.served = parsed("served", settings.served)
        check_served(session.served, base, settings)
    served = None if session.served is None else session.served.path
    require_apart(vars(settings), {"base": base.path, "tuned": tuned.path, "served": served})
    session.allowed.check_files()
    check_scorer("toxicity", settings.toxicity, settings.folder_of("toxicity"))
    if settings.refusal != "patterns":
        check_scorer("refusal", settings.refusal, settings.folder_of("refusal"))
    if settings.template is not None:
        from pytest_llmdiff.engines.files.sources import given_template

        given_template(settings)
    given_tokenizer(settings)
    check_training(session)
    if {base.kind, tuned.kind} <= set(FILE_KINDS):
        from pytest_llmdiff.data.training.adapter_base import other_base
        from pytest_llmdiff.engines.files.sources import template_note

        notes = [template_note(base, tuned, settings), other_base(base, tuned)]
        session.notes += filter(None, notes)
    return base, tuned


def check_training(session: Session) -> None:
    settings = session.settings
    if settings.train_config is not None:
        from pytest_llmdiff.data.training.training import given_training

        given_training(settings)
    if settings.train_data is not None and not hasattr(session.config, "workerinput"):
        from pytest_llmdiff.data.training.training import given_train_data

        # Reads all of it, which the controller does for its workers.
        data = given_train_data(settings)
        session.warnings += [] if data is None else data.left_out()


def header(session: Session) -> list[str]:
    if session.specs is None:
        return []
    from pytest_llmdiff.reports.terminal.summary import header_lines

    return header_lines(session.settings, session.notes)


def plan_probes(session: Session, items: Sequence[pytest.Item]) -> None:
    """Plan the probes of the selected tests, in the order of the tests."""
    probed = [(item, probes) for item in items if (probes := probes_of(item))]
    for item, probes in probed:
        if is_set(item):
            probes = [again for probe in probes for again in session.plan.repeats(probe)]
        session.expect(probes)
    if any(map(asks_for_divergence, {getattr(item, "function", None) for item, _ in probed})):
        session.expect_divergences()
    if session.settings.plan and session.specs is not None:
        from pytest_llmdiff.plugin.preview import preview_lines

        sets = {case_of(item): probes for item, probes in probed if is_set(item)}
        session.closing += preview_lines(session, sets)


def warn_of_unmatched(session: Session, items: Sequence[pytest.Item]) -> None:
    """Warn of accepted changes that match no collected probe. Called before deselection.

    Skipped where single tests are named, since pytest then collects only those.
    """
    config = session.config
    named = any("::" in argument for argument in config.args)
    if session.specs is None or named or not session.allowed.accepted:
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


def uses_models(item: pytest.Item) -> bool:
    """Whether a test requests any of the model fixtures."""
    requested = MODEL_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return any(is_ours(item, name) for name in requested)


def attach_row(report: pytest.TestReport, item: pytest.Item) -> pytest.TestReport:
    """Put the row of a test that uses the models into its last report."""
    if uses_models(item):
        facts: dict[str, Any] = {"uses_models": True}
        session = item.config.stash[SESSION]
        kept = None if session.test is None else session.test.kept
        if report.when == "call" and report.passed and kept is not None:
            tolerate_inconclusive(report, kept.inconclusive, session.settings.inconclusive)
        if report.when == "teardown":
            from pytest_llmdiff.reports.rerun import rerun_target

            facts |= {} if kept is None else kept.row()
            facts["case"] = case_of(item)
            facts["target"] = rerun_target(item.config, item)
        # xdist serialises the attributes of a report; user_properties would all go into JUnit. As
        # JSON, since half of a surrogate pair, which a server may send, makes xdist crash.
        travels = hasattr(item.config, "workerinput")
        report.__dict__["llmdiff"] = json.dumps(facts) if travels else facts
    return report


def tolerate_inconclusive(report: pytest.TestReport, inconclusive: Sequence[str], how: str) -> None:
    """Turn a test that passed, except for inconclusive sets, into an expected failure."""
    if inconclusive and how == "xfail":
        report.outcome = "skipped"
        report.__dict__["wasxfail"] = f"inconclusive: {', '.join(dict.fromkeys(inconclusive))}"


def finish(ended: pytest.Session) -> None:
    """Free the models; in the controller, write the files that the options name.

    A run that cannot write one of them fails, whatever its tests did.
    """
    config = ended.config
    session = config.stash[SESSION]
    specs = None if hasattr(config, "workerinput") else session.specs
    try:
        session.finish()
        if specs is not None and config.pluginmanager.hasplugin("dsession"):
            session.stop.clear()
    except StoreError as error:
        session.warnings.append(str(error))
    if specs is None:
        return
    session.exit_code = int(ended.exitstatus)
    if ended.exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
        session.warnings.append("the run ended before all of its tests had run")
    from pytest_llmdiff.plugin.outputs import write_outputs

    lines, complete = write_outputs(session, specs)
    session.closing += lines
    good = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if not complete and ended.exitstatus in good:
        ended.exitstatus = pytest.ExitCode.TESTS_FAILED


def release(config: pytest.Config) -> None:
    """Drop the run: pytest's last garbage collections walk everything that is still alive."""
    session = config.stash.get(SESSION, None)
    if session is not None:
        if config.pluginmanager.hasplugin(CONTROLLER):
            config.pluginmanager.unregister(name=CONTROLLER)
        del config.stash[SESSION]
        session.release()


def summary(terminalreporter: Any, session: Session) -> None:
    if not (session.rows or session.skipped or session.closing):
        return
    if hasattr(session.config, "workerinput"):
        return  # pytest calls this in workers as well, where nobody reads it
    from pytest_llmdiff.plugin.outputs import facts_of
    from pytest_llmdiff.reports.terminal.summary import write_summary

    write_summary(terminalreporter, facts_of(session))
    for line in session.closing:
        terminalreporter.write_line(line)
