"""Probes from markers and files: ids that can be typed, defaults, and what is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.probes import (
    Probe,
    make_probe,
    unique_ids,
    with_system,
)

REFUND = "How do I get a refund?"
ID = re.compile(r"[a-z0-9-]+-[0-9a-f]{6}")

prompts = st.text(min_size=1).filter(str.strip)


def user(content: str) -> Message:
    return Message(role="user", content=content)


def system(content: str) -> Message:
    return Message(role="system", content=content)


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


@given(st.text(min_size=1).filter(str.strip))
@example("你好，请介绍一下你自己。" * 9)
@example("مرحبا hi")
@example("Straße\u200b ﬁn\u202e")
def test_an_id_of_any_script_has_letters_that_can_be_told_apart(prompt: str) -> None:
    found = make_probe(prompt, any_script=True).id
    assert found.isprintable()
    assert not set(found) & set("[]: /")
    assert len(found) <= 48
    assert not any(unicodedata.bidirectional(character) in ("R", "AL") for character in found)
    assert found[-6:] == make_probe(prompt).id[-6:]


def test_ids_of_any_script() -> None:
    def named(text: str) -> str:
        return make_probe(text, any_script=True).id[:-7]

    assert named("你好，请介绍一下你自己。") == "你好-请介绍一下你自己"
    assert named("Как вернуть деньги?") == "как-вернуть-деньги"
    assert named("नमस्ते दुनिया") == "नमस्ते-दुनिया"
    assert named("How do I get a refund?") == "how-do-i-get-a-refund"
    assert named("ｆｕｌｌ") == "full"
    assert named("שלום") == named("。。。") == "probe"


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
