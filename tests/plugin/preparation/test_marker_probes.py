"""Probes of a marker: its prompts, its file, the values it accepts, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.errors import ConfigError, ProbeFileError
from pytest_llmdiff.plugin.preparation.marker_probes import probes_of_marker

REFUND = "How do I get a refund?"
ID = re.compile(r"[a-z0-9-]+-[0-9a-f]{6}")


def user(content: str) -> Message:
    return Message(role="user", content=content)


def system(content: str) -> Message:
    return Message(role="system", content=content)


def probe_file(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "probes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path.name


def marker(folder: Path, *args: object, **kwargs: Any) -> list[Probe]:
    return probes_of_marker(args, kwargs, folder=folder)


@pytest.mark.parametrize("own", ["7", "refund/1", "a-b_c.d", "R+1"])
def test_an_id_of_a_file_is_kept(tmp_path: Path, own: str) -> None:
    name = probe_file(tmp_path, {"prompt": REFUND, "id": own})
    assert [probe.id for probe in marker(tmp_path, file=name)] == [own]


@pytest.mark.parametrize("own", ["退款-一", "a b", "a[1]", "x::y", "caf\xe9", "a\x1b"])
def test_an_id_that_cannot_be_typed_becomes_a_slug(tmp_path: Path, own: str) -> None:
    name = probe_file(tmp_path, {"prompt": "A", "id": own}, {"prompt": "A", "id": own + "二"})
    ids = [probe.id for probe in marker(tmp_path, file=name)]
    assert all(map(ID.fullmatch, ids))
    assert len(set(ids)) == 2


def test_prompts_and_file_of_one_marker(tmp_path: Path) -> None:
    name = probe_file(
        tmp_path,
        {"prompt": "三", "id": "three", "tags": ["zh", "both"], "reference": "3", "language": "zh"},
        {"prompt": "four", "system": "Own.", "cluster": "numbers"},
    )
    chat = [system("Own."), user("two")]
    found = marker(
        tmp_path, "one", chat, file=name, system="S.", tags=["both", "ci"], max_new_tokens=8, seed=3
    )
    assert [probe.messages for probe in found] == [
        (system("S."), user("one")),
        (system("Own."), user("two")),
        (system("S."), user("三")),
        (system("Own."), user("four")),
    ]
    assert [probe.tags for probe in found] == [
        ("both", "ci"), ("both", "ci"), ("zh", "both", "ci"), ("both", "ci"),
    ]  # fmt: skip
    assert [probe.reference for probe in found] == [None, None, "3", None]
    assert (found[2].id, found[2].language, found[3].cluster) == ("three", "zh", "numbers")
    assert all(probe.generation == {"max_new_tokens": 8, "seed": 3} for probe in found)


def test_a_reference_of_one_prompt(tmp_path: Path) -> None:
    assert [p.reference for p in marker(tmp_path, "2 + 2?", reference="4")] == ["4"]


def test_a_single_tag_may_be_a_string(tmp_path: Path) -> None:
    assert marker(tmp_path, "A", tags="smoke")[0].tags == ("smoke",)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "give prompts, file=..., or both"),
        (("A", "B"), {"reference": "C"}, "reference needs exactly one prompt"),
        (("A",), {"reference": "C", "file": "p.jsonl"}, "reference needs exactly one prompt"),
        ((), {"reference": "C", "file": "p.jsonl"}, "reference needs exactly one prompt"),
        (("A",), {"system": 1}, "system must be a string, not 1"),
        (("A",), {"reference": ["B"]}, "reference must be a string, not ['B']"),
        (("A",), {"tags": 3}, "tags must be a list of strings, not 3"),
        (("A",), {"tags": ["a", 3]}, "tags must be a list of strings, not ['a', 3]"),
        ((" ",), {}, "the prompt is blank (' ')"),
        ((5,), {}, "got 5; expected a string or a list of messages"),
        (([{"role": "bot", "content": "A"}],), {}, "message 1 has the role 'bot'"),
        ((), {"file": 3}, "file"),
        (("A",), {"system": " "}, "system is blank (' '): leave it out"),
        (("A\ud800",), {}, "the prompt contains half a surrogate pair; expected whole characters"),
        (
            ([{"role": "user", "content": "\udfff"}],),
            {},
            "message 1 contains half a surrogate pair",
        ),
        (("A",), {"system": "\ud800"}, "system must be a string, not '\\ud800'"),
        (("A",), {"reference": "\ud800"}, "reference must be a string, not '\\ud800'"),
        (("A",), {"tags": ["\ud800"]}, "tags must be a list of strings, not ['\\ud800']"),
        (("A",), {"file": "n" * 300}, "cannot be used as a path (File name too long)"),
        (("A",), {"temperature": 10**400}, "temperature="),
    ],
)
def test_what_a_marker_refuses(
    tmp_path: Path, args: tuple[object, ...], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        marker(tmp_path, *args, **kwargs)
    assert str(caught.value).startswith("@pytest.mark.llmdiff: ")
    assert message in str(caught.value)


def test_an_unknown_keyword_lists_the_allowed_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        marker(tmp_path, "A", max_tokens=5, sytem="x")
    assert str(caught.value) == (
        "@pytest.mark.llmdiff: unknown keyword max_tokens (did you mean max_new_tokens?), "
        "sytem (did you mean system?); allowed are "
        "file, columns, system, reference, tags, tools, max_new_tokens, temperature, top_p, seed"
    )


def test_a_missing_file_is_an_error_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ProbeFileError, match="no such file"):
        marker(tmp_path, file="missing.jsonl")


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("max_new_tokens", 1, 1),
        ("max_new_tokens", "64", 64),
        ("temperature", 0, 0.0),
        ("temperature", 0.7, 0.7),
        ("top_p", 1, 1.0),
        ("top_p", "0.9", 0.9),
        ("seed", 0, 0),
    ],
)
def test_generation_values(tmp_path: Path, name: str, value: object, parsed: object) -> None:
    (probe,) = marker(tmp_path, "A", **{name: value})
    assert probe.generation == {name: parsed}
    assert type(probe.generation[name]) is type(parsed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", 1.5),
        ("max_new_tokens", True),
        ("max_new_tokens", None),
        ("temperature", -0.1),
        ("temperature", "hot"),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", False),
        ("top_p", 0),
        ("top_p", 1.1),
        ("top_p", [0.5]),
        ("seed", -1),
        ("seed", "x"),
    ],
)
def test_bad_generation_values(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        marker(tmp_path, "A", **{name: value})
    flag = "--llmdiff-" + name.replace("_", "-")
    assert str(caught.value) == (
        f"@pytest.mark.llmdiff: {name}={value!r} is not allowed; see {flag} in `pytest --help`"
    )


def test_columns_of_another_name(tmp_path: Path) -> None:
    (tmp_path / "qa.csv").write_text("q,a,more\nOne?,1,x\nTwo?,2,y\n")
    found = marker(tmp_path, file="qa.csv", columns={"prompt": "q", "reference": "a"})
    assert [(probe.prompt, probe.reference) for probe in found] == [("One?", "1"), ("Two?", "2")]
    with pytest.raises(ProbeFileError, match="'b': there is no such column; expected one of a, mo"):
        marker(tmp_path, file="qa.csv", columns={"prompt": "q", "reference": "b"})


@pytest.mark.parametrize("columns", [{"promt": "q"}, {"reference": "a"}, {"prompt": 1}, "q", {}])
def test_columns_that_name_no_prompt(tmp_path: Path, columns: object) -> None:
    with pytest.raises(
        ConfigError, match=r"columns is .*; expected the file's column for 'prompt'"
    ):
        marker(tmp_path, file="qa.csv", columns=columns)


def test_columns_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="columns is for the columns of a file"):
        marker(tmp_path, "Hi", columns={"prompt": "q"})


def test_the_test_cases_of_deepeval(tmp_path: Path) -> None:
    rows = [
        {"input": "Capital of France?", "actual_output": None, "expected_output": "Paris",
         "context": ["x"], "name": None},
        {"input": "And of Spain?", "actual_output": "M", "expected_output": None},
    ]  # fmt: skip
    (tmp_path / "test_cases.json").write_text(json.dumps(rows))
    found = marker(tmp_path, file="test_cases.json")
    assert [(probe.prompt, probe.reference) for probe in found] == [
        ("Capital of France?", "Paris"), ("And of Spain?", None)
    ]  # fmt: skip
