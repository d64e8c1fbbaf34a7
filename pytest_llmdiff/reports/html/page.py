"""Makes the page from the facts of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from pytest_llmdiff.config.options import PLACES
from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.data.text.printing import duration, number
from pytest_llmdiff.reports.answer import answer_of
from pytest_llmdiff.reports.html.charts import HEIGHT, WIDTH, distributions, intervals
from pytest_llmdiff.reports.html.entries import entries, link_of, suite_of, tags_of
from pytest_llmdiff.reports.html.explorations import exploration
from pytest_llmdiff.reports.html.maps import leave_out_maps
from pytest_llmdiff.reports.html.parts import (
    charting,
    embedded,
    part,
    policy,
    rendered,
    script,
    style,
)
from pytest_llmdiff.reports.html.why import also, causes_by_test, whys, worst_pairs
from pytest_llmdiff.reports.order import OPEN, URGENCY, worst_first
from pytest_llmdiff.reports.outcomes import counts, kind_of
from pytest_llmdiff.reports.run_facts import RunFacts
from pytest_llmdiff.reports.run_notes import accepted_notes, chance_lines, run_notes

PLAIN = 100  # tests without JavaScript
SETS = 40
GROUPS = 30
COMMIT = 10  # digits


def page(facts: RunFacts) -> str:
    """The whole page. Model output is either escaped by the template, or data that the script sets
    as text."""
    from markupsafe import Markup

    rows = worst_first(facts.rows.values())
    order = {test: place for place, test in enumerate(facts.rows)}
    answer = answer_of(facts)
    models = {tuned: name for name, tuned in facts.models.items()}
    causes_of = {} if answer is None else causes_by_test(answer)
    tests = entries(rows, order, causes_of, models)
    leave_out_maps(tests)
    plots, sets = distributions(rows), intervals(list(_sets(rows))[:SETS])
    charts = [charting()] if plots or sets else []
    causes = [] if answer is None else whys(answer, rows, plots)
    explorations = [
        (row["test"], exploration(found)) for row in rows for found in row["explorations"]
    ]
    data = {
        "options": facts.options,
        "causes": {str(why.number): why.cause.text for why in causes if why.cause.of},
        "tests": tests,
        "sets": sets,
    }
    return rendered(
        (part("themes.html") if explorations else "") + part("page.html"),
        policy=policy(scripts=[*charts, script()], styles=[style()]),
        charts=Markup("".join(charts)),
        script=Markup(script()),
        style=Markup(style()),
        data=Markup(embedded(data)),
        version=installed_version("pytest-llmdiff"),
        facts=facts,
        kinds=_kinds(facts),
        total=len(rows),
        given=_given(facts),
        answer=answer,
        about=list(_about(facts)),
        whys=causes,
        also=[] if answer is None else also(answer),
        pairs=[] if answer is None else worst_pairs(tests),
        notes=[
            *facts.warnings,
            *accepted_notes(facts),
            *run_notes(facts),
            *chance_lines(facts.chance),
        ],
        explorations=explorations,
        distributions=plots,
        sets=sets,
        groups=_groups(rows),
        plain=[test for test in tests if test["kind"] in OPEN][:PLAIN],
        models=_ranking(facts) if facts.models else (),
        width=WIDTH,
        height=HEIGHT,
    )


def _kinds(facts: RunFacts) -> list[dict[str, Any]]:
    """Outcomes with their share of the tests, the urgent ones first, and where each bar begins."""
    numbers = counts(facts.rows)
    total, start, kinds = max(1, sum(numbers.values())), 0.0, []
    for kind in URGENCY:
        if numbers[kind]:
            share = 100 * numbers[kind] / total
            kinds.append({"name": kind, "css": kind.replace(" ", "-"), "count": numbers[kind],
                          "x": round(start, 3), "width": round(share, 3)})  # fmt: skip
            start += share
    return kinds


def _ranking(facts: RunFacts) -> list[Any]:
    """The sections of the ranking of several tuned models."""
    from pytest_llmdiff.reports.diff.forms.sections import MODEL, ranking_sections
    from pytest_llmdiff.reports.diff.models import models_ranking

    ranking = models_ranking(facts)
    return [] if ranking is None else list(ranking_sections(ranking, MODEL))


def _about(facts: RunFacts) -> Iterator[tuple[str, str]]:
    """When, of which commit, how long and where a run was, as far as known."""
    if facts.started is not None:
        at = datetime.fromtimestamp(facts.started).astimezone()
        yield "date", at.strftime("%Y-%m-%d %H:%M %Z")
    if facts.commit:
        yield "commit", facts.commit[:COMMIT]
    if facts.seconds:
        yield "took", duration(facts.seconds)
    if device := facts.resolved.get("device"):
        yield "on", device


def _given(facts: RunFacts) -> list[tuple[str, str]]:
    """The device and the like that the run used, and the settings that are not defaults."""
    settings = facts.settings
    given = [
        (name, f"{settings.tuned_text if name == 'tuned' else getattr(settings, name)} ({source})")
        for name, source in settings.sources.items()
        if source != "default" and name not in PLACES and getattr(settings, name) is not None
    ]
    return [*facts.resolved.items(), *given]


def _sets(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for row in rows:
        for verdict in row["verdicts"]:
            if verdict["set"]:
                yield row["test"], link_of(row["test"]), verdict


def _groups(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """For each tag and suite, the number of tests by outcome and the medians of measures."""
    names: dict[str, int] = {}
    for row in rows:
        for verdict in row["verdicts"]:
            if verdict["set"] is None and verdict["probe"] is not None:
                names[verdict["name"]] = names.get(verdict["name"], 0) + 1
    measures = sorted(names, key=lambda name: -names[name])
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        for tag in tags_of(row):
            groups.setdefault(("tag", tag), []).append(row)
        groups.setdefault(("suite", suite_of(row["test"])), []).append(row)
    largest = sorted(groups.items(), key=lambda item: (item[0][0] == "suite", -len(item[1])))
    return {
        "measures": measures,
        "rows": [_group(of, name, held, measures) for (of, name), held in largest[:GROUPS]],
        "left": max(0, len(largest) - GROUPS),
    }


def _group(
    of: str, name: str, rows: Sequence[dict[str, Any]], measures: Sequence[str]
) -> dict[str, Any]:
    kinds = [kind_of(row) for row in rows]
    medians = []
    for measure in measures:
        values = [
            verdict["value"]
            for row in rows
            for verdict in row["verdicts"]
            if verdict["name"] == measure and not verdict["set"] and verdict["value"] is not None
        ]
        medians.append(number(median(values)) if values else "")
    return {
        "of": of,
        "name": name,
        "count": len(rows),
        "bad": sum(kind in ("regressed", "failed", "error") for kind in kinds),
        "open": sum(kind in ("inconclusive", "not judged") for kind in kinds),
        "passed": kinds.count("passed"),
        "medians": medians,
    }
