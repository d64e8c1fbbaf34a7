"""The template of a training told from likelihoods: ranking, candidates, and what a check says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.llamafactory.datasets import Dataset, Example
from pytest_llmdiff.data.llamafactory.ranking import (
    ROUNDS,
    TemplateLikelihood,
    TemplateRanking,
    halve,
    likelihood_text,
    rank,
)
from pytest_llmdiff.data.llamafactory.templates import read_templates
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.training.training import TrainData
from pytest_llmdiff.engines.files.rendering import Renderer
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.wiring.template.candidates import candidates
from pytest_llmdiff.measures.wiring.template.likelihood import (
    IN_FORCE,
    factory_templates,
    known_answers,
    ranking_of,
    with_ranking,
)
from tests.support.engines import settings
from tests.support.tiny_models import save_model

SOURCE = """
register_template(
    name="chatty",
    format_user=StringFormatter(
        slots=["<|im_start|>user\\n{{content}}<|im_end|>\\n<|im_start|>assistant\\n"]
    ),
    format_assistant=StringFormatter(slots=["{{content}}<|im_end|>\\n"]),
)
register_template(
    name="chatty_twin",
    format_user=StringFormatter(
        slots=["<|im_start|>user\\n{{content}}<|im_end|>\\n<|im_start|>assistant\\n"]
    ),
    format_assistant=StringFormatter(slots=["{{content}}<|im_end|>\\n"]),
)
register_template(
    name="plain",
    format_user=StringFormatter(slots=["Q: {{content}}\\nA: "]),
)
register_template(
    name="added",
    format_user=StringFormatter(slots=["<|added|>{{content}}\\n"]),
    stop_words=["<|added|>"],
)
"""
CHAT = (
    Message(role="user", content="How many hours has a day?"),
    Message(role="assistant", content="It has 24."),
)


# Ranking


def test_the_best_is_first_and_the_others_are_behind_it() -> None:
    scores = {0: [1.0] * 10, 1: [0.5] * 10, 2: [0.9, 0.1] * 5}
    ranks = rank(scores)
    assert [r.index for r in ranks] == [1, 2, 0]
    assert [r.behind for r in ranks] == pytest.approx([0, 0, 0.5])
    assert [r.told_apart for r in ranks] == [False, False, True]
    # Differences of 2 to the best: 0.4 and -0.4 in turns, so s = 0.4 * sqrt(10 / 9).
    assert ranks[1].error == pytest.approx(0.4 * math.sqrt(10 / 9) / math.sqrt(10))


def test_a_steady_difference_is_told_apart_and_a_noisy_one_is_not() -> None:
    best = [1.0, 2.0, 3.0, 4.0] * 3
    steady = [x + 0.02 + 0.001 * (i % 2) for i, x in enumerate(best)]
    noisy = [x + (0.5 if i % 2 else -0.46) for i, x in enumerate(best)]
    found = {r.index: r.told_apart for r in rank({0: best, 1: steady, 2: noisy})}
    assert found == {0: False, 1: True, 2: False}


def test_few_examples_tell_nothing_apart() -> None:
    assert [r.told_apart for r in rank({0: [1.0] * 5, 1: [9.0] * 5})] == [False, False]


def test_what_fell_out_is_behind_and_told_apart() -> None:
    ranks = rank({0: [1.0] * 24, 1: [0.5] * 2})
    assert [(r.index, r.told_apart) for r in ranks] == [(0, False), (1, True)]


@given(
    st.lists(st.floats(0, 5), min_size=1, max_size=60),
    st.integers(1, 40),
    st.none() | st.integers(0, 59),
)
def test_halving_measures_each_pair_once_and_keeps_the_best(
    means: list[float], examples: int, keep: int | None
) -> None:
    keep = None if keep is None or keep >= len(means) else keep
    asked: list[tuple[int, int]] = []

    def measure(chosen: Sequence[int], wanted: Sequence[int]) -> dict[int, list[float]]:
        asked.extend((c, e) for c in chosen for e in wanted)
        return {c: [means[c] for _ in wanted] for c in chosen}

    scores = halve(len(means), examples, measure, keep)
    assert len(asked) == len(set(asked))
    longest = min(examples, ROUNDS[-1][0])
    best = min(range(len(means)), key=means.__getitem__)
    assert means[rank(scores)[0].index] == means[best]
    assert len(scores[rank(scores)[0].index]) == longest
    assert all(scores.values()), "every candidate was measured"
    if keep is not None:
        assert len(scores[keep]) == longest


def test_halving_costs_less_than_all_against_all() -> None:
    asked = []

    def measure(chosen: Sequence[int], wanted: Sequence[int]) -> dict[int, list[float]]:
        asked.append(len(chosen) * len(wanted))
        return {c: [float(c)] * len(wanted) for c in chosen}

    halve(60, 100, measure, 59)
    assert sum(asked) == 60 * 2 + 17 * 4 + 7 * 18


# Data and candidates


def data(*answers: str | None) -> TrainData:
    examples = [
        Example(
            number=n, messages=(Message(role="user", content=f"{n}?"),), answer=a, rejected=None
        )
        for n, a in enumerate(answers, 1)
    ]
    return TrainData(
        datasets=(Dataset(name="d", path=Path("d"), examples=tuple(examples), skipped=()),)
    )


def test_examples_come_from_all_over_the_data() -> None:
    found = known_answers(data(*(f"answer {n}" for n in range(240))))
    assert [c[0]["content"] for c in found][:3] == ["1?", "11?", "21?"]
    assert len(found) == ROUNDS[-1][0]
    assert found[-1][-1] == Message(role="assistant", content="answer 230")


def test_examples_without_an_answer_or_very_long_ones_are_left_out() -> None:
    found = known_answers(data("yes", None, " ", "x" * 5000, "no"))
    assert [c[-1]["content"] for c in found] == ["yes", "no"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("templates")
    save_model(folder / "base")
    (folder / "template.py").write_text(SOURCE, encoding="utf-8")
    return folder


def test_candidates_are_grouped_by_their_ids_and_possible_ones_only(folder: Path) -> None:
    renderer = Renderer(folder / "base")
    rows = len(renderer.tokenizer)
    found = candidates(
        {IN_FORCE: renderer},
        read_templates(folder / "template.py").values(),
        [CHAT],
        tokenizer=renderer.tokenizer,
        embeddings=rows,
    )
    groups = {(c.names, c.of_models) for c in found}
    # "added" needs a token that the embeddings have no row for.
    assert ("plain",) in {names for names, _ in groups}
    assert any(set(names) == {"chatty", "chatty_twin"} for names, _ in groups)
    assert not any("added" in names for names, _ in groups)
    decode = renderer.tokenizer.decode
    plain = next(c for c in found if c.names == ("plain",)).items[0]
    assert decode(plain.prompt_ids) == "Q: How many hours has a day?\nA: "
    assert decode(plain.reply_ids).startswith("It has 24.")
    more = candidates(
        {},
        read_templates(folder / "template.py").values(),
        [CHAT],
        tokenizer=renderer.tokenizer,
        embeddings=rows + 1,
    )
    assert any("added" in c.names for c in more)


def test_the_models_own_template_splits_where_its_answer_begins(folder: Path) -> None:
    renderer = Renderer(folder / "base")
    (found,) = candidates(
        {IN_FORCE: renderer}, [], [CHAT], tokenizer=renderer.tokenizer, embeddings=1 << 30
    )
    assert list(found.items[0].prompt_ids) == renderer.ids(CHAT[:1])
    assert renderer.tokenizer.decode(found.items[0].reply_ids).startswith("It has 24.")


def test_without_llamafactory_there_are_the_models_own_only(folder: Path) -> None:
    given_, reason = factory_templates(settings(folder, llamafactory=folder / "template.py"))
    assert [t.name for t in given_] == ["chatty", "chatty_twin", "plain", "added"]
    assert not reason
    none, reason = factory_templates(settings(folder))
    assert not none
    assert "not installed" in reason
    with pytest.raises(ConfigError, match="does not exist"):
        factory_templates(settings(folder, llamafactory=folder / "nowhere"))


# What a check makes of it


def entry(name: str, behind: float, *, apart: bool, own: bool = False) -> TemplateLikelihood:
    return TemplateLikelihood(
        names=() if own else (name,), of_models=(IN_FORCE,) if own else (), nll=1 + behind,
        examples=24, behind=behind, error=0.001, told_apart=apart,
    )  # fmt: skip


def facts(*rows: TemplateLikelihood, unknown: str | None = None, problems: Any = ()) -> Any:
    from dataclasses import asdict

    ranking = TemplateRanking(candidates=rows, examples=24, gain=2.0, unknown=unknown)
    return asdict(ranking) | {"problems": list(problems), "missing": ""}


NOTHING = {"problems": [], "compared with": "the base's template", "unknown": "no traces"}


def test_json_and_back() -> None:
    rows = entry("alpaca", 0, apart=False), entry("x", 0.1, apart=True, own=True)
    ranking = ranking_of(facts(*rows))
    assert ranking.candidates == rows
    assert ranking.likely.names == ("alpaca",)
    assert ranking.margin == pytest.approx(0.1)
    never = ranking_of(facts(TemplateLikelihood(**{**vars(rows[0]), "error": -1.0})))
    assert never.candidates[0].error == math.inf


def test_another_template_beyond_doubt_is_a_problem() -> None:
    rows = entry("alpaca", 0, apart=False), entry("", 0.1, apart=True, own=True)
    found = with_ranking(NOTHING, facts(*rows, problems=["a token differs"]))
    assert found["unknown"] is None
    assert "trained with alpaca (1.000 nats per token" in found["problems"][0]
    assert "the template in force is 0.100 behind" in found["problems"][0]
    assert found["problems"][1] == "a token differs"
    assert found["compared with"] == "alpaca, the likeliest by the training data"


def test_a_ranking_of_an_older_store_knows_its_own_template() -> None:
    row = {"nll": 1.0, "examples": 24, "behind": 0.0, "error": 0.001, "told_apart": False}
    stored = {
        "candidates": [{"names": [], "of_models": ["the template in force"], **row}],
        "examples": 24, "gain": 2.0, "unknown": None, "problems": [], "missing": "",
    }  # fmt: skip
    found = with_ranking(NOTHING, stored)
    assert found["problems"] == []
    assert found["unknown"] is None


def test_a_tie_with_another_rendering_is_not_judged() -> None:
    rows = entry("", 0, apart=False, own=True), entry("smollm2", 0.001, apart=False)
    found = with_ranking(NOTHING, facts(*rows, problems=["a full stop"]))
    assert found["problems"] == []
    assert "too close to decide" in found["unknown"]
    assert "smollm2" in found["unknown"]


def test_the_template_in_force_as_the_likeliest_passes() -> None:
    rows = entry("", 0, apart=False, own=True), entry("vicuna", 0.4, apart=True)
    found = with_ranking(NOTHING, facts(*rows))
    assert found["unknown"] is None
    assert found["problems"] == []
    assert found["likelihood"].startswith("the template in force (1.000 nats per token over 24")
    assert "next: vicuna, 0.400 behind" in found["likelihood"]


def test_a_ranking_that_cannot_tell_leaves_it_unknown() -> None:
    rows = entry("alpaca", 0, apart=False), entry("", 0.1, apart=True, own=True)
    found = with_ranking(NOTHING, facts(*rows, unknown="nothing was learnt"))
    assert found["problems"] == []
    assert found["unknown"] == "no traces; the training data is inconclusive: nothing was learnt"


def test_a_template_that_is_known_is_not_overruled() -> None:
    known = NOTHING | {"unknown": None, "problems": ["another stop token"]}
    rows = entry("alpaca", 0, apart=False), entry("", 0.1, apart=True, own=True)
    found = with_ranking(known, facts(*rows, problems=["a token differs"]))
    assert found["problems"] == ["another stop token"]
    assert found["likelihood"].startswith("alpaca")


def test_ties_are_named() -> None:
    rows = entry("", 0, apart=False, own=True), entry("smollm2", 0.001, apart=False)
    text = likelihood_text(ranking_of(facts(*rows)))
    assert text == (
        "smollm2 (1.001 nats per token over 24 examples; not told apart: the template in force)"
    )
