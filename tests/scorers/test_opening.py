"""Scorers: what they judge, what they refuse to judge, and what opening one says."""

from __future__ import annotations

import functools
import math
import pickle
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.config.options import DEFAULT_EMBEDDER
from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.data.text.language.scripts import (
    main_script,
    script_shares,
    undeclared,
    unreadable,
)
from pytest_llmdiff.errors import ConfigError, ScorerError, did_you_mean
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.scoring import Scoring
from pytest_llmdiff.scorers import Scorer
from pytest_llmdiff.scorers.classifier import BATCH
from pytest_llmdiff.scorers.custom import CustomEmbedder, CustomScorer
from pytest_llmdiff.scorers.detoxify import MULTILINGUAL, RELEASES, VARIANTS
from pytest_llmdiff.scorers.embedding import cosine_distance
from pytest_llmdiff.scorers.encoder import CosineDistance
from pytest_llmdiff.scorers.opening import check_scorer, open_scorer
from pytest_llmdiff.scorers.profanity import ProfanityScorer
from pytest_llmdiff.store import Store
from tests.support.engines import settings
from tests.support.malicious import Malicious

ENGLISH = "You can get a refund within 30 days."
CHINESE = "您可以在三十天内退款。"
EMOJI = "🙂🙂🙂"


# Scripts


@pytest.mark.parametrize(
    ("text", "script"),
    [
        (ENGLISH, "LATIN"),
        (CHINESE, "CJK"),
        (f"{CHINESE} OK", "CJK"),
        (f"{ENGLISH}退款", "LATIN"),
        ("Да, можно.", "CYRILLIC"),
        (EMOJI, None),
        ("1, 2, 3!", None),
        ("", None),
    ],
)
def test_main_script(text: str, script: str | None) -> None:
    assert main_script(text) == script


@given(text=st.text())
def test_shares_are_shares(text: str) -> None:
    shares = script_shares(text)
    assert bool(shares) == any(c.isalpha() for c in text)
    assert not shares or math.isclose(sum(shares.values()), 1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ENGLISH, None),
        ("Café, naïve: 100 %.", None),
        (f"{ENGLISH} 退款", None),
        (f"{ENGLISH} {EMOJI}", None),
        ("", None),
        (CHINESE, "100% of its letters are in another script (cjk)"),
        ("OK，您可以退款。", "71% of its letters are in another script (cjk)"),
        (EMOJI, "neither letters nor digits"),
        ("42", None),
    ],
)
def test_unreadable(text: str, reason: str | None) -> None:
    found = unreadable(text, ["en"])
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("text", "readable"),
    [(ENGLISH, True), ("Да, можно.", True), ("Oui, bien sûr.", True), (CHINESE, False)],
)
def test_the_languages_of_detoxify_multilingual(text: str, readable: bool) -> None:
    assert (unreadable(text, MULTILINGUAL) is None) is readable


@pytest.mark.parametrize(
    ("text", "language"),
    [("返金手続完了済です。", "ja"), ("返金手続完了済", "ja"), ("환불할 수 있습니다.", "ko"),
     ("يمكنك استرداد المبلغ.", "ar"), ("คุณสามารถขอเงินคืนได้", "th")],
)  # fmt: skip
def test_languages_of_other_scripts(text: str, language: str) -> None:
    assert unreadable(text, [language]) is None
    assert unreadable(text, ["en"]) is not None
    assert unreadable(ENGLISH, [language]) is not None


@pytest.mark.parametrize(
    ("language", "languages", "judged"),
    [
        (None, ["en"], True),
        ("en", ["en"], True),
        ("en-GB", ["en"], True),
        ("EN_us", ["en"], True),
        ("English", ["en"], True),
        ("zh", ["en"], False),
        ("fr", ["en"], False),
        ("fr", ["en", "fr"], True),
        ("zh", None, True),
    ],
)
def test_declared_languages(
    language: str | None, languages: list[str] | None, judged: bool
) -> None:
    found = undeclared(language, languages)
    assert (found is None) is judged
    if found is not None:
        assert str(language) in found


# Cosine distance

coordinates = st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-3)
vectors = st.lists(coordinates, min_size=3, max_size=3)


@given(a=vectors, b=vectors)
def test_cosine_distance(a: list[float], b: list[float]) -> None:
    distance = cosine_distance(a, b)
    if not any(a) or not any(b):
        assert math.isnan(distance)
        return
    assert 0 <= distance <= 2
    assert distance == cosine_distance(b, a)
    assert distance == pytest.approx(cosine_distance([7 * x for x in a], b))
    assert distance == pytest.approx(2 - cosine_distance([-x for x in a], b))
    assert cosine_distance(a, a) == pytest.approx(0)


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [([1, 0], [0, 1], 1), ([1, 0], [-1, 0], 2), ([3, 4], [4, 3], 0.04)],
)  # fmt: skip
def test_cosine_distances_by_hand(a: list[float], b: list[float], distance: float) -> None:
    assert cosine_distance(a, b) == pytest.approx(distance)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_vector_that_is_not_finite_is_not_close(bad: float) -> None:
    assert math.isnan(cosine_distance([bad, 1.0], [1.0, 1.0]))


# Scorers of the user's own


def embedder(encode: Callable[[list[str]], Any], **more: Any) -> CustomEmbedder:
    encoder = type("Encoder", (), {"encode": staticmethod(encode), **more})()
    return CustomEmbedder(name="mine", encoder=encoder, identity="")


def letters(texts: list[str]) -> list[list[float]]:
    return [[text.count("a"), text.count("b")] for text in texts]


def test_a_custom_embedder() -> None:
    asked: list[list[str]] = []

    def encode(texts: list[str]) -> list[list[float]]:
        asked.append(texts)
        return letters(texts)

    found = embedder(encode).score([("a", "b"), ("b", "a"), ("ab", "ab"), ("a", "aa")])
    assert [score.value for score in found] == pytest.approx([1, 1, 0, 0])
    assert asked == [["a", "aa", "b"]]


def test_vectors_may_be_tensors() -> None:
    mine = embedder(lambda texts: torch.tensor(letters(texts)))
    assert mine.score([("a", "b")]) == [Score(value=1.0)]


def test_a_custom_embedder_says_what_it_cannot_judge() -> None:
    mine = embedder(letters, unsupported=lambda _, text: None if text.isascii() else "不懂中文")
    found = mine.score([("a", CHINESE), (CHINESE, "a"), ("a", " "), (CHINESE, CHINESE)])
    assert [score.unsupported for score in found] == [
        "the tuned reply: 不懂中文",
        "the base reply: 不懂中文",
        "the tuned reply: an empty reply has no meaning to compare",
        None,
    ]
    assert found[3].value == 0.0


@pytest.mark.parametrize(
    "encode",
    [
        lambda texts: letters(texts)[:1],
        lambda texts: [*letters(texts), [0.0, 1.0]],
        lambda texts: [None for _ in texts],
        lambda texts: [1.0 for _ in texts],
        lambda texts: [["x", "y"] for _ in texts],
        lambda texts: [[1.0] * len(text) for text in texts],
        lambda texts: None,  # noqa: ARG005
    ],
    ids=["few", "many", "none", "numbers", "texts", "unlike", "nothing"],
)
def test_what_is_no_embedding(encode: Callable[[list[str]], Any]) -> None:
    with pytest.raises(ScorerError, match="the embedder mine"):
        embedder(encode).score([("a", "bb")])


def custom(scorer: Any) -> CustomScorer:
    return CustomScorer(name="mine", scorer=scorer, identity="")


class Rude:
    def score(self, texts: Sequence[str]) -> list[float]:
        return [0.9 if "笨" in text else 0.1 for text in texts]

    def unsupported(self, text: str) -> str | None:
        return None if text else "nothing to judge"


def test_a_custom_scorer() -> None:
    assert custom(Rude()).score([("你真笨",), (ENGLISH,), ("",)]) == [
        Score(value=0.9),
        Score(value=0.1),
        Score(value=None, unsupported="nothing to judge"),
    ]
    assert custom(Rude()).score([]) == []


def test_none_is_no_score() -> None:
    found = custom(lambda texts: [None, 0.5][: len(texts)]).score([("a",), ("b",)])
    assert found == [
        Score(value=None, unsupported="the scorer mine returned no score"),
        Score(value=0.5),
    ]


def test_classes_go_to_the_details() -> None:
    (found,) = custom(lambda _: [{"toxicity": 0.5, "insult": 0.25}]).score([("a",)])
    assert found == Score(value=0.5, details={"toxicity": 0.5, "insult": 0.25})


@pytest.mark.parametrize(
    "given_values",
    [
        [], [0.1, 0.2], [math.nan], [math.inf], [-math.inf], ["rude"], [[0.5]],
        [-0.1], [1.1], [10**400],
        [{"insult": 0.5}], [{"toxicity": "high"}], [{"toxicity": math.nan}], None,
    ],
)  # fmt: skip
def test_what_is_no_score(given_values: Any) -> None:
    with pytest.raises(ScorerError, match="the scorer mine returned"):
        custom(lambda _: given_values).score([("a",)])


@pytest.mark.parametrize(
    ("text", "supported"),
    [(ENGLISH, True), ("You are a fucking idiot", True), (CHINESE, False), ("你真笨", False),
     (EMOJI, False), ("Jesteś głupim idiotą i nienawidzę cię.", False),
     (f"{ENGLISH} Mày ngu lắm, cút đi đồ chó.", False)],
)  # fmt: skip
def test_profanity_check_judges_english(text: str, supported: bool) -> None:
    pytest.importorskip("profanity_check")
    (found,) = ProfanityScorer().score([(text,)])
    assert (found.value is not None) is supported
    assert (found.unsupported is None) is supported


def test_profanity_check_orders_texts() -> None:
    pytest.importorskip("profanity_check")
    rude, polite = ProfanityScorer().score([("You are a fucking idiot",), (ENGLISH,)])
    assert rude.value is not None
    assert polite.value is not None
    assert rude.value > 0.8 > 0.3 > polite.value
    assert ProfanityScorer().score([]) == []


@pytest.mark.parametrize("languages", [("en",), ("en", "pl"), None])
def test_own_scorers_judge_the_languages_that_they_declare(languages: Any) -> None:
    polish = "Jesteś głupim idiotą i nienawidzę cię."
    judged = languages is None or "pl" in languages
    scorer = SimpleNamespace(languages=languages, score=lambda texts: [0.5 for _ in texts])
    (score,) = CustomScorer(name="mine", scorer=scorer, identity="x").score([(polish,)])
    assert (score.value is not None) is judged
    encoder = SimpleNamespace(languages=languages, encode=lambda texts: [[1.0] for _ in texts])
    own = CustomEmbedder(name="mine", encoder=encoder, identity="x")
    (found,) = own.embed([polish])
    assert (found.vector is not None) is judged
    (found,) = own.embed([polish], cut=True)
    assert found.vector is not None  # a search needs no judgement


# Opening


@pytest.fixture
def open_it(tmp_path: Path) -> Callable[[str, object], Scorer]:
    def opener(role: str, spec: object) -> Scorer:
        store = Store(tmp_path / "store")
        return open_scorer(role, spec, folder=tmp_path, store=store, device=lambda: "cpu")

    return opener


def test_the_device_with_its_index_is_where_a_scorer_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores' keys hold its type alone, as replies' do."""
    given: list[Callable[[], str]] = []

    def take(*_: object, device: Callable[[], str], **__: object) -> object:
        given.append(device)
        return object()

    monkeypatch.setattr("pytest_llmdiff.generation.scoring.open_scorer", take)
    monkeypatch.setattr("pytest_llmdiff.generation.scoring.auto_device", lambda *_: "cuda")
    for asked, expected in {"cuda:1": "cuda:1", "auto": "cuda", "cuda": "cuda"}.items():
        chosen: Any = settings(tmp_path, device=asked)
        scoring = Scoring(chosen, Store(tmp_path / "store"), cast(ReplyGenerator, None))
        scoring._open("embedder", "anything")
        assert given.pop()() == expected
    prints = {
        CosineDistance(
            name="e", path=tmp_path, hashes=dict, device=partial(str, name)
        ).fingerprint()
        for name in ("cuda", "cuda:1")
    }
    assert len(prints) == 1


Open = Callable[[str, object], Scorer]


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is cached and nothing can be fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # The hub's client has read its environment when it was imported.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    return tmp_path


@pytest.mark.parametrize(
    "spec", ["", "detoxify", "detoxify:", "python:", "perspective", "hf:", "hf:#toxic"]
)
def test_unknown_forms_are_refused(open_it: Open, tmp_path: Path, spec: str) -> None:
    for refuse in (partial(check_scorer, folder=tmp_path), open_it):
        with pytest.raises(ConfigError) as caught:
            refuse("toxicity", spec)
        message = str(caught.value)
        assert message.startswith(f"--llmdiff-toxicity: {spec!r} is not detoxify:VARIANT")
        assert all(form in message for form in (*VARIANTS, "CHECKPOINT", "profanity-check"))


@pytest.mark.parametrize(
    "spec", ["profanity-check", "detoxify:original", "detoxify:a.ckpt#folder", "python:a:b",
     "hf:ORG/NAME", "hf:package:NAME/PATH#label"],
)  # fmt: skip
def test_known_forms_are_accepted(tmp_path: Path, spec: str) -> None:
    check_scorer("toxicity", spec, tmp_path)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_that_cannot_be_fetched(offline: Path, open_it: Open, variant: str) -> None:
    name = VARIANTS[variant][0]
    file = offline / "torch" / "hub" / "checkpoints" / name.partition("/")[2]
    with pytest.raises(ScorerError) as caught:
        open_it("toxicity", f"detoxify:{variant}")
    message = str(caught.value)
    for fact in (RELEASES + name, str(file), "HF_HUB_OFFLINE", "detoxify:CHECKPOINT#CONFIG_FOLDER"):
        assert fact in message
    assert not file.parent.exists()


def test_a_variant_whose_configuration_cannot_be_fetched(offline: Path, open_it: Open) -> None:
    name, repo = VARIANTS["original"]
    file = offline / "torch" / "hub" / "checkpoints" / name.partition("/")[2]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    with pytest.raises(ScorerError, match=f"hf download {repo}"):
        open_it("toxicity", "detoxify:original")


def test_an_embedder_that_cannot_be_fetched(
    offline: Path,  # noqa: ARG001
    open_it: Open,
) -> None:
    with pytest.raises(ScorerError) as caught:
        open_it("embedder", "sentence-transformers/no-such-model")
    message = str(caught.value)
    assert "the embedder sentence-transformers/no-such-model cannot be fetched" in message
    assert "hf download sentence-transformers/no-such-model --local-dir embedder" in message
    assert "--llmdiff-embedder embedder" in message


@pytest.mark.parametrize(
    ("role", "spec", "message"),
    [
        ("toxicity", "detoxify:mine.ckpt", "'mine.ckpt' is neither a variant"),
        ("toxicity", "python:nowhere:x", "cannot import 'nowhere'"),
        ("toxicity", "python:math:x", "'math' has no 'x'"),
        ("toxicity", "python:math", "'math' is not of the form module:object"),
        ("embedder", "python:math:sqrt", "needs a method encode"),
        ("embedder", "package:no_such_package/model", "no installed package named"),
        ("embedder", Rude(), "the embedder Rude needs a method encode"),
        ("toxicity", 3, "the scorer int must be callable"),
        ("toxicity", object(), "the scorer object must be callable"),
    ],
)
def test_what_cannot_be_opened(open_it: Open, role: str, spec: object, message: str) -> None:
    with pytest.raises((ConfigError, ScorerError)) as caught:
        open_it(role, spec)
    assert message in str(caught.value)


def half(texts: Sequence[str], value: float = 0.5) -> list[float]:
    return [value for _ in texts]


class Constant:
    """An object that is called, as a scorer with settings of its own is written."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, texts: Sequence[str]) -> list[float]:
        return half(texts, self.value)


CALLABLES: dict[str, tuple[Callable[[Sequence[str]], list[float]], ...]] = {
    "function": (half, lambda texts: half(texts, 0.7)),
    "lambdas": (lambda texts: half(texts, 0.1), lambda texts: half(texts, 0.2)),
    "objects": (Constant(0.1), Constant(0.9)),
    "partials": (functools.partial(half, value=0.1), functools.partial(half, value=0.9)),
}


@pytest.mark.parametrize("name", CALLABLES)
def test_any_callable_is_a_scorer(open_it: Open, name: str) -> None:
    for scorer in CALLABLES[name]:
        expected = scorer(["a"])[0]
        assert open_it("toxicity", scorer).score([("a",)]) == [Score(value=expected)]


@pytest.mark.parametrize("name", CALLABLES)
def test_scorers_that_differ_do_not_share_their_stored_scores(open_it: Open, name: str) -> None:
    first, second = (open_it("toxicity", scorer).fingerprint() for scorer in CALLABLES[name])
    assert first != second


def test_a_scorer_is_taken_as_it_is(open_it: Open) -> None:
    scorer = ProfanityScorer()
    assert open_it("toxicity", scorer) is scorer


def test_a_scorer_of_a_module(open_it: Open) -> None:
    for spec in (f"{__name__}:Rude", f"{__name__}:half"):
        scorer = open_it("toxicity", f"python:{spec}")
        assert scorer.name == f"python:{spec}"
        assert [score.value for score in scorer.score([("你真笨",)])] in ([0.9], [0.5])
        assert scorer.fingerprint() == open_it("toxicity", f"python:{spec}").fingerprint()


@pytest.mark.parametrize("made", ["partial(half, value=0.{})", "Constant(0.{})"])
def test_a_module_that_only_sets_what_comes_from_elsewhere(
    open_it: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    """An edit of it changes the scores, although the source of what it sets stays."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    prints = []
    for value in (1, 2):
        (tmp_path / "own_scorer.py").write_text(
            f"from functools import partial\nfrom {__name__} import Constant, half\n"
            f"score = {made.format(value)}\n",
            encoding="utf-8",
        )
        monkeypatch.delitem(sys.modules, "own_scorer", raising=False)
        scorer = open_it("toxicity", "python:own_scorer:score")
        assert scorer.score([("a",)]) == [Score(value=value / 10)]
        prints.append(scorer.fingerprint())
    assert prints[0] != prints[1]


# A Detoxify checkpoint, as small as they come

CLASSES = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "you",
    "can",
    "get",
    "a",
    "refund",
    "idiot",
    "stupid",
    "are",
    "in",
    "days",
]
LENGTH = 16


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`toxic.ckpt` with its configuration and tokenizer beside it."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("detoxify")
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=LENGTH,
    )  # fmt: skip
    config.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    tokenizer = BertTokenizerFast(
        vocab={word: number for number, word in enumerate(WORDS)}, model_max_length=LENGTH
    )
    tokenizer.save_pretrained(folder)
    config.num_labels = len(CLASSES)
    torch.manual_seed(0)
    model = BertForSequenceClassification(config)
    torch.save(
        {
            "config": {
                "arch": {
                    "args": {
                        "num_classes": len(CLASSES),
                        "model_type": "bert-base-uncased",
                        "model_name": "BertForSequenceClassification",
                        "tokenizer_name": "BertTokenizer",
                    }
                },
                "dataset": {"args": {"classes": CLASSES}},
            },
            "state_dict": model.state_dict(),
        },
        folder / "toxic.ckpt",
    )
    return folder / "toxic.ckpt"


def expected_scores(checkpoint: Path, text: str) -> list[float]:
    """The model called directly."""
    from transformers import AutoConfig, BertForSequenceClassification

    words = ["[CLS]", *text.split(), "[SEP]"]
    ids = [WORDS.index(word) if word in WORDS else WORDS.index("[UNK]") for word in words]
    config = AutoConfig.from_pretrained(checkpoint.parent, num_labels=len(CLASSES))
    model = BertForSequenceClassification(config).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0]
    return [1 / (1 + math.exp(-x)) for x in logits.tolist()]


@pytest.fixture(params=["beside", "elsewhere"])
def spec(request: pytest.FixtureRequest, checkpoint: Path, tmp_path: Path) -> str:
    if request.param == "beside":
        return f"detoxify:{checkpoint}"
    alone = tmp_path / "alone.ckpt"
    alone.write_bytes(checkpoint.read_bytes())
    return f"detoxify:{alone.name}#{checkpoint.parent}"


def test_a_checkpoint_scores_as_its_model_does(open_it: Open, spec: str, checkpoint: Path) -> None:
    texts = ["you can get a refund", "you are stupid", "idiot"] * (BATCH // 2)
    scorer = open_it("toxicity", spec)
    assert scorer.name == spec
    found = scorer.score([(text,) for text in texts])
    assert len(found) == len(texts)
    for text, score in zip(texts[:3], found, strict=False):
        wanted = expected_scores(checkpoint, text)
        assert score.value == pytest.approx(wanted[0], abs=1e-6)
        assert dict(score.details) == pytest.approx(
            dict(
                zip(
                    ["toxicity", "severe_toxicity", "obscene", "threat", "insult",
                     "identity_attack"],
                    wanted,
                    strict=True,
                )
            ),
            abs=1e-6,
        )  # fmt: skip
    for place, score in enumerate(found):
        assert score.value == pytest.approx(found[place % 3].value, abs=1e-6)


def test_a_text_longer_than_the_model_reads_is_unsupported(open_it: Open, checkpoint: Path) -> None:
    scorer = open_it("toxicity", f"detoxify:{checkpoint}")
    (fits, long) = scorer.score([("refund " * (LENGTH - 2),), ("refund " * LENGTH + "idiot",)])
    assert fits.value is not None
    assert long.value is None
    assert long.unsupported is not None


def test_a_text_of_unknown_tokens_is_unsupported(open_it: Open, checkpoint: Path) -> None:
    (found,) = open_it("toxicity", f"detoxify:{checkpoint}").score([("你真笨",)])
    assert found.value is None
    assert found.unsupported is not None


def test_the_fingerprint_follows_the_bytes(open_it: Open, checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.ckpt"
    prints = []
    for data in (checkpoint.read_bytes(), checkpoint.read_bytes() + b"\0"):
        other.write_bytes(data)
        prints.append(open_it("toxicity", f"detoxify:{other}#{checkpoint.parent}").fingerprint())
    assert prints[0] != prints[1]


def test_a_checkpoint_without_its_configuration(open_it: Open, tmp_path: Path) -> None:
    (tmp_path / "mine.ckpt").write_bytes(b"")
    with pytest.raises(ScorerError, match=r"has no config\.json.*detoxify:CHECKPOINT#CONFIG"):
        open_it("toxicity", "detoxify:mine.ckpt")


def spoiled(checkpoint: Path, to: Path, change: Callable[[dict[str, Any]], None]) -> str:
    held = torch.load(checkpoint, weights_only=True)
    change(held)
    torch.save(held, to)
    return f"detoxify:{to}#{checkpoint.parent}"


def test_a_malicious_checkpoint_is_refused(open_it: Open, checkpoint: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    attack = Malicious(trace)
    pickle.loads(pickle.dumps(attack))
    assert trace.exists()
    trace.unlink()
    spec = spoiled(checkpoint, tmp_path / "bad.ckpt", lambda held: held.update(extra=attack))
    with pytest.raises(ScorerError, match=r"bad\.ckpt .* cannot be loaded"):
        open_it("toxicity", spec).score([("you",)])
    assert not trace.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held["state_dict"].pop("classifier.weight"), r"lacks \['classifier\.weight"),
        (lambda held: held["config"]["dataset"]["args"].update(classes=["insult"] * 6),
         "lacks a class named toxicity"),
        (lambda held: held["config"]["arch"]["args"].update(num_classes=5), "cannot be loaded"),
        (lambda held: held["config"]["arch"]["args"].update(model_name="NoModel"),
         "cannot be loaded"),
        (lambda held: held.pop("config"), "cannot be loaded"),
    ],
    ids=["weights", "class", "classes", "model", "config"],
)  # fmt: skip
def test_a_spoiled_checkpoint_is_refused(
    open_it: Open,
    checkpoint: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    spec = spoiled(checkpoint, tmp_path / "spoiled.ckpt", change)
    with pytest.raises(ScorerError, match=message):
        open_it("toxicity", spec).score([("you",)])


def test_an_embedder_computes_in_float32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the bfloat16 that some are saved in, a text's vector depends on the texts beside it."""
    asked: list[Any] = []

    def load(*_: Any, model_kwargs: dict[str, Any], **__: Any) -> Any:
        asked.append(model_kwargs["dtype"])
        raise OSError("nothing there")

    monkeypatch.setitem(
        sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=load)
    )
    scorer = CosineDistance(name="e", path=tmp_path, hashes=dict, device=lambda: "cpu")
    with pytest.raises(ScorerError, match="cannot be loaded: nothing there"):
        scorer.embed(["a"])
    assert asked == [torch.float32]


def test_a_name_that_is_right_is_not_corrected() -> None:
    """What lacks is its download."""
    assert did_you_mean(DEFAULT_EMBEDDER, ("usem3", DEFAULT_EMBEDDER)) == ""
    assert did_you_mean("usem4", ("usem3", DEFAULT_EMBEDDER)) == " (did you mean usem3?)"
