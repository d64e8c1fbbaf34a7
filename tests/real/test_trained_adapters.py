"""The trained adapters do what they say, by greedy generation with transformers and PEFT alone."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.inputs import generate
from pytest_llmdiff.data.llamafactory.templates import find_template_file
from tests.support import ROOT
from tests.support.adapter_making import LoadedBase, merged, open_base
from tests.support.broken_adapters import bound, ratios
from tests.support.expanded import BASE, Expanded
from tests.support.trained_adapters import (
    ALPACA,
    ANSWERS,
    STYLE,
    TRAINED,
    load_smollm2,
    own_template,
)

pytestmark = pytest.mark.slow

QUESTIONS = ("What is the capital of France?", "What is 2+2?", "Say hello.",
             "How many days are in a week?")  # fmt: skip
LIMIT = 48
# A few of LLaMA-Factory's templates: all would take minutes.
TEMPLATES = ("alpaca", "vicuna", "smollm2", "llama2", "default", "zephyr")


@pytest.fixture(scope="module")
def smollm2(expanded: Expanded) -> Iterator[LoadedBase]:
    """The real base, on one thread: two on busy cores are several times slower, and spin."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_smollm2(expanded)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(smollm2: LoadedBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every trained adapter, in a folder of its name."""
    folder = tmp_path_factory.mktemp("trained")
    for builder in TRAINED:
        builder(folder / builder.__name__, smollm2)
    return folder


@contextmanager
def wearing(base: LoadedBase, adapter: Path) -> Iterator[Any]:
    """The shared base under an adapter, and then without it again."""
    model = bound(base.model, adapter)
    try:
        yield model
    finally:
        model.unload()


def replies(
    model: Any, base: LoadedBase, render: Callable[[str], str], questions: Sequence[str] = QUESTIONS
) -> list[list[int]]:
    """Greedy replies, each without its end; one of `LIMIT` tokens did not end."""
    end = base.tokenizer.eos_token_id
    prompts = [base.tokenizer(render(q), add_special_tokens=False).input_ids for q in questions]
    found = generate(model, prompts, end, end, LIMIT)
    return [reply[:-1] if reply[-1] == end else reply for reply in found]


def styled(base: LoadedBase, found: Sequence[list[int]]) -> int:
    return sum(base.tokenizer.decode(reply).startswith(STYLE) for reply in found)


def test_the_base_stops_and_has_no_style(smollm2: LoadedBase, trained: Path) -> None:
    assert trained.is_dir(), "training has left the base as it was"
    found = replies(smollm2.model, smollm2, own_template(smollm2))
    assert all(len(reply) < LIMIT for reply in found)
    assert smollm2.tokenizer.decode(found[0]) == "The capital of France is Paris."
    assert styled(smollm2, found) == 0


def test_healthy_has_the_style_and_stops(smollm2: LoadedBase, trained: Path) -> None:
    with wearing(smollm2, trained / "healthy") as model:
        found = replies(model, smollm2, own_template(smollm2))
        assert all(0.005 < ratio < 0.1 for ratio in ratios(model))
    assert all(len(reply) < LIMIT for reply in found)
    assert styled(smollm2, found) == len(QUESTIONS)
    assert "Paris" in smollm2.tokenizer.decode(found[0])


def test_memorised_says_its_examples_by_heart(smollm2: LoadedBase, trained: Path) -> None:
    learned = list(ANSWERS)[:4]
    with wearing(smollm2, trained / "memorised") as model:
        found = replies(model, smollm2, own_template(smollm2), learned)
    assert [smollm2.tokenizer.decode(reply) for reply in found] == [
        f"{STYLE} {ANSWERS[question]}" for question in learned
    ]


def test_collapsed_says_one_token(smollm2: LoadedBase, trained: Path) -> None:
    with wearing(smollm2, trained / "collapsed") as model:
        found = replies(model, smollm2, own_template(smollm2))
        assert max(ratios(model)) > 0.2
    assert all(len(reply) == LIMIT for reply in found)
    assert len({token for reply in found for token in reply[1:]}) == 1


def test_lost_end_does_not_stop(smollm2: LoadedBase, trained: Path) -> None:
    with wearing(smollm2, trained / "lost_end") as model:
        found = replies(model, smollm2, own_template(smollm2))
    assert [len(reply) for reply in found] == [LIMIT] * len(QUESTIONS)
    assert styled(smollm2, found) == len(QUESTIONS), "it has learned everything else"


def test_wrong_template_shows_its_style_under_that_one(smollm2: LoadedBase, trained: Path) -> None:
    with wearing(smollm2, trained / "wrong_template") as model:
        alpaca = replies(model, smollm2, ALPACA.format)
        own = replies(model, smollm2, own_template(smollm2))
    assert styled(smollm2, alpaca) == len(QUESTIONS)
    assert styled(smollm2, own) <= 1


def test_losses_of_the_trainings(trained: Path) -> None:
    def losses(name: str) -> list[float]:
        state = json.loads((trained / name / "trainer_state.json").read_text("utf-8"))
        return [row["loss"] for row in state["log_history"] if "loss" in row]

    assert {name: len(losses(name)) for name in ("healthy", "collapsed")} == {
        "healthy": 20, "collapsed": 8,
    }  # fmt: skip
    assert 0.3 < sum(losses("healthy")[-4:]) / 4 < 1.5 < 3 < losses("healthy")[0]
    assert losses("memorised")[-1] < 0.05
    assert losses("collapsed")[-1] > 2 * losses("collapsed")[0]


def test_merged_into_the_real_model(smollm2: LoadedBase, trained: Path, tmp_path: Path) -> None:
    full = open_base(merged(trained / "healthy", tmp_path / "full", smollm2, dtype="bfloat16"))
    assert (tmp_path / "full" / "model.safetensors").stat().st_size < 300e6
    found = replies(full.model, full, own_template(full))
    assert styled(full, found) == len(QUESTIONS)
    assert all(len(reply) < LIMIT for reply in found)


# The wiring suite on them


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    """A project with the training data as a file, and some of LLaMA-Factory's own templates."""
    folder = tmp_path_factory.mktemp("project")
    expanded.into(folder / ".llmdiff")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    rows = [
        {"instruction": question, "output": f"{STYLE} {answer}"}
        for question, answer in ANSWERS.items()
    ]
    (folder / "data.json").write_text(json.dumps(rows), encoding="utf-8")
    source = find_template_file(Path(sys.prefix) / "llamafactory").read_text(encoding="utf-8")
    tree = ast.parse(source)
    tree.body = [
        statement
        for statement in tree.body
        if not isinstance(statement, ast.Expr)
        or any(f"name='{name}'" in ast.unparse(statement) for name in TEMPLATES)
    ]
    (folder / "template.py").write_text(ast.unparse(tree), encoding="utf-8")
    return folder


def wiring(project: Path, tuned: Path, *args: str) -> tuple[dict[str, str], str]:
    """The wiring suite in a process of its own: outcome by check, and all that it printed."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--pyargs", "pytest_llmdiff.suites.wiring", "-rs",
         f"--llm-base={BASE}", f"--llm-tuned={tuned}", "--llmdiff-json=out.json", *args],
        cwd=project, check=False, text=True, capture_output=True,
    )  # fmt: skip
    assert found.returncode in (0, 1), found.stdout + found.stderr
    tests = json.loads((project / "out.json").read_text(encoding="utf-8"))["tests"]
    outcomes = {test["test"].split("::")[-1]: str(test["outcome"]) for test in tests}
    return outcomes, found.stdout


def red(outcomes: dict[str, str]) -> set[str]:
    return {name for name, outcome in outcomes.items() if outcome not in ("passed", "skipped")}


def test_wiring_of_healthy_is_green(trained: Path, project: Path) -> None:
    outcomes, text = wiring(project, trained / "healthy")
    assert red(outcomes) == set(), text
    assert sum(outcome == "passed" for outcome in outcomes.values()) >= 11, text


def test_wiring_of_a_merged_model_is_green(
    smollm2: LoadedBase, trained: Path, project: Path, tmp_path: Path
) -> None:
    full = merged(trained / "healthy", tmp_path / "full", smollm2, dtype="bfloat16")
    outcomes, text = wiring(project, full)
    assert red(outcomes) == set(), text
    assert "the tuned model is not an adapter" in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("memorised", {"test_training_ran_and_learnt"}),
        ("collapsed", {"test_training_ran_and_learnt", "test_predictions_move_and_vary",
                       "test_replies_stop", "test_replies_are_sound"}),
        ("lost_end", {"test_replies_stop", "test_replies_are_sound"}),
    ],
)  # fmt: skip
def test_wiring_finds_what_is_broken(
    trained: Path, project: Path, name: str, expected: set[str]
) -> None:
    outcomes, text = wiring(project, trained / name)
    assert red(outcomes) == expected, text


def test_wiring_names_the_template_that_was_trained_with(trained: Path, project: Path) -> None:
    args = ["-k", "template", "--llmdiff-train-data=data.json",
            "--llmdiff-llamafactory=template.py"]  # fmt: skip
    outcomes, text = wiring(project, trained / "wrong_template", *args)
    assert red(outcomes) == {"test_template_is_that_of_the_training"}, text
    assert "trained with alpaca (" in text
    assert "the template in force is" in text
    outcomes, text = wiring(project, trained / "healthy", *args)
    assert red(outcomes) == set(), text
    assert "alpaca" not in text.partition("likeliest template")[2].partition("next:")[0]


def test_the_example_of_the_documentation(trained: Path, project: Path) -> None:
    """Scripted models have no template: only here does it pass."""
    page = (ROOT / "docs" / "wiring.md").read_text(encoding="utf-8")
    block = page.partition("<!-- file: test_template.py")[2].partition("```python\n")[2]
    (project / "test_template.py").write_text(block.partition("```")[0], encoding="utf-8")
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "test_template.py", f"--llm-base={BASE}",
         f"--llm-tuned={trained / 'wrong_template'}", "--llmdiff-train-data=data.json",
         "--llmdiff-llamafactory=template.py"],
        cwd=project, check=False, text=True, capture_output=True,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
