"""The shipped probes: complete, without duplicates, and in the form that their suites need."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

import pytest_llmdiff
from pytest_llmdiff.data.files.probe_files import ProbeRow, read_probe_file
from pytest_llmdiff.data.scored_texts import likelihood_pairs, ordinary_texts
from pytest_llmdiff.data.text import perturbations as perturbations
from pytest_llmdiff.data.text.answers import contains, options_of
from pytest_llmdiff.data.text.perturbations import forms

SUITES = Path(pytest_llmdiff.__file__).parent / "suites"
PROBES = sorted(
    file
    for pattern in ("*/probes-*.jsonl", "*/choices-*.jsonl", "bias/counterfactuals-*.jsonl")
    for file in SUITES.glob(pattern)
)
LIKELIHOODS = sorted(SUITES.glob("bias/likelihoods-*.jsonl"))
# Suite and first tag: how many there must be at least, in each language.
LEAST = {
    ("quick", "fact"): 7, ("quick", "safe"): 2, ("quick", "neutral"): 1,
    ("quick", "provocative"): 2,
    ("refusal", "safe"): 100, ("refusal", "unsafe"): 100,
    ("safety", "neutral"): 20, ("safety", "provocative"): 20, ("safety", "leading"): 20,
    ("retention", "facts"): 40, ("retention", "arithmetic"): 25, ("retention", "instructions"): 17,
    ("retention", "formatting"): 15, ("retention", "choice"): 20,
    **{("format", kind): 15 for kind in ("json", "choice", "pattern", "tool")},
    ("robustness", "original"): 70, ("robustness", "changed"): 70,
}  # fmt: skip
AXES = {
    "en": {"gender", "religion", "ethnicity", "age", "disability", "orientation"},
    "zh": {"gender", "region", "hukou", "age", "disability", "education", "ethnicity"},
}
TOPICS = {"voting", "marriage", "jobs", "housing", "school", "office", "health", "daily"}


def language_of(file: Path) -> str:
    return file.stem.rpartition("-")[2]


def prompt_of(row: ProbeRow) -> str:
    return row.messages[-1]["content"]


def is_chinese(text: str) -> bool:
    return any("一" <= character <= "鿿" for character in text)


@pytest.mark.parametrize("file", PROBES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_file_is_in_its_language_and_has_no_doubles(file: Path) -> None:
    rows = read_probe_file(file)
    assert {row.language for row in rows} == {language_of(file)}
    prompts = [prompt_of(row) for row in rows]
    assert [p for p, count in Counter(prompts).items() if count > 1] == []
    assert {is_chinese(prompt) for prompt in prompts} == {language_of(file) == "zh"}
    assert all(row.id is not None and row.id.isascii() and " " not in row.id for row in rows)


def test_ids_are_unique_over_all_suites() -> None:
    ids = [row.id for file in PROBES for row in read_probe_file(file)]
    ids += [pair["id"] for file in LIKELIHOODS for pair in pairs_of(file)]
    assert [name for name, count in Counter(ids).items() if count > 1] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_there_are_enough_of_each_kind(language: str) -> None:
    found: Counter[tuple[str, str]] = Counter()
    files = (f for f in PROBES if language_of(f) == language and f.parent.name != "bias")
    for file in files:
        found.update((file.parent.name, row.tags[0]) for row in read_probe_file(file))
    assert found.keys() == LEAST.keys()
    assert {key: count for key, count in found.items() if count < LEAST[key]} == {}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_refusal_probes_have_ten_kinds_on_either_side(language: str) -> None:
    kinds = Counter(
        row.tags for row in read_probe_file(SUITES / f"refusal/probes-{language}.jsonl")
    )
    assert Counter(side for side, _ in kinds) == {"safe": 10, "unsafe": 10}
    assert min(kinds.values()) >= 10


@pytest.mark.parametrize("language", ["en", "zh"])
def test_retention_probes_have_references(language: str) -> None:
    letters: Counter[str | None] = Counter()
    for row in read_probe_file(SUITES / f"retention/probes-{language}.jsonl"):
        assert row.reference
        assert not options_of(prompt_of(row), row.reference)
        assert contains(f"It is {row.reference}.", row.reference)
    for row in read_probe_file(SUITES / f"retention/choices-{language}.jsonl"):
        letters[row.reference] += 1
        options = options_of(prompt_of(row), row.reference or "")
        assert len(set(options.values())) == 4
    # A model that always says the same letter must not look as if it knew.
    assert letters == dict.fromkeys("ABCD", 5)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_robustness_probes_are_prompts_and_the_forms_that_the_functions_make(language: str) -> None:
    rows = read_probe_file(SUITES / f"robustness/probes-{language}.jsonl")
    kinds: Counter[str] = Counter()
    for original, changed in zip(rows[::2], rows[1::2], strict=True):
        assert original.cluster == changed.cluster == original.id
        assert (original.tags[0], changed.tags[0]) == ("original", "changed")
        (kind,) = {original.tags[1], changed.tags[1]}
        made = forms(prompt_of(original), [getattr(perturbations, kind)])
        assert (kind, prompt_of(changed)) in made
        kinds[kind] += 1
    known = perturbations.ENGLISH if language == "en" else perturbations.CHINESE
    assert set(kinds) == {perturbation.__name__ for perturbation in known}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_counterfactuals_are_pairs_that_differ_in_one_group(language: str) -> None:
    clusters: dict[str | None, list[ProbeRow]] = defaultdict(list)
    for row in read_probe_file(SUITES / f"bias/counterfactuals-{language}.jsonl"):
        clusters[row.cluster].append(row)
    assert len(clusters) >= 100
    assert None not in clusters
    for first, second in clusters.values():
        assert first.tags[:2] == second.tags[:2]
        one, other = differing(prompt_of(first), prompt_of(second))
        assert one
        assert other
        assert max(len(one.split()), len(other.split())) <= 5
    assert {row.tags[0] for rows in clusters.values() for row in rows} == AXES[language]
    assert {row.tags[1] for rows in clusters.values() for row in rows} == TOPICS


def pairs_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("file", LIKELIHOODS, ids=lambda file: file.stem)
def test_likelihood_pairs_differ_in_one_place(file: Path) -> None:
    pairs = pairs_of(file)
    assert len(pairs) >= 100
    sentences = []
    for pair in pairs:
        assert sorted(pair) == ["anti_stereotype", "id", "language", "stereotype", "tags"]
        assert pair["language"] == language_of(file)
        assert pair["id"].isascii()
        one, other = differing(pair["stereotype"], pair["anti_stereotype"])
        assert one != other
        assert len(one.split()) <= 3
        sentences += [pair["stereotype"], pair["anti_stereotype"]]
    assert len(set(sentences)) == len(sentences)
    assert {pair["tags"][0] for pair in pairs} == AXES[language_of(file)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_ordinary_texts_are_in_their_language(language: str) -> None:
    probes = ordinary_texts(SUITES / f"retention/texts-{language}.jsonl")
    assert len({probe.prompt for probe in probes}) == len({probe.id for probe in probes}) == 50
    assert {probe.language for probe in probes} == {language}
    assert {is_chinese(probe.prompt) for probe in probes} == {language == "zh"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_questions_of_rights_are_as_often_to_be_answered_yes_as_no(language: str) -> None:
    probes = likelihood_pairs(SUITES / f"bias/rights-{language}.jsonl")
    kinds = Counter(probe.tags[0] for probe in probes[::2])
    assert kinds == {"granting": 36, "denying": 36}
    assert {probe.tags[1] for probe in probes} == AXES[language]
    for taking, granting in zip(probes[::2], probes[1::2], strict=True):
        assert taking.cluster == granting.cluster
        assert taking.messages[:-1] == granting.messages[:-1]
        assert taking.prompt != granting.prompt


def differing(one: str, other: str) -> tuple[str, str]:
    """What is between the common beginning and the common end: words, or Chinese characters."""
    join = "" if is_chinese(one) else " "
    a, b = (list(text) if is_chinese(one) else text.split() for text in (one, other))
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return join.join(a), join.join(b)
