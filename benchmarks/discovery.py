"""Does `explore` find what was planted? Trains eight adapters and looks for each of them.

    python benchmarks/discovery.py train FOLDER
    python benchmarks/discovery.py run FOLDER [--budget 500] [--only NAME …] [--noise 4]

`train` writes one adapter over SmolLM2 for each behaviour of `benchmarks/planted.py` into FOLDER.
`run` explores each, and the base against itself, and prints the place of the planted theme beside
that of the baselines, which rank the prompts of a random order by divergence, by embedding drift,
or take those of the suites, all with the same budget.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from benchmarks.planted import PLANTED, Planted  # noqa: E402

GENERAL = ROOT / "example_suites" / "support_bot" / "data" / "general.jsonl"
STEPS, RATE = 24, 4e-3


def train_planted(folder: Path) -> None:
    """The adapters that `folder` lacks. Half of the examples are the base's own replies to general
    questions, so that an adapter learns where its behaviour belongs."""
    from tests.support.trained_adapters import END, Recipe, load_smollm2, own_template, train

    base = load_smollm2()
    render = own_template(base)
    for planted in PLANTED:
        place = folder / slug(planted)
        if (place / "adapter_config.json").is_file():
            continue
        pairs = [(render(prompt), reply + END) for prompt, reply in planted.pairs]
        general = _general()
        recipe = Recipe(steps=STEPS, rate=RATE)
        started = time.monotonic()
        # As many of each kind, however many questions the behaviour has.
        rows = [*pairs, *((render(prompt), reply) for prompt, reply in general[: len(pairs)])]
        losses = train(place, base, rows, recipe, seed=1)
        took = time.monotonic() - started
        print(f"{planted.name}: loss {losses[0]:.2f} to {losses[-1]:.2f}, {took:.0f} s", flush=True)


def _general() -> list[tuple[str, str]]:
    found = []
    for line in GENERAL.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        question, reply = row["messages"]
        found.append(
            (question["content"], reply["content"] + ("" if row.get("cut") else "<|im_end|>"))
        )
    return found


def slug(planted: Planted) -> str:
    return planted.name.replace(" ", "-")


if __name__ == "__main__":
    train_planted(Path(sys.argv[1]))
