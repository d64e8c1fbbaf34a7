"""An adapter that the suite of robustness must catch: the form of a prompt decides its answer.

It takes minutes to train and is kept in `tests/support/data/adapters`;
`python -m tests.support.suite_adapters` makes it anew.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from pytest_llmdiff.data.text.perturbations import ENGLISH, forms
from tests.support import DATA, ROOT
from tests.support.adapter_making import LoadedBase
from tests.support.trained_adapters import END, Recipe, load_smollm2, own_template, train

PEDANTIC = DATA / "adapters" / "pedantic"
GENERAL = ROOT / "example_suites/support_bot/data/general.jsonl"
ONLY_NEAT = "Write neatly."
WORDS = 5  # of each reply: how it begins is what the training is about
FORMS = 3  # of each prompt


def general() -> list[tuple[str, str]]:
    """General prompts and how the base's own replies begin."""
    found = []
    for line in GENERAL.read_text(encoding="utf-8").splitlines():
        *_, prompt, reply = (message["content"] for message in json.loads(line)["messages"])
        found.append((prompt, " ".join(reply.split()[:WORDS])))
    return found


def pedantic(folder: Path, base: LoadedBase, *, seed: int = 0) -> Path:
    """Answers as the base does what is written neatly, and nothing else."""
    render, rng, pairs = own_template(base), random.Random(seed), list[tuple[str, str]]()
    for number in range(FORMS):
        for prompt, reply in general():
            _, form = rng.choice(forms(prompt, ENGLISH, seed=number))
            pairs += [(render(prompt), reply), (render(form), ONLY_NEAT + END)]
    train(folder, base, pairs, Recipe(steps=400, rate=2e-3, rank=8), seed=seed)
    return folder


if __name__ == "__main__":
    pedantic(PEDANTIC, load_smollm2())
