"""What the hooks do: read the settings, plan the run, put rows into test reports, end the run."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_llmdiff.config.settings import (
    models_typed,
    only_plans,
    read_settings,
    require_apart,
    require_both,
    runs_tests,
)
from pytest_llmdiff.errors import ConfigError, LLMDiffError, MissingPackageError, StoreError
from pytest_llmdiff.plugin.fixtures import MODEL_FIXTURES
from pytest_llmdiff.plugin.marker import asks_for_divergence, case_of, is_ours, is_set, probes_of
from pytest_llmdiff.plugin.session import SESSION, Session

if TYPE_CHECKING:
    from pytest_llmdiff.config.settings import Settings
    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.plugin.allowed import AllowedChanges

CONTROLLER = "llmdiff-controller"
BRIEF_ERRORS = "llmdiff-errors"


def check_spelling(parser: pytest.Parser, words: Sequence[str]) -> None:
    if not any(word.startswith("--llm") for word in words):
        return
    from pytest_llmdiff.config.spelling import check_flags

    try:
        check_flags(parser, words)
    except ConfigError as error:
        raise pytest.UsageError(f"llmdiff: {error}") from error


def configure(config: pytest.Config) -> None:
    """Check options and SPECs here, before xdist starts its workers: usage errors still work."""
    try:
        _check_keys(config)
        settings = read_settings(config)
        if settings.suite_limits:
            from pytest_llmdiff.suites.limits import check_limits

            check_limits(settings.suite_limits)
        if not hasattr(config, "workerinput") and names_modules(config):
            from pytest_llmdiff.suites.selection import check_selection

            check_selection(config)
        session = with_models(Session(config, settings))
    except LLMDiffError as error:
        raise pytest.UsageError(f"llmdiff: {error}") from error
    config.stash[SESSION] = session
    config.pluginmanager.register(BriefErrors(), BRIEF_ERRORS)
    if hasattr(config, "workerinput") or not runs_tests(config):
        return
    if session.specs is None:
        config.pluginmanager.register(SkipCounter(session), CONTROLLER)
        return
    from pytest_llmdiff.plugin.controller import Controller

    config.pluginmanager.register(Controller(session), CONTROLLER)


def _check_keys(config: pytest.Config) -> None:
    """Look for misspelt ini keys, where there are any that could be this plugin's."""
    file = config.inipath
    given = [*map(str.encode, config.getoption("override_ini") or ())]
    if not any(b"llm" in text for text in (*given, b"" if file is None else file.read_bytes())):
        return
    from pytest_llmdiff.config.spelling import check_keys

    check_keys(config)


def with_models(session: Session) -> Session:
    """The session with the models that are given.

    Where they are given for every run (in `addopts`), or pytest only lists tests, models that are
    unusable are an error only once a selected test needs them.

    Raises:
        LLMDiffError: they are unusable.
    """
    try:
        require_both(session.settings)
        if session.settings.is_incomplete:
            from pytest_llmdiff.data.training.models import named_models

            named = named_models(session.settings)
            session.settings = named.settings
            session.notes += named.notes
        if session.settings.has_models:
            from pytest_llmdiff.suites.selection import suite_settings

            session.settings, notes = suite_settings(session.config, session.settings)
            session.notes += notes
            session.specs = checked_specs(session)
    except LLMDiffError as error:
        if isinstance(error, MissingPackageError):
            from pytest_llmdiff.plugin.needs import with_scorers

            error = ConfigError(with_scorers(error, session.settings))
        asked = models_typed(session.config) and runs_tests(session.config)
        if asked or session.settings.plan:
            raise error from None
        session.specs, session.served, session.unusable = None, None, error
    return session


def names_modules(config: pytest.Config) -> bool:
    """Whether an argument names a module, or is meant to: it is no path."""
    paths = (argument.partition("::")[0] for argument in config.args)
    return config.getoption("pyargs") or not all(map(os.path.exists, paths))


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


class Checked(Protocol):
    """What has its models checked: a session of pytest, or a pair that a script opens."""

    settings: Settings
    served: Spec | None
    notes: list[str]
    warnings: list[str]

    @property
    def worker(self) -> bool: ...
    @property
    def allowed(self) -> AllowedChanges: ...


def checked_specs(session: Checked) -> tuple[Spec, Spec]:
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


def check_training(session: Checked) -> None:
    settings = session.settings
    if settings.train_config is not None:
        from pytest_llmdiff.data.training.training import given_training

        given_training(settings)
    if settings.train_data is not None and not session.worker:
        from pytest_llmdiff.data.training.training import given_train_data

        # Reads all of it, which the controller does for its workers.
        data = given_train_data(settings)
        session.warnings += [] if data is None else data.left_out()


def header(session: Session) -> list[str]:
    if session.unusable is not None:
        return [f"llmdiff: no models: {session.unusable}"]
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


def check_needs(session: Session, items: Sequence[pytest.Item]) -> None:
    """Look for what the selected tests need before any of them runs.

    A worker leaves that to the controller, in which a usage error still ends the run as one.
    """
    config = session.config
    using = [item for item in items if uses_models(item)] if runs_tests(config) else []
    recorded = session.specs is not None and session.specs[1].kind == "replay"
    if not using or recorded or (session.specs is None and session.unusable is None):
        return
    from pytest_llmdiff.plugin.needs import MODELS, ROLES, needs_of, require

    needs = {MODELS}
    if session.unusable is None:
        # What was asked for on the command line is meant for this run.
        asked = {role for role in ROLES if session.settings.sources[role] == "command line"}
        needs = needs_of(using) | asked
    if hasattr(config, "workerinput"):
        session.worker_needs.leave(needs)
    else:
        require(needs, session)


def check_needs_of_workers(session: Session) -> None:
    given = session.specs is not None or session.unusable is not None
    if given and session.settings.store.exists():
        from pytest_llmdiff.plugin.needs import require

        require(session.worker_needs.take(), session)


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


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of ready-made suites in languages that nobody asked for."""
    session = config.stash[SESSION]
    if session.specs is None:
        return
    from pytest_llmdiff.suites.languages import split

    items[:], left, lines = split(items, session.settings)
    session.left_out += lines
    if left:
        config.hook.pytest_deselected(items=left)


def uses_models(item: pytest.Item) -> bool:
    """Whether a test requests any of the model fixtures."""
    requested = MODEL_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return any(is_ours(item, name) for name in requested)


class BriefErrors:
    """Shows errors without this plugin's frames. A plugin of its own, since it has to be inside of
    the wrappers that look at the exception (that of `xfail(raises=…)`)."""

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, Any, Any]:
        if call.excinfo is None:
            return (yield)
        from pytest_llmdiff.plugin.failures import shown_briefly

        with shown_briefly(item, call, item.config.stash[SESSION]):
            return (yield)


def attach_row(
    report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[Any]
) -> pytest.TestReport:
    """Put the row of a test that uses the models into its last report."""
    message = None
    if call.excinfo is not None:
        from pytest_llmdiff.plugin.failures import short_reason

        message = short_reason(report, call, item)
    if uses_models(item):
        facts: dict[str, Any] = {"uses_models": True}
        facts |= {} if message is None else {"message": message}
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

    A run that cannot write one of them fails, whatever its tests did. One that ends early is never
    green.
    """
    from pytest_llmdiff.plugin.signals import held_back

    with held_back():
        _finish(ended)


def _finish(ended: pytest.Session) -> None:
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
    good = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    controller: Any = config.pluginmanager.getplugin(CONTROLLER)
    if ended.exitstatus in good and controller is not None and controller.interrupted(ended):
        ended.exitstatus = pytest.ExitCode.INTERRUPTED
    session.exit_code = int(ended.exitstatus)
    if ended.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and runs_tests(config):
        session.closing.append(
            "llmdiff: no test was run. Ready-made ones need no file: "
            f"pytest --pyargs pytest_llmdiff.suites.quick {session.rerun_options}"
        )
    if ended.exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
        from pytest_llmdiff.reports.outcomes import end_unfinished

        session.warnings.append("the run ended before all of its tests had run")
        end_unfinished(session.rows)
    from pytest_llmdiff.plugin.outputs import REPORTS, write_outputs

    lines, complete = write_outputs(session, specs)
    session.closing += lines
    if not complete and ended.exitstatus in good:
        ended.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.exit_code = int(ended.exitstatus)
        write_outputs(session, specs, only=REPORTS)  # those that were written said it was green


def release(config: pytest.Config) -> None:
    """Drop the run: pytest's last garbage collections walk everything that is still alive."""
    session = config.stash.get(SESSION, None)
    if session is not None:
        for name in (CONTROLLER, BRIEF_ERRORS):
            if config.pluginmanager.hasplugin(name):
                config.pluginmanager.unregister(name=name)
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
