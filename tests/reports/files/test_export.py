"""Failing probes as training data: what is exported, and that readers read it back."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.llamafactory.datasets import read_dataset
from pytest_llmdiff.errors import ConfigError, hidden
from pytest_llmdiff.reports.files.export import NAMES, write_export
from tests.support import llamafactory_loader

SYSTEM = {"role": "system", "content": "Be kind."}
HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello! 你好"}
REFUND = {"role": "user", "content": "How do I get a refund?"}


def comparison(
    probe: str, messages: list[dict[str, str]], base: str, tuned: str, **more: Any
) -> dict[str, Any]:
    sides = {
        side: {"text": text, "reasoning": None, "finish_reason": "stop"}
        for side, text in (("base", base), ("tuned", tuned))
    }
    return {"probe": probe, "messages": messages, "sides": ["base", "tuned"], **sides, **more}


def verdict(probe: str | None, outcome: str) -> dict[str, Any]:
    return {"probe": probe, "name": "toxicity", "outcome": outcome}


def row_of(
    *comparisons: dict[str, Any],
    verdicts: tuple[dict[str, Any], ...] = (),
    call: str = "failed",
    message: str = "AssertionError",
) -> dict[str, Any]:
    return {
        "test": "t", "phases": {"setup": "passed", "call": call}, "message": message,
        "asserted": message.startswith("AssertionError"),
        "verdicts": list(verdicts), "comparisons": list(comparisons),
        "compared": len(comparisons), "many": {}, "explorations": [],
    }  # fmt: skip


def rows(*found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"test_{number}": row for number, row in enumerate(found)}


def load(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


TALK = comparison("refund", [SYSTEM, HI, HELLO, REFUND], "Within 30 days.", "You idiot.")
KNOWN = comparison("capital", [HI], "Hello.", "No.", reference="Good day.")
FAILING = rows(row_of(TALK, verdicts=(verdict("refund", "regressed"),)), row_of(KNOWN))


def test_what_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "round-2"
    lines = write_export(FAILING, folder)
    assert lines == [f"export: 2 SFT, 2 DPO and 4 KTO records in {folder}"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "dataset_info.json", "llmdiff_dpo.json", "llmdiff_kto.json", "llmdiff_sft.json",
    ]  # fmt: skip
    good = {"role": "assistant", "content": "Within 30 days."}
    bad = {"role": "assistant", "content": "You idiot."}
    prompt = [SYSTEM, HI, HELLO, REFUND]
    about = {"probe": "refund", "source": "base reply", "cut_off": False, "hidden": False}
    assert load(folder, "llmdiff_sft")[0] == {"messages": [*prompt, good], **about}
    assert load(folder, "llmdiff_dpo")[0] == {
        "messages": prompt, "chosen": good, "rejected": bad, **about,
    }  # fmt: skip
    assert load(folder, "llmdiff_kto")[:2] == [
        {"messages": [*prompt, good], "label": True, **about},
        {"messages": [*prompt, bad], "label": False, **about, "source": "tuned reply"},
    ]
    assert load(folder, "llmdiff_dpo")[1] == {
        "messages": [HI],
        "chosen": {"role": "assistant", "content": "Good day."},
        "rejected": {"role": "assistant", "content": "No."},
        "probe": "capital", "source": "reference", "cut_off": False, "hidden": False,
    }  # fmt: skip


def test_our_own_reader_gives_the_pairs_back(tmp_path: Path) -> None:
    write_export(FAILING, tmp_path)
    for name, answers in {
        "llmdiff_sft": [("Within 30 days.", None), ("Good day.", None)],
        "llmdiff_dpo": [("Within 30 days.", "You idiot."), ("Good day.", "No.")],
        "llmdiff_kto": [
            ("Within 30 days.", None), (None, "You idiot."), ("Good day.", None), (None, "No."),
        ],
    }.items():  # fmt: skip
        dataset = read_dataset(tmp_path, name)
        assert [(example.answer, example.rejected) for example in dataset.examples] == answers
        assert dataset.examples[0].messages == (SYSTEM, HI, HELLO, REFUND)
        assert dataset.skipped == ()


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
turns = st.lists(text, min_size=1, max_size=5).filter(lambda texts: len(texts) % 2 == 1)


@given(system=st.none() | text, turns=turns, base=text, tuned=text)
def test_every_text_survives(
    tmp_path_factory: pytest.TempPathFactory,
    system: str | None,
    turns: list[str],
    base: str,
    tuned: str,
) -> None:
    folder = tmp_path_factory.mktemp("export")
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    lines = write_export(rows(row_of(comparison("p", messages, base, tuned))), folder)
    if base == tuned:
        assert lines[1] == "export: left out 1: the tuned reply equals the base reply"
        assert not list(folder.iterdir())
        return
    (example,) = read_dataset(folder, "llmdiff_dpo").examples
    assert list(example.messages) == messages
    assert (example.answer, example.rejected) == (base, tuned)


# Which comparisons


OTHER = comparison("other", [HI], "Hello.", "Hm.")


@pytest.mark.parametrize(
    ("row", "exported"),
    [
        (row_of(TALK, OTHER), ["refund", "other"]),
        (
            row_of(
                TALK, OTHER, verdicts=(verdict("refund", "passed"), verdict("other", "regressed"))
            ),
            ["other"],
        ),
        (row_of(TALK, OTHER, verdicts=(verdict(None, "regressed"),)), ["refund", "other"]),
        (
            row_of(
                TALK,
                OTHER,
                verdicts=(verdict("refund", "not judged"), verdict("other", "regressed")),
            ),
            ["other"],
        ),
        (row_of(TALK, verdicts=(verdict("refund", "passed"),)), ["refund"]),
        (row_of(TALK, verdicts=(verdict("refund", "not judged"),)), []),
        (row_of(TALK, call="passed"), []),
        (row_of(TALK, call="xfailed"), []),
        (row_of(TALK, message="pytest_llmdiff.errors.ProbeError: too long"), []),
    ],
    ids=[
        "own assertion", "one of two", "on all of them", "not judged is not bad",
        "own assertion after a verdict", "not judged", "passed", "xfailed", "error",
    ],
)  # fmt: skip
def test_only_failing_probes_are_exported(
    tmp_path: Path, row: dict[str, Any], exported: list[str]
) -> None:
    lines = write_export(rows(row), tmp_path)
    if exported:
        assert [record["probe"] for record in load(tmp_path, "llmdiff_sft")] == exported
    else:
        assert lines == ["export: nothing was written: no failing probe can be exported"]
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (
            comparison("p", [HI], " \n", "No."),
            "the base reply is empty, and there is no reference",
        ),
        (comparison("p", [HI], "A", "A"), "the tuned reply equals the base reply"),
        (
            comparison("p", [HI], "B", "A", reference="A"),
            "the tuned reply equals the reference",
        ),
        (
            comparison("p", [HI, REFUND], "A", "B"),
            "the turns of its prompt do not alternate, as LLaMA-Factory requires",
        ),
        (
            comparison("p", [HI], "A", "\ud83d"),
            "its text contains half of a surrogate pair, which UTF-8 cannot encode",
        ),
    ],
)
def test_what_is_left_out_is_reported(tmp_path: Path, found: dict[str, Any], reason: str) -> None:
    lines = write_export(rows(row_of(found), row_of(OTHER), row_of(found)), tmp_path)
    assert lines == [
        f"export: 1 SFT, 1 DPO and 2 KTO records in {tmp_path}",
        f"export: left out 1: {reason}",
    ]


def test_what_is_served_otherwise_is_no_training_data(tmp_path: Path) -> None:
    served = comparison("p", [HI], "Hello!", "Bye.", sides=["tuned", "served"])
    lines = write_export(rows(row_of(served, verdicts=(verdict(None, "regressed"),))), tmp_path)
    assert lines == [
        "export: nothing was written: no failing probe can be exported",
        "export: left out 1: the served model differs from the tuned one, which training cannot "
        "fix",
    ]


def test_a_comparison_without_replies_is_left_out(tmp_path: Path) -> None:
    row = row_of(TALK, verdicts=(verdict("asked-later", "regressed"),))
    assert write_export(rows(row), tmp_path)[1] == (
        "export: left out 1: compared while its test ran, so the report has no replies"
    )


def test_a_base_reply_that_was_cut_off_is_said(tmp_path: Path) -> None:
    cut = comparison("p", [HI], "Hello, my", "No.")
    cut["base"]["finish_reason"] = "length"
    assert write_export(rows(row_of(cut)), tmp_path)[1:] == [
        "export: 1 chosen base replies are cut at max_new_tokens; complete them before training on "
        "them (cut_off: true)"
    ]
    assert load(tmp_path, "llmdiff_sft")[0]["cut_off"] is True
    assert [record["cut_off"] for record in load(tmp_path, "llmdiff_kto")] == [True, False]


@pytest.mark.parametrize(
    "text", ["a\u202eb", "a\u200bb", "a\x1b[2Jb", "a\x9bb", "a\U000e0041b", "\ufeffab"]
)
@pytest.mark.parametrize("place", ["prompt", "chosen", "rejected"])
def test_what_no_editor_shows_is_escaped_and_told(tmp_path: Path, text: str, place: str) -> None:
    texts = {"prompt": "Hi", "chosen": "Yes.", "rejected": "No.", place: text}
    asked = [{"role": "user", "content": texts["prompt"]}]
    row = row_of(comparison("p", asked, texts["chosen"], texts["rejected"]))
    lines = write_export(rows(row), tmp_path)
    assert "export: 1 exported probe with characters that no editor shows" in lines[1]
    for name in NAMES:
        written = (tmp_path / f"{name}.json").read_text(encoding="utf-8")
        assert not any(hidden(c) for c in written if c != "\n")
        assert all(record["hidden"] for record in load(tmp_path, name))
    (record,) = load(tmp_path, "llmdiff_dpo")
    read = {
        "prompt": record["messages"][0],
        "chosen": record["chosen"],
        "rejected": record["rejected"],
    }
    assert read[place]["content"] == text


def test_a_probe_that_failed_in_several_tests_is_exported_once(tmp_path: Path) -> None:
    sampled = comparison("refund", [SYSTEM, HI, HELLO, REFUND], "Within 30 days.", "Go away.")
    lines = write_export(rows(row_of(TALK), row_of(TALK), row_of(sampled)), tmp_path)
    assert lines == [f"export: 1 SFT, 2 DPO and 3 KTO records in {tmp_path}"]


def test_a_reference_wins_over_the_base_reply(tmp_path: Path) -> None:
    write_export(rows(row_of(OTHER), row_of(KNOWN)), tmp_path)
    (record,) = load(tmp_path, "llmdiff_sft")
    assert record["messages"][-1]["content"] == "Good day."


# dataset_info.json


def test_other_entries_stay(tmp_path: Path) -> None:
    info = tmp_path / "dataset_info.json"
    foreign = {"file_name": "客服.json"}
    stale = {"file_name": "old.json"}
    info.write_text(json.dumps({"llmdiff_dpo": stale, "support": foreign}), encoding="utf-8")
    write_export(FAILING, tmp_path)
    found = load(tmp_path, "dataset_info")
    assert list(found) == ["support", *NAMES]
    assert found["support"] == foreign
    assert found["llmdiff_dpo"]["file_name"] == "llmdiff_dpo.json"
    assert info.read_bytes().isascii()


def test_an_export_of_nothing_takes_the_last_one_back(tmp_path: Path) -> None:
    write_export(FAILING, tmp_path)
    info = load(tmp_path, "dataset_info")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": {"file_name": "a"}, **info}))
    write_export({}, tmp_path)
    assert load(tmp_path, "dataset_info") == {"mine": {"file_name": "a"}}
    assert [path.name for path in tmp_path.iterdir()] == ["dataset_info.json"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_broken_dataset_info_is_not_overwritten(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dataset_info.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"dataset_info\.json.*repair it or export into another"):
        write_export(FAILING, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset_info.json"]
    assert (tmp_path / "dataset_info.json").read_bytes() == content


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(ConfigError, match="is not writable"):
        write_export(FAILING, tmp_path / "a")


# LLaMA-Factory itself


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_llamafactory_loads_the_export(tmp_path: Path) -> None:
    python = os.environ.get("LLAMAFACTORY_PYTHON")
    if not python:
        pytest.skip("LLAMAFACTORY_PYTHON names no interpreter that has LLaMA-Factory")
    tokenizer = os.environ.get("LLAMAFACTORY_TOKENIZER")
    empty = comparison("silent", [HI, HELLO, turn("tool", "42")], "It is 42.", "")
    write_export({**FAILING, "more": row_of(empty)}, tmp_path)
    done = subprocess.run(
        [python, str(Path(llamafactory_loader.__file__)), str(tmp_path)]
        + ([tokenizer, "default"] if tokenizer else []),
        capture_output=True, text=True, encoding="utf-8",
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)

    talk = [turn("user", "Hi"), HELLO, REFUND]
    tool = [turn("user", "Hi"), HELLO, turn("observation", "42")]
    good, bad = turn("assistant", "Within 30 days."), turn("assistant", "You idiot.")
    day, no = turn("assistant", "Good day."), turn("assistant", "No.")
    answer, nothing = turn("assistant", "It is 42."), turn("assistant", "")
    assert {name: found["stage"] for name, found in loaded.items()} == {
        "llmdiff_sft": "sft", "llmdiff_dpo": "rm", "llmdiff_kto": "kto",
    }  # fmt: skip
    shown = {
        name: [(row["_system"], row["_prompt"], row["_response"]) for row in found["rows"]]
        for name, found in loaded.items()
    }
    kind, hi = "Be kind.", [turn("user", "Hi")]
    assert shown["llmdiff_sft"] == [
        (kind, talk, [good]), ("", hi, [day]), ("", tool, [answer]),
    ]  # fmt: skip
    assert shown["llmdiff_dpo"] == [
        (kind, talk, [good, bad]), ("", hi, [day, no]), ("", tool, [answer, nothing]),
    ]  # fmt: skip
    assert shown["llmdiff_kto"] == [
        (kind, talk, [good, nothing]), (kind, talk, [nothing, bad]),
        ("", hi, [day, nothing]), ("", hi, [nothing, no]),
        ("", tool, [answer, nothing]), ("", tool, [nothing, nothing]),
    ]  # fmt: skip
    if tokenizer:
        trained = {name: found["trained"] for name, found in loaded.items()}
        assert [len(found) for found in trained.values()] == [3, 3, 6]
        assert "Within 30 days." in trained["llmdiff_sft"][0]["labels"]
        assert "Within 30 days." in trained["llmdiff_dpo"][0]["chosen_labels"]
        assert "You idiot." in trained["llmdiff_dpo"][0]["rejected_labels"]
        assert [row["kto_tags"] for row in trained["llmdiff_kto"]] == [True, False] * 3


def test_the_loader_needs_nothing_of_this_package() -> None:
    source = Path(llamafactory_loader.__file__).read_text(encoding="utf-8")
    assert "pytest_llmdiff" not in source


def test_probes_with_tools_are_left_out_with_a_reason(tmp_path: Path) -> None:
    offered: dict[str, Any] = {**HI, "tools": [{"type": "function", "function": {"name": "f"}}]}
    called: dict[str, Any] = {
        "role": "assistant",
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
    }
    found = [
        comparison("a", [offered], "Hello.", "No."),
        comparison("b", [HI, called, {"role": "tool", "content": "3"}], "Hello.", "No."),
        comparison("c", [REFUND], "Within 30 days.", "No."),
    ]
    lines = write_export(rows(row_of(*found)), tmp_path)
    assert any(line.startswith("export: left out 2: the probe offers tools") for line in lines)
    assert [each["probe"] for each in load(tmp_path, "llmdiff_sft")] == ["c"]
