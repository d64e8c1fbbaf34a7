"""Servers that are asked with token ids: the same as their weights in this process, and what is
told of probabilities."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.tokens import Passage
from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.files.rendering import Renderer
from pytest_llmdiff.engines.pair.first_differences import Ending, first_differences
from pytest_llmdiff.engines.pair.likelihoods import passage_logprobs
from pytest_llmdiff.engines.pair.lower_bounds import least_divergence
from pytest_llmdiff.engines.server.chat import CANARIES, ServerEngine
from pytest_llmdiff.engines.server.completions import raw_completion_of
from pytest_llmdiff.engines.server.endpoint import Endpoint
from pytest_llmdiff.engines.server.logprobs import LIKELIEST
from pytest_llmdiff.engines.server.raw import RawServerEngine
from pytest_llmdiff.errors import CapabilityError, ModelError
from tests.support.chat_server import running
from tests.support.engines import pair, replies, request, tokens
from tests.support.tiny_models import CHATML, save_adapter, save_model, save_tokenizer
from tests.support.token_server import TokenHandler, TokenServer, Weights

ASKED = (Message(role="user", content="What is the capital of France?"),)
PROMPTS = ("Hi", "What is the capital of France?", "你好", "Tell me a story!")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    save_model(made / "base")
    save_adapter(made / "adapter", made / "base")
    return made


@pytest.fixture(scope="module")
def weights(folder: Path) -> dict[str, Weights]:
    return {
        "base": Weights(folder / "base"),
        "tuned": Weights(folder / "base", folder / "adapter"),
    }


@pytest.fixture
def server(weights: dict[str, Weights]) -> Iterator[TokenServer]:
    with running(TokenServer(weights=weights), TokenHandler) as found:
        yield found


def raw(server: TokenServer, folder: Path, model: str = "base", **options: Any) -> RawServerEngine:
    return RawServerEngine(
        Endpoint(url=server.url, model=model, role="base"),
        renderer=Renderer(folder / "base", **options), identity="tests", retries=0,
    )  # fmt: skip


def reply_ids(engine: Any) -> tuple[int, ...]:
    (found,) = tokens(engine, [request("Hi", max_new_tokens=12)])
    return found


# Replies


def test_its_replies_are_those_of_the_weights(
    server: TokenServer, folder: Path, tmp_path: Path
) -> None:
    ours = pair(folder, "base", "adapter", tmp_path)
    asked = [request(prompt) for prompt in PROMPTS]
    for model, engine in (("base", ours.base), ("tuned", ours.tuned)):
        here, there = replies(engine, asked), replies(raw(server, folder, model), asked)
        assert [(g.reply, g.prompt_ids) for g in there] == [(g.reply, g.prompt_ids) for g in here]
    # Several are under way at once: the last in order need not have been asked last.
    sent = next(b for b in server.bodies if b["prompt"] == list(here[-1].prompt_ids))
    assert sent["stop_token_ids"] == list(raw(server, folder).declared_stop_ids())
    assert sent["stop"] == ["<|im_end|>"]


def test_a_template_of_ones_own_is_what_is_sent(server: TokenServer, folder: Path) -> None:
    engine = raw(server, folder, template="Q: {{ messages[0]['content'] }} A:")
    (found,) = replies(engine, [request("Hi")])
    assert engine.tokenizer.decode(list(found.prompt_ids)) == "Q: Hi A:"
    assert server.bodies[-1]["prompt"] == list(found.prompt_ids)


def test_a_template_that_refuses_fails_that_probe_alone(server: TokenServer, folder: Path) -> None:
    refuses = "{% if 'no' in messages[0]['content'] %}{{ raise_exception('no') }}{% endif %}x"
    first, second = replies(raw(server, folder, template=refuses), [request("no"), request("Hi")])
    assert first.error is not None
    assert "refuses this conversation" in first.error
    assert second.reply is not None


@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize("writes_bos", [False, True])
def test_a_server_of_texts_never_reads_two_bos(
    server: TokenServer, tmp_path: Path, adds_bos: bool, writes_bos: bool
) -> None:
    template = "{{ '<|endoftext|>' }}" * writes_bos + CHATML
    tokenizer = save_tokenizer(tmp_path / "own", template=template)
    tokenizer.bos_token = "<|endoftext|>"
    tokenizer.save_pretrained(tmp_path / "own")
    server.takes_ids = False
    server.bos = tokenizer.bos_token_id if adds_bos else None
    engine = RawServerEngine(
        Endpoint(url=server.url, model="base", role="base"),
        renderer=Renderer(tmp_path / "own"), identity="tests", retries=0,
    )  # fmt: skip
    if adds_bos and not writes_bos:
        with pytest.raises(ModelError, match="such as a second BOS"):
            engine.fingerprint()
        return
    (found,) = replies(engine, [request("Hi")])
    assert found.reply is not None
    text = server.bodies[-1]["prompt"]
    assert text.startswith("<|endoftext|>") is (writes_bos and not adds_bos)
    assert engine.likely_tokens is None
    assert engine.token_logits is None


def test_replies_are_known_as_texts_where_tokens_are_not_told(
    server: TokenServer, folder: Path
) -> None:
    asked = [request(prompt) for prompt in PROMPTS]
    told = replies(raw(server, folder), asked)
    server.tells_ids = False
    for here, there in zip(told, replies(raw(server, folder), asked), strict=True):
        assert here.reply is not None
        assert there.reply is not None
        assert there.reply.token_ids == ()
        assert (there.reply.text, there.reply.finish_reason) == (
            here.reply.text, here.reply.finish_reason
        )  # fmt: skip


def test_another_tokenizer_is_an_error(server: TokenServer, tmp_path: Path) -> None:
    save_model(tmp_path / "base")
    file = tmp_path / "base" / "tokenizer.json"
    inner = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = inner["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    file.write_text(json.dumps(inner), encoding="utf-8")
    with pytest.raises(ModelError, match="has another tokenizer than --llmdiff-tokenizer"):
        raw(server, tmp_path).fingerprint()


def test_where_the_tokenizer_cannot_be_compared_a_note_says_so(
    server: TokenServer, folder: Path
) -> None:
    server.tokenizes = False
    engine = raw(server, folder)
    assert reply_ids(engine)
    assert ["it is not checked whether its tokenizer" in note for note in engine.notes] == [True]


# Rendering by the server


def test_a_server_shows_how_it_renders(server: TokenServer, folder: Path) -> None:
    chat = ServerEngine(Endpoint(url=server.url, model="base", role="base"), retries=0)
    ours = Renderer(folder / "base")
    assert chat.render(ASKED) == ours.ids(ASKED)
    answered = (*ASKED, Message(role="assistant", content="Paris"))
    assert chat.rendered(answered, add_generation_prompt=False) == ours.ids(
        answered, add_generation_prompt=False
    )
    server.tokenizes = False
    with pytest.raises(CapabilityError, match="does not return the tokens of this conversation"):
        ServerEngine(chat.endpoint, retries=0).render(ASKED)


# Probabilities


@pytest.mark.parametrize("most", [-1, 20, 7])
def test_likelihoods_are_those_of_the_weights(
    server: TokenServer, folder: Path, tmp_path: Path, most: int
) -> None:
    server.max_logprobs = most
    passages = [
        Passage(text="Paris it is", after=ASKED),
        Passage(text="The ferry leaves at nine."),
        Passage(text="你好", after=ASKED),
    ]
    here = passage_logprobs(pair(folder, "base", "adapter", tmp_path).tuned, passages, "cpu")
    there = passage_logprobs(raw(server, folder, "tuned"), passages, "cpu")
    for ours, theirs in zip(here, there, strict=True):
        assert theirs == pytest.approx(ours, abs=1e-4)


@pytest.mark.parametrize("most", [-1, 20])
def test_first_differences_are_those_of_the_weights(
    server: TokenServer, folder: Path, tmp_path: Path, most: int
) -> None:
    server.max_logprobs = most
    asked = [
        (ASKED, Ending(text="Paris it is"), Ending(text="Paris it was")),
        (ASKED, Ending(text="Paris"), Ending(text="Paris")),
    ]
    (ours, same), (theirs, also) = (
        first_differences(engine, asked, "cpu")
        for engine in (pair(folder, "base", "adapter", tmp_path).base, raw(server, folder))
    )
    assert (theirs.at, theirs.own, theirs.other) == (ours.at, ours.own, ours.other)
    assert theirs.margin == pytest.approx(ours.margin, abs=1e-4)
    assert ours.margin > 0
    assert same == also


def test_whole_rows_are_the_weights_logits(
    server: TokenServer, folder: Path, tmp_path: Path
) -> None:
    server.max_logprobs = -1
    here: Any = pair(folder, "base", "adapter", tmp_path).base
    there = raw(server, folder)
    items = [
        Continuation(prompt_ids=tuple(here.render(ASKED)), reply_ids=tuple(map(ord, text)))
        for text in ("Paris", "x")
    ]
    assert there.token_logits is not None
    ours, theirs = dict(here.token_logits(items, 64)), dict(there.token_logits(items, 64))
    for index in (0, 1):
        expected = ours[index].log_softmax(-1)
        assert theirs[index].shape == expected.shape
        assert (theirs[index] - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("options", "likely", "whole"),
    [
        ({"max_logprobs": 20}, True, False),
        ({"max_logprobs": 1}, True, False),
        ({"max_logprobs": -1}, True, True),
        ({"max_logprobs": 0}, False, False),
        ({"max_logprobs": None}, False, False),
        ({"max_logprobs": -1, "logits": True}, False, False),
        ({"max_logprobs": 20, "logits": True}, False, False),
        ({"max_logprobs": 20, "reads_otherwise": True}, False, False),
        ({"max_logprobs": -1, "reads_otherwise": True}, False, True),
    ],
)
def test_what_a_server_tells_is_found_out(
    server: TokenServer, folder: Path, options: dict[str, Any], likely: bool, whole: bool
) -> None:
    vars(server).update(options)
    engine = raw(server, folder)
    assert (engine.likely_tokens is not None, engine.token_logits is not None) == (likely, whole)
    unlike = "prompt_logprobs are not those that it generates with" in " ".join(engine.notes)
    assert unlike == options.get("reads_otherwise", False)
    if not likely and not whole:
        with pytest.raises(CapabilityError, match="does not return log-probabilities"):
            passage_logprobs(engine, [Passage(text="x", after=ASKED)], "cpu")


def test_what_a_server_tells_is_part_of_the_fingerprint(server: TokenServer, folder: Path) -> None:
    before = raw(server, folder).fingerprint()
    assert raw(server, folder).fingerprint() == before
    server.max_logprobs = -1
    assert raw(server, folder).fingerprint() != before


@given(weights=st.lists(st.tuples(st.floats(-40, 40), st.floats(-40, 40)), min_size=2, max_size=9),
       shown=st.integers(1, 9), asked=st.integers(0, 1))  # fmt: skip
@example(weights=[(-7.0, 0.0), (7.0, 0.0)], shown=1, asked=1)  # the rest is below what is told
def test_a_lower_bound_is_never_above_the_divergence(
    weights: list[tuple[float, float]], shown: int, asked: int
) -> None:
    base, tuned = (_normalised([pair[side] for pair in weights]) for side in (0, 1))
    exact = math.fsum(math.exp(p) * (p - tuned[t]) for t, p in base.items())
    tops = [
        {asked: row[asked]} | dict(sorted(row.items(), key=lambda e: -e[1])[:shown])
        for row in (base, tuned)
    ]
    assert least_divergence(*tops) <= exact + 1e-12
    assert least_divergence(base, tuned) == pytest.approx(max(exact, 0), abs=1e-5)


def _normalised(values: Sequence[float]) -> dict[int, float]:
    total = math.log(math.fsum(map(math.exp, values)))
    return {number: value - total for number, value in enumerate(values)}


# Runs

SUITE = """
import pytest
from pytest_llmdiff import assert_adapter_effective, assert_divergence, divergence

@pytest.mark.llmdiff("Hi", "Tell me a story!", "one", "two", "three", "four", max_new_tokens=6)
def test_set(comparisons):
    assert_divergence(comparisons, at_most=LIMIT)

@pytest.mark.llmdiff("Hi", max_new_tokens=6)
def test_one(comparison):
    assert_divergence(comparison, at_most=LIMIT)

def test_score(llm_tuned):
    assert llm_tuned.score("Hi", "Paris").mean == pytest.approx(SCORE, abs=1e-4)

def test_adapter(llm_pair):
    assert_adapter_effective(llm_pair)
"""


def run(pytester: pytest.Pytester, limit: float, score: float, *args: str) -> pytest.RunResult:
    pytester.makepyfile(SUITE.replace("LIMIT", str(limit)).replace("SCORE", str(score)))
    return pytester.runpytest_inprocess(*args, "--llmdiff-json=report.json")


def measured(pytester: pytest.Pytester) -> dict[str, dict[str, Any]]:
    report = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
    return {
        test["test"].rpartition("::")[2].partition("[")[0]: test["verdicts"][0]
        for test in report["tests"]
        if test["verdicts"]
    }


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[float, float]:
    """The mean divergence of the first prompt and the score, from the folders."""
    both = pair(folder, "base", "adapter", tmp_path_factory.mktemp("store"))
    from pytest_llmdiff.engines.pair.divergence import pair_divergences

    asked = request("Hi", max_new_tokens=6)
    (base,), (tuned,) = replies(both.base, [asked]), replies(both.tuned, [asked])
    ((_, found),) = pair_divergences(both, [(asked, base, tuned)])
    (scored,) = passage_logprobs(
        both.tuned, [Passage(text="Paris", after=(Message(role="user", content="Hi"),))], "cpu"
    )
    assert not isinstance(scored, str)
    return found.mean, sum(scored) / len(scored)


def test_a_run_over_whole_rows_measures_what_the_folders_do(
    pytester: pytest.Pytester, server: TokenServer, folder: Path, expected: tuple[float, float],
    mode: list[str],
) -> None:  # fmt: skip
    server.max_logprobs = -1
    kl, score = expected
    args = (*server.specs(), f"--llmdiff-tokenizer={folder / 'base'}", *mode)
    run(pytester, 50.0, score, *args).assert_outcomes(passed=4)
    assert measured(pytester)["test_one"]["value"] == pytest.approx(kl, abs=1e-4)
    server.bodies.clear()
    run(pytester, 50.0, score, *args).assert_outcomes(passed=4)
    wide = [
        b for b in server.bodies
        if len(b.get("prompt", ())) > 2 and b.get("logprobs", 0) > LIKELIEST
    ]  # fmt: skip
    assert not wide, "the second run has them from the store"


def test_a_lower_bound_can_fail_and_never_pass(
    pytester: pytest.Pytester, server: TokenServer, folder: Path, expected: tuple[float, float]
) -> None:
    kl, score = expected
    args = (*server.specs(), f"--llmdiff-tokenizer={folder / 'base'}")
    above = run(pytester, 50.0, score, *args)
    above.assert_outcomes(passed=1, failed=3)
    above.stdout.fnmatch_lines(["E *divergence not judged: *--max-logprobs -1*"])
    found = measured(pytester)
    assert found["test_one"]["outcome"] == found["test_set"]["outcome"] == "not_judged"
    bound = found["test_one"]["details"]["at_least"]
    assert 0.1 * kl < bound <= kl + 1e-5
    below = run(pytester, 0.01, score, *args)
    below.assert_outcomes(passed=1, failed=3)
    said = "limit 0.01 (given in the test; the value is at least this)"
    below.stdout.fnmatch_lines([f"E *divergence 1.*, {said}"])
    below.stdout.fnmatch_lines([f"E *divergence of 6 comparisons: *, {said}: the interval*"])
    found = measured(pytester)
    assert found["test_one"]["outcome"] == found["test_set"]["outcome"] == "regressed"
    assert found["test_one"]["value"] == pytest.approx(bound)


def test_a_folder_beside_a_server(
    pytester: pytest.Pytester, server: TokenServer, folder: Path, expected: tuple[float, float]
) -> None:
    server.max_logprobs = -1
    kl, score = expected
    found = run(
        pytester, 50.0, score, f"--llm-base={folder / 'base'}", f"--llm-tuned={server.url}#tuned",
        f"--llmdiff-tokenizer={folder / 'base'}",
    )  # fmt: skip
    found.assert_outcomes(passed=4)
    assert measured(pytester)["test_one"]["value"] == pytest.approx(kl, abs=1e-4)


PARITY = """
from pytest_llmdiff import assert_parity

def test_parity(llm_tuned, llm_served):
    assert_parity(llm_tuned, llm_served, ["Hi", "one", "two", "Tell me a story!"])
"""


def test_parity_names_the_template_and_then_goes_around_it(
    pytester: pytest.Pytester, folder: Path
) -> None:
    """A server with another template differs where it renders, and does not where we do."""
    served = Weights(folder / "base", folder / "adapter")
    served.tokenizer.chat_template = "{{ 'the ' }}" + CHATML
    pytester.makepyfile(PARITY)
    with running(TokenServer(weights={"tuned": served}), TokenHandler) as server:
        args = (
            f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / 'adapter'}",
            f"--llm-served={server.url}#tuned", "--llmdiff-max-new-tokens=8",
        )  # fmt: skip
        found = pytester.runpytest_inprocess(*args)
        found.assert_outcomes(failed=1)
        found.stdout.fnmatch_lines(["E *4 of 4 prompts render to different tokens, such as 'Hi'*"])
        rendered_here = f"--llmdiff-tokenizer={folder / 'base'}"
        pytester.runpytest_inprocess(*args, rendered_here).assert_outcomes(passed=1)


TEMPLATE = """
from pytest_llmdiff import assert_template_consistent

def test_template(llm_tuned):
    assert_template_consistent(llm_tuned)
"""


def test_a_servers_template_is_held_against_the_bases(
    pytester: pytest.Pytester, folder: Path
) -> None:
    """With one store: the template may change where no reply of the fingerprint does."""
    pytester.makepyfile(TEMPLATE)
    served = Weights(folder / "base")
    with running(TokenServer(weights={"tuned": served}), TokenHandler) as server:
        args = (f"--llm-base={folder / 'base'}", f"--llm-tuned={server.url}#tuned")
        pytester.runpytest_inprocess(*args).assert_outcomes(passed=1)
        served.tokenizer.chat_template = CHATML.replace("'<|im_end|>'", "'<|endoftext|>'")
        found = pytester.runpytest_inprocess(*args)
        found.assert_outcomes(failed=1)
        found.stdout.fnmatch_lines(["E *differs from token *", "E *an answer ends in *"])
        server.tokenizes = False
        found = pytester.runpytest_inprocess(*args)
        found.stdout.fnmatch_lines(["E *CapabilityError*does not return the tokens*"])


# Completions


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"choices": []}, {"choices": [{"text": 1, "finish_reason": "stop"}]},
               {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}],
)  # fmt: skip
def test_what_is_no_completion_is_none(answer: Any) -> None:
    with pytest.raises(ValueError, match="completion"):
        raw_completion_of(answer)


@pytest.mark.parametrize("reason", ["abort", "error", "content_filter", "why", 5])
def test_a_completion_that_was_broken_off_is_none(reason: Any) -> None:
    with pytest.raises(ValueError, match=f"not be whole: its finish_reason is {reason!r}"):
        raw_completion_of({"choices": [{"text": "x", "finish_reason": reason}]})


def test_tokens_are_read_beside_probabilities() -> None:
    content = [{"id": 5, "logprob": -1.0}, {"id": 6, "logprob": -0.1}]
    choice = {"text": "x", "finish_reason": "stop", "logprobs": {"content": content}}
    assert raw_completion_of({"choices": [choice]}).token_ids == (5, 6)


def test_a_stop_that_the_tokenizer_has_no_text_for(server: TokenServer, tmp_path: Path) -> None:
    """Some models stop at ids in the padding of their vocabulary."""
    save_model(tmp_path / "base", generation={"eos_token_id": [2, 300]})
    engine = raw(server, tmp_path)
    assert engine.stop_ids() == (2, 300)
    (found,) = replies(engine, [request("Hi")])
    assert found.reply is not None
    assert server.bodies[-1]["stop"] == ["<|im_end|>"]


def test_the_prompts_of_the_fingerprint_are_remembered(server: TokenServer, folder: Path) -> None:
    kept: dict[str, Any] = {}

    def remembered(what: str, compute: Any) -> Any:
        if what not in kept:
            kept[what] = compute()
        return kept[what]

    first = raw(server, folder)
    first._remembered = remembered
    again = raw(server, folder / "gone")
    again._remembered = remembered
    assert first.fingerprint() == again.fingerprint(), "no tokenizer is loaded for it"
    assert len(kept["raw completions"]["prompts"]) == len(CANARIES)
