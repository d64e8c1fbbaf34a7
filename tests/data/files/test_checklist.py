"""CheckList's suites in their plain formats, written for these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff import ConfigError, ProbeFileError
from pytest_llmdiff.strategies import checklist_pairs, checklist_prompts

TEXTS = "It was a fine flight.\nIt was a fien flight.\nAwful food.\nAwfull food.\n"
PASSAGE = {"passage": "Ann is taller than Bob.", "question": "Who is taller?"}
QUESTIONS = 'id\tquestion1\tquestion2\n0\t"Why" is it?\tWhy is that?\n1\tIs it ""so""?\tIs it so?\n'
RECORDS = [
    {"text": text, "test_name": name, "test_case": case, "example_idx": index}
    for text, name, case, index in (
        ("fien", "typos", 0, 1), ("fine", "typos", 0, 0), ("fin", "typos", 0, 2),
        ("bad", "typos", 1, 0), ("bda", "typos", 1, 1), ("ok", "vocabulary", 0, 0),
    )
]  # fmt: skip


def written(folder: Path, name: str, content: Any) -> Path:
    file = folder / name
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_text(text, encoding="utf-8")
    return file


def lines_of(values: list[Any]) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


@pytest.mark.parametrize(
    ("name", "content", "prompt", "found"),
    [
        ("tests_n500", TEXTS, "{text}", TEXTS.splitlines()),
        ("tests_n500.txt", TEXTS.replace("\n", "\r\n"), "Is it good? {text}",
         [f"Is it good? {line}" for line in TEXTS.splitlines()]),
        ("tests_n500", QUESTIONS, "{question1} = {question2}",
         ['"Why" is it? = Why is that?', 'Is it ""so""? = Is it so?']),
        ("qqp.tsv", QUESTIONS, "{question2}", ["Why is that?", "Is it so?"]),
        ("squad.jsonl", lines_of([PASSAGE]), "{passage} {question}",
         ["Ann is taller than Bob. Who is taller?"]),
        ("squad.json", {"version": "fake", "data": [{"title": "", "paragraphs": [
            {"context": "Ann.", "qas": [{"question": "Who?", "id": "0"}]}]}]},
         "{passage} {question}", ["Ann. Who?"]),
        ("raw.jsonl", lines_of(["One.", "Two."]), "{text}", ["One.", "Two."]),
        ("raw.jsonl", lines_of([["a", "b"]]), "{question1}{question2}", ["ab"]),
        ("records.jsonl", lines_of(RECORDS), "{text}", [r["text"] for r in RECORDS]),
    ],
)  # fmt: skip
def test_prompts(tmp_path: Path, name: str, content: Any, prompt: str, found: list[str]) -> None:
    assert checklist_prompts(written(tmp_path, name, content), prompt) == found


def test_pairs_by_case(tmp_path: Path) -> None:
    file = written(tmp_path, "records.jsonl", lines_of(RECORDS))
    pairs = [("fine", "fien"), ("fine", "fin"), ("bad", "bda")]
    assert checklist_pairs(file) == pairs
    assert checklist_pairs(file, tests=["typos"]) == pairs
    assert checklist_prompts(file, tests=["vocabulary"]) == ["ok"]
    names = ",".join(RECORDS[0])
    rows = "\n".join(",".join(map(str, record.values())) for record in RECORDS)
    assert checklist_pairs(written(tmp_path, "records.csv", f"{names}\n{rows}\n")) == pairs


def test_pairs_by_lines(tmp_path: Path) -> None:
    file = written(tmp_path, "tests_n500", TEXTS)
    first, second = ("It was a fine flight.", "It was a fien flight."), ("Awful food.",
                                                                        "Awfull food.")  # fmt: skip
    assert checklist_pairs(file, each=2) == [first, second]
    assert checklist_pairs(file, each=2, lines=(3, 4)) == [second]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        (
            "sentiment_suite.pkl",
            "x",
            ProbeFileError,
            "a pickle, which could run any code",
        ),
        ("tests_n500", "", ProbeFileError, "the file is empty"),
        ("missing", None, ProbeFileError, "cannot be read as text"),
        (
            "qqp.tsv",
            QUESTIONS + "2\tone\n",
            ProbeFileError,
            "line 4: the number of cells is 2; exp",
        ),
        ("squad.jsonl", "{\n", ProbeFileError, "line 1, column 2: broken JSON"),
        ("squad.jsonl", "5\n", ProbeFileError, "line 1: got 5; expected a text, two questions"),
        ("squad.json", {"data": [{}]}, ProbeFileError, "record 1: .*paragraphs.* expected SQuAD"),
        ("squad.jsonl", lines_of([PASSAGE]), ConfigError, "their fields are passage, question"),
    ],
)
def test_files_that_are_none(
    tmp_path: Path, name: str, content: Any, error: type[Exception], message: str
) -> None:
    file = tmp_path / name if content is None else written(tmp_path, name, content)
    prompt = "{question1}" if name == "qqp.tsv" else "{text}"
    with pytest.raises(error, match=message):
        checklist_prompts(file, prompt)


def test_pairs_that_cannot_be_told(tmp_path: Path) -> None:
    file = written(tmp_path, "tests_n500", TEXTS)
    with pytest.raises(ProbeFileError, match="nothing says which examples belong together"):
        checklist_pairs(file)
    with pytest.raises(ConfigError, match="4 examples cannot be split into cases of 3"):
        checklist_pairs(file, each=3)
    with pytest.raises(ConfigError, match="no example is left"):
        checklist_pairs(file, tests=["typos"])
    same = written(tmp_path, "same", "a\na\n")
    with pytest.raises(ConfigError, match="there are no pairs"):
        checklist_pairs(same, each=2)
