"""What several --llm-tuned stand for, and how tests name each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.config.tuned_models import listed, names_of, without_name
from pytest_llmdiff.errors import ConfigError


def test_a_pattern_stands_for_its_folders_in_numeric_order(tmp_path: Path) -> None:
    for name in ("checkpoint-120", "checkpoint-80", "checkpoint-9", "other"):
        (tmp_path / "run" / name).mkdir(parents=True)
    (tmp_path / "run" / "checkpoint-5.json").touch()  # no folder
    found = listed(["run/checkpoint-*", "run/other"], tmp_path)
    assert [Path(spec).name for spec in found] == [
        "checkpoint-9", "checkpoint-80", "checkpoint-120", "other"
    ]  # fmt: skip
    assert found[0] == str(Path("run/checkpoint-9"))
    assert listed([f"{tmp_path}/run/o*"], Path("/")) == (str(tmp_path / "run" / "other"),)
    # A folder of that very name, and SPECs of other kinds, are what they say.
    (tmp_path / "run" / "a[1]").mkdir()
    others = ["run/a[1]", "http://host/v1#m*", "python:engines:a", "ORG/NAME@main"]
    assert listed(others, tmp_path) == tuple(others)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["none-*"], "no folder matches 'none-*'"),
        (["a", "b", "a/"], "a is given twice"),
        (["a", "[ab]"], "a is given twice"),
    ],
)
def test_what_stands_for_nothing_or_twice(tmp_path: Path, given: list[str], said: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigError) as error:
        listed(given, tmp_path)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("specs", "names"),
    [
        (["saves/run/checkpoint-80", "saves/run/checkpoint-120/"],
         ("checkpoint-80", "checkpoint-120")),
        (["one/checkpoint-80", "two/checkpoint-80"], ("one-checkpoint-80", "two-checkpoint-80")),
        (["http://host:8000/v1#org/good", "replay:runs/old.jsonl", "python:engines:mine"],
         ("good", "old", "mine")),
        (["ORG/NAME@v1", "ORG/NAME@v2"], ("NAME-v1", "NAME-v2")),
        (["模型", "模型二"], ("tuned", "tuned-2")),
    ],
)  # fmt: skip
def test_names_are_short_and_different(specs: list[str], names: tuple[str, ...]) -> None:
    assert names_of(specs) == names


@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=2, max_size=5),
    st.sampled_from(["", "-prompt-1a2b", "-[x]-y::z"]),
)
def test_a_test_is_found_again_without_the_name(specs: list[str], rest: str) -> None:
    names = names_of(specs)
    assert len(set(names)) == len(specs)
    for name in names:
        assert name.isascii()
        alone = f"t.py::test_a[{rest[1:]}]" if rest else "t.py::test_a"
        assert without_name(f"t.py::test_a[{name}{rest}]", name) == alone
    assert without_name("t.py::test_a", names[0]) == "t.py::test_a"
    assert without_name("t.py::test_a[x-m-y]", "m") == "t.py::test_a[x-y]"
    assert without_name("t.py::test_a[x-m]", "m") == "t.py::test_a[x]"
