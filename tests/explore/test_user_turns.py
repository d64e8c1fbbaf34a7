"""User turns of tiny models: from the base, and from both with the difference amplified."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff import open_pair
from pytest_llmdiff.explore import user_turns
from pytest_llmdiff.explore.user_turns import UserTurns
from tests.support.tiny_models import CHATML, save_adapter, save_model

OTHER = CHATML.replace("<|im_start|>", "[S]")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("turns")
    save_model(folder / "base")
    save_model(folder / "other", seed=5, template=OTHER)
    save_adapter(folder / "adapter", folder / "base")
    save_model(folder / "tokens", seed=4)
    file = folder / "tokens" / "tokenizer.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = data["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    file.write_text(json.dumps(data), encoding="utf-8")
    return folder


class Turns:
    """The first turns of both kinds, and what was noted."""

    def __init__(self, models: Path, store: Path, tuned: str, **options: Any) -> None:
        self.notes: list[str] = []
        base = models / "base"
        with open_pair(base=base, tuned=models / tuned, store=store, **options) as pair:
            turns = UserTurns(pair.run, seed=0, note=self.notes.append)
            self.plain = [probe.prompt for probe in islice(turns.stream(), 6)]
            self.amplified = [probe.prompt for probe in islice(turns.amplified(), 6)]


@pytest.mark.parametrize("tuned", ["other", "adapter"])
def test_turns_come_from_both_models_and_then_from_the_store(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuned: str
) -> None:
    first = Turns(models, tmp_path, tuned)
    assert len(first.plain) == len(first.amplified) == 6
    assert set(first.plain) != set(first.amplified)
    assert first.notes == []

    def refused(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(user_turns, "amplified", refused)
    again = Turns(models, tmp_path, tuned)
    assert (again.plain, again.amplified) == (first.plain, first.amplified)


def test_models_with_other_tokens_have_no_amplified_turns(models: Path, tmp_path: Path) -> None:
    found = Turns(models, tmp_path, "tokens")
    assert len(found.plain) == 6
    assert found.amplified == []
    (note,) = found.notes
    assert note.startswith("no amplified turns: the tokenizers of base and tuned model differ")


def test_a_template_that_begins_with_the_users_text_is_told(models: Path, tmp_path: Path) -> None:
    template = tmp_path / "bare.jinja"
    template.write_text("{{ messages[-1]['content'] }}", encoding="utf-8")
    found = Turns(models, tmp_path / "store", "other", template=template)
    assert (found.plain, found.amplified) == ([], [])
    assert found.notes == [
        "the base writes no user turns: its template begins with the user's own text"
    ]


def test_a_system_prompt_as_long_as_the_context_leaves_no_turns(
    models: Path, tmp_path: Path
) -> None:
    found = Turns(models, tmp_path, "other", system="x" * 150)
    assert (found.plain, found.amplified) == ([], [])
    assert any("too many for a context of 192" in note for note in found.notes)
