"""Models behind a URL: what is sent, what a fault becomes, and that nothing is lost or repeated."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request, Sampling
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.engines.server.background import Put, as_they_come
from pytest_llmdiff.engines.server.chat import CANARIES, ServerEngine
from pytest_llmdiff.engines.server.completions import generated_of
from pytest_llmdiff.engines.server.endpoint import Endpoint
from pytest_llmdiff.engines.server.forms import FURTHER
from pytest_llmdiff.errors import CapabilityError, ModelError
from tests.support.chat_server import (
    ChatServer,
    Fault,
    completion,
    drip,
    half_a_body,
    hang,
    on,
    reset,
    running,
    says,
    status,
    times,
)
from tests.support.loops import in_a_loop

SUITE = """
import pytest
from pytest_llmdiff import assert_not_degenerate

@pytest.mark.llmdiff("one", "two", "three", "four", "five", max_new_tokens=9)
def test_sound(comparison):
    assert_not_degenerate(comparison)
"""
PROMPTS = ("one", "two", "three", "four", "five")


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    with running(ChatServer()) as found:
        yield found


def engine(chat: ChatServer, model: str = "base", **options: Any) -> ServerEngine:
    return ServerEngine(Endpoint(url=chat.url, model=model, role="base"), **options)


def requests(*prompts: str) -> list[Request]:
    return [Request(({"role": "user", "content": p},), Sampling(max_new_tokens=9)) for p in prompts]


def texts(found: Iterator[tuple[int, Generated]]) -> dict[int, str | None]:
    return {i: g.reply.text if g.reply else g.error for i, g in found}


def asked(chat: ChatServer) -> dict[tuple[str, str], int]:
    return {about: n for about, n in chat.asked.items() if about[1] not in CANARIES}


# Runs


def test_a_run_of_two_models_of_one_server(
    pytester: pytest.Pytester, chat: ChatServer, mode: list[str]
) -> None:
    pytester.makepyfile(SUITE)
    first = pytester.runpytest_inprocess(*chat.specs(), "--llmdiff-json=report.json", *mode)
    first.assert_outcomes(passed=5)
    once = {(model, prompt): 1 for model in ("base", "tuned") for prompt in PROMPTS}
    assert asked(chat) == once, "each model is asked each prompt once, whatever the workers"
    report = json.loads((pytester.path / "report.json").read_text())
    replies = {(c["base"]["text"], c["tuned"]["text"]) for t in report["tests"]
               for c in t["comparisons"]}  # fmt: skip
    assert replies == {(f"base on {p}", f"tuned on {p}") for p in PROMPTS}
    pytester.runpytest_inprocess(*chat.specs(), *mode).assert_outcomes(passed=5)
    assert asked(chat) == once, "the second run has them from the store"


def test_another_model_under_the_same_name_is_asked_anew(
    pytester: pytest.Pytester, chat: ChatServer
) -> None:
    pytester.makepyfile(SUITE)
    pytester.runpytest_inprocess(*chat.specs()).assert_outcomes(passed=5)
    chat.replies = lambda model, prompt: f"retrained {model} on {prompt}"
    pytester.runpytest_inprocess(*chat.specs()).assert_outcomes(passed=5)
    assert set(asked(chat).values()) == {2}


def test_what_was_answered_before_a_fault_is_not_asked_again(
    pytester: pytest.Pytester, chat: ChatServer
) -> None:
    pytester.makepyfile(SUITE)
    args = (*chat.specs(), "--llmdiff-batch-size=1")
    chat.faults = (on("one", status(401, "no")),)
    failed = pytester.runpytest_inprocess(*args)
    failed.assert_outcomes(errors=5)
    failed.stdout.fnmatch_lines([f"*ModelError: {chat.url}#base refuses the key (*no*"])
    before = dict(chat.answered)
    chat.faults = ()
    pytester.runpytest_inprocess(*args).assert_outcomes(passed=5)
    repeated = [a for a, n in chat.answered.items() if a[1] not in CANARIES and n > 1]
    assert not repeated
    assert sum(about[1] in PROMPTS for about in before) >= 3, "some came before the fault"


@pytest.mark.parametrize(
    ("fault", "again"),
    [(says([]), True), (says(b"<html>a proxy</html>"), True), (status(400, "too long"), False)],
    ids=["no completion", "no JSON", "refused"],
)
def test_a_fault_that_may_pass_is_asked_for_again(
    pytester: pytest.Pytester, chat: ChatServer, fault: Fault, again: bool
) -> None:
    """By the next run; what a server refuses for good is not put to it again."""
    pytester.makepyfile(SUITE)
    chat.faults = (on("four", fault),)
    pytester.runpytest_inprocess(*chat.specs()).assert_outcomes(passed=4, errors=1)
    chat.faults = ()
    found = pytester.runpytest_inprocess(*chat.specs())
    found.assert_outcomes(passed=5) if again else found.assert_outcomes(passed=4, errors=1)


def test_a_prompt_that_the_server_refuses_fails_alone(
    pytester: pytest.Pytester, chat: ChatServer
) -> None:
    pytester.makepyfile(SUITE)
    chat.faults = (on("four", status(400, "maximum context length is 5 tokens")),)
    found = pytester.runpytest_inprocess(*chat.specs())
    found.assert_outcomes(passed=4, errors=1)
    found.stdout.fnmatch_lines(["*ProbeError*refuses the request: *maximum context length*"])


def test_the_key_is_sent_and_told_nowhere(
    pytester: pytest.Pytester, chat: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(SUITE)
    chat.key = "sk-of-the-base"
    monkeypatch.setenv("LLMDIFF_API_KEY", "sk-wrong")
    refused = pytester.runpytest_inprocess(*chat.specs())
    refused.assert_outcomes(errors=5)
    refused.stdout.fnmatch_lines(
        ["*refuses the key (*who are you?*): set * LLMDIFF_BASE_API_KEY or LLMDIFF_API_KEY*"]
    )
    monkeypatch.setenv("LLMDIFF_BASE_API_KEY", "sk-of-the-base")
    monkeypatch.setenv("LLMDIFF_TUNED_API_KEY", "sk-of-the-base")
    found = pytester.runpytest_inprocess(
        *chat.specs(), "--llmdiff-json=report.json", "--llmdiff-record=recording.jsonl"
    )
    found.assert_outcomes(passed=5)
    kept = b"".join(f.read_bytes() for f in pytester.path.rglob("*") if f.is_file())
    assert b"base on one" in kept
    assert b"sk-of-the-base" not in kept
    assert "sk-of-the-base" not in found.stdout.str() + found.stderr.str()


def test_the_served_model_has_a_key_of_its_own(
    pytester: pytest.Pytester, chat: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        """
        def test_all(llm_tuned, llm_served):
            assert llm_tuned.generate("one")[0].text == "tuned on one"
            assert llm_served.generate("one")[0].text == "served on one"
        """
    )
    chat.key = "sk-of-the-tuned"
    monkeypatch.setenv("LLMDIFF_API_KEY", "sk-of-the-tuned")
    with running(ChatServer(key="sk-of-the-served", listed=("served",))) as other:
        args = (*chat.specs(), f"--llm-served={other.url}#served")
        refused = pytester.runpytest_inprocess(*args)
        refused.assert_outcomes(failed=1)
        refused.stdout.fnmatch_lines(["*LLMDIFF_SERVED_API_KEY or LLMDIFF_API_KEY*"])
        monkeypatch.setenv("LLMDIFF_SERVED_API_KEY", "sk-of-the-served")
        pytester.runpytest_inprocess(*args).assert_outcomes(passed=1)


def test_what_no_server_can_do_says_so(pytester: pytest.Pytester, chat: ChatServer) -> None:
    pytester.makepyfile(
        """
        import pytest
        from pytest_llmdiff import assert_divergence

        @pytest.mark.llmdiff("one")
        def test_kl(comparison):
            assert_divergence(comparison, at_most=0.1)
        """
    )
    found = pytester.runpytest_inprocess(*chat.specs())
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        ["E *needs the base model's logits, and ServerEngine has none*--llmdiff-tokenizer"]
    )


def test_a_recording_needs_no_server(pytester: pytest.Pytester, chat: ChatServer) -> None:
    pytester.makepyfile(SUITE)
    recorded = pytester.runpytest_inprocess(*chat.specs(), "--llmdiff-record=recording.jsonl")
    recorded.assert_outcomes(passed=5)
    before = chat.asked.total()
    replay = [f"--llm-{side}=replay:recording.jsonl" for side in ("base", "tuned")]
    pytester.runpytest_inprocess(*replay, "--llmdiff-store=other").assert_outcomes(passed=5)
    assert chat.asked.total() == before


# What is sent


def test_every_sampling_parameter_is_sent(chat: ChatServer) -> None:
    sampling = Sampling(max_new_tokens=9, temperature=0.7, top_p=0.9, seed=5)
    messages: tuple[Message, ...] = (
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "one"},
    )  # fmt: skip
    kwargs = {"enable_thinking": False}
    list(engine(chat, template_kwargs=kwargs).generate([Request(messages, sampling)]))
    body = chat.bodies[-1]
    assert body["messages"] == list(messages)
    assert {name: body[name] for name in ("max_tokens", "temperature", "top_p", "seed")} == {
        "max_tokens": 9, "temperature": 0.7, "top_p": 0.9, "seed": 5,
    }  # fmt: skip
    assert body.items() >= FURTHER.items()
    assert body["chat_template_kwargs"] == kwargs
    assert body["frequency_penalty"] == body["presence_penalty"] == 0


def test_parameters_are_added_dropped_and_renamed_by_hand(chat: ChatServer) -> None:
    given = {
        "top_k": None, "max_tokens": {"rename": "max_completion_tokens"}, "min_p": 0.1,
        "thinking": {"type": "disabled"}, "no_such": {"rename": "nothing"},
    }  # fmt: skip
    list(engine(chat, parameters=given).generate(requests("one")))
    for body in chat.bodies:
        assert not body.keys() & {"top_k", "max_tokens", "no_such", "nothing"}
        assert (body["min_p"], body["thinking"]) == (0.1, {"type": "disabled"})
        assert body["repeat_penalty"] == FURTHER["repeat_penalty"]
    assert chat.bodies[-1]["max_completion_tokens"] == 9


def test_a_parameter_by_hand_is_never_left_out_by_itself(chat: ChatServer) -> None:
    chat.refused = ("min_p",)
    with pytest.raises(ModelError, match="unknown parameter min_p"):
        engine(chat, parameters={"min_p": 0.1}).fingerprint()


def test_parameters_by_hand_are_part_of_the_fingerprint(chat: ChatServer) -> None:
    plain, given = engine(chat), engine(chat, parameters={"effort": "low"})
    assert plain.fingerprint() == engine(chat, parameters={}).fingerprint()
    assert plain.fingerprint() != given.fingerprint()


def test_parameters_by_side(pytester: pytest.Pytester, chat: ChatServer) -> None:
    pytester.makepyfile(SUITE)
    same = [f"--llm-{side}={chat.url}#base" for side in ("base", "tuned")]
    option = '--llmdiff-server-parameters={"tuned": {"effort": "low"}}'
    pytester.runpytest_inprocess(*same, option).assert_outcomes(passed=5)
    sent = [(b["messages"][-1]["content"], b.get("effort")) for b in chat.bodies]
    assert {about for about in sent if about[0] in PROMPTS} == {
        (prompt, effort) for prompt in PROMPTS for effort in (None, "low")
    }


def test_a_server_that_knows_openai_alone_is_sent_that_alone(chat: ChatServer) -> None:
    chat.refused = tuple(FURTHER)
    model = engine(chat)
    assert texts(model.generate(requests("one"))) == {0: "base on one"}
    assert not chat.bodies[-1].keys() & FURTHER.keys()
    (note,) = model.notes
    assert "top_k" in note


def refusing(words: Callable[[Mapping[str, Any]], str | None]) -> Fault:
    """A server that refuses requests whose body gets words."""

    def fault(handler: Any, body: dict[str, Any]) -> bool:
        said = words(body)
        if said is not None:
            handler.send_json({"error": {"message": said}}, 400)
        return said is not None

    return fault


@pytest.mark.parametrize(
    ("words", "gone", "kept"),
    [
        (
            lambda body: None if body.get("top_p", 0.5) < 1 else "`top_p` must be > 0.0 and < 1.0",
            "top_p", "frequency_penalty",
        ),
        (
            lambda body: "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead." if "max_tokens" in body else None,
            "max_tokens", "max_completion_tokens",
        ),
        (
            lambda body: "extra fields not permitted: seed (use random_seed)"
            if "seed" in body else None,
            "seed", "random_seed",
        ),
        (
            lambda body: "Argument not supported on this model: frequency_penalty"
            if "frequency_penalty" in body else None,
            "frequency_penalty", "presence_penalty",
        ),
        (
            lambda body: "top_k must be -1 (disable), or at least 1" if body.get("top_k") == 0
            else None,
            "top_k", "repetition_penalty",
        ),
    ],
)  # fmt: skip
def test_a_parameter_that_the_server_refuses_by_name_is_left_out_alone(
    chat: ChatServer, words: Callable[[Mapping[str, Any]], str | None], gone: str, kept: str
) -> None:
    chat.spared, chat.faults = (), (refusing(words),)
    model = engine(chat)
    assert texts(model.generate(requests("one"))) == {0: "base on one"}
    assert gone not in chat.bodies[-1]
    assert kept in chat.bodies[-1]
    told = any(f"does not accept {gone}" in note for note in model.notes)
    assert told == (gone not in ("max_tokens", "seed"))


def test_what_a_test_asks_for_is_sent_though_its_neutral_value_was_refused(
    chat: ChatServer,
) -> None:
    words = "`top_p` must be > 0.0 and < 1.0"
    chat.spared = ()
    chat.faults = (refusing(lambda body: None if body.get("top_p", 0.5) < 1 else words),)
    sampling = Sampling(max_new_tokens=9, temperature=0.7, top_p=0.9)
    list(engine(chat).generate([Request(({"role": "user", "content": "one"},), sampling)]))
    assert chat.bodies[-1]["top_p"] == 0.9


def test_a_parameter_that_replies_depend_on_is_not_left_out(chat: ChatServer) -> None:
    chat.spared, chat.faults = (), (refusing(lambda _: "temperature does not support 0"),)
    with pytest.raises(ModelError, match="temperature does not support 0"):
        engine(chat).fingerprint()


@pytest.mark.parametrize(("in_flight", "most"), [(4, 4), (100, 12)])
def test_requests_go_out_side_by_side(chat: ChatServer, in_flight: int, most: int) -> None:
    meeting = threading.Barrier(most)

    def together(*_: Any) -> bool:
        meeting.wait(timeout=30)  # each waits for so many others: one at a time would never end
        return False

    chat.faults = (together,)
    found = texts(engine(chat, in_flight=in_flight).generate(requests(*map(str, range(12)))))
    assert found == {n: f"base on {n}" for n in range(12)}
    assert chat.most_at_once == most


def test_a_reader_that_stops_early_stops_the_asking(chat: ChatServer) -> None:
    in_flight = 2
    found = engine(chat, in_flight=in_flight).generate(requests(*map(str, range(200))))
    next(found)
    assert threading.active_count() > 1
    found.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name == "llmdiff-requests"]
    sent = chat.asked.total()
    time.sleep(0.1)
    # What was on its way when the reader stopped may reach the server later.
    assert chat.asked.total() <= sent + in_flight < 200


INTERRUPTED = """
import signal
import pytest

def out_of_time(*_):
    pytest.fail("Timeout")  # as pytest-timeout does it

signal.signal(signal.SIGALRM, out_of_time)
# A process that was started in the background of a script ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)

@pytest.mark.llmdiff(*map(str, range(200)))
def test_each(comparison):
    assert comparison.base.text
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGALRM])
def test_an_interrupted_run_drops_what_is_under_way(
    pytester: pytest.Pytester, chat: ChatServer, number: signal.Signals
) -> None:
    """Nothing comes after the sixth question: a run that waited for it would not end in time."""
    pytester.makepyfile(INTERRUPTED)
    ended = threading.Event()
    signals = iter([number])  # one, whichever of two questions at once is seen to be the sixth

    def interrupt(*_: Any) -> bool:
        if sum(asked(chat).values()) >= 6:
            for each in signals:
                process.send_signal(each)
            ended.wait()
        return False

    chat.faults = (interrupt,)
    command = [sys.executable, "-m", "pytest", "-x", *chat.specs(), "--llmdiff-batch-size=2"]
    process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True)
    try:
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
        ended.set()
    assert process.returncode == (2 if number == signal.SIGINT else 1), output
    assert sum(asked(chat).values()) <= 6 + 1


ENDED = """
import pathlib, time
import pytest

def test_that_fails():
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    assert False

@pytest.mark.llmdiff(*map(str, range(3000)))
def test_each(comparisons):
    assert list(comparisons)
"""


def test_a_worker_asks_no_more_when_another_one_has_ended_the_run(
    pytester: pytest.Pytester, chat: ChatServer
) -> None:
    pytester.makepyfile(ENDED)

    def slow(*_: Any) -> bool:
        if sum(asked(chat).values()) >= 5:
            (pytester.path / "go").touch()
        time.sleep(0.05)
        return False

    chat.faults = (slow,)
    found = pytester.runpytest_inprocess(*chat.specs(), "-x", "-n2", "--llmdiff-batch-size=1")
    found.assert_outcomes(failed=1, skipped=1)
    assert sum(asked(chat).values()) < 1000, "a window has 64 to 256, and there are 3000"


def test_prompts_are_rendered_by_the_server(chat: ChatServer) -> None:
    with pytest.raises(CapabilityError, match="renders prompts itself"):
        engine(chat).render(({"role": "user", "content": "one"},))


# Faults


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(times(3, status(429)), id="429 storm"),
        pytest.param(times(2, status(503)), id="503"),
        pytest.param(times(1, status(500)), id="500"),
        pytest.param(times(1, reset), id="connection reset"),
        pytest.param(times(1, half_a_body), id="half a body"),
        pytest.param(times(1, hang), id="hang"),
        pytest.param(drip, id="slow drip"),
    ],
)
def test_what_passes_is_waited_for(chat: ChatServer, fault: Fault) -> None:
    chat.faults = (fault,)
    found = texts(engine(chat, timeout=0.7, in_flight=3).generate(requests(*PROMPTS)))
    dripped = dict.fromkeys(range(5), "drop by drop")
    assert found == (
        dripped if fault is drip else {n: f"base on {p}" for n, p in enumerate(PROMPTS)}
    )
    if fault is not drip:
        assert {chat.answered[("base", p)] for p in PROMPTS} == {1}


ANSWER = completion("base", "text")
TWO = {**ANSWER, "choices": ANSWER["choices"] * 2}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (status(429), "cannot be reached: .*429.*busy"),
        (status(502), "cannot be reached: .*502"),
        (status(401, "no"), "refuses the key .*LLMDIFF_BASE_API_KEY or LLMDIFF_API_KEY"),
        (reset, "cannot be reached: Connection error"),
        (half_a_body, "cannot be reached: Connection error"),
        (hang, "cannot be reached: .*timed out"),
    ],
)
def test_what_stays_is_one_clear_line(chat: ChatServer, fault: Fault, said: str) -> None:
    chat.faults = (on("three", fault),)
    model = engine(chat, in_flight=1, retries=1, timeout=0.7)
    found: dict[int, Any] = {}
    with pytest.raises(ModelError, match=said) as raised:
        for index, generated in model.generate(requests(*PROMPTS)):
            found[index] = generated
    assert sorted(found) == [0, 1], "what came before is there, what comes after is not sent"
    assert chat.url in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (status(403, "no"), "refuses the request: .*403.*no"),
        (status(404, "gone"), "not found: .*gone"),
        (status(409, "conflict"), "refuses the request: .*409.*conflict"),
        (status(413, "too large"), "refuses the request: .*too large"),
        (status(451, "the law"), "refuses the request: .*the law"),
        (status(500, "TemplateError"), "fails at this request: .*500.*TemplateError"),
        (says(b"<html>a proxy</html>"), "answered with something that is not JSON: .*a proxy"),
        (says(b'{"choices": "\xff"}'), "answered with something that is not JSON"),
        (says(b'data: {"choices": []}\n\n'), "answered with something that is not JSON: .*data"),
        (says({"error": "overloaded"}), "refuses the request: .*overloaded"),
        (says({"error": {"message": "no", "code": 403}}), "refuses the request: .*403 - no"),
        (says([]), r"no chat completion.*\[\]"),
        (says(None), "no chat completion.*None"),
        (says(b"[" * 100_000), r"answered with something that is not JSON: .*\[\["),
        (
            says(completion("base", "x", message={"content": "x", "reasoning": 5})),
            "a reasoning that is not text: '5'",
        ),
        (says({"choices": []}), r"no chat completion.*choices': \[\]"),
        (says({"choices": None}), "no chat completion.*choices': None"),
        (says(completion("base", "x", message=None)), "no chat completion"),
        (says(completion("base", "x", message={"role": "assistant"})), "completion without text"),
        (says(TWO), "no chat completion with one choice"),
        (says(completion("base", "x", message={"content": [1]})), "with one choice"),
        (says(completion("base", "x", message={"content": 5})), "completion without text: '5'"),
        (
            says(completion("base", None, finish_reason=None)),  # type: ignore[arg-type]
            "without text: content and finish_reason are null",
        ),
        (says(completion("base", "x", finish_reason="abort")), "not be whole: .* is 'abort'$"),
        (says(completion("base", "x", finish_reason="error")), "not be whole: .* is 'error'$"),
        (says(completion("base", "x", finish_reason=5)), "not be whole: .* is 5$"),
        (
            says(completion("base", "x", error={"code": 500, "message": "upstream"})),
            "fails at this request: .*500 - upstream",
        ),
        (says(completion("base", "x", error="upstream")), "refuses the request: .*400 - upstream"),
        (
            says(completion("base", "x") | {"error": {"code": 403, "message": "not now"}}),
            "refuses the request: .*403 - not now",
        ),
    ],
)
def test_what_is_about_one_prompt_fails_alone(chat: ChatServer, fault: Fault, said: str) -> None:
    chat.faults = (on("three", fault),)
    found = dict(engine(chat, in_flight=1, retries=1).generate(requests(*PROMPTS)))
    assert [index for index, generated in found.items() if generated.error] == [2]
    error = found[2].error or ""
    assert re.search(said, error), error
    assert chat.url in error
    assert "\n" not in error


@pytest.mark.parametrize(
    "fault", [status(500, "broken"), status(403, "no"), says([])], ids=["500", "403", "body"]
)
def test_what_the_first_prompts_get_as_well_is_the_servers_own_fault(
    chat: ChatServer, fault: Fault
) -> None:
    chat.faults, chat.spared = (fault,), ()
    with pytest.raises(ModelError):
        list(engine(chat, retries=0).generate(requests("one")))


def test_a_server_that_fails_at_everything_is_given_up(chat: ChatServer) -> None:
    chat.faults = (status(500, "broken"),)
    found: dict[int, Any] = {}
    with pytest.raises(ModelError, match=r"cannot be reached: .*broken"):
        found.update(engine(chat, in_flight=1, retries=0).generate(requests(*map(str, range(20)))))
    assert len(chat.asked) < 15


@pytest.mark.parametrize("code", [502, "503", 429])
@pytest.mark.parametrize("place", ["alone", "beside a choice", "within a choice"])
def test_an_error_within_an_answer_is_tried_again(
    chat: ChatServer, code: object, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_llmdiff.engines.server.endpoint.PAUSE", 0.01)
    error = {"error": {"message": "Provider returned error", "code": code}}
    within = {
        "alone": error | {"user_id": "u"},
        "beside a choice": completion("base", "only ha") | error,
        "within a choice": completion("base", "only ha", finish_reason="error", **error),
    }[place]
    chat.faults = (times(2, says(within)),)
    assert texts(engine(chat).generate(requests("one"))) == {0: "base on one"}


def test_a_key_that_the_server_repeats_is_not_shown(
    chat: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMDIFF_API_KEY", "sk-secret")
    chat.faults = (on("one", status(400, "your key sk-secret may not ask this")),)
    ((_, found),) = engine(chat).generate(requests("one"))
    assert "your key *** may not ask this" in (found.error or "")


def test_a_server_that_is_not_there_is_asked_once(chat: ChatServer) -> None:
    nobody = ServerEngine(Endpoint(url="http://127.0.0.1:9/v1", model="m", role="tuned"), retries=0)
    with pytest.raises(ModelError, match=r"http://127.0.0.1:9/v1#m cannot be reached") as first:
        nobody.fingerprint()
    nobody._connection = None  # type: ignore[assignment]  # whoever asks once more fails otherwise
    with pytest.raises(ModelError) as second:
        list(nobody.generate(requests("one")))
    assert str(first.value) == str(second.value)
    assert not chat.asked


def test_a_server_that_has_never_answered_is_given_up_after_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pytest_llmdiff.engines.server.endpoint.PAUSES", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and reads nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        model = ServerEngine(Endpoint(url=url, model="m", role="base"), timeout=0.5)
        with pytest.raises(ModelError, match="it accepts requests, but has answered nothing in "):
            model.fingerprint()


def silent_on(prompt: str, ended: threading.Event) -> Fault:
    def wait(*_: Any) -> bool:
        return ended.wait(timeout=60)

    return on(prompt, wait)


def test_a_server_that_falls_silent_is_given_up_after_two_timeouts(
    chat: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_llmdiff.engines.server.endpoint.PAUSES", 1.0)
    ended = threading.Event()
    chat.faults = (silent_on("three", ended),)
    found: dict[int, Any] = {}
    try:
        with pytest.raises(ModelError, match="timed out: it accepts requests, but has"):
            found.update(engine(chat, timeout=0.5, in_flight=2).generate(requests(*PROMPTS)))
    finally:
        ended.set()
    assert chat.asked["base", "three"] < 5  # of the sixteen tries that another fault has


def test_a_server_that_answers_others_is_waited_for(
    chat: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is busy: more than two timeouts of one request are made up for by other answers."""
    monkeypatch.setattr("pytest_llmdiff.engines.server.endpoint.PAUSES", 0.0)
    timeout = 2.0

    def late(*_: Any) -> bool:
        time.sleep(1.5 * timeout)  # the client has hung up by then
        return True

    def slow(*_: Any) -> bool:
        time.sleep(0.3)
        return False

    chat.faults = (on("three", times(2, late)), slow)
    prompts = ["three", *map(str, range(25))]
    found = texts(engine(chat, timeout=timeout, in_flight=2).generate(requests(*prompts)))
    assert found == {n: f"base on {p}" for n, p in enumerate(prompts)}
    assert chat.asked["base", "three"] >= 3


@pytest.mark.parametrize("key", ["schlüssel", "sk-secret\n", " sk-secret", "sk\nsecret"])
def test_a_key_that_no_header_can_hold_is_not_shown(
    chat: ChatServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("LLMDIFF_BASE_API_KEY", key)
    with pytest.raises(ModelError, match="the key in LLMDIFF_BASE_API_KEY has a char") as raised:
        engine(chat).fingerprint()
    assert "secret" not in str(raised.value)
    assert not chat.asked


@pytest.mark.parametrize(
    ("name", "proxy", "said"),
    [
        (
            "HTTP_PROXY",
            "http://me:word@127.0.0.1:9",
            "the proxy of HTTP_PROXY; NO_PROXY=",
        ),
        (
            "ALL_PROXY",
            "http://me:word@127.0.0.1:9",
            "the proxy of ALL_PROXY; NO_PROXY=",
        ),
        ("HTTP_PROXY", "socks4://127.0.0.1:9", "check the proxy"),
    ],
)
def test_a_proxy_in_the_way_is_named(
    chat: ChatServer, monkeypatch: pytest.MonkeyPatch, name: str, proxy: str, said: str
) -> None:
    monkeypatch.setenv(name, proxy)
    with pytest.raises(ModelError, match=said) as raised:
        engine(chat, retries=0).fingerprint()
    assert "word" not in str(raised.value)
    if "NO_PROXY" in said:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert engine(chat).fingerprint()


def test_a_list_of_models_that_is_none_says_nothing(chat: ChatServer) -> None:
    chat.listed = 5  # type: ignore[assignment]
    assert texts(engine(chat).generate(requests("one"))) == {0: "base on one"}


def test_a_servers_words_do_not_steer_a_terminal(chat: ChatServer) -> None:
    chat.listed = ("\x1b[31mred\u202e", *map(str, range(10_000)))
    chat.known = chat.listed
    with pytest.raises(ModelError, match=r"it has \\x1b\[31mred\\u202e, 0") as raised:
        engine(chat).fingerprint()
    assert len(str(raised.value)) < 3000


def test_a_model_that_the_server_has_not_is_named_beside_those_it_has(chat: ChatServer) -> None:
    chat.known = chat.listed
    with pytest.raises(ModelError, match="no such model; it has base, tuned"):
        engine(chat, "tunned").fingerprint()


@pytest.mark.parametrize(
    ("listed", "noted"),
    [
        (("*",), False),
        (("openai/*", "ba*"), False),
        (("base:latest",), False),
        (("other",), True),
        ((), False),
    ],
)
def test_a_list_of_models_is_a_hint(chat: ChatServer, listed: tuple[str, ...], noted: bool) -> None:
    chat.listed = listed
    model = engine(chat)
    assert texts(model.generate(requests("one"))) == {0: "base on one"}
    assert any("lists other models only: other" in note for note in model.notes) == noted


def test_a_server_whose_replies_change_is_told(chat: ChatServer) -> None:
    count = itertools.count()
    chat.replies = lambda *_: f"reply {next(count)}"
    model = engine(chat)
    model.fingerprint()
    assert any("greedy replies change from call to call" in note for note in model.notes)


def test_another_model_that_answers_is_noted(chat: ChatServer) -> None:
    chat.faults = (says(completion("small-fallback", "hello")),)
    model = engine(chat)
    assert texts(model.generate(requests("one", "two"))) == {0: "hello", 1: "hello"}
    assert model.notes == [f"{model.endpoint}: the server reports that 'small-fallback' answered"]


def test_fingerprints_tell_models_apart_and_stay(chat: ChatServer) -> None:
    prints = [engine(chat, name).fingerprint() for name in ("base", "base", "tuned")]
    assert prints[0] == prints[1] != prints[2]
    chat.replies = lambda model, prompt: f"{model} now says other things on {prompt}"
    assert engine(chat).fingerprint() != prints[0]


# Completions


@pytest.mark.parametrize(
    ("choice", "text", "reasoning", "reason"),
    [
        ({}, "text", None, "stop"),
        ({"finish_reason": "length"}, "text", None, "length"),
        ({"finish_reason": "tool_calls", "message": {"content": None}}, "", None, "stop"),
        ({"message": {"tool_calls": [{"id": "1"}]}}, "", None, "stop"),
        ({"message": {"function_call": {"name": "f"}}}, "", None, "stop"),
        ({"message": {}, "finish_reason": "length"}, "", None, "length"),
        ({"finish_reason": "MAX_TOKENS", "message": {}}, "", None, "length"),
        ({"finish_reason": "eos_token"}, "text", None, "stop"),
        ({"message": {"content": None}}, "", None, "stop"),
        ({"message": {"content": ""}}, "", None, "stop"),
        ({"finish_reason": None}, "text", None, "stop"),
        ({"finish_reason": ""}, "text", None, "stop"),
        ({"error": None}, "text", None, "stop"),
        ({"message": {"content": None, "refusal": "I can't."}}, "I can't.", None, "stop"),
        ({"message": {"content": [{"type": "text", "text": "Y"}, "es."]}}, "Yes.", None, "stop"),
        (
            {
                "message": {
                    "content": [
                        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                        {"type": "text", "text": "Yes."},
                    ]
                }
            },
            "Yes.",
            "Hm.",
            "stop",
        ),
        ({"message": {"content": "<think>Hm.</think>Yes."}}, "Yes.", "Hm.", "stop"),
        ({"message": {"content": "Yes.", "reasoning_content": "Hm."}}, "Yes.", "Hm.", "stop"),
        ({"message": {"content": "Yes.", "reasoning": "Hm."}}, "Yes.", "Hm.", "stop"),
    ],
)
def test_completions(choice: Any, text: str, reasoning: str | None, reason: str) -> None:
    reply = generated_of(completion("m", "text", **choice)).reply
    assert reply is not None
    assert (reply.text, reply.reasoning, reply.finish_reason) == (text, reasoning, reason)
    assert reply.prompt_tokens == 7


def test_tokens_are_taken_where_a_server_tells_them() -> None:
    told = completion("m", "text", token_ids=[5, 6]) | {"prompt_token_ids": [1, 2, 3]}
    found = generated_of(told)
    assert found.reply is not None
    assert (found.prompt_ids, found.reply.token_ids) == ((1, 2, 3), (5, 6))


@pytest.mark.parametrize("ids", [[-1], [2**40], [True], ["5"]])
def test_tokens_that_are_none_are_not_taken(ids: list[Any]) -> None:
    reply = generated_of(completion("m", "text", token_ids=ids)).reply
    assert reply is not None
    assert reply.token_ids == ()


def test_a_filtered_reply_is_no_reply() -> None:
    found = generated_of(completion("m", "te", finish_reason="content_filter"))
    assert found.reply is None
    assert found.error is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["choices", "message", "content", "finish_reason", "usage", "x"]), inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip


@given(answer=JSON)
def test_no_body_is_taken_for_what_it_is_not(answer: Any) -> None:
    try:
        found = generated_of(answer)
    except ValueError:
        pass  # it says so
    else:
        assert (found.reply is None) != (found.error is None)


# Work in the background


def test_the_caller_may_have_an_event_loop() -> None:
    async def work(put: Put[int]) -> None:
        for number in range(3):
            await asyncio.sleep(0)
            put(number)

    async def caller() -> list[int]:
        return list(as_they_come(work))

    assert in_a_loop(caller()) == [0, 1, 2]


def test_an_error_comes_behind_the_results() -> None:
    async def work(put: Put[int]) -> None:
        put(1)
        raise KeyError("broken")

    found = as_they_come(work)
    assert next(found) == 1
    with pytest.raises(KeyError, match="broken"):
        next(found)


def test_plain_pytest_loads_no_client() -> None:
    code = "import pytest, sys; pytest.main(['--version']); print('openai' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.splitlines()[-1] == "False"
