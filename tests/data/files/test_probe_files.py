"""Probe files and chat messages: what is read, and where each fault is said to be."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmdiff.data.files.probe_files import COLUMNS, ProbeRow, read_probe_file
from pytest_llmdiff.data.messages import ROLES, Message, parse_messages
from pytest_llmdiff.errors import MissingPackageError, ProbeFileError


def user(content: str) -> Message:
    return Message(role="user", content=content)


def row(line: int, prompt: str, **given: Any) -> ProbeRow:
    """A row with one user message; what is not given is empty."""
    values: dict[str, Any] = {
        "messages": (user(prompt),),
        "system": None,
        "reference": None,
        "id": None,
        "tags": (),
        "language": None,
        "cluster": None,
    }
    return ProbeRow(line=line, **(values | given))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, so that the paths in messages are the short ones a user gives."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "probes").mkdir()
    return Path("probes")


def write_parquet(path: Path, columns: dict[str, Any]) -> None:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def error_of(path: Path) -> str:
    with pytest.raises(ProbeFileError) as caught:
        read_probe_file(path)
    return str(caught.value)


# Messages


def test_a_string_is_one_user_message() -> None:
    assert parse_messages("  你好，世界\n") == (user("  你好，世界\n"),)


CHAT = [
    {"role": "system", "content": "简短回答。"},
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": ""},
    {"role": "tool", "content": "4"},
]


@pytest.mark.parametrize(
    "chat", [CHAT, tuple(CHAT), pyarrow.array(CHAT)], ids=["list", "tuple", "pyarrow"]
)
def test_a_list_of_messages_is_kept(chat: object) -> None:
    assert parse_messages(chat) == tuple(CHAT)


def test_a_numpy_array_of_messages_is_kept() -> None:
    numpy = pytest.importorskip("numpy")
    assert parse_messages(numpy.array(CHAT, dtype=object)) == tuple(CHAT)


def test_messages_are_copies() -> None:
    chat = [{"role": "user", "content": "before"}]
    messages = parse_messages(chat)
    chat[0]["content"] = "after"
    assert messages == (user("before"),)


@pytest.mark.parametrize("role", ["user", "tool"])
def test_the_model_can_answer_this_role(role: str) -> None:
    assert parse_messages([{"role": role, "content": "x"}])[-1]["role"] == role


USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "the prompt is blank (''); expected some text"),
        (" \n", r"the prompt is blank (' \n'); expected some text"),
        (None, "got None; expected a string or a list of messages with 'role' and 'content'"),
        (5, "got 5; expected a string or a list of messages with 'role' and 'content'"),
        (b"Hi", "got b'Hi'; expected a string or a list of messages with 'role' and 'content'"),
        (
            {"role": "user"},
            "got {'role': 'user'}; expected a string or a list of messages with 'role' and "
            "'content'",
        ),
        ([], "the list of messages is empty; expected at least one message"),
        (["Hi"], "message 1 is 'Hi'; expected a mapping with 'role' and 'content'"),
        (
            [USER, {"role": "user"}],
            "message 2 has the keys 'role'; expected exactly 'role' and 'content'",
        ),
        ([{}], "message 1 has the keys none; expected exactly 'role' and 'content'"),
        (
            [{**USER, "name": "Ann"}],
            "message 1 has the keys 'role', 'content', 'name'; expected exactly 'role' and "
            "'content'",
        ),
        (
            [{"role": "bot", "content": "Hi"}],
            "message 1 has the role 'bot'; expected one of 'system', 'user', 'assistant', 'tool'",
        ),
        (
            [{"role": ["user"], "content": "Hi"}],
            "message 1 has the role ['user']; expected one of 'system', 'user', 'assistant', "
            "'tool'",
        ),
        (
            [{"role": "user", "content": None}],
            "message 1 has the content None; expected a string",
        ),
        (
            [{"role": "user", "content": " "}],
            "message 1 (user) has blank content (' '); expected some text",
        ),
        (
            [{"role": "system", "content": ""}, USER],
            "message 1 (system) has blank content (''); expected some text",
        ),
        (
            [USER, {"role": "system", "content": "Be brief."}, USER],
            "message 2 has the role 'system'; expected a system message only as the first one",
        ),
        (
            [USER, {"role": "assistant", "content": "Hello"}],
            "the last message has the role 'assistant'; expected 'user' or 'tool', since the model "
            "answers the last message",
        ),
        (
            [{"role": "system", "content": "Be brief."}],
            "the last message has the role 'system'; expected 'user' or 'tool', since the model "
            "answers the last message",
        ),
    ],
)
def test_messages_that_are_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_messages(value)


# What is read


FULL = {
    "prompt": "退款要多久？",
    "system": "你是客服。",
    "reference": "七天。",
    "id": "退款-1",
    "tags": ["退款", "policy"],
    "language": "zh",
    "cluster": "refunds",
}
FULL_AND_BARE = [
    row(
        2,
        "退款要多久？",
        system="你是客服。",
        reference="七天。",
        id="退款-1",
        tags=("退款", "policy"),
        language="zh",
        cluster="refunds",
    ),
    row(3, "Hello"),
]


def numbered_from_one(rows: list[ProbeRow]) -> list[ProbeRow]:
    return [dataclasses.replace(given, line=number) for number, given in enumerate(rows, 1)]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".JSONL"])
def test_jsonl_has_one_object_per_line(folder: Path, suffix: str) -> None:
    path = folder / f"a{suffix}"
    text = "\n" + json.dumps(FULL, ensure_ascii=False) + '\r\n{"prompt": "Hello", "id": null}'
    path.write_text(text, encoding="utf-8", newline="")
    assert read_probe_file(path) == FULL_AND_BARE


def test_jsonl_skips_blank_lines_and_counts_them(folder: Path) -> None:
    path = folder / "a.jsonl"
    path.write_bytes(b'\n{"prompt": "A"}\n \t\n\n{"prompt": "B"}\n\n')
    assert read_probe_file(path) == [row(2, "A"), row(5, "B")]


def test_jsonl_is_split_at_line_feeds_only(folder: Path) -> None:
    path = folder / "a.jsonl"
    path.write_bytes('{"prompt": "A\u2028B\x85C"}\n'.encode())
    assert read_probe_file(path) == [row(1, "A\u2028B\x85C")]


def test_json_is_a_list_of_objects(folder: Path) -> None:
    path = folder / "a.json"
    text = json.dumps([FULL, {"prompt": "Hello"}], ensure_ascii=False, indent=2)
    path.write_text(text, encoding="utf-8")
    assert read_probe_file(path) == numbered_from_one(FULL_AND_BARE)


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_csv_and_tsv_have_a_header_line(folder: Path, suffix: str, delimiter: str) -> None:
    path = folder / f"a{suffix}"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(FULL)
        writer.writerow((FULL | {"tags": "退款; policy"}).values())
        writer.writerow(["Hello", *[""] * 6])
    assert read_probe_file(path) == FULL_AND_BARE


@pytest.mark.parametrize("cell", ["a;b", "a, b", " a ; b "])
def test_csv_tags_are_split_at_semicolons_and_commas(folder: Path, cell: str) -> None:
    path = folder / "a.csv"
    path.write_text(f'prompt,tags\nHi,"{cell}"\n', encoding="utf-8")
    assert read_probe_file(path) == [row(2, "Hi", tags=("a", "b"))]


def test_csv_names_the_line_on_which_a_row_starts(folder: Path) -> None:
    path = folder / "a.csv"
    path.write_bytes(b'prompt,reference\r\n"A\r\nB\r\nC",x\r\nD,"y\r\nz"\r\nE,\r\n')
    assert read_probe_file(path) == [
        row(2, "A\r\nB\r\nC", reference="x"),
        row(5, "D", reference="y\r\nz"),
        row(7, "E"),
    ]


def test_csv_cells_may_be_longer_than_the_limit_of_the_csv_module(folder: Path) -> None:
    limit = csv.field_size_limit()
    prompt = "字" * (limit + 1)
    path = folder / "a.csv"
    path.write_text(f"prompt\n{prompt}\n", encoding="utf-8")
    assert read_probe_file(path) == [row(2, prompt)]
    assert csv.field_size_limit() == limit


def test_csv_messages_are_json(folder: Path) -> None:
    path = folder / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["messages", "prompt"], [json.dumps(CHAT), ""], ["", "Hi"]])
    chat = tuple(parse_messages(CHAT))
    assert read_probe_file(path) == [row(2, "", messages=chat), row(3, "Hi")]


def test_parquet_reads_like_json(folder: Path) -> None:
    path = folder / "a.parquet"
    write_parquet(
        path,
        {name: [value, None] for name, value in FULL.items() if name != "prompt"}
        | {
            "prompt": [FULL["prompt"], "Hello"],
        },
    )
    assert read_probe_file(path) == numbered_from_one(FULL_AND_BARE)


def test_parquet_messages_are_lists_of_structs(folder: Path) -> None:
    path = folder / "a.parquet"
    write_parquet(path, {"messages": [CHAT]})
    assert read_probe_file(path) == [row(1, "", messages=parse_messages(CHAT))]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"prompt": "你好"}'),
        ("a.json", '[{"prompt": "你好"}]'),
        ("a.csv", "prompt\n你好\n"),
        ("a.tsv", '"prompt"\n你好\n'),
    ],
)
def test_a_byte_order_mark_is_accepted(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text, encoding="utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert [given.messages for given in read_probe_file(path)] == [(user("你好"),)]


def test_an_id_may_be_an_integer(folder: Path) -> None:
    (folder / "a.json").write_text('[{"prompt": "A", "id": 7}, {"prompt": "B", "id": 0}]')
    write_parquet(folder / "a.parquet", {"prompt": ["A", "B"], "id": [7, 0]})
    for name in ("a.json", "a.parquet"):
        assert [given.id for given in read_probe_file(folder / name)] == ["7", "0"]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [("one tag", ("one tag",)), ([" a ", "b"], ("a", "b")), ([], ()), (None, ())],
)
def test_json_tags_are_a_list_or_one_string(
    folder: Path, tags: object, expected: tuple[str, ...]
) -> None:
    path = folder / "a.jsonl"
    path.write_text(json.dumps({"prompt": "A", "tags": tags}))
    assert read_probe_file(path) == [row(1, "A", tags=expected)]


# What is refused, and where

ENDINGS = "with one of the endings .jsonl, .ndjson, .json, .csv, .tsv, .parquet"
ALL_COLUMNS = "prompt, messages, system, reference, id, tags, language, cluster, tools"
ONE_PROMPT = "expected exactly one of the columns 'prompt' and 'messages'"
TAGS = "expected a tag or a list of tags, each a text without ';' and ','"
BROKEN_ROW = (
    "expected cells that hold a quote, a delimiter or a line break to be quoted, with each inner "
    'quote doubled ("")'
)


def test_a_missing_file(folder: Path) -> None:
    path = folder / "a.jsonl"
    assert error_of(path) == f"{path}: no such file; expected a file {ENDINGS}"


def test_a_directory(folder: Path) -> None:
    assert error_of(folder) == f"probes: this is a directory; expected a file {ENDINGS}"


@pytest.mark.parametrize(("name", "suffix"), [("a.yaml", ".yaml"), ("a", ""), ("a.json.gz", ".gz")])
def test_an_unknown_ending(folder: Path, name: str, suffix: str) -> None:
    (folder / name).write_text('{"prompt": "A"}')
    assert error_of(folder / name) == (
        f"{folder / name}: the file name ends in {suffix!r}; expected {ENDINGS}"
    )


@pytest.mark.skipif(os.name == "nt", reason="the system's own words differ")
def test_a_file_that_cannot_be_opened(folder: Path) -> None:
    path = folder / ("a" * 300 + ".jsonl")
    assert error_of(path) == (
        f"{path}: cannot be read (File name too long); expected a readable file"
    )


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"])
def test_an_empty_file(folder: Path, suffix: str) -> None:
    path = folder / f"a{suffix}"
    path.touch()
    assert error_of(path) == f"{path}: the file is empty; expected at least one probe"


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.jsonl", "\n \n"), ("a.json", "[]"), ("a.csv", "prompt\n"), ("a.tsv", "prompt\tid\n")],
)
def test_a_file_without_probes(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    assert error_of(path) == f"{path}: the file contains no probes; expected at least one"


def test_a_parquet_file_without_probes(folder: Path) -> None:
    path = folder / "a.parquet"
    write_parquet(path, {"prompt": pyarrow.array([], pyarrow.string())})
    assert error_of(path) == f"{path}: the file contains no probes; expected at least one"


@pytest.mark.parametrize(
    ("name", "data", "line", "byte"),
    [
        ("a.jsonl", '{"prompt": "A"}\n\n{"prompt": "café"}'.encode("latin-1"), 3, "0xe9"),
        ("a.json", '[\n{"prompt": "退"}]'.encode("gbk"), 2, "0xcd"),
        ("a.csv", b"\xef\xbb\xbfprompt\nA\nB\xff\n", 3, "0xff"),
        ("a.tsv", "prompt\nA\n".encode("utf-16"), 1, "0xff"),
    ],
)
def test_a_wrong_encoding(folder: Path, name: str, data: bytes, line: int, byte: str) -> None:
    path = folder / name
    path.write_bytes(data)
    assert error_of(path) == (
        f"{path}, line {line}: the byte {byte} is not UTF-8; expected UTF-8 text"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"prompt": "A"}\n\n{"prompt": "B" "id": 1}',
            "line 3, column 16: broken JSON (Expecting ',' delimiter); expected one JSON object "
            "per line",
        ),
        (
            "[" * 200_000,
            "line 1: the JSON is nested too deeply; expected one JSON object per line",
        ),
        (
            '{"prompt": "A", "prompt": "B"}',
            "line 1: the key 'prompt' is given twice in one object; expected one JSON object per "
            "line",
        ),
        (
            '{"prompt": "\\ud83d"}',
            "line 1: a \\u escape is half a surrogate pair; expected whole characters",
        ),
        (
            '{"prompt": "A"}\n["B"]',
            'line 2: got [\'B\']; expected an object such as {"prompt": "..."}',
        ),
        (
            '{"promt": "A"}',
            "line 1, column 'promt': unknown column (did you mean 'prompt'?); expected columns "
            f"among {ALL_COLUMNS}",
        ),
        (
            '{"prompt": "A", "xyzzy": 1}',
            f"line 1, column 'xyzzy': unknown column; expected columns among {ALL_COLUMNS}",
        ),
        ('{"prompt": "A"}\n{"id": "b"}', f"line 2: no prompt is given; {ONE_PROMPT}"),
        ('{"prompt": null}', f"line 1: no prompt is given; {ONE_PROMPT}"),
        (
            '{"prompt": "A", "messages": []}',
            f"line 1: both 'prompt' and 'messages' are given; {ONE_PROMPT}",
        ),
        ('{"prompt": 5}', "line 1, column 'prompt': got 5; expected a string"),
        ('{"prompt": [5]}', "line 1, column 'prompt': got [5]; expected a string"),
        (
            '{"prompt": " "}',
            "line 1, column 'prompt': the prompt is blank (' '); expected some text",
        ),
        (
            '{"messages": "Hi"}',
            "line 1, column 'messages': got 'Hi'; expected a list of messages",
        ),
        (
            '{"messages": [{"role": "bot", "content": "Hi"}]}',
            "line 1, column 'messages': message 1 has the role 'bot'; expected one of 'system', "
            "'user', 'assistant', 'tool'",
        ),
        (
            json.dumps({"messages": CHAT, "system": "Be brief."}),
            "line 1, column 'system': 'messages' has a system message, too; expected only one "
            "of the two",
        ),
        (
            '{"prompt": "A", "system": 1}',
            "line 1, column 'system': got 1; expected text, or nothing at all",
        ),
        (
            '{"prompt": "A", "reference": ["B"]}',
            "line 1, column 'reference': got ['B']; expected text, or nothing at all",
        ),
        (
            '{"prompt": "A", "language": ""}',
            "line 1, column 'language': got ''; expected text, or nothing at all",
        ),
        (
            '{"prompt": "A", "cluster": 2}',
            "line 1, column 'cluster': got 2; expected text, or nothing at all",
        ),
        (
            '{"prompt": "A", "id": true}',
            "line 1, column 'id': got True; expected text, or nothing at all",
        ),
        (
            '{"prompt": "A", "id": 1.5}',
            "line 1, column 'id': got 1.5; expected text, or nothing at all",
        ),
        ('{"prompt": "A", "tags": 3}', f"line 1, column 'tags': got the tag 3; {TAGS}"),
        ('{"prompt": "A", "tags": ["b", 3]}', f"line 1, column 'tags': got the tag 3; {TAGS}"),
        ('{"prompt": "A", "tags": ["b", " "]}', f"line 1, column 'tags': got the tag ' '; {TAGS}"),
        ('{"prompt": "A", "tags": "b;c"}', f"line 1, column 'tags': got the tag 'b;c'; {TAGS}"),
        ('{"prompt": "A", "tags": "b,c"}', f"line 1, column 'tags': got the tag 'b,c'; {TAGS}"),
        (
            '{"prompt": "A", "id": "7"}\n\n{"prompt": "B", "id": 7}',
            "line 3, column 'id': '7' is already the id of line 1; expected ids that are unique "
            "in the file",
        ),
    ],
)
def test_faults_in_jsonl(folder: Path, text: str, message: str) -> None:
    path = folder / "refunds.jsonl"
    path.write_text(text, encoding="utf-8")
    assert error_of(path) == f"{path}, {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[\n  {"prompt": "退款"},\n  {"prompt": }\n]',
            ", line 3, column 14: broken JSON (Expecting value); expected a JSON list of objects",
        ),
        ('{"prompt": "A"}', ": got {'prompt': 'A'}; expected a JSON list of objects"),
        (
            '[{"prompt": "A", "prompt": "B"}]',
            ": the key 'prompt' is given twice in one object; expected a JSON list of objects",
        ),
        (
            '[{"prompt": "A"}, "B"]',
            ', record 2: got \'B\'; expected an object such as {"prompt": "..."}',
        ),
        (
            '[{"prompt": "A"}, {"prompt": "B", "Tag": "c"}]',
            ", record 2, column 'Tag': unknown column (did you mean 'tags'?); expected columns "
            f"among {ALL_COLUMNS}",
        ),
        (
            '[{"prompt": "A"}, {"prompt": "B"}, {"id": 3}]',
            f", record 3: no prompt is given; {ONE_PROMPT}",
        ),
        (
            '[{"prompt": "A", "id": "x"}, {"prompt": "B", "id": "x"}]',
            ", record 2, column 'id': 'x' is already the id of record 1; expected ids that are "
            "unique in the file",
        ),
    ],
)
def test_faults_in_json(folder: Path, text: str, message: str) -> None:
    path = folder / "a.json"
    path.write_text(text, encoding="utf-8")
    assert error_of(path) == f"{path}{message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\ufeff",
            f"line 1: the line is blank; expected a header line with columns among {ALL_COLUMNS}",
        ),
        (
            "\nprompt\nA\n",
            f"line 1: the line is blank; expected a header line with columns among {ALL_COLUMNS}",
        ),
        (
            "Hello there\nHow are you\n",
            f"line 1, column 'Hello there': unknown column; expected columns among {ALL_COLUMNS}",
        ),
        (
            "prompt,refrence\nA,B\n",
            "line 1, column 'refrence': unknown column (did you mean 'reference'?); expected "
            f"columns among {ALL_COLUMNS}",
        ),
        (
            "prompt,id,prompt\nA,1,B\n",
            "line 1, column 'prompt': the column is given twice; expected it once",
        ),
        (
            "prompt,id\nA,1\nB\n",
            "line 3: the number of cells is 1; expected 2 as in the header line (prompt, id)",
        ),
        (
            'prompt,id\n"A\nA",1\nB,2,C\n',
            "line 4: the number of cells is 3; expected 2 as in the header line (prompt, id)",
        ),
        (
            "prompt,id\nA,1\n\n",
            "line 3: the number of cells is 0; expected 2 as in the header line (prompt, id)",
        ),
        (
            'prompt\nA\n"B\nC\n',
            "line 3: the row that starts here is broken (unexpected end of data); " + BROKEN_ROW,
        ),
        (
            'prompt\n"B" C\n',
            "line 2: the row that starts here is broken (',' expected after '\"'); " + BROKEN_ROW,
        ),
        ("prompt,id\n,1\n", f"line 2: no prompt is given; {ONE_PROMPT}"),
        (
            'prompt,messages\nA,"[]"\n',
            f"line 2: both 'prompt' and 'messages' are given; {ONE_PROMPT}",
        ),
        (
            "prompt,tags\nA,x\nB,y\nC,z;;z\n",
            f"line 4, column 'tags': got the tag ''; {TAGS}",
        ),
        (
            "prompt,system\nA, \n",
            "line 2, column 'system': got ' '; expected text, or nothing at all",
        ),
        (
            'messages\n"[{""role"" 1}]"\n',
            "line 2, column 'messages', character 10: broken JSON (Expecting ':' delimiter); "
            "expected a JSON list of messages",
        ),
        (
            'messages\n"""Hi"""\n',
            "line 2, column 'messages': got 'Hi'; expected a list of messages",
        ),
        (
            "messages\n[]\n",
            "line 2, column 'messages': the list of messages is empty; expected at least one "
            "message",
        ),
        (
            'prompt,id\n"A\nB",x\nC,y\nD,x\n',
            "line 5, column 'id': 'x' is already the id of line 2; expected ids that are unique "
            "in the file",
        ),
    ],
)
def test_faults_in_csv(folder: Path, text: str, message: str) -> None:
    path = folder / "a.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert error_of(path) == f"{path}, {message}"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"prompt": ["A"], "ids": [1]},
            ", column 'ids': unknown column (did you mean 'id'?); expected columns among "
            f"{ALL_COLUMNS}",
        ),
        (
            {"prompt": ["A", "B", None]},
            f", record 3: no prompt is given; {ONE_PROMPT}",
        ),
        (
            {"prompt": ["A"], "id": [1.0]},
            ", record 1, column 'id': got 1.0; expected text, or nothing at all",
        ),
        (
            {"messages": [CHAT, [USER, USER, CHAT[0]]]},
            ", record 2, column 'messages': message 3 has the role 'system'; expected a system "
            "message only as the first one",
        ),
        (
            {"prompt": ["A", "B", "C"], "id": [1, 2, 1]},
            ", record 3, column 'id': '1' is already the id of record 1; expected ids that are "
            "unique in the file",
        ),
    ],
)
def test_faults_in_parquet(folder: Path, columns: dict[str, Any], message: str) -> None:
    path = folder / "a.parquet"
    write_parquet(path, columns)
    assert error_of(path) == f"{path}{message}"


def test_a_parquet_column_given_twice(folder: Path) -> None:
    path = folder / "a.parquet"
    table = pyarrow.Table.from_arrays([pyarrow.array(["A"])] * 2, names=["prompt", "prompt"])
    pyarrow.parquet.write_table(table, path)
    assert error_of(path) == (
        f"{path}, column 'prompt': the column is given twice; expected it once"
    )


def test_parquet_text_that_is_not_utf8(folder: Path) -> None:
    path = folder / "a.parquet"
    good_and_bad = pyarrow.array([b"fine", b"caf\xe9"]).view(pyarrow.string())
    write_parquet(path, {"prompt": ["A", "B"], "reference": good_and_bad})
    message = error_of(path)
    assert message.startswith(f"{path}, record 2, column 'reference': the value cannot be read")
    assert message.endswith("; expected valid UTF-8 text")


@pytest.mark.parametrize("data", [b"prompt\nA\n", b"PAR1" + b"\0" * 20 + b"PAR1"])
def test_a_file_that_is_not_parquet(folder: Path, data: bytes) -> None:
    path = folder / "a.parquet"
    path.write_bytes(data)
    message = error_of(path)
    assert message.startswith(f"{path}: this is not readable as Parquet (")
    assert message.endswith("; expected a Parquet file")


def test_parquet_without_pyarrow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "a.parquet"
    write_parquet(path, {"prompt": ["A"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError) as caught:
        read_probe_file(path)
    assert str(caught.value) == (
        'reading a.parquet needs the package pyarrow: pip install "pytest-llmdiff[parquet]"'
    )


# Any list of valid rows reads back the same from every format

texts = st.text(min_size=1).filter(str.strip)
optional_texts = st.none() | texts
tags = st.text().map(lambda text: re.sub("[;,]", "", text).strip()).filter(bool)


@st.composite
def chats(draw: st.DrawFn) -> tuple[Message, ...]:
    roles = [
        *draw(st.sampled_from([(), ("system",)])),
        *draw(st.lists(st.sampled_from(ROLES[1:]), max_size=3)),
        draw(st.sampled_from(["user", "tool"])),
    ]
    return tuple(
        Message(role=role, content=draw(texts if role in ("system", "user") else st.text()))
        for role in roles
    )


@st.composite
def probe_rows(draw: st.DrawFn) -> list[ProbeRow]:
    ids = draw(st.lists(texts, max_size=4, unique=True))
    rows = []
    for line, own_id in enumerate([*ids, None], 1):
        messages = draw(st.one_of(texts.map(lambda text: (user(text),)), chats()))
        has_system = messages[0]["role"] == "system"
        rows.append(
            ProbeRow(
                line=line,
                messages=messages,
                system=None if has_system else draw(optional_texts),
                reference=draw(optional_texts),
                id=own_id,
                tags=tuple(draw(st.lists(tags, max_size=3))),
                language=draw(optional_texts),
                cluster=draw(optional_texts),
                tools=tuple(draw(st.lists(texts.map(tool), max_size=2, unique_by=str))),
            )
        )
    return rows


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def as_record(given: ProbeRow) -> dict[str, Any]:
    record = dataclasses.asdict(given)
    del record["line"]
    record["messages"] = list(given.messages)
    record["tags"] = list(given.tags)
    record["tools"] = json.dumps(given.tools)
    record["prompt"] = None
    if len(given.messages) == 1 and given.messages[0]["role"] == "user":
        record |= {"prompt": given.messages[0]["content"], "messages": None}
    return record


def save_as_jsonl(rows: list[ProbeRow], path: Path) -> None:
    lines = [json.dumps(as_record(given), ensure_ascii=False) + "\n" for given in rows]
    path.write_bytes("".join(lines).encode())


def save_as_json(rows: list[ProbeRow], path: Path) -> None:
    path.write_text(json.dumps([as_record(given) for given in rows]), encoding="utf-8")


def save_as_csv(rows: list[ProbeRow], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        for given in rows:
            record = as_record(given)
            record["tags"] = ";".join(given.tags)
            if record["messages"] is not None:
                record["messages"] = json.dumps(record["messages"], ensure_ascii=False)
            writer.writerow(record)


def save_as_parquet(rows: list[ProbeRow], path: Path) -> None:
    message = pyarrow.struct({"role": pyarrow.string(), "content": pyarrow.string()})
    lists = {"messages": pyarrow.list_(message), "tags": pyarrow.list_(pyarrow.string())}
    schema = pyarrow.schema({name: lists.get(name, pyarrow.string()) for name in COLUMNS})
    table = pyarrow.Table.from_pylist([as_record(given) for given in rows], schema)
    pyarrow.parquet.write_table(table, path)


SAVE = {
    ".jsonl": save_as_jsonl,
    ".json": save_as_json,
    ".csv": save_as_csv,
    ".tsv": save_as_csv,
    ".parquet": save_as_parquet,
}


@pytest.mark.parametrize("suffix", SAVE)
@settings(max_examples=40, deadline=None)
@given(rows=probe_rows())
def test_valid_rows_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, rows: list[ProbeRow]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"round_trip{suffix}"
    SAVE[suffix](rows, path)
    found = read_probe_file(path)
    if suffix in (".csv", ".tsv"):
        # A quoted cell may span lines, so that lines there are told by a test of their own.
        assert [given.line for given in found] == sorted({given.line for given in found})
        found = numbered_from_one(found)
    assert found == rows
