"""The same prompts through the plugin.

Ways: `plugin-replies` and `plugin-pair-SIZE` run `pytest` over a generated suite with one test case
per prompt, everything included: planning, store, fixtures, reports. The tests of the second ask for
the divergence, which takes the replies of both models and the full-vocabulary KL. `bare` drives the
same pair of engines without pytest and store. `plugin-second` is `plugin-pair-10` after a run with
the full adapter on the same store; `plugin-second-pass` is the same with only the base's replies of
that run in the store, not its states. `plugin-scoring` scores given replies under the base, as
`llm_base.score_all` does.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.inputs import NEW_TOKENS, Inputs
from benchmarks.measuring import Clock, measured

if TYPE_CHECKING:
    from pytest_llmdiff.data.requests import Request
    from pytest_llmdiff.engines.pair.pair import Pair

BATCH = 64
REPLIES = """
import pytest

@pytest.mark.llmdiff(file="probes.jsonl")
def test_pair(comparison):
    assert comparison.tuned.token_ids
"""
PAIR = """
import pytest
from pytest_llmdiff import divergence

@pytest.mark.llmdiff(file="probes.jsonl")
def test_pair(comparison, record_property):
    record_property("kl", divergence(comparison).value)
"""


def measure(folder: Path, inputs: Inputs, way: str) -> dict[str, Any]:
    import torch

    if way == "bare":
        found = bare(folder, inputs)
    elif way == "plugin-scoring":
        found = scoring(folder, inputs)
    elif way == "plugin-replies":
        found = suite(folder, inputs, "full", REPLIES)
    elif way.startswith("plugin-second"):
        found = second(folder, inputs, kept=way == "plugin-second")
    else:
        found = suite(folder, inputs, way.removeprefix("plugin-pair-"), PAIR)
    return found | {"threads": torch.get_num_threads()}


def second(folder: Path, inputs: Inputs, *, kept: bool) -> dict[str, Any]:
    """A run of another adapter on a store with the first one's results."""
    from pytest_llmdiff.engines.transformers.hidden_states import KIND
    from pytest_llmdiff.store import Store

    with tempfile.TemporaryDirectory() as store:
        suite(folder, inputs, "full", PAIR, store)
        if not kept:
            opened = Store(Path(store))
            opened.remove_kinds(KIND, but="")
            opened.close()
        return suite(folder, inputs, "10", PAIR, store)


def suite(
    folder: Path, inputs: Inputs, size: str, test: str, store: str = "store"
) -> dict[str, Any]:
    """pytest in this process, its CPU time from just before the first reply to the end."""
    import pytest

    clocks: list[Clock] = []
    taken: dict[str, float] = {}
    replies: dict[str, list[list[int]]] = {"base": [], size: []}
    kl: list[float] = []

    class Watch:
        """Loads and warms up before the clock starts, as the others do, and keeps the results."""

        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            from pytest_llmdiff.plugin.session import SESSION

            warm_up(session.config.stash[SESSION].pair_run.generation.pair)
            clocks.append(Clock())

        def pytest_sessionfinish(self) -> None:
            taken.update(clocks[0].taken())

        def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
            value = fixturedef.cached_result
            if fixturedef.argname == "comparison" and value is not None:
                replies["base"].append(list(value[0].base.token_ids))
                replies[size].append(list(value[0].tuned.token_ids))

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.when == "teardown":
                kl.extend(
                    value
                    for name, value in report.user_properties
                    if name == "kl" and isinstance(value, float)
                )

    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        rows = [json.dumps({"prompt": prompt}) + "\n" for prompt in inputs.prompts]
        (place / "probes.jsonl").write_text("".join(rows), encoding="utf-8")
        # pytest knows a module of the same name from an earlier run in this process.
        (place / f"test_pairs_{size}.py").write_text(test, encoding="utf-8")
        code = pytest.main(
            [
                str(place), f"--rootdir={place}", "-q", "-p", "no:cacheprovider",
                f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / f'adapter-{size}'}",
                f"--llmdiff-store={place / store}", f"--llmdiff-max-new-tokens={NEW_TOKENS}",
                f"--llmdiff-batch-size={BATCH}", *hardware(inputs),
            ],
            plugins=[Watch()],
        )  # fmt: skip
    if code != 0:
        raise SystemExit(f"the plugin's run ended with {code}")
    return taken | {"replies": replies} | ({"kl": {size: kl}} if kl else {})


def bare(folder: Path, inputs: Inputs) -> dict[str, Any]:
    """The engines alone: the base first, then the tuned model with its replies as drafts."""
    from pytest_llmdiff.engines.pair.speculative import SpeculativeDecoding

    pair = opened(folder, inputs)
    speculative = SpeculativeDecoding(pair)
    todo = requests(inputs.prompts)
    warm_up(pair)
    clock = Clock()
    base = dict(pair.base.generate(todo))
    known = {todo[index].key: outcome for index, outcome in base.items()}
    tuned = speculative.tuned(todo, known, divergences=False)
    found = {"base": base, "full": {index: outcome for index, outcome, _ in tuned}}
    taken = clock.taken()
    if [list(found["base"][i].prompt_ids) for i in range(len(todo))] != inputs.prompt_ids:
        raise SystemExit("the plugin renders other prompts than the tokenizer's chat template")
    replies = {
        side: [reply for i in range(len(todo)) if (reply := rows[i].reply)]
        for side, rows in found.items()
    }
    return {
        **taken,
        "replies": {side: [list(r.token_ids) for r in rows] for side, rows in replies.items()},
        "texts": {side: [r.text for r in rows] for side, rows in replies.items()},
    }


def scoring(folder: Path, inputs: Inputs) -> dict[str, Any]:
    """Log-likelihoods of the base's replies under the base."""
    from pytest_llmdiff.engines import Continuation
    from pytest_llmdiff.engines.pair.divergence import rows_for
    from pytest_llmdiff.engines.pair.likelihoods import reply_logprobs

    engine: Any = opened(folder, inputs).base
    items = [
        Continuation(prompt_ids=tuple(prompt), reply_ids=tuple(reply))
        for prompt, reply in zip(inputs.prompt_ids, inputs.base_replies, strict=True)
    ]
    rows = rows_for(inputs.device.partition(":")[0], engine.embedding_rows())
    list(reply_logprobs(engine, items[:1], rows))
    clock = Clock()
    found = dict(reply_logprobs(engine, items, rows))
    return {**clock.taken(), "scores": [sum(found[i]) for i in range(len(items))]}


def hardware(inputs: Inputs) -> list[str]:
    """The options for where and how the models run."""
    return [f"--llmdiff-device={inputs.device}", f"--llmdiff-dtype={inputs.dtype}"]


def opened(folder: Path, inputs: Inputs) -> Pair:
    """The pair of engines that the plugin opens for the same command line."""
    import pytest

    from pytest_llmdiff.plugin.session import SESSION

    pairs: list[Pair] = []

    class Take:
        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            pairs.append(session.config.stash[SESSION].pair_run.generation.pair)

    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "test_pairs.py").write_text(
            "import pytest\n\n@pytest.mark.llmdiff('Hi')\ndef test_pair(comparison):\n    pass\n",
            encoding="utf-8",
        )
        pytest.main(
            [
                str(place), f"--rootdir={place}", "-q", "-p", "no:cacheprovider", "--collect-only",
                f"--llm-base={folder / 'base'}", f"--llm-tuned={folder / 'adapter-full'}",
                f"--llmdiff-store={place / 'store'}", f"--llmdiff-batch-size={BATCH}",
                *hardware(inputs),
            ],
            plugins=[Take()],
        )  # fmt: skip
    return pairs[0]


def requests(prompts: Sequence[str], new_tokens: int = NEW_TOKENS) -> list[Request]:
    from pytest_llmdiff.data.requests import Request, Sampling

    sampling = Sampling(max_new_tokens=new_tokens)
    return [Request(({"role": "user", "content": prompt},), sampling) for prompt in prompts]


def warm_up(pair: Pair) -> None:
    """Loads both sides and does the one-time hashing, which is not part of a reply's cost."""
    for engine in (pair.base, pair.tuned):
        list(engine.generate(requests(["Hi"], new_tokens=8)))
        engine.fingerprint()


if __name__ == "__main__":
    measured(measure)
