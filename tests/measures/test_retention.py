"""Forgetting: answers lost, references and texts that became less likely."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff import Comparison, Probe, Reply, retention
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.data.text.answers import contains, options_of
from pytest_llmdiff.measures.retention import Retention, lost
from tests.support.projects import Run, write_models
from tests.support.runs import stored_replies

RIGHT, WRONG = "It is Paris, of course.", "I do not know."
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("reply", "reference"),
    [
        ("The capital is PARIS.", "Paris"),
        ("7 + 8 = 15.", "15"),
        ("It is 1,500 km away.", "1500"),
        ("It is 1500 km away.", "1,500"),
        ("答案是１５。", "15"),
        ("法国的首都是巴黎。", "巴黎"),
        ("“Mount Everest”!", "mount everest"),
        ("New\n York", "New York"),
        ('["cat","dog"]', '["cat", "dog"]'),
        ("[“cat”， “dog”]", '["cat", "dog"]'),
        ("On 2021-07-04, a Sunday", "2021-07-04"),
        ("1,2,3", "1, 2, 3"),
        ("The answer: RIVER", "RIVER"),
        ("3.5 metres", "3.5"),
        ("等于15度", "15"),
        ("x = −3.", "-3"),
        ("It is -3", "−3"),
        ("f(2)-3 or 4-3", "3"),
        ("- 3 apples", "3"),
        ("الجواب هو ٤٢.", "42"),
        ("١٬٥٠٠٫٥", "1500.5"),
        ("대한민국의 수도는 서울입니다.", "서울"),
        ("เมืองหลวงคือกรุงเทพ", "กรุงเทพ"),
    ],
)
def test_a_reply_has_the_reference(reply: str, reference: str) -> None:
    assert contains(reply, reference)


@pytest.mark.parametrize(
    ("reply", "reference"),
    [
        ("It is 150.", "15"),
        ("It is 1.5.", "5"),
        ("It is 15.5.", "15"),
        ("Parisian", "Paris"),
        ("goldfish", "gold"),
        ("the river", "RIVER"),
        ("cat, dog", '["cat", "dog"]'),
        ("2021 07 04", "2021-07-04"),
        ("12021-07-04", "2021-07-04"),
        ("1 2 3", "1, 2, 3"),
        ("", "Paris"),
        ("北海", "北京"),
        ("The answer is -3.", "3"),
        ("x=−3", "3"),
        ("-3 %", "3%"),
        ("It is 3.", "-3"),
        ("부산입니다", "서울"),
    ],
)
def test_a_reply_has_it_not(reply: str, reference: str) -> None:
    assert not contains(reply, reference)


@given(st.text(), st.text(alphabet=LETTERS, min_size=1), st.text())
def test_a_word_of_its_own_is_always_found(before: str, word: str, after: str) -> None:
    assert contains(f"{before}\n\n{word} \n{after}", word)


@given(st.text(max_size=200), st.text(max_size=50))
def test_any_texts_can_be_held_against_each_other(reply: str, reference: str) -> None:
    assert contains(reply, reference) in (True, False)


CHOICE = "Which is a mammal?\nA. dolphin\nB) lizard\nC、eagle\nAnswer with the letter."


def test_the_options_of_a_choice() -> None:
    assert options_of(CHOICE, "a") == {"A": "dolphin", "B": "lizard", "C": "eagle"}
    assert options_of(CHOICE, "Ｃ")
    assert options_of(CHOICE, "D") == {}
    assert options_of(CHOICE, "dolphin") == {}
    assert options_of("What is vitamin A?\nA. good", "A") == {}


def answering(memo: object) -> Any:
    """A run whose memo has the log-probabilities of all passages."""
    return SimpleNamespace(generation=SimpleNamespace(pair=SimpleNamespace(resolved={}), memo=memo))


class Broken:
    """The memo of a run whose tuned model gives no numbers, as one with NaN among its weights."""

    def get_all(self, _what: str, side: str, *_: object, **__: object) -> list[list[float]]:
        values = [-1.0, -2.0, -2.0] if side == "base" else [math.nan] * 3
        return [[value] for value in values]


def test_a_model_without_numbers_knows_no_answer() -> None:
    """Not the first option either, for being the first."""
    run = answering(Broken())
    probe = make_probe(CHOICE, reference="A")
    said = Reply(text="A")
    m = retention(Comparison(probe=probe, base=said, tuned=said, run=run))
    assert (m.details["base_right"], m.details["tuned_right"]) == (True, False)
    assert lost(m).value == 1
    assert math.isnan(m.value)


class Short:
    """The memo of a run whose tuned model has no room for one of the texts."""

    def get_all(
        self, _what: str, side: str, about: Sequence[list[Any]], *_: object, **__: object
    ) -> list[list[float] | str]:
        return [
            f"no room on {side}" if side == "tuned" and text == "long" else [-1.0]
            for _, text in about
        ]


def test_a_text_without_a_likelihood_keeps_the_others() -> None:
    run = answering(Short())
    said = Reply(text="?")
    probes = [make_probe("Which?", reference=text) for text in ("first", "long", "last")]
    subject = [Comparison(probe=probe, base=said, tuned=said, run=run) for probe in probes]
    first, long, last = Retention().measure(subject)
    assert (first.value, last.value) == (0, 0)
    assert first.unsupported is last.unsupported is None
    assert long.unsupported == "no room on tuned"


# Verdicts


def models(
    folder: Path,
    sides: Sequence[tuple[str, str]],
    likelihoods: tuple[Mapping[str, float], Mapping[str, float]] = ({}, {}),
    reference: str | None = "Paris",
) -> None:
    """Scripted models with these replies (base, tuned) to numbered prompts, and a file of them."""
    scripts: list[dict[str, Any]] = [
        {
            "replies": {f"question {n}": pair[side] for n, pair in enumerate(sides)},
            "likelihoods": dict(likelihoods[side]),
        }
        for side in (0, 1)
    ]
    write_models(folder, *scripts)
    rows = [{"prompt": f"question {n}", "reference": reference} for n in range(len(sides))]
    (folder / "probes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def suite(project: pytest.Pytester, fixture: str, arguments: str) -> None:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_retention

        @pytest.mark.llmdiff(file="probes.jsonl")
        def test_kept({fixture}):
            assert_retention({fixture}, {arguments})
        """
    )


def verdicts(project: pytest.Pytester, name: str = "report.json") -> list[dict[str, Any]]:
    report = json.loads((project.path / name).read_text(encoding="utf-8"))
    return [verdict for test in report["tests"] for verdict in test["verdicts"]]


@pytest.mark.parametrize(
    ("base", "tuned", "arguments", "outcome"),
    [
        (RIGHT, RIGHT, "lost_at_most=0", "passed"),
        (RIGHT, WRONG, "lost_at_most=0", "regressed"),
        (WRONG, WRONG, "lost_at_most=0", "passed"),
        (WRONG, RIGHT, "lost_at_most=0", "passed"),
        (RIGHT, RIGHT, "", "no_limit"),
        (RIGHT, RIGHT, "drop_at_most=0.4", "regressed"),
        (WRONG, WRONG, "drop_at_most=0.6", "passed"),
    ],
)
def test_one_comparison(
    project: pytest.Pytester, base: str, tuned: str, arguments: str, outcome: str
) -> None:
    models(project.path, [(base, tuned)], ({"Paris": -1.0}, {"Paris": -1.5}))
    suite(project, "comparison", arguments)
    project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json",
        "--llmdiff-json=report.json",
    )  # fmt: skip
    assert [verdict["outcome"] for verdict in verdicts(project)] == [outcome]


MANY = [(RIGHT, RIGHT)] * 60


@pytest.mark.parametrize(
    ("sides", "outcome", "value"),
    [
        (MANY, "passed", 0),
        # What the base does not know is no evidence of anything, either way.
        (MANY + [(WRONG, WRONG)] * 60, "passed", 0),
        (MANY[:10] + [(WRONG, WRONG)] * 60, "not_judged", 0),
        ([(RIGHT, WRONG)] * 10 + [(WRONG, WRONG)] * 110, "regressed", 1),
        (MANY + [(RIGHT, WRONG)] * 30, "regressed", 1 / 3),
        # Answers gained do not make up for answers lost.
        (MANY + [(RIGHT, WRONG), (WRONG, RIGHT)] * 30, "regressed", 1 / 3),
    ],
)
def test_answers_lost_of_a_set(
    project: pytest.Pytester, run: Run, sides: list[tuple[str, str]], outcome: str, value: float
) -> None:
    models(project.path, sides)
    suite(project, "comparisons", "lost_at_most=0.2")
    run("--llmdiff-json=report.json")
    (found,) = verdicts(project)
    assert found["name"] == "answer lost rate"
    assert found["outcome"] == outcome
    assert found["value"] == pytest.approx(value)
    known = sum(base == RIGHT for base, _ in sides)
    assert found["set"]["judged"] == known
    lost, gained = sides.count((RIGHT, WRONG)), sides.count((WRONG, RIGHT))
    assert found["details"] == {
        "answer lost": lost, "answer gained": gained, "moved": "answer lost",
        "opposite": "answer gained", "net": lost - gained,
    }  # fmt: skip
    assert (found["p"] < 0.01) == (lost >= 10 and gained == 0)


def test_as_many_gained_as_lost_is_not_told_as_worse(project: pytest.Pytester, run: Run) -> None:
    both = [(RIGHT, WRONG), (WRONG, RIGHT)] * 30
    models(project.path, MANY + both)
    suite(project, "comparisons", "lost_at_most=0.2")
    result = run("--llmdiff-html=r.html", "--llmdiff-markdown=r.md")
    told = "answers: 30 of 90 lost, 30 others gained: net 0"
    result.stdout.fnmatch_lines_random(
        [f"E *answer lost rate of 90 comparisons: 0.33, * ({told}), limit 0.2*", f"    {told}",
         "  - outcomes moved both ways, and no more were lost than gained: *"]
    )  # fmt: skip
    assert "the tuned model forgot" not in result.stdout.str()
    for file in ("r.html", "r.md"):
        assert told in html.unescape((project.path / file).read_text(encoding="utf-8"))
    models(project.path, MANY + both + [(RIGHT, WRONG)] * 3)
    result = run()
    result.stdout.fnmatch_lines_random(
        ["E *(answers: 33 of 93 lost, 30 others gained: net 3 lost)*",
         "  - the tuned model forgot: *"]
    )  # fmt: skip


def test_a_base_that_knows_nothing_is_not_judged(project: pytest.Pytester, run: Run) -> None:
    models(project.path, [(WRONG, WRONG)] * 60)
    suite(project, "comparisons", "lost_at_most=0.2")
    result = run("--llmdiff-json=report.json")
    result.assert_outcomes(failed=1)
    assert verdicts(project)[0]["outcome"] == "not_judged"
    result.stdout.fnmatch_lines(["E *answer lost rate not judged: *nothing can be lost*"])


def test_without_a_reference_it_says_how_to_give_one(project: pytest.Pytester, run: Run) -> None:
    models(project.path, [(RIGHT, RIGHT)], reference=None)
    suite(project, "comparison", "lost_at_most=0, drop_at_most=1")
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E *answer lost not judged: the probe has no reference answer*reference= of the marker*; "
         "reference likelihood drop not judged: the probe has no reference *column reference*"]
    )  # fmt: skip


def test_an_engine_without_likelihoods_says_so(project: pytest.Pytester, run: Run) -> None:
    models(project.path, [(RIGHT, RIGHT)] * 3)
    suite(project, "comparisons", "drop_at_most=1")
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *not judged: *needs logits, and ScriptedEngine has none*"])


def test_the_drop_over_a_set_and_its_replay(project: pytest.Pytester, run: Run) -> None:
    names = [f"answer {n}" for n in range(20)]
    base = dict.fromkeys(names, -1.0)
    tuned = {name: -1.4 - n % 2 / 10 for n, name in enumerate(names)}
    models(project.path, [(WRONG, WRONG)] * 20, (base, tuned))
    rows = [{"prompt": f"question {n}", "reference": name} for n, name in enumerate(names)]
    (project.path / "probes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite(project, "comparisons", "drop_at_most=0.2")
    run("--llmdiff-json=report.json", "--llmdiff-record=run.jsonl").assert_outcomes(failed=1)
    (found,) = verdicts(project)
    assert found["name"] == "reference likelihood drop"
    assert (found["value"], found["unit"]) == (pytest.approx(0.45), "nats per token")
    run(
        "--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl",
        "--llmdiff-json=again.json", "--llmdiff-store=fresh",
    ).assert_outcomes(failed=1)  # fmt: skip
    assert verdicts(project, "again.json") == verdicts(project)


CHOOSING = """
    import pytest
    from pytest_llmdiff import assert_retention, retention

    @pytest.mark.llmdiff("Which?\\nA. dog\\nB. oak\\nC. tin", reference="A")
    def test_choice(comparison):
        found = retention(comparison)
        assert found.details["base_right"] is True
        assert found.details["tuned_right"] is {right}
        assert_retention(comparison, lost_at_most=0)
"""


@pytest.mark.parametrize(("tin", "right"), [(-3.0, True), (-0.5, False)])
def test_a_choice_is_answered_by_likelihood(
    project: pytest.Pytester, run: Run, tin: float, right: bool
) -> None:
    base = {"dog": -1.0, "oak": -2.0, "tin": -3.0}
    scripts = [{"default": "C", "likelihoods": base | {"tin": t}} for t in (-3.0, tin)]
    write_models(project.path, *scripts)
    project.makepyfile(CHOOSING.format(right=right))
    run().assert_outcomes(passed=int(right), failed=int(not right))


READING = """
    import pytest
    from pytest_llmdiff import assert_retention, retention

    TEXTS = [f"text {n}" for n in range(70)]

    def test_texts(llm_pair):
        read = llm_pair.read(TEXTS)
        assert [c.given.text for c in read] == TEXTS
        assert_retention(read, drop_at_most=0.1)

    def test_answer(llm_pair):
        chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "text 1"}]
        (read,) = llm_pair.read([chat])
        assert read.given.after == ({"role": "user", "content": "Hi"},)
        assert float(retention(read)) == pytest.approx(DROP)
"""


@pytest.mark.parametrize(("drop", "passed"), [(0.05, 2), (0.5, 1)])
def test_texts_that_are_read(project: pytest.Pytester, run: Run, drop: float, passed: int) -> None:
    names = [f"text {n}" for n in range(70)]
    scripts = [
        {"default": "?", "likelihoods": dict.fromkeys(names, value)}
        for value in (-2.0, -2.0 - drop)
    ]
    write_models(project.path, *scripts)
    project.makepyfile(READING.replace("DROP", str(drop)))
    result = run()
    result.assert_outcomes(passed=passed, failed=2 - passed)
    if passed == 1:
        result.stdout.fnmatch_lines(
            ["E *text likelihood drop of 70*", "E *worst *text-0-*: text 0"]
        )
    assert stored_replies(project.path) == 0, "nothing is generated"


@pytest.mark.parametrize("text", ["''", "' '", "[]", "[{'role': 'user', 'content': 'Hi'}]", "3"])
def test_what_cannot_be_read(project: pytest.Pytester, run: Run, text: str) -> None:
    project.makepyfile(f"def test_it(llm_pair): llm_pair.read([{text}])")
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *ConfigError: a text to read is a string, or *"])


@pytest.mark.parametrize("subject", ["read", "read[0]"])
@pytest.mark.parametrize("helper", ["semantic_drift", "refusal"])
def test_other_helpers_take_no_texts_that_were_read(
    project: pytest.Pytester, helper: str, subject: str
) -> None:
    limit = "lost_at_most" if helper == "refusal" else "at_most"
    project.makepyfile(
        f"""
        import pytest
        import pytest_llmdiff

        def test_it(llm_pair):
            read = llm_pair.read(["one", "two"])
            with pytest.raises(pytest_llmdiff.ConfigError, match="was read and not answered"):
                pytest_llmdiff.assert_{helper}({subject}, {limit}=1)
        """
    )
    result = project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json"
    )
    result.assert_outcomes(passed=1)


def test_the_twin_by_hand() -> None:
    probe = Probe(id="a", messages=({"role": "user", "content": "?"},), reference="Paris")
    found = retention(Comparison(probe=probe, base=Reply(text=RIGHT), tuned=Reply(text=WRONG)))
    assert (found.details["base_right"], found.details["tuned_right"]) == (True, False)
    assert found.unsupported is not None
    assert "take comparisons from a fixture" in found.unsupported
