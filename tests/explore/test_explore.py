"""What an exploration finds, on models that answer by rules."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff import ConfigError, open_pair
from pytest_llmdiff.__main__ import main
from tests.support.topical import BUDGET, COOKING, SCORERS, explored


@pytest.mark.usefixtures("folder")
def test_a_change_on_one_topic_is_a_theme() -> None:
    found = explored("rude")
    (theme,) = found.themes
    assert found.tried == BUDGET
    assert "cook" in theme.about
    assert {"fool", "idiot"} <= set(theme.gained)
    assert not theme.everywhere
    assert theme.p < 0.001
    assert all(any(word in p.prompt.lower() for word in COOKING) for p in theme.probes)
    assert theme.size <= theme.differing == found.differing
    example = theme.examples[0]
    assert "idiot" in example.words
    assert example.tuned.startswith("Only a stupid")
    text = "\n".join(found.lines())
    assert "*idiot*" in text
    assert "  log: " in text


@pytest.mark.usefixtures("folder")
def test_the_same_seed_finds_the_same_and_asks_nothing_again() -> None:
    first, again = explored("rude"), explored("rude")
    assert [o.probe.id for o in first.observed] == [o.probe.id for o in again.observed]
    assert first.themes == again.themes
    other = explored("rude", seed=1)
    assert [o.probe.id for o in first.observed] != [o.probe.id for o in other.observed]


@pytest.mark.usefixtures("folder")
def test_what_differs_gets_more_prompts() -> None:
    found = explored("rude", budget=200)
    tried, differing = map(sum, zip(*found.sources.values(), strict=True))
    assert tried == 200
    near = [found.sources[name] for name in ("changed forms", "nearby prompts")]
    assert sum(n for n, _ in near) > 30
    assert sum(d for _, d in near) > 20
    assert differing == found.differing


@pytest.mark.usefixtures("folder")
def test_the_base_writes_turns_of_the_user() -> None:
    found = explored("writing_rude", "writing_base", prompts=None)
    turns = [o.probe.prompt for o in found.observed if o.source == "user turns"]
    assert len(set(turns)) == len(turns) > 10
    assert all(turn.startswith("Tell me how to cook or describe") for turn in turns)
    near = [o.probe.prompt for o in found.observed if o.source == "nearby turns"]
    assert any(turn.startswith("Tell me how to cook") for turn in near)
    assert found.themes[0].about
    again = explored("writing_rude", "writing_base", prompts=None)
    assert [o.probe.prompt for o in again.observed] == [o.probe.prompt for o in found.observed]


@pytest.mark.usefixtures("folder")
def test_no_change_is_no_theme() -> None:
    found = explored("same")
    assert found.themes == ()
    assert found.differing == 0
    assert not found.everywhere
    assert "no theme stands above the noise" in "\n".join(found.lines())


@pytest.mark.usefixtures("folder")
def test_a_small_change_everywhere_is_no_theme() -> None:
    found = explored("small")
    assert found.themes == ()
    assert found.everywhere
    assert "small and everywhere" in "\n".join(found.lines())


@pytest.mark.usefixtures("folder")
def test_servers_are_judged_by_their_replies() -> None:
    found = explored("served_rude", "served_base")
    (theme,) = found.themes
    assert found.unit == "share of changed words"
    assert any("by replies alone" in note for note in found.notes)
    assert "idiot" in theme.gained
    assert "shows no activations" in found.lens.unknown


def test_tests_come_out_red_and_accepted_ones_green(
    folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # pytester has another one
    found = explored("rude")
    (theme,) = found.themes
    written = found.write(folder)
    assert [path.name for path in written] == [
        "explore.json", "found.jsonl", "test_found.py", "explore.html",
    ]  # fmt: skip
    models = ["--llm-base=python:topical:base", "--llm-tuned=python:topical:rude"]
    sys.modules.pop("test_found", None)  # of other tests of this process
    pytester.runpytest("--rootdir", folder, str(folder), *models).assert_outcomes(failed=1)
    sys.modules.pop("test_found", None)  # both runs are in this process
    explored("rude", accept=[theme.name]).write(folder)
    pytester.runpytest("--rootdir", folder, str(folder), *models).assert_outcomes(passed=1)
    rows = [json.loads(line) for line in (folder / "probes/found.jsonl").read_text().splitlines()]
    assert all(row["tags"] == [theme.name] for row in rows)
    page = (folder / "explore.html").read_text(encoding="utf-8")
    assert "<ins>idiot</ins>" in page
    assert "<script" not in page
    data = json.loads((folder / "explore.json").read_text(encoding="utf-8"))
    assert data["themes"][0]["accepted"]
    assert data["themes"][0]["size"] == theme.size


@pytest.mark.usefixtures("folder")
def test_the_judge_says_a_sentence_that_is_marked_as_its_own() -> None:
    specs = {"base": "python:topical:base", "tuned": "python:topical:rude"}
    with open_pair(**specs, **SCORERS, judge="python:topical:judge") as pair:
        found = pair.explore(budget=BUDGET, prompts="log.txt")
    (theme,) = found.themes
    assert theme.judged == "Model B insults people who ask about cooking."
    assert f"   the judge says: {theme.judged}" in found.lines()


def test_a_file_of_the_user_is_not_replaced(folder: Path) -> None:
    (folder / "test_found.py").write_text("def test_mine(): ...", encoding="utf-8")
    with pytest.raises(ConfigError, match="was not written by an exploration"):
        explored("rude").write(folder)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 5}, "a whole number from 40"),
        ({"minutes": 0}, "a number above 0"),
        ({"prompts": "none.jsonl"}, "there is no file none.jsonl"),
        ({"accept": ["other"]}, "there is no theme other; the themes are cook-"),
    ],
)
def test_misuse_is_one_clear_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        explored("rude", **options)


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explore", "python:topical:rude", "--base", "python:topical:base", "--budget", "60"]
    scorers = [part for name, value in SCORERS.items() for part in (f"--{name}", value)]
    assert main([*words, "--prompts", "log.txt", "--output", "out", *scorers]) == 0
    printed = capsys.readouterr().out
    assert "1. cook-" in printed
    assert "written: out/explore.json" in printed
    assert (folder / "out" / "test_found.py").is_file()
    assert main([*words, "--no-such-option", "x"]) == 2
    assert "there is no option no_such_option" in capsys.readouterr().err
    assert main(["explore"]) == 2
    assert "explore needs a tuned model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("log.txt", "  \n", "has no prompt"),
        ("log.jsonl", '{"question": "Hi"}', "log.jsonl, line 1"),
        ("log.jsonl", '{"prompt": ', "log.jsonl, line 1"),
        ("log.txt", "caf\udce9", "cannot be read as UTF-8"),
    ],
)
def test_a_bad_log_is_one_clear_error(folder: Path, name: str, text: str, message: str) -> None:
    (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match=message):
        explored("rude", prompts=name)
