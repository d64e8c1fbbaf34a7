"""Several GPUs: which process takes which, and that each window is generated once by one of them.

No GPU is needed: what torch would say of them is faked, and nothing is computed on them.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.config.options import OPTIONS
from pytest_llmdiff.engines.devices import Placement, free_memory, memory_left, placed
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from pytest_llmdiff.errors import ModelError
from pytest_llmdiff.store import Store
from tests.support.engines import folder as folder
from tests.support.engines import pair
from tests.support.projects import Launch, Process, said

GB = 1e9


def place(
    worker: str | None, *, requested: str = "auto", memory: Sequence[float] = (24 * GB,) * 2,
    needed: float = GB,
) -> Placement:  # fmt: skip
    return placed(
        requested, "cuda", worker=worker, memory=lambda: memory, needed=lambda: needed
    )  # fmt: skip


def never() -> Any:
    raise AssertionError("torch is asked although the answer does not matter")


@pytest.mark.parametrize("device", ["cpu", "mps"])
@pytest.mark.parametrize("worker", [None, "gw1"])
def test_one_process_at_a_time_without_cuda(device: str, worker: str | None) -> None:
    found = placed("auto", device, worker=worker, memory=never, needed=never)
    assert (found.name, found.locks, found.shares) == (device, ("models",), 1)


@given(
    memory=st.lists(st.floats(GB, 80 * GB), min_size=2, max_size=8),
    needed=st.floats(0, 100 * GB),
    workers=st.lists(st.integers(0, 99), min_size=1, max_size=12, unique=True),
)
def test_workers_take_a_device_each_or_one_takes_all(
    memory: list[float], needed: float, workers: list[int]
) -> None:
    found = [place(f"gw{number}", memory=memory, needed=needed) for number in workers]
    if 1.1 * needed > min(memory):
        assert {f.name for f in found} == {"cuda"}
        assert all(len(f.locks) == len(memory) and f.shares == 1 for f in found)
        return
    for number, own in zip(workers, found, strict=True):
        assert own.name == f"cuda:{number % len(memory)}"
        assert own.shares == len(memory)
    # Two hold models at once just where they are on different devices.
    for a in found:
        for b in found:
            assert (a.locks == b.locks) == (a.index == b.index) == bool({*a.locks} & {*b.locks})


def test_a_run_without_workers_may_use_all_devices_and_shuts_out_those_who_use_one() -> None:
    whole = place(None)
    assert (whole.name, whole.index, whole.shares) == ("cuda", None, 1)
    assert set(place("gw1").locks) < set(whole.locks)


def test_one_gpu_is_for_one_process_at_a_time() -> None:
    found = [place(worker, memory=[24 * GB]) for worker in (None, "gw0", "gw1")]
    assert {f.locks for f in found} == {("models-cuda-0",)}
    assert {f.shares for f in found} == {1}


@pytest.mark.parametrize("worker", [None, "gw0", "gw5"])
def test_a_given_index_is_kept_to_by_every_process(worker: str | None) -> None:
    found = place(worker, requested="cuda:1")
    assert (found.name, found.locks, found.shares) == ("cuda:1", ("models-cuda-1",), 1)


def test_an_index_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"cuda:2: the CUDA devices .* there are 2"):
        place(None, requested="cuda:2")


def test_the_option_takes_an_index() -> None:
    (option,) = (option for option in OPTIONS if option.name == "device")
    for good in ("auto", "cpu", "mps", "cuda", "cuda:0", "cuda:11"):
        assert option.parse(good) == good
    for bad in ("gpu", "cuda:", "cuda:-1", "cuda:one", "cpu:0", "cuda:1 ", "", None):
        with pytest.raises(ValueError):
            option.parse(bad)


# What torch says is faked: two devices with 24 and 16 GB, of which 20 and 10 are free


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two devices; the list gets the indices that this process was told to keep to."""
    kept: list[int] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(
        "torch.cuda.get_device_properties",
        lambda index: SimpleNamespace(total_memory=[24 * GB, 16 * GB][index]),
    )
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda index: ([20 * GB, 10 * GB][index], 0))
    monkeypatch.setattr("torch.cuda.set_device", kept.append)
    return kept


def device_map(both: Pair, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where loading would put the base."""
    asked: dict[str, Any] = {}

    def load(*_: object, **options: Any) -> Any:
        asked.update(options)
        raise RuntimeError("no such device here")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", load)
    assert isinstance(both.base, TransformersEngine)
    with pytest.raises(ModelError, match="no such device here"):
        both.base.weights.load()
    return asked["device_map"]


@pytest.mark.parametrize(
    ("worker", "device", "bytes_", "name", "where", "kept"),
    [
        ("gw0", "auto", GB, "cuda:0", {"": "cuda:0"}, [0]),
        ("gw1", "auto", GB, "cuda:1", {"": "cuda:1"}, [1]),
        ("gw3", "cuda", GB, "cuda:1", {"": "cuda:1"}, [1]),
        ("gw1", "auto", 15 * GB, "cuda", {"": 0}, []),  # no room on the smaller one
        ("gw1", "auto", 19 * GB, "cuda", "auto", []),
        ("", "auto", GB, "cuda", {"": 0}, []),
        ("", "auto", 19 * GB, "cuda", "auto", []),
        ("", "cuda:1", GB, "cuda:1", {"": "cuda:1"}, [1]),
    ],
)
def test_where_models_are_loaded(
    folder: Path, tmp_path: Path, gpus: list[int], monkeypatch: pytest.MonkeyPatch,
    worker: str, device: str, bytes_: float, name: str, where: object, kept: list[int],
) -> None:  # fmt: skip
    monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    monkeypatch.setattr("pytest_llmdiff.engines.transformers.base_files.BaseFiles.bytes", bytes_)
    both = pair(folder, "base", "adapter", tmp_path, device=device)
    assert both.place().name == name
    assert device_map(both, monkeypatch) == where
    assert gpus == kept


def test_replies_of_one_device_answer_for_another(
    folder: Path, tmp_path: Path, gpus: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The type of the device is part of the keys in the store, its number is not."""
    prints = set()
    for worker, device in (("", "cuda"), ("", "cuda:1"), ("gw0", "auto"), ("gw1", "auto")):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        both = pair(folder, "base", "adapter", tmp_path, device=device)
        assert both.resolved == {"device": "cuda", "dtype": "bfloat16"}
        prints.add((both.base.fingerprint(), both.tuned.fingerprint()))
    assert len(prints) == 1
    assert gpus == []


@pytest.mark.usefixtures("gpus")
def test_memory_is_that_of_the_own_device(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [free_memory(name) for name in ("cuda:0", "cuda:1", "cuda")] == [
        20 * GB,
        10 * GB,
        30 * GB,
    ]
    monkeypatch.setattr("pytest_llmdiff.engines.transformers.base_files.BaseFiles.bytes", 6 * GB)
    fits = {}
    for worker in ("", "gw0", "gw1"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        fits[worker] = pair(folder, "base", "other", tmp_path, dtype="float32").fits
    # Two models need 12 of 0.8 times 30, 20 and 10.
    assert fits == {"": True, "gw0": True, "gw1": False}


# Two processes with a device each, over one plan

WORKER = """
import json, os, sys, time
from pathlib import Path
import pytest_llmdiff.engines.devices as placement
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.devices import Placement
from pytest_llmdiff.engines.scripted import ScriptedEngine
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.plan import cut_windows
from pytest_llmdiff.plugin.progress import Silent
from pytest_llmdiff.store import Store
from tests.support.engines import request

folder, index, fits, stay = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
other = folder / f"begun-{1 - index}"

class Engine(ScriptedEngine):
    parameter_bytes = lambda self: 2.0
    side = ""

    def fingerprint(self):
        return self.side

    def generate(self, requests):
        with open(folder / f"log-{index}", "a") as log:
            for r in requests:
                log.write(f"{self.side} {r.key}\\n")
        (folder / f"begun-{index}").touch()
        for _ in range(600):
            # Each is in the middle of a window while the other one begins one.
            if other.exists():
                break
            time.sleep(0.05)
        if stay:
            print("in the middle", flush=True)
            time.sleep(600)
        yield from super().generate(requests)

placement.free_memory = lambda device: 8.0 if fits == "fits" else 3.0
base, tuned = Engine({}, default="Yes."), Engine({}, default="No.")
base.side, tuned.side = "base", "tuned"
placement = Placement(device="cuda", index=index, count=2, shares=2)
requests = [request(f"{n}?") for n in range(20)]
generation = ReplyGenerator(
    lambda: Pair(base=base, tuned=tuned, resolved={}, place=lambda: placement),
    Store(folder / "store"), cut_windows(requests, [2] * len(requests)),
    eager=True, progress=Silent(),
)
# Both begin with a test of the same window.
print(len(generation.outcomes(requests[:1])), flush=True)
print(len(generation.outcomes(requests)), generation.loaded.lock.held, flush=True)
sys.stdin.readline()
"""

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path, launch: Launch) -> Start:
    def worker(index: int, fits: str, stay: bool = False) -> Process:
        return launch(WORKER, tmp_path, index, fits, int(stay))

    return worker


def logged(folder: Path, index: int) -> list[str]:
    file = folder / f"log-{index}"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize("fits", ["fits", "one at a time"])
def test_two_devices_divide_the_windows(tmp_path: Path, start: Start, fits: str) -> None:
    processes = [start(index, fits) for index in (0, 1)]
    for process in processes:
        assert said(process) == "2"
        assert said(process) == "40 True"
    logs = [logged(tmp_path, index) for index in (0, 1)]
    assert set(Counter([*logs[0], *logs[1]]).values()) == {1}, "each prompt once for each side"
    assert len(logs[0]) + len(logs[1]) == 40
    assert all(logs), "both have generated"
    store = Store(tmp_path / "store")
    assert store.keys("claim") == []
    store.close()


def test_the_window_of_a_dead_process_is_taken_over(tmp_path: Path, start: Start) -> None:
    (tmp_path / "begun-0").touch()
    dying = start(1, "fits", stay=True)
    assert said(dying) == "in the middle"
    lost = logged(tmp_path, 1)
    alive = start(0, "fits")
    # It has done all but the window that the other one is at, which it waits for.
    store = Store(tmp_path / "store")
    while len(store.keys("reply")) < 36:
        assert alive.poll() is None
    assert not set(lost) & set(logged(tmp_path, 0))
    os.kill(dying.pid, signal.SIGKILL)
    assert said(alive) == "2"
    assert said(alive) == "40 True"
    store.close()
    assert set(lost) < set(logged(tmp_path, 0))
    assert set(Counter(logged(tmp_path, 0)).values()) == {1}


@pytest.mark.parametrize("version", [1, 2])
def test_a_containers_limit_is_the_memory_that_there_is(tmp_path: Path, version: int) -> None:
    limit, use, stat = {
        2: ("memory.max", "memory.current", "inactive_file"),
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    }[version]
    root = tmp_path if version == 2 else tmp_path / "memory"

    def group(path: str, most: object, used: int, droppable: int) -> None:
        folder = root / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / limit).write_text(f"{most}\n", encoding="ascii")
        (folder / use).write_text(f"{used}\n", encoding="ascii")
        (folder / "memory.stat").write_text(f"anon 1\n{stat} {droppable}\n", encoding="ascii")

    member = tmp_path / "cgroup"
    member.write_text(
        "1:cpu,cpuacct:/\n" + ("0::/a/b\n" if version == 2 else "4:memory:/a/b\n"), encoding="utf-8"
    )
    assert memory_left(member, tmp_path) == math.inf
    group("", "max" if version == 2 else 2**63 - 4096, 9000, 0)
    assert memory_left(member, tmp_path) > 1e15
    group("a/b", 5000, 4000, 500)
    assert memory_left(member, tmp_path) == 1500
    group("a", 6000, 5000, 0)  # the group above, which others are in too
    assert memory_left(member, tmp_path) == 1000
    group("a", 6000, 7000, 0)
    assert memory_left(member, tmp_path) == 0
    member.write_text("0::/\n" if version == 2 else "4:memory:/elsewhere\n", encoding="utf-8")
    group("", 8000, 1000, 0)  # inside a container
    assert memory_left(member, tmp_path) == 7000
    assert memory_left(tmp_path / "none", tmp_path) == math.inf


def test_free_memory_knows_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = free_memory("cpu")
    assert plain > 4096
    left = "pytest_llmdiff.engines.devices.memory_left"
    monkeypatch.setattr(left, lambda: 4096.0)
    assert free_memory("cpu") == 4096


def test_the_memory_of_this_machine_is_told_without_torch() -> None:
    """A rerun asks whether both models would fit, and has nothing to load."""
    code = (
        "import sys\n"
        "from pytest_llmdiff.engines.devices import free_memory\n"
        "assert free_memory('cpu') > 0\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
