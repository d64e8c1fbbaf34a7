"""What the words of a prompt count for: against the models themselves, and through runs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from pytest_llmdiff.data.comparison import Comparison, Reply
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.data.text.words import words_of
from pytest_llmdiff.errors import CapabilityError, ConfigError, ProbeError
from pytest_llmdiff.explain.attribution.attribution import attribution
from pytest_llmdiff.explain.attribution.gradients import token_words
from pytest_llmdiff.explain.attribution.values import (
    Attribution,
    MethodAttribution,
    SideAttribution,
    Terms,
)
from tests.support.attribution import Lab
from tests.support.engines import folder as folder
from tests.support.engines import loaded
from tests.support.json_schema import faults
from tests.support.projects import Run

PROMPT = "Is tea hot?"  # four words
ANSWER = "Yes, it is."


def compared(prompt: Any = PROMPT) -> Comparison:
    return Comparison(
        probe=make_probe(prompt), base=Reply(text="Maybe not."), tuned=Reply(text=ANSWER)
    )


class Truth:
    """The log-likelihood of a reply by models of their own, through transformers alone."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        self._engine: Any = lab.pair.base
        self.models = {
            "base": loaded(folder / "base", None),
            "tuned": loaded(folder / "base", folder / "adapter"),
        }

    def __call__(self, side: str, prompt: str, reply: str = ANSWER) -> float:
        import torch

        before = self._engine.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
        ids = [self._engine.encode(text) for text in (before, reply)]
        with torch.no_grad():
            logits = self.models[side](torch.tensor([ids[0] + ids[1]])).logits[0]
        rows = logits[len(ids[0]) - 1 : -1].float().log_softmax(-1)
        return float(rows.gather(-1, torch.tensor(ids[1])[:, None]).sum())


@pytest.fixture
def lab(folder: Path, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(folder, tmp_path)
    yield made
    made.generation.loaded.close()


def test_leave_one_out_is_the_difference_of_likelihoods(folder: Path, lab: Lab) -> None:
    truth = Truth(folder, lab)
    without = ["tea hot?", "Is hot?", "Is tea?", "Is tea hot"]
    for of, reply in (("tuned", ANSWER), ("base", "Maybe not.")):
        found = attribution(lab, compared(), Terms(of=of))
        assert [word.text for word in found.words] == ["Is", "tea", "hot", "?"]
        assert (found.of, found.unit) == (f"log-likelihood of the {of} reply", "nats")
        (method,) = found.methods
        for side, scores in (("base", method.base), ("tuned", method.tuned)):
            whole = truth(side, PROMPT, reply)
            expected = [whole - truth(side, text, reply) for text in without]
            assert scores.scores == pytest.approx(expected, abs=1e-3)
            assert scores.whole == pytest.approx(whole, abs=1e-3)
            assert scores.without == pytest.approx(truth(side, "", reply), abs=1e-3)
        assert method.change == pytest.approx(
            [t - b for t, b in zip(method.tuned.scores, method.base.scores, strict=True)]
        )
        assert max(map(abs, method.change)) > 0.01


def test_shapley_values_are_those_of_all_orders(folder: Path, lab: Lab) -> None:
    truth = Truth(folder, lab)
    words = words_of(PROMPT)
    worth = {
        mask: truth("tuned", words.kept(mask))
        for mask in itertools.product((False, True), repeat=4)
    }
    expected = []
    for word in range(4):
        added = []
        for order in itertools.permutations(range(4)):
            before = set(order[: order.index(word)])
            masks = [tuple(n in there for n in range(4)) for there in (before, before | {word})]
            added.append(worth[masks[1]] - worth[masks[0]])
        expected.append(fmean(added))
    found = attribution(lab, compared(), Terms(methods=("shapley", "kernel-shap")))
    for method in found.methods:
        assert method.tuned.scores == pytest.approx(expected, abs=2e-3)
        assert sum(method.tuned.scores) == pytest.approx(
            method.tuned.whole - method.tuned.without, abs=2e-3
        )
    drawn = attribution(lab, compared(), Terms(methods=("shapley",), samples=12)).methods[0].tuned
    assert drawn.errors is not None
    for score, truth_, error in zip(drawn.scores, expected, drawn.errors, strict=True):
        assert abs(score - truth_) <= 9.93 * error + 2e-3  # 99 % by Student's t of 3 orders


def test_integrated_gradients_are_complete(lab: Lab) -> None:
    terms = Terms(methods=("integrated-gradients",), steps=800)
    (method,) = attribution(lab, compared(), terms).methods
    for side in (method.base, method.tuned):
        assert sum(side.scores) == pytest.approx(side.whole - side.without, rel=1e-3)
        assert len(side.scores) == 4
    assert method.base.scores != method.tuned.scores


def test_gradients_are_those_of_the_model(folder: Path, lab: Lab) -> None:
    import torch

    truth = Truth(folder, lab)
    (method,) = attribution(lab, compared(), Terms(methods=("input-x-gradient",))).methods
    engine: Any = lab.pair.base
    messages = compared().probe.messages
    prompt, reply = engine.render(messages), engine.encode(ANSWER)
    owners = token_words(engine, messages, 0, [(0, 2), (3, 6), (7, 10), (10, 11)])
    for side, scores in (("base", method.base), ("tuned", method.tuned)):
        model = truth.models[side]
        inputs = model.get_input_embeddings()(torch.tensor([prompt + reply])).detach()
        inputs.requires_grad_(True)
        rows = model(inputs_embeds=inputs).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        rows.gather(-1, torch.tensor(reply)[:, None]).sum().backward()
        tokens = (inputs * inputs.grad)[0].sum(-1).tolist()
        expected = [
            sum(t for t, w in zip(tokens, owners, strict=False) if w == n) for n in range(4)
        ]
        assert scores.scores == pytest.approx(expected, rel=1e-3, abs=1e-3)
        assert scores.whole == pytest.approx(truth(side, PROMPT), abs=1e-3)


@pytest.mark.parametrize("content", ["Is tea hot?", "user user", " 你好 you\n", "x", "assistant"])
def test_tokens_belong_to_the_word_that_they_write(lab: Lab, content: str) -> None:
    engine: Any = lab.pair.base
    probe = make_probe(
        [
            {"role": "user", "content": content},
            {"role": "assistant", "content": "Yes"},
            {"role": "user", "content": content},
        ]
    )
    words = words_of(content).words
    owners = token_words(engine, probe.messages, 2, [(w.start, w.end) for w in words])
    ids = engine.render(probe.messages)
    assert len(owners) == len(ids)
    for number, word in enumerate(words):
        own = [token for token, owner in zip(ids, owners, strict=True) if owner == number]
        assert engine.tokenizer.decode(own) == word.text
    first = next(place for place, owner in enumerate(owners) if owner is not None)
    assert engine.tokenizer.decode(ids[:first]).count("<|im_start|>") == 3, "the last message"


def test_long_prompts_are_grouped_and_words_replaced(folder: Path, lab: Lab) -> None:
    truth = Truth(folder, lab)
    found = attribution(lab, compared("Is tea or milk hot?"), Terms(most_words=2, instead="_"))
    assert [word.text for word in found.words] == ["Is tea or", "milk hot?"]
    assert found.left_out == "replaced by '_'"
    (method,) = found.methods
    whole = truth("tuned", "Is tea or milk hot?")
    assert method.tuned.scores == pytest.approx(
        [whole - truth("tuned", text) for text in ("_ milk hot?", "Is tea or _")], abs=1e-3
    )


def test_what_is_known_is_not_computed_again(
    lab: Lab, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = Terms(methods=("leave-one-out", "shapley", "lime", "integrated-gradients"), steps=5)
    first = attribution(lab, compared(), terms)
    lab.generation.loaded.close()  # it holds the right to compute
    again = Lab(folder, tmp_path)
    monkeypatch.setattr(type(again.pair.base), "token_logits", None)
    monkeypatch.setattr(type(again.pair.base), "differentiable", None)
    assert attribution(again, compared(), terms) == first
    with pytest.raises(CapabilityError, match="needs the weights in this process"):
        attribution(again, compared("Is it?"), Terms(methods=("input-x-gradient",)))


def test_a_prompt_or_a_reply_without_words_is_an_error(lab: Lab) -> None:
    with pytest.raises(ProbeError, match="without tokens"):
        attribution(lab, replace(compared(), tuned=Reply(text="")), Terms())
    silent = replace(make_probe("Hi"), messages=({"role": "tool", "content": "42"},))
    with pytest.raises(ProbeError, match="the last user message, and it has none"):
        attribution(lab, replace(compared(), probe=silent), Terms())


def made(first: Sequence[float], second: Sequence[float]) -> Attribution:
    def of(name: str, scores: Sequence[float]) -> MethodAttribution:
        side = SideAttribution(scores=tuple(scores), whole=0.0, without=0.0)
        none = SideAttribution(scores=(0.0,) * len(scores), whole=0.0, without=0.0)
        return MethodAttribution(method=name, base=none, tuned=side)

    words = words_of(" ".join("abcdefgh"[: len(first)]))
    return Attribution(
        text=words.text, words=words.words, of="it", unit="", left_out="removed",
        methods=(of("one", first), of("two", second)),
    )  # fmt: skip


def test_agreement_is_reported_for_both_sides_and_the_change() -> None:
    found = made([5, 1, 0, -3, 2], [50, 0, 4, -30, 20])
    base, tuned, change = found.agreement
    assert [each.scores for each in found.agreement] == ["base", "tuned", "change"]
    assert base.rank_correlation is None, "it has no order"
    assert tuned.methods == ("one", "two")
    assert tuned.rank_correlation == pytest.approx(0.9)
    assert (tuned.top, tuned.top_overlap) == (3, 1.0)
    assert replace(change, scores="tuned") == tuned
    assert found.by("two").tuned.scores[0] == 50
    (_, few, _) = made([1, 2], [2, 1]).agreement
    assert (few.rank_correlation, few.top, few.top_overlap) == (-1.0, 2, 1.0)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"methods": ("saliency",)}, "'saliency'; known: leave-one-out, shapley"),
        ({"methods": ()}, "methods of attribution: none"),
        ({"of": "drift"}, "attribution of='drift': expected 'tuned', 'base', 'toxicity'"),
        ({"of": "toxicity", "methods": ("input-x-gradient",)}, "needs the likelihood of a reply"),
        ({"samples": 3}, "samples=3 is too few: at least 4"),
        ({"most_words": 0}, "most_words=0 is too few"),
    ],
)
def test_invalid_arguments(terms: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Terms(**terms)


# A tuned model to which the word "refund" alone makes the reply likely, and "not" unlikely; the
# base hardly minds. Replies go by the words as well.
ENGINE = """
from pytest_llmdiff import ScriptedEngine

class Words(ScriptedEngine):
    def __init__(self, weights, rude):
        super().__init__({}, default="Fine.", divergences={"a refund, not a voucher": 2.0})
        self.weights, self.rude = weights, rude

    def fingerprint(self):
        return repr((self.weights, self.rude))

    @property
    def logprobs(self):
        def of(passage):
            open("asked.txt", "a").write(passage.after[-1]["content"] + "\\n")
            words = passage.after[-1]["content"].replace(",", " ").split()
            return [-9.0 + sum(self.weights.get(word, 0) for word in words)]
        return of

    def generate(self, requests):
        for number, generated in super().generate(requests):
            rude = self.rude and "not" in requests[number].messages[-1]["content"]
            if rude:
                from dataclasses import replace
                reply = replace(generated.reply, text="That is stupid.")
                generated = replace(generated, reply=reply)
            yield number, generated

base = Words({"refund": 0.25}, False)
tuned = Words({"refund": 2.0, "not": -1.5}, True)
"""
PAIR = ("--llm-base=python:engines:base", "--llm-tuned=python:engines:tuned")


@pytest.fixture
def words_project(project: pytest.Pytester) -> pytest.Pytester:
    (project.path / "engines.py").write_text(ENGINE, encoding="utf-8")
    return project


def with_words(project: pytest.Pytester, mode: list[str], *args: str) -> pytest.RunResult:
    return project.runpytest_inprocess(*PAIR, *mode, *args)


SUITE = """
import json, pytest
from dataclasses import asdict
from pytest_llmdiff import attribution

@pytest.mark.llmdiff("a refund, not a voucher")
def test_words(comparison):
    found = attribution(comparison, methods=["leave-one-out", "shapley"])
    with open("found.json", "w") as file:
        json.dump([asdict(found), list(map(asdict, found.agreement))], file)
    scores = dict(zip((w.text for w in found.words), found.by("leave-one-out").change))
    assert max(scores, key=scores.get) == "refund"
    toxic = attribution(comparison, of="toxicity").by("leave-one-out")
    assert toxic.base.scores == (0.0,) * 6
    assert toxic.tuned.scores == pytest.approx((0, 0, 0, 0.8, 0, 0))
    def length(prompt, reply):
        return len(reply)
    longer = attribution(comparison, of=length)
    assert longer.of == "length"
    assert longer.by("leave-one-out").tuned.scores == (0, 0, 0, 10, 0, 0)
"""


def test_a_test_can_ask_for_it(words_project: pytest.Pytester, mode: list[str]) -> None:
    words_project.makepyfile(SUITE)
    files = ("--llmdiff-json=report.json", "--llmdiff-html=report.html")
    result = with_words(words_project, mode, "--llmdiff-record=run.jsonl", *files)
    result.assert_outcomes(passed=1)
    report = json.loads((words_project.path / "report.json").read_text(encoding="utf-8"))
    assert faults(report) == []
    (row,) = report["tests"][0]["comparisons"]
    assert row["words"] is None, "no failure was explained"
    assert [each["of"] for each in row["attributions"]] == [
        "log-likelihood of the tuned reply", "toxicity of the reply", "length",
    ]  # fmt: skip
    asked_for = row["attributions"][0]
    assert [word[0] for word in asked_for["words"]] == ["a", "refund", ",", "not", "a", "voucher"]
    assert [each["method"] for each in asked_for["methods"]] == ["leave-one-out", "shapley"]
    assert asked_for["methods"][0]["tuned"]["scores"] == [0, 2.0, 0, -1.5, 0, 0]
    assert len(asked_for["agreement"]) == 3
    page = (words_project.path / "report.html").read_text(encoding="utf-8")
    assert page.count("Which words of the prompt matter") == 3
    told = (words_project.path / "found.json").read_text(encoding="utf-8")
    found, agreement = json.loads(told)
    assert found["of"] == "log-likelihood of the tuned reply"
    for method in found["methods"]:
        assert method["tuned"]["scores"] == pytest.approx([0, 2.0, 0, -1.5, 0, 0])
        assert method["base"]["scores"] == pytest.approx([0, 0.25, 0, 0, 0, 0])
    assert len(agreement) == 3
    assert all(each["rank_correlation"] == pytest.approx(1) for each in agreement)
    # Each changed prompt once a side, in a second run none, and from a recording the same.
    file = words_project.path / "asked.txt"
    asked = file.read_text(encoding="utf-8").splitlines()
    assert len(asked) == 2 * len(set(asked)), "each changed prompt once by either side"
    file.write_text("", encoding="utf-8")
    with_words(words_project, mode).assert_outcomes(passed=1)
    replayed = words_project.runpytest_inprocess(
        "--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl", "--llmdiff-store=fresh"
    )
    replayed.assert_outcomes(passed=1)
    assert file.read_text(encoding="utf-8") == ""
    assert (words_project.path / "found.json").read_text(encoding="utf-8") == told


FAILING = """
import pytest
from pytest_llmdiff import assert_divergence

@pytest.mark.llmdiff("a refund, not a voucher")
def test_answers(comparison):
    assert_divergence(comparison, at_most=0.1)
"""
LINE = '  words    "refund" +2.0 (base +0.2), "not" -1.5 (base +0.0) nats for the tuned reply'


def test_a_failure_and_the_reports_have_it(words_project: pytest.Pytester, mode: list[str]) -> None:
    words_project.makepyfile(FAILING)
    files = ("--llmdiff-json=report.json", "--llmdiff-html=report.html")
    result = with_words(words_project, mode, *files, "--llmdiff-record=run.jsonl")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E       {LINE}".replace("[", "[[]")])
    told = json.loads((words_project.path / "report.json").read_text(encoding="utf-8"))
    words = told["tests"][0]["comparisons"][0]["words"]
    assert words["scores"][1] == ["refund", 2, 8, 0.25, 2.0]
    assert words["scores"][3] == ["not", 10, 13, 0.0, -1.5]
    assert (words["base"], words["tuned"]) == ([-8.75, -9.0], [-8.5, -9.0])
    assert words["text"] == "a refund, not a voucher"
    page = (words_project.path / "report.html").read_text(encoding="utf-8")
    assert "Which words of the prompt matter" in page
    replayed = words_project.runpytest_inprocess(
        "--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl", "--llmdiff-store=fresh"
    )
    replayed.stdout.fnmatch_lines([f"E       {LINE}"])
    quiet = with_words(words_project, mode, "--llmdiff-explain=none")
    quiet.stdout.no_fnmatch_line("*words*refund*")


def test_a_set_explains_its_worst_and_many_failures_are_not_all_shown(
    words_project: pytest.Pytester,
) -> None:
    prompts = [f"a refund, not a voucher {number}" for number in range(8)]
    engine = ENGINE.replace('{"a refund, not a voucher": 2.0}', repr(dict.fromkeys(prompts, 2.0)))
    (words_project.path / "engines.py").write_text(engine, encoding="utf-8")
    words_project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_divergence

        @pytest.mark.llmdiff(*{prompts!r})
        def test_set(comparisons):
            assert_divergence(comparisons, at_most=0.1)

        @pytest.mark.llmdiff(*{prompts!r})
        def test_each(comparison):
            assert_divergence(comparison, at_most=0.1)
        """
    )
    result = with_words(words_project, [])
    result.assert_outcomes(failed=9)
    result.stdout.fnmatch_lines(
        [
            "E *worst *",
            f"E         {LINE}",
            "explanations are limited to *1 word by word; --llmdiff-explain=all*",
        ]
    )
    assert sum(line.endswith(LINE) for line in result.outlines) == 1


def test_models_that_take_turns_in_memory_are_not_loaded_for_it(
    words_project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_llmdiff.engines.pair.pair import Pair

    monkeypatch.setattr(Pair, "fits", False)
    words_project.makepyfile(FAILING)
    with_words(words_project, []).stdout.no_fnmatch_line("*words*refund*")
    with_words(words_project, [], "--llmdiff-explain=all").stdout.fnmatch_lines([f"E       {LINE}"])


def test_warnings_of_captum_are_not_the_users(words_project: pytest.Pytester) -> None:
    words_project.makepyfile(
        """
        import pytest
        from pytest_llmdiff import attribution

        @pytest.mark.llmdiff("a refund, not a voucher")
        def test_words(comparison):
            found = attribution(comparison, methods=["lime", "kernel-shap", "shapley"], samples=32)
            assert found == attribution(
                comparison, methods=["lime", "kernel-shap", "shapley"], samples=32
            )
            for method in found.methods:
                assert max(method.tuned.scores) == method.tuned.scores[1]
                assert min(method.tuned.scores) == method.tuned.scores[3]
        """
    )
    with_words(words_project, []).assert_outcomes(passed=1)


def test_unsupported_attributions_are_errors(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        """
        import pytest
        from pytest_llmdiff import CapabilityError, Comparison, ConfigError, Probe, Reply
        from pytest_llmdiff import attribution

        @pytest.mark.llmdiff("Hi there")
        def test_no_logits(comparison):
            with pytest.raises(CapabilityError, match="has none"):
                attribution(comparison)
            with pytest.raises(CapabilityError, match="needs the weights in this process"):
                attribution(comparison, methods="integrated-gradients")

        def test_by_hand(llm_pair):
            probe = Probe(id="x", messages=({"role": "user", "content": "Hi"},))
            reply = Reply(text="Hi")
            with pytest.raises(ConfigError, match="take a comparison from a fixture"):
                attribution(Comparison(probe=probe, base=reply, tuned=reply))
            with pytest.raises(ConfigError, match="takes one comparison, not list"):
                attribution([])
            (given,) = llm_pair.read(["A given text."])
            with pytest.raises(ConfigError, match="was read, not answered"):
                attribution(given)
        """
    )
    run().assert_outcomes(passed=2)
