"""From probes to windows of requests: every request once, in the same order in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import repeat
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.config.options import OPTIONS
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.probes import Probe, make_probe
from pytest_llmdiff.data.requests import Request, Sampling, request_of
from pytest_llmdiff.generation.plan import LARGEST, WINDOW, cut_windows
from pytest_llmdiff.store import content_key


def run_settings(**given: Any) -> Settings:
    values: dict[str, Any] = {option.name: option.default for option in OPTIONS}
    here = Path()
    rest: dict[str, Any] = {
        "base": None,
        "tuned": None,
        "sources": {},
        "folder": here,
        "ini_folder": here,
    }
    return Settings(**(values | rest | given))


def request(content: str, **sampling: Any) -> Request:
    message = Message(role="user", content=content)
    return Request((message,), Sampling(**({"max_new_tokens": 8} | sampling)))


requests = st.lists(st.builds(request, st.text(max_size=6), max_new_tokens=st.integers(1, 2)))


# Requests of probes


def test_a_request_takes_the_runs_settings() -> None:
    settings = run_settings(max_new_tokens=64, temperature=0.7, top_p=0.9, seed=5)
    found = request_of(make_probe("如何退款？"), settings)
    assert found.messages == (Message(role="user", content="如何退款？"),)
    assert found.sampling == Sampling(max_new_tokens=64, temperature=0.7, top_p=0.9, seed=5)


@pytest.mark.parametrize(
    ("name", "value"), [("max_new_tokens", 9), ("temperature", 0.2), ("top_p", 0.4), ("seed", 8)]
)
def test_a_probes_own_values_go_first(name: str, value: float) -> None:
    settings = run_settings(max_new_tokens=64, temperature=0.7, top_p=0.9, seed=5)
    found = request_of(make_probe("A", generation={name: value}), settings).sampling
    expected = {"max_new_tokens": 64, "temperature": 0.7, "top_p": 0.9, "seed": 5, name: value}
    assert vars(found) == expected


@pytest.mark.parametrize("generation", [{}, {"top_p": 0.5}, {"seed": 3}, {"temperature": 0.0}])
def test_greedy_knows_neither_nucleus_nor_seed(generation: dict[str, float]) -> None:
    probe = make_probe("A", generation=generation)
    sampling = request_of(probe, run_settings(top_p=0.9, seed=5)).sampling
    assert sampling == Sampling(max_new_tokens=128)


def test_a_greedy_probe_in_a_sampled_run_is_the_greedy_request() -> None:
    greedy = make_probe("A", generation={"temperature": 0.0})
    sampled = run_settings(temperature=0.7, top_p=0.9, seed=5)
    assert request_of(greedy, sampled).key == request_of(make_probe("A"), run_settings()).key


@pytest.mark.parametrize("zero", [0, -0.0])
def test_every_zero_is_the_same_temperature(zero: float) -> None:
    probe = make_probe("A", generation={"temperature": zero})
    assert request_of(probe, run_settings()).key == request_of(make_probe("A"), run_settings()).key


def test_ids_tags_and_references_make_no_other_request() -> None:
    plain = make_probe("A")
    dressed = Probe(id="x", messages=plain.messages, reference="B", tags=("c",), language="zh")
    assert request_of(plain, run_settings()) == request_of(dressed, run_settings())


def test_a_mapping_that_is_no_dict_serves_as_generation() -> None:
    probe = make_probe("A")
    frozen = Probe(id="x", messages=probe.messages, generation=MappingProxyType({"seed": 4}))
    assert request_of(frozen, run_settings(temperature=1.0)).sampling.seed == 4


# Keys


@pytest.mark.parametrize(
    "other",
    [
        request("B"),
        request("A", max_new_tokens=9),
        request("A", temperature=0.5),
        request("A", temperature=0.5, seed=1),
        request("A", temperature=0.5, top_p=0.9),
        Request((Message(role="tool", content="A"),), Sampling(max_new_tokens=8)),
        Request((*request("A").messages, *request("A").messages), Sampling(max_new_tokens=8)),
    ],
)
def test_another_request_has_another_key(other: Request) -> None:
    assert other != request("A")
    assert other.key != request("A").key


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_key_survives_json(value: Any) -> None:
    assert content_key(value) == content_key(json.loads(json.dumps(value)))


def test_the_order_of_keys_does_not_count() -> None:
    assert content_key({"a": 1, "b": "款"}) == content_key({"b": "款", "a": 1})


# Windows


def test_no_requests_make_no_window() -> None:
    assert cut_windows([]) == ()


@given(given_requests=requests, size=st.integers(1, 5))
def test_every_request_is_planned_once(given_requests: list[Request], size: int) -> None:
    planned = [
        request for window in cut_windows(given_requests, repeat(size)) for request in window
    ]
    assert len(planned) == len(set(planned))
    assert set(planned) == set(given_requests)


@given(given_requests=requests, size=st.integers(1, 5))
def test_all_windows_but_the_last_are_full(given_requests: list[Request], size: int) -> None:
    *full, last = [len(window) for window in cut_windows(given_requests, repeat(size))] or [1]
    assert full == [size] * len(full)
    assert 1 <= last <= size


@given(given_requests=requests, size=st.integers(1, 5))
def test_windows_follow_the_order_of_the_tests(given_requests: list[Request], size: int) -> None:
    distinct = list(dict.fromkeys(given_requests))
    for number, window in enumerate(cut_windows(given_requests, repeat(size))):
        assert set(window) == set(distinct[number * size : (number + 1) * size])


@given(given_requests=requests)
def test_the_longest_request_of_a_window_goes_first(given_requests: list[Request]) -> None:
    for window in cut_windows(given_requests):
        sizes = [sum(len(m["content"]) for m in request.messages) for request in window]
        assert sizes == sorted(sizes, reverse=True)


@given(data=st.data(), given_requests=requests)
def test_inside_a_window_the_order_given_does_not_count(
    data: st.DataObject, given_requests: list[Request]
) -> None:
    distinct = list(dict.fromkeys(given_requests))[:WINDOW]
    assert cut_windows(data.draw(st.permutations(distinct))) == cut_windows(distinct)


def test_usual_windows_grow_up_to_the_largest() -> None:
    windows = cut_windows(request(f"问题 {number}") for number in range(64 + 128 + 2 * LARGEST + 1))
    assert [len(window) for window in windows] == [WINDOW, 128, LARGEST, LARGEST, 1]


def test_the_plan_is_the_same_in_every_process() -> None:
    code = """
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request, Sampling
from pytest_llmdiff.generation.plan import cut_windows
contents = [str(n) * (n % 3 + 1) + "款" for n in range(20)] * 2
requests = [
    Request((Message(role="user", content=c),), Sampling(max_new_tokens=8)) for c in contents
]
print([[request.key for request in window] for window in cut_windows(requests, [7] * 9)])
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1
    assert [len(window) for window in json.loads(outputs.pop().replace("'", '"'))] == [7, 7, 6]
