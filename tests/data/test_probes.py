"""Probes from markers and files: ids that can be typed, defaults, and what is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.probes import (
    Probe,
    make_probe,
    probes_of_marker,
    unique_ids,
    with_system,
)
from pytest_llmdiff.errors import ConfigError, ProbeFileError

REFUND = "How do I get a refund?"
ID = re.compile(r"[a-z0-9-]+-[0-9a-f]{6}")

prompts = st.text(min_size=1).filter(str.strip)


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


# Ids


def test_an_id_is_a_slug_with_a_hash() -> None:
    assert re.fullmatch(r"how-do-i-get-a-refund-[0-9a-f]{6}", make_probe(REFUND).id)


@given(prompt=prompts)
@example(prompt="如何退款？")
@example(prompt="a" * 500)
@example(prompt="[x]::y z")
def test_an_id_can_be_typed_in_a_shell(prompt: str) -> None:
    found = make_probe(prompt).id
    assert ID.fullmatch(found)
    assert len(found) <= 48


@given(pair=st.lists(prompts, min_size=2, max_size=2, unique=True))
@example(pair=["如何退款？", "如何退货？"])
@example(pair=["Refund", "refund"])
def test_other_prompts_have_other_ids(pair: list[str]) -> None:
    assert make_probe(pair[0]).id != make_probe(pair[1]).id


@pytest.mark.parametrize(
    "fields",
    [
        {"system": "请用中文回答。"},
        {"reference": "30 days"},
        {"tags": ("smoke",)},
        {"generation": {"max_new_tokens": 8}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_the_hash_covers_what_is_asked(fields: dict[str, Any]) -> None:
    assert make_probe(REFUND, **fields).id != make_probe(REFUND).id


def test_ids_are_the_same_in_every_process() -> None:
    prompt = "请问如何退款 within 30 days？"
    code = (
        "from pytest_llmdiff.data.probes import make_probe;"
        f"print(make_probe({prompt!r}, tags=('b', 'a'), generation={{'seed': 1, 'top_p': 0.5}}).id)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    here = make_probe(prompt, tags=("a", "b"), generation={"top_p": 0.5, "seed": 1})
    assert found == {here.id}


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


def named(*ids: str) -> list[Probe]:
    return [Probe(id=name, messages=(user("x"),)) for name in ids]


def test_repeated_ids_are_counted() -> None:
    assert [p.id for p in unique_ids(named("a", "b", "a", "a"))] == ["a", "b", "a-2", "a-3"]


@given(ids=st.lists(st.from_regex(r"a(-[23]){0,2}x?", fullmatch=True), max_size=9))
@example(ids=["a", "a", "a-2"])
def test_unique_ids(ids: list[str]) -> None:
    found = [probe.id for probe in unique_ids(named(*ids))]
    assert len(set(found)) == len(found) == len(ids)
    firsts = {ids.index(name) for name in ids}
    assert [found[place] for place in sorted(firsts)] == [ids[place] for place in sorted(firsts)]


def test_unique_ids_changes_nothing_else() -> None:
    probes = [make_probe(REFUND, tags=("smoke",)), make_probe("如何退款？", reference="三十天")]
    assert unique_ids(probes) == probes


# System prompts


def test_a_system_prompt_goes_first() -> None:
    probe = make_probe("如何退款？", system="简短回答。")
    assert probe.messages == (system("简短回答。"), user("如何退款？"))
    assert probe.prompt == "如何退款？"


def test_the_runs_system_prompt_is_added_under_the_same_id() -> None:
    probe = make_probe(REFUND)
    found = with_system(probe, "Be brief.")
    assert found.messages == (system("Be brief."), user(REFUND))
    assert found.id == probe.id


def test_a_probes_own_system_prompt_stays() -> None:
    probe = make_probe(REFUND, system="Own.")
    assert with_system(probe, "The run's.") == probe


def test_without_a_system_prompt_nothing_is_added() -> None:
    probe = make_probe(REFUND)
    assert with_system(probe, None) == probe


# Markers


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


def test_a_reference_belongs_to_one_prompt(tmp_path: Path) -> None:
    assert [p.reference for p in marker(tmp_path, "2 + 2?", reference="4")] == ["4"]


def test_a_single_tag_may_be_a_text(tmp_path: Path) -> None:
    assert marker(tmp_path, "A", tags="smoke")[0].tags == ("smoke",)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "give prompts, file=..., or both"),
        (("A", "B"), {"reference": "C"}, "reference belongs to one prompt"),
        (("A",), {"reference": "C", "file": "p.jsonl"}, "reference belongs to one prompt"),
        ((), {"reference": "C", "file": "p.jsonl"}, "reference belongs to one prompt"),
        (("A",), {"system": 1}, "system is a text, not 1"),
        (("A",), {"reference": ["B"]}, "reference is a text, not ['B']"),
        (("A",), {"tags": 3}, "tags is a list of texts, not 3"),
        (("A",), {"tags": ["a", 3]}, "tags is a list of texts, not ['a', 3]"),
        ((" ",), {}, "the prompt is blank (' ')"),
        ((5,), {}, "got 5; expected a string or a list of messages"),
        (([{"role": "bot", "content": "A"}],), {}, "message 1 has the role 'bot'"),
        ((), {"file": 3}, "file"),
        (("A",), {"system": " "}, "system"),
        (("A\ud800",), {}, "the prompt contains half a surrogate pair; expected whole characters"),
        (
            ([{"role": "user", "content": "\udfff"}],),
            {},
            "message 1 contains half a surrogate",
        ),
        (("A",), {"system": "\ud800"}, "system is a text, not '\\ud800'"),
        (("A",), {"reference": "\ud800"}, "reference is a text, not '\\ud800'"),
        (("A",), {"tags": ["\ud800"]}, "tags is a list of texts, not ['\\ud800']"),
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
        "@pytest.mark.llmdiff: unknown keyword max_tokens, sytem; allowed are "
        "file, system, reference, tags, max_new_tokens, temperature, top_p, seed"
    )


def test_a_missing_file_is_a_fault_of_the_file(tmp_path: Path) -> None:
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
