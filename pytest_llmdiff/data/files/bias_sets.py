"""Reads published bias sets (CrowS-Pairs, BBQ, Winogender) as pairs of texts."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pytest_llmdiff.data.files.formats import read_records
from pytest_llmdiff.data.files.records import Kind, Record, check_unique, file_error
from pytest_llmdiff.data.files.text_files import TextRow, choice, needed, pair_rows
from pytest_llmdiff.data.messages import Message

ANSWERS = ("ans0", "ans1", "ans2")
METADATA = "additional_metadata.csv"
PRONOUNS = {
    "male": {"$NOM_PRONOUN": "he", "$POSS_PRONOUN": "his", "$ACC_PRONOUN": "him"},
    "female": {"$NOM_PRONOUN": "she", "$POSS_PRONOUN": "her", "$ACC_PRONOUN": "her"},
}
SENTENCES = ("sentid", "sentence")
TEMPLATES = ("occupation(0)", "other-participant(1)", "answer", "sentence")


def read_crows_pairs(path: Path) -> list[TextRow]:
    """CrowS-Pairs (Nangia et al. 2020, arXiv 2010.00133): the more stereotyping sentence
    (`sent_more`) and the less stereotyping one (`sent_less`). Bias type and direction are tags.

    Raises:
        ProbeFileError: the file is malformed.
    """
    columns = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")
    found: list[TextRow] = []
    for record in read_records(path, _kind("pair", columns)):
        direction = choice(record, "stereo_antistereo", ("stereo", "antistereo"))
        tags = (needed(record, "bias_type"), direction)
        texts = (needed(record, "sent_more"), needed(record, "sent_less"))
        found += pair_rows(f"crows-{record.number}", texts, tags=tags, language="en")
    return found


def read_bbq(path: Path, metadata: Path | None) -> tuple[list[TextRow], int]:
    """BBQ (Parrish et al. 2022, arXiv 2110.08193): the stereotyped answer and the other group's,
    after context and question; and how many questions are left out.

    The stereotyped answer is the `target_loc` of BBQ's additional_metadata.csv: `metadata`, or the
    file where BBQ's repository has it. Without the file, or where it names none, it is the answer
    whose group, or else whose name, is among the question's stereotyped groups. Questions are left
    out if neither tells.

    Raises:
        ProbeFileError: a file is malformed, or no question is left.
    """
    columns = (
        "context", "question", *ANSWERS, "answer_info", "label", "question_polarity",
        "context_condition", "category", "additional_metadata",
    )  # fmt: skip
    places = (path.parent.parent / "analysis_scripts", path.parent)
    beside = (place / METADATA for place in places)
    file = metadata or next((place for place in beside if place.is_file()), None)
    targets = {} if file is None else _targets(file)
    read = [list(_bbq(r, targets)) for r in read_records(path, _kind("question", columns))]
    found = [row for rows in read for row in rows]
    if not found:
        hint = "" if file is not None else f"; give {METADATA} of BBQ's repository, which does"
        raise file_error(f"{path}", f"no question shows which of its answers is stereotyped{hint}")
    return found, sum(not rows for rows in read)


def _targets(file: Path) -> dict[tuple[str, str], str]:
    """The stereotyped answer by category and example_id. Its index counts for both polarities."""
    found = {}
    for record in read_records(file, _kind("example", ("category", "example_id", "target_loc"))):
        index = str(record.values.get("target_loc") or "")
        if index in ("", "NA"):
            continue
        number = re.fullmatch(r"([012])(?:\.0)?", index)
        if number is None:
            raise record.error(f"got {index!r}; expected 0, 1 or 2", column="target_loc")
        key = (needed(record, "category").lower(), needed(record, "example_id"))
        found[key] = ANSWERS[int(number[1])]
    return found


def _bbq(record: Record, targets: Mapping[tuple[str, str], str]) -> Iterator[TextRow]:
    polarity = choice(record, "question_polarity", ("neg", "nonneg"))
    condition = choice(record, "context_condition", ("ambig", "disambig"))
    category = needed(record, "category")
    prompt = f"{needed(record, 'context')} {needed(record, 'question')}"
    answers = {name: needed(record, name) for name in ANSWERS}
    info = _info(record)
    people = [name for name in ANSWERS if info[name][-1] != "unknown"]
    first = targets.get((category.lower(), str(record.values.get("example_id"))))
    if first is None:
        first = _stereotyped(record, info, people, polarity)
    if len(people) != 2 or first not in people:
        return
    second = next(name for name in people if name != first)
    yield from pair_rows(
        f"bbq-{category}-{record.number}", (answers[first], answers[second]),
        before=(Message(role="user", content=prompt),), tags=(category, condition, polarity),
        language="en",
    )  # fmt: skip


def _stereotyped(
    record: Record, info: Mapping[str, Sequence[str]], people: Sequence[str], polarity: str
) -> str | None:
    """The answer of the group that the question names as stereotyped; None if not just one is."""
    metadata = record.values["additional_metadata"]
    named = metadata.get("stereotyped_groups") if isinstance(metadata, dict) else None
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise record.error(
            f"got {reprlib.repr(metadata)}; expected an object with a list stereotyped_groups",
            column="additional_metadata",
        )
    wanted = {name.lower() for name in named}
    groups = {n: {info[n][-1], *info[n][-1].replace("_", "-").split("-")} for n in people}
    # The groups of Nationality are regions, and its stereotypes are about the nationalities.
    for words in (groups, {name: {info[name][0]} for name in people}):
        marked = [name for name in people if wanted & words[name]]
        if len(people) == 2 and len(marked) == 1:
            # A negative question stereotypes the named group, a positive one the other group.
            return marked[0] if polarity == "neg" else next(n for n in people if n != marked[0])
    return None


def _info(record: Record) -> dict[str, list[str]]:
    """The words about each answer in lower case: first whom it names, last the group."""
    info = record.values["answer_info"]
    found = {}
    for name in ANSWERS:
        entry = info.get(name) if isinstance(info, dict) else None
        if not isinstance(entry, list) or not entry or not all(isinstance(e, str) for e in entry):
            raise record.error(
                f"got {reprlib.repr(info)}; expected an object with a list of texts for each of "
                f"{', '.join(ANSWERS)}, the group last",
                column="answer_info",
            )
        found[name] = [word.lower() for word in entry]
    return found


def read_winogender(path: Path, first: str) -> list[TextRow]:
    """Winogender schemas (Rudinger et al. 2018, arXiv 1804.09301): each sentence with male and with
    female pronouns, those of the gender `first` first; `all_sentences.tsv` or `templates.tsv`.

    Raises:
        ProbeFileError: the file is malformed.
    """
    filled = dict[str, dict[str, str]]()
    for record in read_records(path, _kind("sentence", SENTENCES, TEMPLATES)):
        read = _sentence if "sentid" in record.values else _template
        for name, gender, text in read(record):
            filled.setdefault(name, {})[gender] = text
    second = next(gender for gender in PRONOUNS if gender != first)
    found: list[TextRow] = []
    for name, texts in filled.items():
        if missing := {first, second} - set(texts):
            raise file_error(f"{path}", f"{name} has no {' or '.join(missing)} sentence")
        tags = (name.split(".")[0],)
        found += pair_rows(name, (texts[first], texts[second]), tags=tags, language="en")
    return found


def _sentence(record: Record) -> Iterator[tuple[str, str, str]]:
    parts = needed(record, "sentid").removesuffix(".txt").split(".")
    if len(parts) != 4 or parts[3] not in (*PRONOUNS, "neutral"):
        raise record.error(
            f"got {'.'.join(parts)!r}; expected OCCUPATION.PARTICIPANT.ANSWER.GENDER.txt with the "
            "gender male, female or neutral",
            column="sentid",
        )
    if parts[3] in PRONOUNS:
        yield ".".join(parts[:3]), parts[3], needed(record, "sentence")


def _template(record: Record) -> Iterator[tuple[str, str, str]]:
    occupation, participant = (needed(record, name) for name in TEMPLATES[:2])
    answer = choice(record, "answer", ("0", "1"))
    text = needed(record, "sentence")
    if not any(pronoun in text for pronoun in PRONOUNS["male"]):
        raise record.error(
            f"got {reprlib.repr(text)}; expected one of {', '.join(PRONOUNS['male'])} in it",
            column="sentence",
        )
    text = text.replace("$OCCUPATION", occupation).replace("$PARTICIPANT", participant)
    for gender, pronouns in PRONOUNS.items():
        filled = text
        for slot, pronoun in pronouns.items():
            filled = filled.replace(slot, pronoun)
        yield f"{occupation}.{participant}.{answer}", gender, filled


def _kind(noun: str, *allowed: tuple[str, ...]) -> Kind:
    """A file whose records have at least the columns of one of the allowed sets."""
    expected = " or ".join(", ".join(columns) for columns in allowed)

    def check(place: str, names: Iterable[str]) -> None:
        names = list(names)
        check_unique(place, names)
        if not any(set(columns) <= set(names) for columns in allowed):
            missing = ", ".join(name for name in allowed[0] if name not in names)
            raise file_error(place, f"no column {missing}; expected the columns {expected}")

    columns = f"the columns {expected}"
    return Kind(noun=noun, example="{...}", columns=columns, check_columns=check)
