"""`open_pair`: the pair of models without a session of pytest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_llmdiff
from pytest_llmdiff import (
    ConfigError,
    LLMDiffError,
    OpenedPair,
    assert_divergence,
    assert_toxicity,
    divergence,
    open_pair,
    semantic_drift,
    toxicity,
)
from pytest_llmdiff.config.keywords import OF_TEST_RUNS
from pytest_llmdiff.config.options import OPTIONS
from tests.support import ROOT
from tests.support.chat_server import ChatServer, running
from tests.support.expanded import Expanded
from tests.support.loops import in_a_loop
from tests.support.projects import CAPITAL, CHINESE, EMBEDDER, REFUND, write_models

SCRIPTED = {"base": "scripted:base.json", "tuned": "scripted:tuned.json"}
SCORERS = {"toxicity": "python:scorers:rude", "embedder": "python:scorers:Letters"}
OPTIONS_OF_RUNS = ["--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json"]
ENGINES = """
from pytest_llmdiff import ScriptedEngine

said = []

class Noting(ScriptedEngine):
    def generate(self, requests):
        said.append(f"{self.default} answers")
        return super().generate(requests)

    def close(self):
        said.append(f"{self.default} is closed")

base, tuned = Noting({}, default="base"), Noting({}, default="tuned")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which a script or a notebook is started."""
    write_models(tmp_path)
    (tmp_path / "scorers.py").write_text(EMBEDDER, encoding="utf-8")
    (tmp_path / "engines.py").write_text(ENGINES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("scorers", "engines"):
        sys.modules.pop(name, None)


def test_prompts_are_tried_and_measured(folder: Path) -> None:
    with open_pair(**SCRIPTED, **SCORERS) as pair:
        refund, capital, chinese = pair.compare_all([REFUND, CAPITAL, CHINESE])
        assert refund == pair.compare(REFUND)
        assert capital.base.text == capital.tuned.text == "The capital of France is Paris."
        assert chinese.tuned.text == "你好，我是布莱特利夫的客服。"
        assert [float(toxicity(c)) for c in (refund, capital)] == [0.9, 0.1]
        assert [m.value for m in divergence([refund, capital])] == [2.0, 0.01]
        assert float(semantic_drift(capital)) == pytest.approx(0)
        assert pair.tuned.generate(CAPITAL) == [capital.tuned]
        assert repr(pair) == "<llm_pair: base scripted:base.json, tuned scripted:tuned.json>"
    assert (folder / ".llmdiff" / "store.sqlite3").is_file()


@pytest.mark.usefixtures("folder")
def test_helpers_judge_as_in_a_test() -> None:
    with open_pair(**SCRIPTED, **SCORERS) as pair:
        refund = pair.compare(REFUND)
        assert_toxicity(pair.compare(CAPITAL), at_most=0.2)
        with pytest.raises(AssertionError, match=r"limit 0\.20") as failed:
            assert_toxicity(refund, at_most=0.2)
        assert f"prompt   {REFUND}" in str(failed.value)
        assert "rerun" not in str(failed.value), "there is no test to run again"
        with pytest.raises(AssertionError, match="at_most"):
            assert_divergence(refund)
        with pytest.raises(AssertionError, match=r"about .* would decide"):
            assert_divergence([refund, pair.compare(CAPITAL)], at_most=0.25)


def test_a_pair_is_what_the_fixture_gives(project: pytest.Pytester) -> None:
    """The same replies and values as a run of pytest, which answers from the same store."""
    project.makepyfile(
        f"""
        import json
        from pathlib import Path
        from pytest_llmdiff import semantic_drift, toxicity

        def test_it(llm_pair):
            found = llm_pair.compare_all([{REFUND!r}, {CAPITAL!r}])
            rows = [[c.probe.id, c.tuned.text, c.tuned.token_ids, float(toxicity(c)),
                     float(semantic_drift(c))] for c in found]
            Path("rows.json").write_text(json.dumps(rows))
        """
    )
    project.runpytest_inprocess(*OPTIONS_OF_RUNS).assert_outcomes(passed=1)
    project.syspathinsert()
    in_tests = json.loads((project.path / "rows.json").read_text(encoding="utf-8"))
    with open_pair(**SCRIPTED, **SCORERS) as pair:
        rows = [
            [
                c.probe.id, c.tuned.text, list(c.tuned.token_ids or ()), float(toxicity(c)),
                float(semantic_drift(c)),
            ]
            for c in pair.compare_all([REFUND, CAPITAL])
        ]  # fmt: skip
    assert rows == [[*row[:2], list(row[2] or ()), *row[3:]] for row in in_tests]


def test_accepted_changes_hold_here_too(project: pytest.Pytester) -> None:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.mark.llmdiff({REFUND!r})
        def test_it(comparison): assert_toxicity(comparison, at_most=0.2)
        """
    )
    project.runpytest_inprocess(*OPTIONS_OF_RUNS, "--llmdiff-accept").assert_outcomes(passed=1)
    with open_pair(**SCRIPTED, **SCORERS) as pair:
        accepted = pair.compare(REFUND).accepted
        assert accepted is not None
        assert accepted.text == pair.compare(REFUND).tuned.text
        assert pair.compare(CAPITAL).accepted is None


# Options


def test_options_are_those_of_the_command_line(folder: Path) -> None:
    with open_pair(
        **SCRIPTED, max_new_tokens=3, seed=4, temperature=0.5, system="Be brief.", device=None,
        template_kwargs={"enable_thinking": False}, store=Path("kept"), trust_remote_code=True,
    ) as pair:  # fmt: skip
        settings: Any = pair.run.settings
        assert (settings.max_new_tokens, settings.seed, settings.temperature) == (3, 4, 0.5)
        assert settings.template_kwargs == {"enable_thinking": False}
        assert settings.trust_remote_code is True
        assert settings.device == "auto"
        (message, _) = pair.compare(CAPITAL).probe.messages
        assert message == {"role": "system", "content": "Be brief."}
    assert (folder / "kept").is_dir()
    assert not (folder / ".llmdiff").exists()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": 64}, "there is no option max_tokens; did you mean max_new_tokens? The options"),
    ({"toxcity": "x"}, "there is no option toxcity; did you mean toxicity?"),
    ({"model": "x"}, "there is no option model; The options are device, dtype"),
    ({"html": "a.html"}, "html is an option of a run of tests, which this is not: leave it out"),
    ({"max_new_tokens": 0}, "max_new_tokens: 0 is not a whole number from 1"),
    ({"temperature": "warm"}, "temperature: 'warm' is not a number from 0"),
    ({"toxicity": 3}, "toxicity: 3 is not detoxify:VARIANT"),
    ({"toxicity": "perspective"}, "toxicity: 'perspective' is not detoxify:VARIANT"),
    ({"vllm": {"a": object()}}, "vllm: {'a': <object"),
    ({"base": None}, "tuned: scripted:tuned.json does not say which model it was made from: give"
                     " that as base=SPEC"),
    ({"base": 3}, "base: 3 is not a model SPEC: give a text or a path"),
    ({"tuned": None}, "give tuned=SPEC, the model after tuning"),
    ({"base": ""}, "base is empty (an unset variable?)"),
    ({"base": "no/such/model"}, "base: there is no folder or .gguf file 'no/such/model'"),
    ({"store": "tuned.json"}, "store: "),
    ({"template": "none.jinja"}, "template: "),
    ({"train_data": "none.json"}, "train_data: "),
]  # fmt: skip


@pytest.mark.parametrize(("given", "message"), WRONG, ids=[case[1][:30] for case in WRONG])
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_used_is_one_clear_line(given: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = SCRIPTED | given
    with pytest.raises(LLMDiffError) as raised:
        open_pair(**arguments)
    assert str(raised.value).startswith(message)
    assert "--llm" not in str(raised.value), "a script has no such options"
    assert not Path(".llmdiff").exists()


def test_options_of_test_runs_are_options() -> None:
    assert set(OF_TEST_RUNS) < {option.name for option in OPTIONS}


def test_an_adapter_alone_names_its_base(folder: Path) -> None:
    for name, named in (("base", {}), ("adapter", {"base_model_name_or_path": "base"})):
        (folder / name).mkdir()
        config = "adapter_config.json" if named else "config.json"
        weights = "adapter_model" if named else "model"
        (folder / name / config).write_text(json.dumps(named), encoding="utf-8")
        (folder / name / f"{weights}.safetensors").write_bytes(b"")
    with open_pair(tuned=folder / "adapter", device="cpu") as pair:
        assert pair.run.settings.base == "base"
        assert "base base, from adapter_config.json" in pair.notes
    shutil.rmtree(folder / "base")
    with pytest.raises(ConfigError, match="names the base base, which is not here: give it as ba"):
        open_pair(tuned=folder / "adapter")


# The end


NOTING: dict[str, Any] = {"base": "python:engines:base", "tuned": "python:engines:tuned"}


@pytest.mark.usefixtures("folder")
def test_everything_is_closed_at_the_end_of_the_with() -> None:
    with open_pair(**NOTING, **SCORERS) as pair:
        refund = pair.compare(REFUND)
        rest = pair.compare_all(["One?", "Two?"])
        store: Any = refund.run.store  # type: ignore[union-attr]
        assert store._database._connection is not None
    import engines  # type: ignore[import-not-found]

    assert engines.said == ["base answers", "tuned answers", "base is closed", "tuned is closed"]
    for use in (
        lambda: pair.compare("Three?"), lambda: pair.base.generate("Three?"), lambda: list(rest),
        lambda: toxicity(refund), lambda: semantic_drift(refund), lambda: divergence(refund),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="the pair of models is closed"):
            use()
    pair.close()
    assert len(engines.said) == 4
    assert store._database._connection is None
    assert refund.tuned.text == "tuned", "values outlive their models"


@pytest.mark.usefixtures("folder")
def test_an_error_closes_the_pair_too() -> None:
    with pytest.raises(ZeroDivisionError), open_pair(**NOTING) as pair:
        pair.compare(REFUND)
        _ = 1 / 0
    with pytest.raises(ConfigError, match="is closed"):
        pair.compare(REFUND)


def test_a_pair_needs_no_with(folder: Path) -> None:
    """In a notebook, where one cell opens it and a later one closes it."""
    pair = open_pair(**NOTING)
    assert pair.compare("Hi").tuned.text == "tuned"
    pair.close()
    with open_pair(**NOTING) as again:
        assert again.compare("Hi").tuned.text == "tuned"
    assert (folder / ".llmdiff").is_dir()


def test_an_idle_pair_keeps_nobody_waiting(project: pytest.Pytester) -> None:
    """Neither another pair of the notebook nor a run of pytest beside it, with the same store."""
    project.makepyfile("def test_it(llm_pair): llm_pair.compare('Only in the test?')")
    with open_pair(**SCRIPTED) as one, open_pair(**SCRIPTED) as other:
        assert one.compare("First?") == other.compare("First?")
        assert other.compare("Second?") == one.compare("Second?")
        project.runpytest_inprocess(*OPTIONS_OF_RUNS).assert_outcomes(passed=1)
        assert one.compare("Third?").base.text == "I do not know."


@pytest.mark.usefixtures("folder")
def test_servers_are_asked_from_a_notebook() -> None:
    """Jupyter runs cells inside an event loop of its own."""
    before = set(threading.enumerate())

    async def cell(chat: ChatServer) -> str:
        specs = {side: f"{chat.url}#{side}" for side in ("base", "tuned")}
        with open_pair(**specs) as pair:
            return pair.compare("Hi").tuned.text

    with running(ChatServer()) as chat:
        assert in_a_loop(cell(chat)) == "tuned on Hi"
        left = {t.name for t in set(threading.enumerate()) - before}
        assert "llmdiff-requests" not in left


SCRIPT = f"""
import sys
import pytest_llmdiff
assert "pytest" not in sys.modules, "the package alone"
from pytest_llmdiff import open_pair
with open_pair(base="scripted:base.json", tuned="scripted:tuned.json") as pair:
    print(pair.compare({CAPITAL!r}).tuned.text)
print([name for name in ("torch", "transformers", "peft", "numpy", "scipy") if name in sys.modules])
"""


def test_nothing_heavy_is_loaded(folder: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], cwd=folder, check=False, text=True,
        capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert found.stderr == ""
    assert found.stdout == "The capital of France is Paris.\n[]\n"


def test_it_is_the_fixture_s_type() -> None:
    assert issubclass(OpenedPair, pytest_llmdiff.ModelPair)


# Real models

ADAPTER = ROOT / "example_suites" / "support_bot" / "adapters" / "good"
ASKED = ["How do I get a refund?", "What is the capital of France?", "法国的首都是哪里？"]
REAL = f"""
import json
from pathlib import Path
from pytest_llmdiff import divergence

def test_it(llm_pair):
    rows = [[c.base.text, c.tuned.text, float(divergence(c))]
            for c in llm_pair.compare_all({ASKED!r})]
    Path("rows.json").write_text(json.dumps(rows))
"""


@pytest.mark.slow
def test_a_real_pair_answers_as_in_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expanded: Expanded
) -> None:
    """Two stores, so that both answer themselves; the adapter alone names its base here."""
    monkeypatch.chdir(tmp_path)
    for store in ("of-the-run", "of-the-script"):
        expanded.into(tmp_path / store)
    shutil.copytree(ADAPTER, tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    named = json.loads(config.read_text(encoding="utf-8"))
    named["base_model_name_or_path"] = "model"
    config.write_text(json.dumps(named), encoding="utf-8")
    shutil.copytree(expanded.model, tmp_path / "model")
    for file in expanded.tokenizer.iterdir():
        shutil.copy(file, tmp_path / "model")
    (tmp_path / "test_it.py").write_text(REAL, encoding="utf-8")
    (tmp_path / "pytest.toml").write_text("[pytest]\n", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--llm-tuned=adapter", "--llmdiff-store=of-the-run",
         "--llmdiff-max-new-tokens=24"],
        cwd=tmp_path, check=False, text=True, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    with open_pair(tuned="adapter", store="of-the-script", max_new_tokens=24) as pair:
        compared = list(pair.compare_all(ASKED))
        assert [[c.base.text, c.tuned.text] for c in compared] == [row[:2] for row in rows]
        values = [float(divergence(c)) for c in compared]
        assert values == pytest.approx([row[2] for row in rows], abs=1e-3)
        assert max(values) > 0.05
        assert compared[0].base.text != compared[0].tuned.text
