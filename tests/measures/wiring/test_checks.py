"""The wiring suite on real tiny models: every check red on what it is for, green elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff import Reply
from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.measures.wiring import behaviour
from pytest_llmdiff.measures.wiring import files as wiring
from tests.support.projects import NATIVE_TOML
from tests.support.tiny_models import llamafactory_files, save_adapter, save_model

SUITE = ["--pyargs", "pytest_llmdiff.suites.wiring", "-rA", "-p", "no:cacheprovider"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bases of other shapes, a small healthy adapter, and broken forms of it."""
    folder = tmp_path_factory.mktemp("wiring")
    save_model(folder / "base")
    save_model(folder / "other", seed=5)
    save_adapter(folder / "good", folder / "base", scale=0.1)
    llamafactory_files(folder / "good")
    shutil.copytree(folder / "other", folder / "full_parts")
    _template_of_parts(folder / "full_parts")
    save_adapter(folder / "noop", folder / "base", scale=0.0)
    for name, change in BROKEN.items():
        shutil.copytree(folder / "good", folder / name)
        change(folder / name)
    return folder


def _tensors(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "adapter_model.safetensors"
    save_file(change(load_file(file)), file)


def _nan(tensors: dict[str, Any]) -> dict[str, Any]:
    name = sorted(tensors)[0]
    tensors[name] = tensors[name] * float("nan")
    return tensors


def _renamed(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("self_attn", "attention"): t for name, t in tensors.items()}


def _halved(tensors: dict[str, Any]) -> dict[str, Any]:
    return {n: t for n, t in tensors.items() if "layers.1.self_attn.q_proj.lora_B" not in n}


def _wider(tensors: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {n: torch.cat([t, t], 1) if "lora_A" in n else t for n, t in tensors.items()}


def _log(folder: Path, **changes: Any) -> None:
    rows = [
        {"current_steps": s, "total_steps": 40, "loss": 2.0 / s, "lr": 1e-4, "epoch": s / 20} | {
            name: value(s) for name, value in changes.items()
        }
        for s in range(1, 41)
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "trainer_log.jsonl").write_text(text, encoding="utf-8")
    (folder / "trainer_state.json").unlink()


def _foreign_template(folder: Path) -> None:
    """Trained with another template than the base's: what LLaMA-Factory saves for alpaca."""
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ m['content'] + '<|im_end|>' }}"
        "{% else %}{{ '### Instruction:\n' + m['content'] + '\n\n### Response:\n' }}{% endif %}"
        "{% endfor %}",
        encoding="utf-8",
    )


def _template_of_parts(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
        "{{ c['text'] }}{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n",
        encoding="utf-8",
    )


BROKEN: dict[str, Callable[[Path], None]] = {
    "not_finite": lambda folder: _tensors(folder, _nan),
    "unbound": lambda folder: _tensors(folder, _renamed),
    "halved": lambda folder: _tensors(folder, _halved),
    "wider": lambda folder: _tensors(folder, _wider),
    "nan_loss": lambda folder: _log(folder, loss=lambda _: float("nan")),
    "no_rate": lambda folder: _log(folder, lr=lambda _: 0.0),
    "alpaca": _foreign_template,
    "parts": _template_of_parts,
}


@pytest.fixture
def suite(pytester: pytest.Pytester, folder: Path, mode: list[str]) -> Any:
    """Run the suite on models of the folder; the outcome of each check by its test's name."""

    def start(tuned: str, *args: str, base: str = "base") -> tuple[dict[str, str], str]:
        strict = "strict = true" if NATIVE_TOML else ""
        pytester.makeini(f"[pytest]\n{strict}\nfilterwarnings = error\n")
        result = pytester.runpytest_inprocess(
            f"--llm-base={folder / base}", f"--llm-tuned={folder / tuned}", *mode, *SUITE, *args
        )
        text = result.stdout.str()
        outcomes = {}
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            if word in ("PASSED", "FAILED", "ERROR", "SKIPPED") and "::test_" in rest:
                outcomes[rest.partition("::test_")[2].split(" ")[0]] = word
        return outcomes, text

    return start


def test_a_healthy_adapter_is_green(suite: Any) -> None:
    outcomes, text = suite("good")
    assert "FAILED" not in outcomes.values(), text
    assert "ERROR" not in outcomes.values(), text
    assert len(outcomes) >= 8, text
    assert "template of the training is unknown" in text
    assert "looked for" in text
    assert "largest relative update" in text


@pytest.mark.parametrize(
    ("tuned", "test", "words"),
    [
        ("noop", "adapter_weights_are_finite_and_not_zero", "every B matrix"),
        ("noop", "predictions_move_and_vary", "predicts the same as the base"),
        ("noop", "adapter_update_has_a_sane_size", "changes nothing"),
        ("not_finite", "adapter_weights_are_finite_and_not_zero", "NaN or infinity"),
        ("not_finite", "predictions_move_and_vary", "not finite"),
        ("unbound", "adapter_binds_to_the_base", "bind to no module"),
        ("halved", "adapter_binds_to_the_base", "not in adapter_model.safetensors"),
        ("wider", "base_is_the_one_that_was_tuned", "do not have the shape"),
        ("nan_loss", "training_ran_and_learnt", ""),
        ("parts", "question_is_in_the_prompt", "the question is not in the prompt"),
        ("no_rate", "training_ran_and_learnt", "learning rate"),
    ],
)
def test_what_is_broken_is_named(
    pytester: pytest.Pytester, folder: Path, tuned: str, test: str, words: str
) -> None:
    result = pytester.runpytest_inprocess(
        f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / tuned}", *SUITE, "-k", test
    )
    result.assert_outcomes(failed=1, deselected=14)
    assert words in result.stdout.str()
    assert "  next     " in result.stdout.str()
    assert result.ret == 1


def test_a_full_model_skips_what_is_about_adapters(suite: Any) -> None:
    outcomes, text = suite("other")
    assert "the tuned model is not an adapter" in text
    assert outcomes["base_is_the_one_that_was_tuned"] == "PASSED", text
    assert outcomes["predictions_move_and_vary"] == "PASSED", text


def test_the_template_of_the_training(pytester: pytest.Pytester, folder: Path) -> None:
    """Its own template, unlike the base's, is that of the training; asking otherwise is red."""
    models = (f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / 'alpaca'}")
    only = ("-k", "template_is_that_of_the_training")
    pytester.runpytest_inprocess(*models, *SUITE, *only).assert_outcomes(passed=1, deselected=14)
    template = folder / "base" / "chat_template.jinja"
    result = pytester.runpytest_inprocess(*models, *SUITE, *only, f"--llmdiff-template={template}")
    result.assert_outcomes(failed=1, deselected=14)
    result.stdout.fnmatch_lines(["*likely cause: the markup differs*", "*--llmdiff-template*"])


def test_pre_training_has_no_template(pytester: pytest.Pytester, folder: Path) -> None:
    config = pytester.path / "pt.yaml"
    config.write_text("stage: pt\ntemplate: no_such_one\ndataset: corpus\n", encoding="utf-8")
    result = pytester.runpytest_inprocess(
        f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / 'good'}", *SUITE,
        "-k", "template_is_that_of_the_training", f"--llmdiff-train-config={config}",
    )  # fmt: skip
    result.assert_outcomes(skipped=1, deselected=14)
    assert "the training read plain texts (stage: pt in " in result.stdout.str()


@pytest.mark.parametrize("side", ["base", "tuned"])
def test_the_question_is_looked_for_on_both_sides(
    pytester: pytest.Pytester, folder: Path, side: str
) -> None:
    models = {"base": folder / "base", "tuned": folder / "other", side: folder / "full_parts"}
    result = pytester.runpytest_inprocess(
        *(f"--llm-{name}={path}" for name, path in models.items()), *SUITE,
        "-k", "question_is_in_the_prompt",
    )  # fmt: skip
    result.assert_outcomes(failed=1, deselected=14)
    assert f"a text here ({side})" in result.stdout.str()


def test_train_config_names_the_template(pytester: pytest.Pytester, folder: Path) -> None:
    config = pytester.path / "training.jinja"
    base = (folder / "base" / "chat_template.jinja").read_text(encoding="utf-8")
    config.write_text(base, encoding="utf-8")
    models = (f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / 'good'}")
    only = ("-k", "template_is_that_of_the_training", f"--llmdiff-train-config={config}")
    pytester.runpytest_inprocess(*models, *SUITE, *only).assert_outcomes(passed=1, deselected=14)
    config.write_text("{{ bos_token }}You are a bot." + base, encoding="utf-8")
    result = pytester.runpytest_inprocess(*models, *SUITE, *only)
    result.assert_outcomes(failed=1, deselected=14)


MODELFILE = '''FROM .

TEMPLATE """{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ range .Messages }}{{ if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
<|im_start|>assistant
{{ else if eq .Role "assistant" }}{{ .Content }}<|im_end|>
{{ end }}{{ end }}"""

PARAMETER stop "<|im_end|>"
PARAMETER num_ctx 4096
'''
ASKED = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("name", "text", "outcome", "words"),
    [
        ("Modelfile", MODELFILE, "passed", "template of the training (Modelfile"),
        (
            "Modelfile",
            MODELFILE.replace("PARAMETER stop", 'SYSTEM """Be kind."""\n\nPARAMETER stop', 1),
            "failed", "a default system prompt that only the other template writes",
        ),
        (
            "generated_predictions.jsonl", json.dumps({"prompt": ASKED}), "passed",
            "the prompts in generated_predictions.jsonl",
        ),
        (
            "generated_predictions.jsonl",
            json.dumps({"prompt": "<|im_start|>system\nBe kind.<|im_end|>\n" + ASKED}),
            "failed", "has the system prompt 'Be kind.'",
        ),
        (
            "generated_predictions.jsonl", json.dumps({"prompt": "### Instruction: Hi"}), "failed",
            "do not begin and end as the template in use",
        ),
    ],
)  # fmt: skip
def test_traces_of_the_training(
    pytester: pytest.Pytester, folder: Path, name: str, text: str, outcome: str, words: str
) -> None:
    tuned = pytester.path / "tuned"
    shutil.copytree(folder / "good", tuned)
    (tuned / name).write_text(text + "\n", encoding="utf-8")
    result = pytester.runpytest_inprocess(
        f"--llm-base={folder / 'base'}", f"--llm-tuned={tuned}", *SUITE,
        "-k", "template_is_that_of_the_training",
    )  # fmt: skip
    result.assert_outcomes(**{outcome: 1, "deselected": 14})
    assert words in result.stdout.str()


def test_a_missing_train_config_is_a_usage_error(
    pytester: pytest.Pytester, folder: Path, mode: list[str]
) -> None:
    result = pytester.runpytest_inprocess(
        f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / 'good'}", *mode, *SUITE,
        "--llmdiff-train-config=nowhere.yaml",
    )  # fmt: skip
    assert result.ret == 4
    assert "nowhere.yaml" in result.stderr.str()


def test_without_models_the_suite_fails(pytester: pytest.Pytester, mode: list[str]) -> None:
    result = pytester.runpytest_inprocess(*SUITE, *mode)
    assert result.ret == 1
    assert result.parseoutcomes()["errors"] == 15
    assert "no models: give --llm-base SPEC" in result.stdout.str()


# The pure checks

FACTS: dict[str, Any] = {
    "base": {
        "name": "Base-7B", "dimensions": {"model_type": "llama", "hidden_size": 64},
        "embedding rows": 128, "last token": 99, "stop ids": [2], "sampling": {},
        "special": {"bos": ["<s>", 1], "eos": ["</s>", 2], "pad": [None, None]},
    },
    "tuned": {
        "name": "Base-7B", "dimensions": {"model_type": "llama", "hidden_size": 64},
        "embedding rows": 128, "last token": 99, "stop ids": [2], "sampling": {},
        "special": {"bos": ["<s>", 1], "eos": ["</s>", 2], "pad": ["</s>", 2]},
    },
    "tokens": {"other ids": [], "added": []},
    "adapter": {
        "type": "LORA", "base": "org/Base-7B", "tensors": 4, "not finite": [], "zero": False,
        "unknown": None, "unbound": [], "missing": [], "other shapes": {}, "empty": [], "rank": 8,
        "rows": 128, "multimodal": False,
    },
}  # fmt: skip
FILE_CHECKS = (
    wiring.base_findings, wiring.key_findings, wiring.value_findings, wiring.vocabulary_findings,
    wiring.special_findings,
)  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    facts = deepcopy(FACTS)
    *way, last = path.split("/")
    place = facts
    for name in way:
        place = place[name]
    place[last] = value
    return facts


@pytest.mark.parametrize("check", FILE_CHECKS)
def test_facts_of_a_healthy_pair(check: Any) -> None:
    found = check(FACTS)
    assert (found.problems, found.notes, found.skipped) == ((), (), None)


@pytest.mark.parametrize(
    ("check", "path", "value", "word"),
    [
        (wiring.base_findings, "adapter/other shapes", {"q.lora_A": [[8, 32], [8, 64]]}, "shape"),
        (wiring.key_findings, "adapter/unbound", ["a.lora_A.weight"], "bind to no module"),
        (wiring.key_findings, "adapter/missing", ["a.lora_B.weight"], "adapter_model.safetensors"),
        (wiring.value_findings, "adapter/not finite", ["a"], "NaN"),
        (wiring.value_findings, "adapter/zero", True, "zero"),
        (wiring.vocabulary_findings, "tokens/other ids", ["a"], "different ids"),
        (wiring.vocabulary_findings, "tuned/last token", 128, "embeddings end at 127"),
        (
            wiring.vocabulary_findings, "adapter/other shapes",
            {"model.embed_tokens.weight": [[130, 64], [128, 64]]}, "tokens were added",
        ),
        (
            wiring.vocabulary_findings, "adapter/other shapes",
            {"lm_head.modules_to_save.weight": [[99, 64], [128, 64]]}, "were cut off",
        ),
        (
            wiring.vocabulary_findings, "adapter/other shapes",
            {"lm_head.lora_B.weight": [[99, 8], [128, 8]]}, "vocabulary of 99 rows",
        ),
        (
            wiring.key_findings, "adapter/other shapes",
            {"q.lora_A.weight": [[4, 64], [8, 64]], "q.lora_B.weight": [[64, 4], [64, 8]]},
            "another rank",
        ),
        (wiring.value_findings, "adapter/empty", ["q.lora_A.weight"], "ZeRO-3"),
        (wiring.special_findings, "tuned/special/eos", ["</s>", 7], "eos token"),
        (wiring.special_findings, "tuned/stop ids", [200], "beyond its vocabulary"),
        (wiring.special_findings, "tuned/stop ids", [], "no stop token"),
    ],
)  # fmt: skip
def test_facts_that_are_harm(check: Any, path: str, value: Any, word: str) -> None:
    (problem,) = check(changed(path, value)).problems
    assert word in problem.cause
    assert problem.step


@pytest.mark.parametrize(
    ("check", "path", "value"),
    [
        (wiring.base_findings, "adapter/base", "/models/renamed"),
        (wiring.special_findings, "tuned/special/eos", ["<|im_end|>", 5]),
        (wiring.vocabulary_findings, "tokens/added", ["<new>"]),
    ],
)
def test_facts_that_are_notes(check: Any, path: str, value: Any) -> None:
    found = check(changed(path, value))
    assert not found.problems
    assert len(found.notes) == 1


def test_full_models_of_other_dimensions() -> None:
    facts = changed("adapter", None)
    assert not wiring.base_findings(facts).problems
    facts["tuned"]["dimensions"]["hidden_size"] = 32
    assert "hidden_size 64 and 32" in wiring.base_findings(facts).problems[0].cause
    assert wiring.key_findings(facts).skipped == "the tuned model is not an adapter"


@pytest.mark.parametrize("check", [wiring.base_findings, wiring.key_findings])
def test_what_peft_cannot_build_without_weights_is_not_passed(check: Any) -> None:
    facts = changed("adapter/unknown", "no data!")
    del facts["adapter"]["unbound"]
    assert "no data!" in str(check(facts).skipped)


def test_sampling_defaults_are_notes() -> None:
    stock = {"do_sample": True, "temperature": 0.7, "top_k": 20, "repetition_penalty": 1.05}
    found = wiring.sampling_findings(changed("tuned/sampling", stock), {"temperature": 0.0})
    assert not found.problems
    assert "temperature 0.7" in found.notes[0]
    assert not wiring.sampling_findings(FACTS, {"temperature": 0.0}).notes


@pytest.mark.parametrize(
    ("norms", "problems", "word"),
    [({"q": 0.01}, 0, "0.01"), ({"q": 1e-7}, 1, "changes nothing"), ({"q": 0.7}, 0, "suspicious")],
)
def test_sizes_of_updates(norms: dict[str, float], problems: int, word: str) -> None:
    found = behaviour.update_findings({"norms": norms, "left out": {}})
    assert len(found.problems) == problems
    assert word in " ".join([*found.notes, *(p.cause for p in found.problems)])


@pytest.mark.parametrize("norms", [{}, {"q": 0.0}])
def test_updates_that_are_not_all_known_are_not_nil(norms: dict[str, float]) -> None:
    left_out = dict.fromkeys(["k", "v"], "its weights are quantised")
    found = behaviour.update_findings({"norms": norms, "left out": left_out})
    assert not found.problems
    assert "k: its weights are quantised" in str(found.skipped)


@pytest.mark.parametrize(
    ("trained_on", "step"),
    [
        ("org/Base-7B", "as given"),
        ("/models/Base-7B/", "as given"),
        ("org/Other", "(org/Other) as --llm-base"),
        (None, "that the adapter was trained on as --llm-base"),
    ],
)
def test_the_base_that_is_given_is_not_asked_for(trained_on: str | None, step: str) -> None:
    facts = changed("adapter/other shapes", {"q.lora_A.weight": [[8, 32], [8, 64]]})
    facts["adapter"]["base"] = trained_on
    (problem,) = wiring.base_findings(facts).problems
    assert "q.lora_A.weight is [8, 32], needed [8, 64]" in problem.cause
    assert step in problem.step


@pytest.mark.parametrize(
    ("moved", "share", "problems"),
    [(0.5, 0.1, 0), (0.0, 0.1, 1), (None, 0.1, 1), (9.0, 0.9, 1), (float("inf"), 0.1, 1)],
)
def test_predictions(moved: float | None, share: float, problems: int) -> None:
    facts = {"moved": moved, "base": [0.1, "the"], "tuned": [share, "!"]}
    assert len(behaviour.prediction_findings(facts).problems) == problems


def comparison(base: str, tuned: str, *, stops: bool = True, base_stops: bool = True) -> Comparison:
    def reply(text: str, stop: bool) -> Reply:
        ids = tuple(range(len(text)))
        return Reply(text=text, token_ids=ids, finish_reason="stop" if stop else "length")

    return Comparison(
        probe=make_probe("Hello"), base=reply(base, base_stops), tuned=reply(tuned, stops)
    )


@pytest.mark.parametrize(("endless", "problems"), [(0, 0), (5, 0), (6, 1), (10, 1)])
def test_replies_that_do_not_stop(endless: int, problems: int) -> None:
    found = behaviour.stop_findings(
        [comparison("Paris.", "Paris.", stops=i >= endless) for i in range(10)]
    )
    assert len(found.problems) == problems


def test_a_base_that_never_stops_judges_nothing() -> None:
    found = behaviour.stop_findings([comparison("a", "b", stops=False, base_stops=False)])
    assert found.skipped


@pytest.mark.parametrize(("bad", "problems"), [(2, 0), (3, 1)])
@pytest.mark.parametrize("text", ["", "no no " * 20])
def test_replies_that_are_empty_or_loop(text: str, bad: int, problems: int) -> None:
    found = behaviour.sound_findings(
        [comparison("Paris.", text if i < bad else "Rome.") for i in range(9)]
    )
    assert len(found.problems) == problems
