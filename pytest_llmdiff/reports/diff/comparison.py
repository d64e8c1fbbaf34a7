"""Compares reports, two or more, and puts the result into any of its forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.reports.diff.diff import Changes, changes_between
from pytest_llmdiff.reports.diff.forms.as_json import changes_json, ranking_json
from pytest_llmdiff.reports.diff.forms.html import html_of
from pytest_llmdiff.reports.diff.forms.markdown import markdown_of
from pytest_llmdiff.reports.diff.forms.sections import Section, changes_sections, ranking_sections
from pytest_llmdiff.reports.diff.forms.text import changes_lines, ranking_lines
from pytest_llmdiff.reports.diff.ranked import Ranking
from pytest_llmdiff.reports.diff.ranking import ranking_of
from pytest_llmdiff.reports.diff.reading import read_report


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What two runs differ in, or the ranking of more."""

    facts: Changes | Ranking

    @property
    def got_worse(self) -> bool:
        return isinstance(self.facts, Changes) and self.facts.got_worse

    def lines(self) -> Iterable[str]:
        facts = self.facts
        return changes_lines(facts) if isinstance(facts, Changes) else ranking_lines(facts)

    def written(self, form: str) -> str:
        """As `html`, `markdown` or `json`."""
        if form == "json":
            facts = self.facts
            return changes_json(facts) if isinstance(facts, Changes) else ranking_json(facts)
        return (html_of if form == "html" else markdown_of)(self._sections())

    def _sections(self) -> Iterator[Section]:
        facts = self.facts
        return changes_sections(facts) if isinstance(facts, Changes) else ranking_sections(facts)


def compared(paths: Sequence[Path]) -> Compared:
    """
    Raises:
        ConfigError: a file is no report, is damaged or given twice, or has no tests.
    """
    reports = {str(path): read_report(path) for path in paths}
    for name, report in reports.items():
        if report.get("ranking") is not None:
            raise ConfigError(
                f"{name} is of several tuned models, and has their ranking; compare reports of "
                "runs with one --llm-tuned each"
            )
    if len(paths) == 2:
        old, new = (reports[str(path)] for path in paths)
        changes = changes_between(old, new)
        if not changes.tests[0]:
            raise ConfigError(f"{paths[0]} has no tests: there is nothing to compare with")
        return Compared(facts=changes)
    if len(reports) < len(paths):
        raise ConfigError("a report is given twice: a ranking needs different ones")
    ranking = ranking_of(reports)
    if empty := [row.report for row in ranking.rows if not row.outcomes]:
        raise ConfigError(f"{empty[0]} has no tests: there is nothing to rank")
    return Compared(facts=ranking)
