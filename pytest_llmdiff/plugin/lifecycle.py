"""What the hooks do: settings in, rows out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.options import OPTIONS
from pytest_llmdiff.config.settings import only_plans, read_settings, require_apart, runs_tests
from pytest_llmdiff.errors import ConfigError, LLMDiffError, StoreError
from pytest_llmdiff.plugin.fixtures import MODEL_FIXTURES
from pytest_llmdiff.plugin.marker import asks_for_divergence, is_ours, is_set, probes_of
from pytest_llmdiff.plugin.session import SESSION, Session, case_of

GATHERING = "llmdiff-gathering"
# Those that are pytest's alone; the others may hold no pytest settings.
INI_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")


def configure(config: pytest.Config) -> None:
    """Check options and SPECs where a usage error works under xdist too: before the workers."""
    try:
        settings = read_settings(config)
        require_ini_found(config)
        if settings.suite_limits:
            from pytest_llmdiff.suites.limits import check_limits

            check_limits(settings.suite_limits)
        if config.getoption("pyargs") and not hasattr(config, "workerinput"):
            from pytest_llmdiff.suites.selection import check_selection

            check_selection(config)
        session = Session(config, settings)
        if settings.base is not None and settings.tuned is not None:
            session.specs = checked_specs(session)
    except LLMDiffError as error:
        raise pytest.UsageError(f"llmdiff: {error}") from error
    config.stash[SESSION] = session
    if hasattr(config, "workerinput") or not runs_tests(config):
        return
    if session.specs is None:
        config.pluginmanager.register(WithoutModels(session), GATHERING)
        return
    from pytest_llmdiff.plugin.controller import Gathering

    config.pluginmanager.register(Gathering(session), GATHERING)


class WithoutModels:
    """Counts the tests that were skipped for want of models, in whatever process."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.session.skipped += report.skipped and hasattr(report, "llmdiff")


def require_ini_found(config: pytest.Config) -> None:
    """Refuse to run without the project's configuration.

    Before it knows a plugin's options, pytest takes `--llm-tuned PATH` for an option without a
    value and a test path, and looks for its configuration from there. A model outside the project
    would silently switch every setting off; `--llm-tuned=PATH` cannot be misread. The same goes
    for every option that may name a file.

    Raises:
        ConfigError: that has happened.
    """
    here = Path(config.invocation_params.dir)
    folders = (here, *here.parents)
    if config.inipath is not None or config.getoption("inifilename"):
        return
    words = list(config.invocation_params.args)
    valued = (option.flag for option in OPTIONS if not option.is_flag)
    for flag in ("--llm-base", "--llm-tuned", "--llm-served", *valued):
        if flag not in words[:-1]:
            continue
        value = words[words.index(flag) + 1]
        missed = next((f / n for f in folders for n in INI_FILES if (f / n).is_file()), None)
        if missed is not None and (here / value).exists():
            raise ConfigError(
                f"pytest took {value}, the value of {flag}, for a test path outside the project "
                f"and has not read {missed}; write {flag}={value}"
            )


def prepare(config: pytest.Config) -> None:
    """A run that only plans collects and goes no further, in this process alone."""
    try:
        if only_plans(config):
            config.option.collectonly = True
    except ConfigError as error:
        raise pytest.UsageError(f"llmdiff: {error}") from error


def checked_specs(session: Session) -> Any:
    from pytest_llmdiff.config.specs import FILE_KINDS, given_tokenizer, parse_spec
    from pytest_llmdiff.engines.spec_checks import check_pair, check_spec
    from pytest_llmdiff.scorers.opening import check_scorer

    settings = session.settings
    base = parse_spec(settings.base or "", option="--llm-base", folder=settings.folder)
    tuned = parse_spec(settings.tuned or "", option="--llm-tuned", folder=settings.folder)
    check_pair(base, tuned, settings)
    if settings.calibrating:
        from pytest_llmdiff.engines.noise import check_noise

        check_noise(base)
        tuned = base
    if settings.served is not None:
        session.served = parse_spec(settings.served, option="--llm-served", folder=settings.folder)
        check_spec(session.served, "--llm-served", base, settings)
    served = None if session.served is None else session.served.path
    require_apart(vars(settings), {"base": base.path, "tuned": tuned.path, "served": served})
    session.allowed.check_files()
    check_scorer("toxicity", settings.toxicity, settings.folder_of("toxicity"))
    if settings.template is not None:
        from pytest_llmdiff.engines.files.sources import given_template

        given_template(settings)
    given_tokenizer(settings)
    check_training(session)
    if {base.kind, tuned.kind} <= set(FILE_KINDS):
        from pytest_llmdiff.engines.files.sources import template_note

        session.note = template_note(base, tuned, settings)
    return base, tuned


def check_training(session: Session) -> None:
    settings = session.settings
    if settings.train_config is not None:
        from pytest_llmdiff.data.training.training import given_training

        given_training(settings)
    if settings.train_data is not None and not hasattr(session.config, "workerinput"):
        from pytest_llmdiff.data.training.training import given_train_data

        given_train_data(settings)  # read whole: once is enough


def header(session: Session) -> list[str]:
    if session.specs is None:
        return []
    from pytest_llmdiff.reports.terminal.summary import header_lines

    return header_lines(session.settings, session.note)


def expect(session: Session, items: Sequence[pytest.Item]) -> None:
    """Plan what will run: the probes of the selected tests, in their order."""
    probed = [(item, probes) for item in items if (probes := probes_of(item))]
    for item, probes in probed:
        if is_set(item):
            probes = [again for probe in probes for again in session.plan.repeats(probe)]
        session.expect(probes)
    if any(map(asks_for_divergence, {getattr(item, "function", None) for item, _ in probed})):
        session.expect_divergences()
    if session.settings.plan and session.specs is not None:
        from pytest_llmdiff.plugin.preview import outlook

        sets = {case_of(item): probes for item, probes in probed if is_set(item)}
        session.closing += outlook(session, sets)


def collected(session: Session, items: Sequence[pytest.Item]) -> None:
    """Warn of accepted changes that match none of the collected probes, before any is deselected.

    Not where single tests are named: pytest collects those alone.
    """
    config = session.config
    named = any("::" in argument for argument in config.args)
    if session.specs is None or named or not session.allowed.accepted:
        return
    from pytest_llmdiff.verdicts.accepted import unmatched

    found: dict[str, set[str]] = {}
    for item in items:
        digests = {session.plan.with_system(probe).digest for probe in probes_of(item)}
        found.setdefault(case_of(item), set()).update(digests)
    for entry in unmatched(session.allowed.accepted.values(), found, config.rootpath):
        session.warnings.append(
            f"{session.settings.accepted.name}: the entry for {entry.probe} of {entry.test} "
            "matches no probe any more; remove it, or accept the new probe"
        )


def uses_models(item: pytest.Item) -> bool:
    """Whether a test asks for any of the fixtures of models."""
    asked = MODEL_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return any(is_ours(item, name) for name in asked)


def attach(report: pytest.TestReport, item: pytest.Item) -> pytest.TestReport:
    """Let the facts of a test that used the models travel with its last report."""
    if uses_models(item):
        facts: dict[str, Any] = {"uses_models": True}
        session = item.config.stash[SESSION]
        kept = None if session.test is None else session.test.kept
        if report.when == "call" and report.passed and kept is not None:
            tolerate(report, kept.inconclusive, session.settings.inconclusive)
        if report.when == "teardown":
            from pytest_llmdiff.reports.rerun import rerun_target

            facts |= {} if kept is None else kept.row()
            facts["case"] = case_of(item)
            facts["target"] = rerun_target(item.config, item)
        # Attributes of a report are serialised by xdist; properties would go to JUnit whole. Half
        # of a surrogate pair, which a server may send, is an internal error of xdist's.
        travels = hasattr(item.config, "workerinput")
        report.__dict__["llmdiff"] = json.dumps(facts) if travels else facts
    return report


def tolerate(report: pytest.TestReport, inconclusive: Sequence[str], how: str) -> None:
    """Make an expected failure of a test that passed but for sets that were too small to tell."""
    if inconclusive and how == "xfail":
        report.outcome = "skipped"
        report.__dict__["wasxfail"] = f"inconclusive: {', '.join(dict.fromkeys(inconclusive))}"


def finish(ended: pytest.Session) -> None:
    """Free the models; on the controller, write the files that were asked for.

    A run that could not write one has failed, whatever its tests did.
    """
    config = ended.config
    session = config.stash[SESSION]
    specs = None if hasattr(config, "workerinput") else session.specs
    try:
        session.finish()
        if specs is not None and config.pluginmanager.hasplugin("dsession"):
            session.stop.forget()
    except StoreError as error:
        session.warnings.append(str(error))
    if specs is None:
        return
    session.exit_code = int(ended.exitstatus)
    if ended.exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
        session.warnings.append("the run ended before all of its tests had run")
    from pytest_llmdiff.plugin.outputs import write_outputs

    lines, whole = write_outputs(session, specs)
    session.closing += lines
    if not whole and ended.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        ended.exitstatus = pytest.ExitCode.TESTS_FAILED


def release(config: pytest.Config) -> None:
    """Let go of the run: pytest's last garbage collections look at all that is still alive."""
    session = config.stash.get(SESSION, None)
    if session is not None:
        if config.pluginmanager.hasplugin(GATHERING):
            config.pluginmanager.unregister(name=GATHERING)
        del config.stash[SESSION]
        session.release()


def summary(terminalreporter: Any, session: Session) -> None:
    if not (session.rows or session.skipped or session.closing):
        return
    if hasattr(session.config, "workerinput"):
        return  # a worker is asked for a summary as well, and nobody reads it
    from pytest_llmdiff.plugin.outputs import facts_of
    from pytest_llmdiff.reports.terminal.summary import write_summary

    write_summary(terminalreporter, facts_of(session))
    for line in session.closing:
        terminalreporter.write_line(line)
