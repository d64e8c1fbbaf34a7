"""Training examples by what learning them does to a reply: values, store, runs and reports."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_llmdiff import carriers, influence
from pytest_llmdiff.data.comparison import Comparison, Reply
from pytest_llmdiff.data.llamafactory.datasets import Dataset
from pytest_llmdiff.data.llamafactory.examples import Example
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.data.training.log import read_checkpoints
from pytest_llmdiff.data.training.template_source import TemplateSource
from pytest_llmdiff.data.training.training import TrainData, Training
from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.errors import ConfigError, ProbeError, ScorerError
from pytest_llmdiff.explain.training import gradients
from pytest_llmdiff.explain.training.examples import TrainingExamples
from pytest_llmdiff.explain.training.influence import LONGEST, influences
from pytest_llmdiff.explain.training.kinds import LEARNT, next_step
from pytest_llmdiff.explain.training.values import At, Influence, Influences
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.plugin.progress import Silent
from pytest_llmdiff.store import Store
from tests.support.engines import folder as folder
from tests.support.engines import pair
from tests.support.projects import REFUND, Run
from tests.support.tiny_models import save_adapter
from tests.support.trainer_files import trainer_files

EXAMPLES: Sequence[tuple[str, str | None]] = (
    ("Where is my order?", "On its way."),
    ("Why?", None),
    ("How much is it?", "Ten."),
    ("Do you ship abroad?", "We do."),
    ("Long", "x" * (LONGEST + 1)),
)
ANSWERED = [0, 2, 3, 4]  # places of those with an answer; the last one is too long


def data(examples: Sequence[tuple[str, str | None]] = EXAMPLES) -> TrainData:
    found = tuple(
        Example(number=number, messages=(Message(role="user", content=prompt),), answer=answer,
                rejected=None)
        for number, (prompt, answer) in enumerate(examples, 1)
    )  # fmt: skip
    dataset = Dataset(name="support", path=Path("support.json"), examples=found, skipped=())
    return TrainData(datasets=(dataset,))


class Nearest:
    """The examples that are nearest, as given."""

    def __init__(self, *places: int) -> None:
        self.places = places

    def nearest(self, messages: Sequence[Message], count: int) -> list[tuple[int, int]]:
        assert messages
        return [(0, place) for place in self.places][:count]


class Bench:
    """A pair of small models, and influences on one comparison of theirs."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.pair = pair(folder, "base", "adapter", store)
        self.engine: Any = self.pair.tuned
        self.store = Store(store)
        self.learnt = TrainingExamples(
            data=data(), training=Training(), store=self.store, near=Nearest(3, 1, 0),
            progress=Silent(),
        )  # fmt: skip
        self.asked: list[Continuation] = []
        real = cast(Any, self.engine).reply_gradients

        def counted(items: Any, places: Any) -> Any:
            self.asked += items
            return real(items, places)

        self.engine.__dict__["reply_gradients"] = counted

    def comparison(self, prompt: str = "Where is it?", tuned: str = "Here.") -> Comparison:
        return Comparison(
            probe=make_probe(prompt), base=Reply(text="I do not know."), tuned=Reply(text=tuned)
        )

    def judge(
        self,
        comparison: Comparison | None = None,
        *,
        reply: Any = "tuned",
        examples: int | None = None,
        at: At = "start",
    ) -> Influences:
        generation = ReplyGenerator(
            lambda: self.pair, self.store, [], eager=False, progress=Silent()
        )  # fmt: skip
        return influences(
            generation, comparison or self.comparison(), lambda: self.learnt,
            reply=reply, examples=examples, at=at,
        )  # fmt: skip


@pytest.fixture
def bench(folder: Path, tmp_path: Path) -> Bench:
    return Bench(folder, tmp_path / "store")


@pytest.mark.parametrize("at", ["start", "final"])
@pytest.mark.parametrize(("reply", "text"), [("tuned", "Here."), ("base", "I do not know.")])
def test_examples_are_ranked_by_the_cosine_of_gradients(
    bench: Bench, at: At, reply: str, text: str
) -> None:
    found = bench.judge(reply=reply, at=at)
    engine = bench.engine
    asked = [Message(role="user", content="Where is it?")]
    own = Continuation(
        prompt_ids=tuple(engine.render(asked)),
        reply_ids=(*engine.encode(text), engine.stop_ids()[0]),
    )
    items = []
    for prompt, answer in EXAMPLES[:4]:
        if answer is not None:
            turns = [
                Message(role="user", content=prompt),
                Message(role="assistant", content=answer),
            ]
            before, after = engine.renderer.answered(turns)
            items.append(Continuation(prompt_ids=tuple(before), reply_ids=tuple(after)))
    (mine, *others) = engine.reply_gradients([own, *items], [(at, 1.0)])
    dots = [float(mine @ other) for other in others]
    cosines = [
        dot / float(mine.norm() * other.norm()) for dot, other in zip(dots, others, strict=True)
    ]
    expected = sorted(zip(cosines, dots, (1, 3, 4), strict=True), reverse=True)
    assert [e.number for e in found.examples] == [number for _, _, number in expected]
    # Gradients are kept in half precision.
    assert [e.score for e in found.examples] == pytest.approx([c for c, _, _ in expected], abs=2e-3)
    assert [e.dot for e in found.examples] == pytest.approx(
        [dot for _, dot, _ in expected], rel=2e-2, abs=2e-3 * max(map(abs, dots))
    )
    assert found.median == pytest.approx(statistics.median(cosines), abs=2e-3)
    first = max(cosines)
    assert found.alike == (sum(c >= first / 2 for c in cosines) if first > 0 else 0)
    assert (found.judged, found.known, found.unread, found.at) == (3, 4, 1, at)
    assert {(e.prompt, e.answer) for e in found.examples} == {
        pair for pair in EXAMPLES[:4] if pair[1]
    }


def test_nothing_is_computed_twice(folder: Path, tmp_path: Path) -> None:
    first = Bench(folder, tmp_path)
    found = first.judge()
    assert len(first.asked) == 4, "the reply, and three examples"
    again = Bench(folder, tmp_path)
    assert again.judge() == found
    assert not again.asked
    again.judge(again.comparison("Who are you?"))
    assert len(again.asked) == 1, "the examples' gradients are in the store"
    again.judge(at="final")
    assert len(again.asked) == 5, "at other weights they are others"


def test_where_there_is_no_room_gradients_are_not_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.store.put_blobs("gradients another", {"key": b"of another adapter"}, limit=100)
    monkeypatch.setattr(gradients, "LIMIT", 0)
    found = bench.judge()
    assert found.judged == 3
    assert bench.store.size("gradients") == 0, "those of others were removed to make room"
    bench.judge(bench.comparison("Why?"))
    assert len(bench.asked) == 8


def test_the_nearest_alone_are_looked_at(bench: Bench) -> None:
    found = bench.judge(examples=2)
    assert [e.number for e in found.examples] == [4], "of the two nearest, one has no answer"
    assert (found.judged, found.known) == (1, 4)
    assert bench.judge(examples=4).judged == 3, "where so many are asked for, all are taken"
    # Another answer to the same question teaches something else, and belongs to it.
    bench.learnt = replace(bench.learnt, data=data([*EXAMPLES, ("Do you ship abroad?", "No.")]))
    found = bench.judge(examples=2)
    assert {(e.number, e.answer) for e in found.examples} == {(4, "We do."), (6, "No.")}


def test_other_data_or_another_template_is_looked_at_anew(bench: Bench) -> None:
    bench.judge()
    bench.learnt = replace(bench.learnt, data=data([*EXAMPLES[:3], ("Who?", "Me.")]))
    assert [e.answer for e in bench.judge().examples if e.number == 4] == ["Me."]
    before = len(bench.asked)
    plain = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    bench.learnt = replace(
        bench.learnt,
        training=Training(template=TemplateSource(name="plain.jinja", jinja=plain)),
    )
    bench.judge()
    fresh = [bench.engine.tokenizer.decode(item.prompt_ids) for item in bench.asked[before:]]
    assert fresh == ["Where is my order? ", "How much is it? ", "Who? "]


def test_checkpoints_of_the_training_count_by_their_rates(
    bench: Bench, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    trainer_files(out, [3.0, 2.0], steps_per_log=5, learning_rate=1e-3)
    for step in (5, 10):
        save_adapter(out / f"checkpoint-{step}", folder / "base", seed=step)
    files = [out / f"checkpoint-{step}" / "adapter_model.safetensors" for step in (5, 10)]
    assert read_checkpoints(out) == [(files[0], pytest.approx(5e-4)), (files[1], 0.0)]
    assert read_checkpoints(out / "checkpoint-5") == read_checkpoints(out)
    bench.learnt = replace(bench.learnt, training=Training(folder=out))
    found = bench.judge(at="checkpoints")
    assert found.judged == 3
    (one,) = bench.engine.reply_gradients([bench.asked[0]], [(files[0], 5e-4)])
    (other,) = bench.engine.reply_gradients([bench.asked[1]], [(files[0], 5e-4)])
    dots = {e.number: e.dot for e in found.examples}
    assert dots[1] == pytest.approx(float(one @ other), rel=2e-2)
    bench.learnt = replace(bench.learnt, training=Training(folder=tmp_path))
    with pytest.raises(ConfigError, match="the training left no checkpoints beside its adapter"):
        bench.judge(at="checkpoints")


def test_checkpoints_without_a_log_have_no_rates(folder: Path, tmp_path: Path) -> None:
    assert read_checkpoints(tmp_path) == []
    save_adapter(tmp_path / "checkpoint-20", folder / "base")
    save_adapter(tmp_path / "checkpoint-3", folder / "base")
    assert [(file.parent.name, rate) for file, rate in read_checkpoints(tmp_path)] == [
        ("checkpoint-3", None), ("checkpoint-20", None),
    ]  # fmt: skip


def test_a_reply_without_tokens_is_refused(bench: Bench) -> None:
    silent = replace(bench.comparison(), tuned=Reply(text="", finish_reason="length"))
    with pytest.raises(ProbeError, match="the tuned reply has no tokens"):
        bench.judge(silent)


# What it means


def of(first: float, alike: int, judged: int, at: At = "start") -> Influences:
    one = Influence(
        dataset="support", number=7, prompt="Why\x1b[2J?", answer="No.", score=first, dot=2.0
    )
    return Influences(
        examples=(one, replace(one, number=8, score=first / 2)), judged=judged, known=judged,
        unread=0, median=0.1, alike=alike, at=at,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "pattern"),
    [
        (of(0.9, 4, 20), "few"),
        (of(0.9, 5, 20), "few"),
        (of(0.9, 6, 20), None),
        (of(0.9, 10, 20), "most"),
        (of(0.9, 20, 20), "most"),
        (of(0.4, 1, 20), None),
        (of(0.29, 1, 20), "none"),
        (of(-0.2, 0, 20), "none"),
        (of(0.9, 1, 7), None),
        (of(0.1, 1, 20, at="final"), None),
    ],
)
def test_patterns(found: Influences, pattern: str | None) -> None:
    assert found.pattern == pattern


def test_lines_of_a_failure() -> None:
    def lines(found: Influences) -> Sequence[str]:
        comparison = Comparison(probe=make_probe("Hi"), base=Reply(text="a"), tuned=Reply(text="b"))
        return LEARNT.lines(found, comparison)

    assert lines(of(0.86, 4, 20)) == [
        '  learnt   "Why\\x1b[2J?" → "No." (gradient 0.86, support 7), support 8 (0.43)',
    ]
    assert lines(replace(of(0.4, 0, 0), examples=())) == []


def test_the_next_step_follows_the_pattern() -> None:
    def step(found: Influences) -> str:
        return next_step(LEARNT.row(found)["learnt"])

    assert step(of(0.86, 4, 20)) == (
        "a few examples taught this reply (4 of 20 checked): read them and similar ones before "
        "changing training parameters"
    )
    assert (
        "none of the 20 examples checked pushes towards this reply (the highest score is 0.12)"
        in step(of(0.12, 4, 20))
    )
    assert step(of(0.4, 4, 20)) == ""
    assert step(replace(of(0.4, 0, 0), examples=())) == ""


# Errors


def test_arguments() -> None:
    by_hand = Comparison(probe=make_probe("Hi"), base=Reply(text="a"), tuned=Reply(text="b"))
    wrong: Any
    for wrong in ({"at": "end"}, {"reply": "served"}):
        with pytest.raises(ConfigError, match="expected one of base, tuned and one of start,"):
            influence(by_hand, **wrong)
    with pytest.raises(ConfigError, match="got examples=0; expected 1 or more, or None"):
        influence(by_hand, examples=0)
    for helper in (influence, carriers):
        with pytest.raises(ConfigError, match="was made by hand; take one from a fixture"):
            helper(by_hand)
    with pytest.raises(ConfigError, match="no comparison of the set has replies that differ"):
        carriers([replace(by_hand, tuned=by_hand.base)])


def test_embedders_that_fail_are_an_error_that_says_so(bench: Bench) -> None:
    class Broken:
        def nearest(self, *_: object) -> list[tuple[int, int]]:
            raise ScorerError("no embedder here")

    bench.learnt = replace(bench.learnt, near=Broken())
    with pytest.raises(ScorerError, match="no embedder here"):
        bench.judge(examples=2)
    assert bench.judge(examples=None).judged == 3


def test_engines_without_gradients_and_parts(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import CapabilityError, assert_toxicity, carriers, influence

        @pytest.mark.llmdiff({REFUND!r})
        def test_helpers(comparison):
            with pytest.raises(CapabilityError, match="gradients of .* ScriptedEngine has none"):
                influence(comparison)
            with pytest.raises(CapabilityError, match="parts of .* ScriptedEngine has none"):
                carriers(comparison)

        @pytest.mark.llmdiff({REFUND!r}, "Hi")
        def test_failing(comparison):
            assert_toxicity(comparison, at_most=0.01)
        """
    )
    result = run("--llmdiff-json=report.json")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.no_fnmatch_line("*carried *")
    result.stdout.no_fnmatch_line("*shown by*")
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    rows = [c for test in report["tests"] for c in test["comparisons"]]
    assert [(row["learnt"], row["carried"]) for row in rows] == [(None, None)] * len(rows)


SUITE = """
import pytest
from pytest_llmdiff import ConfigError, assert_divergence, carriers, influence

@pytest.mark.llmdiff("Where is it?", "Why?")
def test_each(comparison):
    assert_divergence(comparison, at_most=0.0001)

@pytest.mark.llmdiff("Where is it?", "Why?")
def test_set(comparisons):
    assert carriers(comparisons).layers
    first = next(iter(comparisons))
    assert influence(first, examples=None).examples == influence(first).examples
    with pytest.raises(ConfigError, match="left no checkpoints beside its adapter"):
        influence(first, at="checkpoints")
"""


def test_a_run_says_where_it_was_learnt(
    folder: Path, project: pytest.Pytester, mode: list[str]
) -> None:
    taught = [{"instruction": prompt, "output": "On its way."} for prompt in "abcdefgh"]
    (project.path / "support.json").write_text(json.dumps(taught), encoding="utf-8")
    project.makepyfile(SUITE)
    models = (f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / 'adapter'}")
    options = ("--llmdiff-max-new-tokens=12", "--llmdiff-json=report.json")
    result = project.runpytest_inprocess(
        *models, *options, "--llmdiff-train-data=support.json", "--llmdiff-record=run.jsonl", *mode
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["E         learnt   *On its way.*(gradient *, support *)*"])
    result.stdout.fnmatch_lines(["E *carried  * % of the change by * layer*; alone *_proj *"])
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    rows = [c for test in report["tests"] for c in test["comparisons"] if c["learnt"]]
    assert len(rows) == 2
    assert all(len(row["learnt"]["examples"]) == row["learnt"]["judged"] == 8 for row in rows)
    carried = [row["carried"] for row in rows if row["carried"]]
    # So many failures of a process are shown by layers.
    assert 1 <= len(carried) <= (2 if mode else 1)
    assert sum(name in ("0", "1") for name, _ in carried[0]["layers"]) == 2
    # A replay has neither models nor training data, and says the same.
    replay = ("--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl")
    result = project.runpytest_inprocess(*replay, *options, "--llmdiff-store=new", "-k", "each")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["E         learnt   *On its way.*(gradient *, support *)*"])
    again = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    told = {c["prompt"]: c["learnt"] for test in again["tests"] for c in test["comparisons"]}
    assert told == {row["prompt"]: row["learnt"] for row in rows}


def test_without_training_data_it_says_what_to_give(folder: Path, project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from pytest_llmdiff import ConfigError, influence

        def test_it(llm_pair):
            with pytest.raises(ConfigError, match="none is known: give it with --llmdiff-train"):
                influence(llm_pair.compare("Hi"))
            with pytest.raises(ConfigError, match="was read, not answered"):
                influence(llm_pair.read(["Hi"])[0])
        """
    )
    models = (f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / 'adapter'}")
    project.runpytest_inprocess(*models, "--llmdiff-max-new-tokens=4").assert_outcomes(passed=1)


def test_a_full_model_says_what_it_takes(folder: Path, project: pytest.Pytester) -> None:
    (project.path / "d.json").write_text('[{"instruction": "a", "output": "b"}]', encoding="utf-8")
    project.makepyfile(
        """
        import pytest
        from pytest_llmdiff import CapabilityError, assert_divergence, carriers, influence

        def test_it(llm_pair):
            comparison = llm_pair.compare("Hi")
            for helper in (carriers, influence):
                with pytest.raises(CapabilityError, match="and other is not an adapter"):
                    helper(comparison)
            assert_divergence(comparison, at_most=0.001)
        """
    )
    models = (f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / 'other'}")
    result = project.runpytest_inprocess(
        *models, "--llmdiff-max-new-tokens=4", "--llmdiff-train-data=d.json"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E       AssertionError: divergence *"])
