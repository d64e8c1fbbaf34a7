"""Training data: the examples that LLaMA-Factory makes of it, and probes out of them.

The expected examples of `ORACLE` are what LLaMA-Factory 0.9.5 makes of the same files; a test holds
them against it where the environment variable LLAMAFACTORY_PYTHON names its interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from pytest_llmdiff.data.llamafactory.datasets import (
    Dataset,
    Example,
    read_dataset,
    read_training_data,
    training_data_of,
)
from pytest_llmdiff.errors import ConfigError, LLMDiffError, ProbeFileError
from pytest_llmdiff.plugin.preparation.marker_probes import probes_of_marker
from tests.support import llamafactory_loader
from tests.support.projects import REFUND, Run

ROLE = {"role_tag": "role", "content_tag": "content", "user_tag": "user"}
OPENAI = {
    **ROLE, "assistant_tag": "assistant", "system_tag": "system", "observation_tag": "tool",
    "function_tag": "function_call",
}  # fmt: skip
ALPACA = [
    {
        "instruction": "Say hi", "input": "politely", "output": "Hello!", "system": "Be kind.",
        "history": [["Q1", "A1"], ["Q2", "A2"]],
    },
    {"instruction": "Only", "input": "", "output": "Yes", "system": "", "history": None},
    {"instruction": "", "input": "Query", "output": "", "system": "S", "history": []},
]  # fmt: skip
KTO = {"prompt": "instruction", "query": "input", "response": "output", "kto_tag": "label"}
RANKED = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}


def turns(*found: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": role, "value": content} for role, content in found]


def chat(*found: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in found]


def example(number: int, *messages: tuple[str, str], **answers: str) -> Example:
    return Example(
        number=number, messages=tuple(chat(*messages)), answer=answers.get("answer"),  # type: ignore[arg-type]
        rejected=answers.get("rejected"),
    )  # fmt: skip


def write(folder: Path, rows: Any, **entry: Any) -> Path:
    """A data folder with the entry `data`."""
    (folder / "data.json").write_text(json.dumps(rows), encoding="utf-8")
    info = {"data": {"file_name": "data.json", **entry}}
    (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


GOOD, BAD = {"from": "gpt", "value": "good"}, {"from": "gpt", "value": "bad"}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
OFF = ("system", "detailed thinking off")

ORACLE: dict[str, tuple[Any, dict[str, Any], list[Example], list[str]]] = {
    "alpaca, nothing mapped": (
        ALPACA,
        {},
        [
            example(1, ("user", "Say hi\npolitely"), answer="Hello!"),
            example(2, ("user", "Only"), answer="Yes"),
            example(3, ("user", "Query"), answer=""),
        ],
        [],
    ),
    "alpaca, all mapped": (
        ALPACA,
        {"columns": {"prompt": "instruction", "query": "input", "response": "output",
                     "system": "system", "history": "history"}},
        [
            example(
                1, ("system", "Be kind."), ("user", "Q1"), ("assistant", "A1"), ("user", "Q2"),
                ("assistant", "A2"), ("user", "Say hi\npolitely"), answer="Hello!",
            ),
            example(2, ("user", "Only"), answer="Yes"),
            example(3, ("system", "S"), ("user", "Query"), answer=""),
        ],
        [],
    ),
    "alpaca, the query unlisted": (
        ALPACA[:2],
        {"columns": {"prompt": "instruction", "response": "output"}},
        [example(1, ("user", "Say hi"), answer="Hello!"),
         example(2, ("user", "Only"), answer="Yes")],
        [],
    ),
    "alpaca, the response unlisted": (
        ALPACA[:1],
        {"columns": {"prompt": "instruction", "query": None}},
        [example(1, ("user", "Say hi"))],
        [],
    ),
    "alpaca, a column that some records lack": (
        [{"instruction": "A", "output": "B"}, {"instruction": "C", "input": "D", "output": "E"}],
        {},
        [example(1, ("user", "A"), answer="B"), example(2, ("user", "C\nD"), answer="E")],
        [],
    ),
    "alpaca, ranking": (
        [{"instruction": "Q", "chosen": "good", "rejected": "bad"},
         {"instruction": "Q2", "chosen": "good", "rejected": None}],
        {"ranking": True,
         "columns": {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}},
        [example(1, ("user", "Q"), answer="good", rejected="bad")],
        ["record 2: 'chosen' and 'rejected' are not both given"],
    ),
    "alpaca, kto": (
        [{"instruction": "Q", "input": "", "output": "good", "label": True},
         {"instruction": "Q2", "input": "x", "output": "bad", "label": False},
         {"instruction": "Q3", "input": "", "output": "ok", "label": None}],
        {"columns": KTO},
        [example(1, ("user", "Q"), answer="good"), example(2, ("user", "Q2\nx"), rejected="bad")],
        ["record 3: its 'label' is None, not true or false"],
    ),
    "sharegpt": (
        [
            {"conversations": turns(("human", "H1"), ("gpt", "G1"), ("human", "H2"), ("gpt", "G"))},
            {"conversations": turns(("human", "H1"), ("human", "H2"), ("gpt", "G2"))},
            {"conversations": turns(("gpt", "G1"), ("human", "H2"))},
            {"conversations": turns(("human", "H1"), ("gpt", "G1"), ("human", "H2"))},
            {"conversations": turns(("system", "SYS"), ("human", "H1"), ("gpt", "G1"))},
            {"conversations": []},
            {"conversations": turns(
                ("human", "H1"), ("function_call", "{}"), ("observation", "42"), ("gpt", "G"))},
            {"conversations": turns(("human", "H1"), ("bot", "G"))},
        ],
        {"formatting": "sharegpt"},
        [
            example(1, ("user", "H1"), ("assistant", "G1"), ("user", "H2"), answer="G"),
            example(5, ("system", "SYS"), ("user", "H1"), answer="G1"),
            example(7, ("user", "H1"), ("assistant", "{}"), ("tool", "42"), answer="G"),
        ],
        [
            "record 2: turn 2 has the role 'human'; it must be an answer",
            "record 3: turn 1 has the role 'gpt'; it must be a user's or a tool's",
            "record 4: it has 3 turns besides the system prompt: the last turn must be an answer",
            "record 6: it has no turns",
            "record 8: turn 2 has the role 'bot'; it must be an answer",
        ],
    ),
    "sharegpt, a column of system prompts": (
        [{"conversations": turns(("human", "H"), ("gpt", "G")), "system": "COL"},
         {"conversations": turns(("system", "SYS"), ("human", "H"), ("gpt", "G")),
          "system": "COL"}],
        {"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}},
        [example(1, ("system", "COL"), ("user", "H"), answer="G"),
         example(2, ("system", "SYS"), ("user", "H"), answer="G")],
        [],
    ),
    "sharegpt, the system tag unlisted": (
        [{"messages": chat(("system", "S"), ("user", "U"), ("assistant", "A"))},
         {"messages": chat(("user", "U"), ("assistant", "A"))}],
        {"formatting": "sharegpt", "columns": {"messages": "messages"},
         "tags": {**ROLE, "assistant_tag": "assistant"}},
        [example(2, ("user", "U"), answer="A")],
        ["record 1: turn 1 has the role 'system'; it must be a user's or a tool's"],
    ),
    "sharegpt, ranking": (
        [
            {"conversations": turns(("human", "H")), "chosen": GOOD, "rejected": BAD},
            {"conversations": turns(("human", "H"), ("gpt", "G")), "chosen": GOOD, "rejected": BAD},
            {"conversations": turns(("human", "H"), ("gpt", "G"), ("human", "I")),
             "chosen": GOOD, "rejected": None},
        ],
        {"formatting": "sharegpt", "ranking": True, "columns": RANKED},
        [example(1, ("user", "H"), answer="good", rejected="bad")],
        [
            "record 2: it has 2 turns besides the system prompt: the prompt must end in a "
            "user's turn",
            "record 3: 'chosen' and 'rejected' are not both given as one turn",
        ],
    ),
    "sharegpt, kto": (
        [{"conversations": turns(("human", "H"), ("gpt", "good")), "label": True},
         {"conversations": turns(("human", "H"), ("gpt", "bad")), "label": False}],
        {"formatting": "sharegpt",
         "columns": {"messages": "conversations", "kto_tag": "label"}},
        [example(1, ("user", "H"), answer="good"), example(2, ("user", "H"), rejected="bad")],
        [],
    ),
    "openai": (
        [
            {"messages": chat(("system", "S"), ("user", "U"), ("assistant", "A"))},
            {"messages": chat(("user", "U"), ("assistant", "A"))},
            {"messages": [
                *chat(("user", "U")),
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                *chat(("tool", "42"), ("tool", "43"), ("assistant", "A")),
            ]},
            {"messages": chat(("system", "detailed thinking on"), ("user", "U"),
                              ("assistant", "A"))},
            {"messages": chat(("user", "U"), ("user", "U2"), ("assistant", "A"))},
            {"messages": chat(("user", "U"), ("assistant", "A"), ("tool", "x"))},
        ],
        {"formatting": "openai", "columns": {"messages": "messages"}, "tags": OPENAI},
        [
            example(1, ("system", "S\ndetailed thinking off"), ("user", "U"), answer="A"),
            example(2, OFF, ("user", "U"), answer="A"),
            example(
                3, OFF, ("user", "U"),
                ("assistant", '[{"name": "f", "arguments": "{\\"a\\": 1}"}]'),
                ("tool", "42\n</tool_response>\n<tool_response>\n43"), answer="A",
            ),
            example(4, ("system", "detailed thinking on"), ("user", "U"), answer="A"),
            example(6, OFF, ("user", "U"), answer="A"),
        ],
        ["record 5: turn 2 has the role 'user'; it must be an answer"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "entry", "examples", "skipped"), ORACLE.values(), ids=list(ORACLE)
)
def test_what_llamafactory_makes_of_it(
    tmp_path: Path,
    rows: Any,
    entry: dict[str, Any],
    examples: list[Example],
    skipped: list[str],
) -> None:
    dataset = read_dataset(write(tmp_path, rows, **entry), "data")
    assert list(dataset.examples) == examples
    assert list(dataset.skipped) == skipped
    assert (dataset.name, dataset.path) == ("data", tmp_path / "data.json")


def test_llamafactory_itself_agrees(tmp_path: Path) -> None:
    python = os.environ.get("LLAMAFACTORY_PYTHON")
    if not python:
        pytest.skip("LLAMAFACTORY_PYTHON names no interpreter that has LLaMA-Factory")
    info = {}
    for name, (rows, entry, _, _) in ORACLE.items():
        file_name = name.replace(", ", "-").replace(" ", "-")
        (tmp_path / f"{file_name}.json").write_text(json.dumps(rows))
        info[file_name] = {**entry, "file_name": f"{file_name}.json"}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    done = subprocess.run(
        [python, str(Path(llamafactory_loader.__file__)), str(tmp_path)],
        capture_output=True, text=True, encoding="utf-8",
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    for found, (_, _, examples, _) in zip(loaded.values(), ORACLE.values(), strict=True):
        assert converted(found) == examples


def converted(found: dict[str, Any]) -> list[Example]:
    """LLaMA-Factory's own rows as examples, without those that its processors drop."""
    roles = {"observation": "tool", "function": "assistant"}
    examples = []
    for number, row in enumerate(found["rows"], 1):
        answers = [turn["content"] for turn in row["_response"]]
        if len(row["_prompt"]) % 2 == 0 or len(answers) < {"sft": 0}.get(found["stage"], 2):
            continue
        messages = [("system", row["_system"])] if row["_system"] else []
        messages += [(roles.get(t["role"], t["role"]), t["content"]) for t in row["_prompt"]]
        if found["stage"] == "kto" and not answers[0]:
            given = {"rejected": answers[1]}
        elif found["stage"] == "rm":
            given = {"answer": answers[0], "rejected": answers[1]}
        else:
            given = {"answer": answers[0]} if answers else {}
        examples.append(example(number, *messages, **given))
    return examples


@pytest.mark.parametrize(
    ("rows", "entry", "reason"),
    [
        (
            [{"instruction": " ", "input": "", "output": "B"}],
            {},
            "there is nothing to ask: message 1 (user) has blank content (' '); expected some text",
        ),
        (
            [{"conversations": turns(("human", "H")), "chosen": {"from": "human", "value": "x"},
              "rejected": BAD}],
            {"formatting": "sharegpt", "ranking": True, "columns": RANKED},
            "'chosen' has the role 'human'; it must be an answer",
        ),
    ],
)  # fmt: skip
def test_left_out_although_llamafactory_goes_on(
    tmp_path: Path, rows: list[Any], entry: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ProbeFileError) as caught:
        read_dataset(write(tmp_path, rows, **entry), "data")
    assert f"none of its 1 records (record 1: {reason})" in str(caught.value)


A = {"instruction": "A", "input": "", "output": "B"}


@pytest.mark.parametrize(
    ("rows", "entry", "message"),
    [
        ([{"instruction": "A", "output": "B"}], {}, "no record has the column 'input'"),
        ([A], {"columns": {"prompt": "question"}}, "no record has the column 'question'"),
        ([A], {"formatting": "chatml"}, "got the formatting 'chatml'; expected one of alpaca"),
        ([A], {"split": "train[:1]"}, "got the split 'train[:1]'"),
        ([A], {"ranking": True}, "does not say which column is 'chosen'"),
        ([A], {"columns": {"kto_tag": "label"}}, "does not say which column is 'response'"),
        ([A], {"columns": ["a"]}, "got the columns ['a']; expected an object of names"),
        ([A], {"file_name": "no.json"}, "no.json; expected a file or a folder of files"),
        ([A], {"file_name": None}, "got the file_name None"),
        ([{**A, "instruction": 5}], {}, "record 1, column 'instruction': got 5; expected text"),
        ([{**A, "system": 5}], {"columns": {"prompt": "instruction", "system": "system"}},
         "record 1: got the system prompt 5; expected text"),
        ([{**A, "history": [["x"]]}],
         {"columns": {"prompt": "instruction", "history": "history"}},
         "record 1, column 'history': got ['x']; expected pairs"),
        ([{"conversations": "Hi"}], {"formatting": "sharegpt"},
         "record 1, column 'conversations': got 'Hi'; expected a list of turns"),
        ([{"conversations": chat(("user", "U"))}], {"formatting": "sharegpt"},
         "expected an object with 'from' and 'value'"),
        ([{"conversations": turns(("human", "H"), ("gpt", None))}],  # type: ignore[arg-type]
         {"formatting": "sharegpt"}, "column 'conversations': got None; expected text"),
        ([{"messages": chat(("user", "U"), ("bot", "A"))}],
         {"formatting": "openai", "columns": {"messages": "messages"}, "tags": ROLE},
         "record 1, column 'messages': got the role 'bot'; expected one of the entry's tags: user"),
        ([{"messages": []}], {"formatting": "openai", "columns": {"tools": "t"}},
         "does not say which column is 'messages'"),
    ],
)  # fmt: skip
def test_what_llamafactory_cannot_load_or_is_not_text(
    tmp_path: Path, rows: list[Any], entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProbeFileError) as caught:
        read_dataset(write(tmp_path, rows, **entry), "data")
    assert message in str(caught.value)


IMAGE: dict[str, Any] = {
    "role": "user",
    "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}],
}
TOOL_CALL: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"function": {"name": "f"}}],
}


@pytest.mark.parametrize(
    ("good", "other", "entry", "reason"),
    [
        (A, {**A, "pictures": ["a.png"]},
         {"columns": {"prompt": "instruction", "images": "pictures"}}, "images (multimodal)"),
        (A, {**A, "tools": '[{"name": "f"}]'},
         {"columns": {"prompt": "instruction", "tools": "tools"}}, "tool definitions"),
        ({"messages": chat(("user", "U"), ("assistant", "A"))},
         {"messages": [IMAGE, *chat(("assistant", "A"))]},
         {"formatting": "openai", "columns": {"messages": "messages"},
          "tags": {**ROLE, "assistant_tag": "assistant"}}, "a list of parts"),
        (A, {**A, "images": ["a.png"]}, None, "images (multimodal)"),
        (A, {**A, "tools": [{"name": "f"}]}, None, "tool definitions"),
        ({"messages": chat(("user", "U"))}, {"messages": [IMAGE]}, None, "a list of parts"),
        ({"messages": chat(("user", "U"))}, {"messages": [*chat(("user", "U")), TOOL_CALL]}, None,
         "calls a tool"),
        ({"messages": chat(("user", "U"))},
         {"messages": chat(("user", "U")), "tools": [{"name": "f"}]}, None, "tool definitions"),
    ],
)  # fmt: skip
def test_what_is_not_only_text_is_left_out_and_counted(
    tmp_path: Path, good: Any, other: Any, entry: dict[str, Any] | None, reason: str
) -> None:
    def read(rows: list[Any]) -> Dataset:
        if entry is not None:
            return read_dataset(write(tmp_path, rows, **entry), "data")
        (tmp_path / "data.json").write_text(json.dumps(rows))
        return read_dataset(tmp_path / "data.json")

    dataset = read([good, other, good])
    assert [example.number for example in dataset.examples] == [1, 3]
    assert len(dataset.skipped) == 1
    assert dataset.skipped[0].startswith("record 2: ")
    assert reason in dataset.skipped[0]
    with pytest.raises(ProbeFileError, match="is a training example in text"):
        read([other])


@pytest.mark.parametrize(
    "key", ["hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"]
)
def test_data_that_is_not_on_this_machine(tmp_path: Path, key: str) -> None:
    place = write(tmp_path, [A], **{key: "a/b"}, split="train_sft")
    with pytest.raises(ConfigError) as caught:
        read_dataset(place, "data")
    assert f"its data is not on this machine ({key}: 'a/b'); download it" in str(caught.value)


# Files


def test_file_types_and_folders(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in (1, 2):
        lines = f'{json.dumps(A)}\n\n{{"instruction": "", "input": "", "output": ""}}\n'
        (folder / f"{number}.jsonl").write_text(lines)
    (tmp_path / "lines.json").write_text(f"{json.dumps(A)}\n{json.dumps(A)}\n")
    (tmp_path / "kto.csv").write_text(
        "instruction,input,output,label\nQ,,good,true\nR,x,bad,False\n"
    )
    table = pyarrow.Table.from_pylist([{"conversations": turns(("human", "H"), ("gpt", "G"))}])
    pyarrow.parquet.write_table(table, tmp_path / "chat.parquet")
    (tmp_path / "notes.txt").touch()
    info = {
        "parts": {"file_name": "parts"},
        "lines": {"file_name": "lines.json", "num_samples": 1},
        "kto": {"file_name": "kto.csv", "columns": KTO},
        "chat": {"file_name": "chat.parquet", "formatting": "sharegpt"},
        "notes": {"file_name": "notes.txt"},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    parts, jsonl, kto, chats = read_training_data(
        "dataset_info.json#parts, lines,kto,chat", tmp_path
    )
    plain = example(1, ("user", "A"), answer="B")
    assert parts.examples == (plain, plain)
    assert [reason.partition(":")[0] for reason in parts.skipped] == [
        "1.jsonl, line 3", "2.jsonl, line 3",
    ]  # fmt: skip
    assert [found.number for found in jsonl.examples] == [1, 2]
    assert kto.examples == (
        example(1, ("user", "Q"), answer="good"),
        example(2, ("user", "R\nx"), rejected="bad"),
    )
    assert chats.examples == (example(1, ("user", "H"), answer="G"),)
    with pytest.raises(ProbeFileError, match=r"files that end in \.txt are not supported"):
        read_training_data(f"{tmp_path}#notes", Path())
    (folder / "3.csv").write_text("instruction\nA\n")
    with pytest.raises(ProbeFileError, match=r"end in \.csv, \.jsonl are not supported"):
        read_dataset(tmp_path, "parts")


@pytest.mark.parametrize("place", [".", "sub"])
def test_a_dataset_info_beside_or_above_decides_the_format(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    file = tmp_path / place / "support.json"
    file.write_text(json.dumps([{"question": "Q", "answer": "R", "instruction": "no"}]))
    entry = {"file_name": f"{place}/support.json",
             "columns": {"prompt": "question", "response": "answer"}}  # fmt: skip
    info = {"hub": {"hf_hub_url": "x"}, "support": entry}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    (dataset,) = read_training_data(f"{place}/support.json", tmp_path)
    assert dataset.name == "support"
    assert dataset.examples == (example(1, ("user", "Q"), answer="R"),)

    info["again"] = {"file_name": f"{place}/support.json"}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(ConfigError, match=r"describes this file differently as support, again;"):
        read_dataset(file)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "A", "output": "B", "id": 3}, example(1, ("user", "A"), answer="B")),
        ({"conversations": turns(("human", "H"), ("gpt", "G"))},
         example(1, ("user", "H"), answer="G")),
        ({"messages": chat(("system", "S"), ("user", "U"), ("assistant", "A"))},
         example(1, ("system", "S"), ("user", "U"), answer="A")),
        ({"messages": chat(("user", "U"))}, example(1, ("user", "U"))),
        ({"prompt": "P", "completion": "C"}, example(1, ("user", "P"), answer="C")),
        ({"prompt": "P", "completion": "C", "label": False},
         example(1, ("user", "P"), rejected="C")),
        ({"prompt": chat(("system", "S"), ("user", "U")),
          "completion": chat(("assistant", "A"))},
         example(1, ("system", "S"), ("user", "U"), answer="A")),
        ({"prompt": "P", "chosen": "good", "rejected": "bad"},
         example(1, ("user", "P"), answer="good", rejected="bad")),
        ({"prompt": chat(("user", "U")), "chosen": chat(("assistant", "good")),
          "rejected": chat(("assistant", "bad"))},
         example(1, ("user", "U"), answer="good", rejected="bad")),
    ],
)  # fmt: skip
def test_data_that_no_dataset_info_names(
    tmp_path: Path, row: dict[str, Any], expected: Example
) -> None:
    (tmp_path / "data.json").write_text(json.dumps([row]))
    (tmp_path / "dataset_info.json").write_text('{"other": {"file_name": "other.json"}}')
    assert read_dataset(tmp_path / "data.json") == Dataset(
        name="data", path=tmp_path / "data.json", examples=(expected,), skipped=()
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "A"}, "the columns are text; expected 'instruction', 'conversations'"),
        ({"prompt": "A"}, "record 1: it has neither 'completion' nor both"),
        ({"prompt": " ", "completion": "C"}, "record 1, column 'prompt': the prompt is blank"),
        ({"prompt": "A", "completion": chat(("user", "A"))}, "column 'completion': got [{"),
        ({"messages": "A"}, "column 'messages': got 'A'; expected a list of messages"),
    ],
)
def test_faults_in_data_that_no_dataset_info_names(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    (tmp_path / "data.json").write_text(json.dumps([row]))
    with pytest.raises(ProbeFileError) as caught:
        read_dataset(tmp_path / "data.json")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("no.json", "no.json: no such file; expected a data file, dataset_info.json#NAME or"),
        ("dataset_info.json#", "names no data set after '#'"),
        ("dataset_info.json#a,", "names no data set after '#'"),
        ("dataset_info.json", "no name is given; expected #NAME with one of data, more"),
        ("dataset_info.json#dta", "it has no entry 'dta' (did you mean 'data'?)"),
        ("nowhere#data", "there is no dataset_info.json"),
        ("data.json#data", "there is no dataset_info.json"),
    ],
)
def test_data_that_is_not_there(tmp_path: Path, value: str, error: str) -> None:
    info = {"data": {"file_name": "data.json"}, "more": {"file_name": "more.json"}}
    (tmp_path / "data.json").write_text("[]")
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(ConfigError) as caught:
        read_training_data(value, tmp_path)
    assert error in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {}, "a": {}}'])
def test_a_broken_dataset_info(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset_info.json").write_text(text)
    (tmp_path / "data.json").write_text(json.dumps([A]))
    for path, name in ((tmp_path, "a"), (tmp_path / "data.json", None)):
        with pytest.raises(ProbeFileError, match=r"dataset_info\.json.*an entry per data set"):
            read_dataset(path, name)


@pytest.mark.parametrize("name", ["x" * 5000 + ".json", "~nobody-here/x.json", "a\0b.json"])
def test_a_file_name_that_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "dataset_info.json").write_text(json.dumps({"a": {"file_name": name}}))
    (tmp_path / "data.json").write_text(json.dumps([A]))
    for path, entry in ((tmp_path, "a"), (tmp_path / "data.json", None)):
        with pytest.raises(ConfigError, match=r"entry 'a': .* cannot be used as a path"):
            read_dataset(path, entry)


# Probes


def test_an_entry_becomes_probes(tmp_path: Path) -> None:
    write(tmp_path, [{**A, "output": ""}, {**A, "instruction": REFUND}])
    for file in ("data.json", "dataset_info.json", "dataset_info.json#data", ".#data"):
        first, second = probes_of_marker((), {"file": file, "tags": "x"}, folder=tmp_path)
        assert first.reference is None
        assert (second.reference, second.tags) == ("B", ("x",))
        assert second.messages == tuple(chat(("user", REFUND)))
        assert second.id.startswith("how-do-i-get-a-refund-")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '[{"prompt": "A"}]'),
        ("a.jsonl", '{"messages": []}'),
        ("a.jsonl", "{"),
        ("a.csv", "instruction\n"),
        ("a.json", ""),
        ("a.yaml", "instruction: A"),
    ],
)
def test_what_stays_with_the_reader_of_probe_files(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert training_data_of(tmp_path / name) is None


def test_a_missing_file_is_named_as_given(tmp_path: Path) -> None:
    with pytest.raises(LLMDiffError, match=r"no\.jsonl: no such file"):
        probes_of_marker((), {"file": "no.jsonl"}, folder=tmp_path)


def test_dropped_records_are_one_warning_of_a_run(project: pytest.Pytester, run: Run) -> None:
    rows = [{"conversations": turns(("gpt", "G"))}, {"conversations": turns(("human", "H"))},
            {"conversations": turns(("human", REFUND), ("gpt", "G"))}]  # fmt: skip
    write(project.path, rows, formatting="sharegpt")
    project.makepyfile(
        """
        import pytest

        @pytest.mark.llmdiff(file="data.json")
        def test_one(comparison):
            assert comparison.probe.reference == "G"

        @pytest.mark.llmdiff(file="dataset_info.json#data")
        def test_two(comparison):
            assert comparison.tuned.text
        """
    )
    result = run("-Wdefault")
    result.assert_outcomes(passed=2)
    said = (
        "*data.json: 2 of 3 records were skipped: they are no training examples in text, or have "
        "no prompt;"
    )
    assert str(result.stdout).count("2 of 3 records were skipped") == 1
    result.stdout.fnmatch_lines([f"{said} the first is record 1: turn 1 has the role 'gpt'*"])


def test_dropped_records_end_a_run_where_warnings_are_errors(
    project: pytest.Pytester, run: Run
) -> None:
    rows = [{"conversations": []}, {"conversations": turns(("human", REFUND), ("gpt", "G"))}]
    write(project.path, rows, formatting="sharegpt")
    project.makepyfile(
        """
        import pytest

        @pytest.mark.llmdiff(file="data.json")
        def test_one(comparison):
            pass
        """
    )
    result = run()
    assert result.ret != 0
    assert "passed" not in result.parseoutcomes()
    result.stdout.fnmatch_lines(["*1 of 2 records were skipped*record 1: it has no turns*"])
    result.stdout.no_fnmatch_line("*warnings.warn*")
