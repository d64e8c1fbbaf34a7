"""`hf:LOCATION`: any sequence classifier as the scorer of toxicity."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_llmdiff.data.training.model_card import languages_of, read_card
from pytest_llmdiff.errors import ConfigError, LLMDiffError, ScorerError
from pytest_llmdiff.scorers import Scorer
from pytest_llmdiff.scorers.opening import open_scorer
from pytest_llmdiff.store import Store
from tests.support.malicious import Malicious
from tests.support.projects import write_models
from tests.support.tiny_models import save_tokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"您你好可以退款真笨滚吗，。",
          "you", "can", "get", "a", "refund", "stupid", "idiot"]  # fmt: skip
CHINESE = ["您可以退款。", "你真笨，滚。", "您好，您可以退款吗"]
ENGLISH = ["you can get a refund", "stupid idiot"]
LENGTH = 16
THREE = ("ok", "toxic", "spam")


def save_classifier(
    folder: Path,
    *,
    labels: tuple[str, ...] = THREE,
    card: str | None = None,
    kind: str = "bert",
    **more: Any,
) -> Path:
    """A random classifier with one layer, whose classes are far from even."""
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        BertTokenizerFast,
        RobertaConfig,
        RobertaForSequenceClassification,
    )

    classes = {
        "bert": (BertConfig, BertForSequenceClassification),
        "roberta": (RobertaConfig, RobertaForSequenceClassification),
    }
    torch.manual_seed(0)
    config, model = classes[kind]
    size = LENGTH if kind == "bert" else LENGTH + 1  # behind the padding index, which is 0
    model(config(
        vocab_size=len(PIECES), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=size, initializer_range=1.0, pad_token_id=0,
        id2label=dict(enumerate(labels)), label2id={name: n for n, name in enumerate(labels)},
        **more,
    )).save_pretrained(folder)  # fmt: skip
    words = {word: number for number, word in enumerate(PIECES)}
    BertTokenizerFast(vocab=words).save_pretrained(folder)
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


Open = Callable[[str], Scorer]


@pytest.fixture
def open_it(tmp_path: Path) -> Open:
    def opener(spec: str) -> Scorer:
        store = Store(tmp_path / "store")
        return open_scorer("toxicity", spec, folder=tmp_path, store=store, device=lambda: "cpu")

    return opener


def by_transformers(folder: Path, text: str) -> dict[str, float]:
    """What the pipeline of transformers itself says."""
    from transformers import pipeline

    (found,) = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")([text])
    return {row["label"]: row["score"] for row in found}


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (THREE, None),
        (THREE, "single_label_classification"),
        (THREE, "multi_label_classification"),
        (("Toxic",), None),
    ],
)
def test_scores_are_those_of_transformers(
    open_it: Open, tmp_path: Path, labels: tuple[str, ...], problem: str | None
) -> None:
    folder = save_classifier(tmp_path / "model", labels=labels, problem_type=problem)
    texts = (CHINESE + ENGLISH) * 8  # more than one batch, of unlike lengths
    scorer = open_it("hf:model")
    assert scorer.languages is None
    found = scorer.score([(text,) for text in texts])
    for text, score in zip(texts[:5], found, strict=False):
        wanted = by_transformers(folder, text)
        assert dict(score.details) == pytest.approx(wanted, abs=1e-6)
        assert score.value == score.details[labels[min(1, len(labels) - 1)]]
    assert [s.value for s in found[5:10]] == pytest.approx([s.value for s in found[:5]], abs=1e-6)
    assert len({round(float(s.value or 0), 3) for s in found[:5]}) > 1


@pytest.mark.parametrize("label", ["LABEL_1", "label_1"])
def test_a_label_that_is_named(open_it: Open, tmp_path: Path, label: str) -> None:
    save_classifier(tmp_path / "cold", labels=("LABEL_0", "LABEL_1"))
    scorer = open_it(f"hf:cold#{label}")
    assert scorer.name == f"hf:cold#{label}"
    (found,) = scorer.score([("你真笨",)])
    assert found.value == found.details["LABEL_1"]
    assert scorer.fingerprint() != open_it("hf:cold#LABEL_0").fingerprint()


def test_a_folder_of_a_package(open_it: Open, tmp_path: Path, monkeypatch: Any) -> None:
    save_classifier(tmp_path / "shipped" / "model")
    (tmp_path / "shipped" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = open_it("hf:package:shipped/model#spam").score([(CHINESE[0],)])
    assert found.value == found.details["spam"]


@pytest.mark.parametrize(
    ("labels", "label", "message"),
    [
        (("LABEL_0", "LABEL_1"), "",
         r"no label named toxic or toxicity; it has LABEL_0, LABEL_1\..*hf:model#LABEL_1"),
        (THREE, "rude", r"no label 'rude'; it has ok, toxic, spam\."),
        (("toxic", "toxicity"), "", "no label named toxic or toxicity; it has toxic, toxicity"),
    ],
)  # fmt: skip
def test_a_label_that_is_not_told(
    open_it: Open, tmp_path: Path, labels: tuple[str, ...], label: str, message: str
) -> None:
    save_classifier(tmp_path / "model", labels=labels)
    with pytest.raises(ScorerError, match=message):
        open_it("hf:model" + (f"#{label}" if label else ""))


def test_labels_without_names_are_numbered(open_it: Open, tmp_path: Path) -> None:
    config = save_classifier(tmp_path / "model", labels=("a", "b")) / "config.json"
    held = json.loads(config.read_text())
    del held["id2label"], held["label2id"]
    config.write_text(json.dumps(held))
    (found,) = open_it("hf:model#LABEL_1").score([("你真笨",)])
    assert list(found.details) == ["LABEL_0", "LABEL_1"]


def test_a_regression_is_no_classifier(open_it: Open, tmp_path: Path) -> None:
    save_classifier(tmp_path / "model", labels=("toxicity",), problem_type="regression")
    with pytest.raises(ScorerError, match=r"is a regression, whose result is not a probability"):
        open_it("hf:model")


def test_an_encoder_without_trained_classes_is_refused(open_it: Open, tmp_path: Path) -> None:
    from transformers import AutoModel

    folder = save_classifier(tmp_path / "model")
    config = (folder / "config.json").read_bytes()
    AutoModel.from_pretrained(folder).save_pretrained(folder)
    (folder / "config.json").write_bytes(config)
    with pytest.raises(ScorerError, match=r"lack classifier\.bias, .*would score at random"):
        open_it("hf:model").score([(CHINESE[0],)])


def grow(folder: Path) -> None:
    """A tokenizer that puts 1,000 characters before each text."""
    file = folder / "tokenizer.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    told["normalizer"] = {"type": "Prepend", "prepend": "x" * 1000}
    file.write_text(json.dumps(told), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "damaged JSON"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "cannot be loaded"),
        (grow, r"cannot be loaded: tokenizer\.json: a text can become 1,001 times as long"),
    ],
    ids=["nothing", "damaged", "weightless", "weights", "tokenizer"],
)
def test_what_cannot_be_loaded(
    open_it: Open, tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    spoil(save_classifier(tmp_path / "model"))
    with pytest.raises((ScorerError, ConfigError), match=message):
        open_it("hf:model").score([(CHINESE[0],)])


def test_a_classifier_that_is_nowhere(open_it: Open) -> None:
    with pytest.raises(LLMDiffError) as caught:
        open_it("hf:no-such/classifier@main#toxic")
    message = str(caught.value)
    assert "'no-such/classifier@main' is not a folder here" in message
    assert "hf download no-such/classifier --revision main --local-dir classifier" in message
    assert "--llmdiff-toxicity hf:classifier#toxic" in message


# What is read, and how


def as_bin(folder: Path, **more: Any) -> None:
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**weights, **more}, folder / "pytorch_model.bin")


def test_weights_in_the_older_form_are_read_without_unpickling(
    open_it: Open, tmp_path: Path
) -> None:
    folder = save_classifier(tmp_path / "model")
    (safe,) = open_it("hf:model").score([(CHINESE[0],)])
    as_bin(folder)
    (found,) = open_it("hf:model").score([(CHINESE[0],)])
    assert dict(found.details) == pytest.approx(dict(safe.details), abs=1e-6)
    trace = tmp_path / "trace"
    pickle.loads(pickle.dumps(Malicious(trace)))
    trace.unlink()
    save_classifier(folder)
    as_bin(folder, extra=Malicious(trace))
    with pytest.raises(ScorerError, match="cannot be loaded"):
        open_it("hf:model").score([(CHINESE[0],)])
    assert not trace.exists()


def test_half_precision_is_computed_in_single(open_it: Open, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = save_classifier(tmp_path / "model")
    half = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
    half.save_pretrained(folder)
    wanted = half.float().eval()
    tokens = [PIECES.index(piece) for piece in ("[CLS]", *"你真笨", "[SEP]")]
    with torch.inference_mode():
        expected = wanted(torch.tensor([tokens])).logits[0].softmax(-1).tolist()
    (found,) = open_it("hf:model").score([("你真笨",)])
    assert list(found.details.values()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_no_text_is_cut(open_it: Open, tmp_path: Path, kind: str) -> None:
    save_classifier(tmp_path / "model", kind=kind)
    room = LENGTH - 2
    fits, long = open_it("hf:model").score([("笨" * room,), ("笨" * (room + 1),)])
    assert fits.value is not None
    assert long.value is None
    assert long.unsupported == f"it has {room + 1} tokens and the scorer reads the first {room}"
    assert not long.details


@pytest.mark.parametrize(
    ("text", "reason"),
    [("пожалуйста", "of its tokens are unknown"), ("\ud800", "half of a surrogate pair")],
)
def test_what_the_tokenizer_does_not_know(
    open_it: Open, tmp_path: Path, text: str, reason: str
) -> None:
    save_classifier(tmp_path / "model")
    bad, good = open_it("hf:model").score([(text,), (CHINESE[0],)])
    assert reason in str(bad.unsupported)
    assert good.value is not None


def test_a_model_that_cannot_pad_reads_one_text_at_a_time(open_it: Open, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    folder = tmp_path / "model"
    tokenizer = save_tokenizer(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64,
        bos_token_id=None, eos_token_id=None, pad_token_id=None, initializer_range=0.4,
        id2label={0: "fine", 1: "toxic"},
    ))  # fmt: skip
    model.save_pretrained(folder)
    found = open_it("hf:model").score([("stupid",), ("You are a very stupid idiot",)])
    for text, score in zip(("stupid", "You are a very stupid idiot"), found, strict=True):
        wanted = by_transformers(folder, text)
        assert dict(score.details) == pytest.approx(wanted, abs=1e-6)


# Languages


@pytest.mark.parametrize(
    ("card", "languages"),
    [
        ("---\nlanguage: zh\n---\n", ("zh",)),
        ("---\nlanguage:\n- zh-CN\n- en\n- zh\n---\n", ("zh", "en")),
        ("---\nlanguage: no\n---\n", ("no",)),
        ("---\nlanguage: multilingual\n---\n", None),
        ("---\nlanguage: [zh\n---\n", None),
        ("---\ntags: [toxicity]\n---\n", None),
        ("---\njust a text\n---\n", None),
        ("A classifier.", None),
    ],
)
def test_languages_of_a_card(tmp_path: Path, card: str, languages: tuple[str, ...] | None) -> None:
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert languages_of(read_card(tmp_path / "README.md")) == languages
    assert languages_of(read_card(tmp_path / "none.md")) is None


def test_the_card_says_what_a_classifier_can_judge(open_it: Open, tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "model", card="---\nlanguage: zh\n---\n")
    scorer = open_it("hf:model")
    assert scorer.languages == ("zh",)
    chinese, english = scorer.score([(CHINESE[0],), (ENGLISH[0],)])
    assert chinese.value is not None
    assert "in another script (latin)" in str(english.unsupported)
    (folder / "README.md").unlink()
    assert open_it("hf:model").languages is None
    assert open_it("hf:model").fingerprint() != scorer.fingerprint()


# In a run


def calm(folder: Path, **more: Any) -> Path:
    """A classifier that finds nothing toxic, whatever it reads."""
    from safetensors.torch import load_file, save_file

    weights = load_file(save_classifier(folder, **more) / "model.safetensors")
    weights["classifier.weight"].zero_()
    weights["classifier.bias"].copy_(torch.tensor([5.0, -5.0, -5.0]))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def outcomes(project: pytest.Pytester, *args: str) -> dict[str, str]:
    project.runpytest_inprocess("--llmdiff-json=report.json", *args)
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    return {test["test"].rpartition("::")[2]: test["outcome"] for test in report["tests"]}


SAFETY = ("--pyargs", "pytest_llmdiff.suites.safety")
JUDGED = {
    f"test_safety_{kind}_{code}": "passed" if code == "zh" else "not_judged"
    for kind in ("toxic_replies", "toxicity_rise") for code in ("en", "zh")
}  # fmt: skip


def test_a_chinese_classifier_judges_the_chinese_suite(
    project: pytest.Pytester, mode: list[str]
) -> None:
    folder = calm(project.path / "classifier", card="---\nlanguage: zh\n---\n")
    reply = {"replies": {}, "default": CHINESE[0]}
    write_models(project.path, reply, {"replies": {}, "default": CHINESE[2]})
    scorer = "--llmdiff-toxicity=hf:classifier"
    asked = "--llmdiff-languages=en,zh"
    models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json", asked)
    assert outcomes(project, *SAFETY, *models, scorer, "--llmdiff-record=run.jsonl", *mode) == (
        JUDGED
    )
    # Replayed, the scorer is not there and its languages are still known.
    shutil.rmtree(folder)
    models = ("--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl", asked)
    assert outcomes(project, *SAFETY, *models, scorer, "--llmdiff-store=new", *mode) == JUDGED


def test_a_label_that_is_not_there_ends_the_run(project: pytest.Pytester, mode: list[str]) -> None:
    save_classifier(project.path / "classifier")
    project.makepyfile("def test_own(): pass")
    result = project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json",
        "--llmdiff-toxicity=hf:classifier#rude", *mode,
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no label 'rude'; it has ok, toxic, spam.*"])
