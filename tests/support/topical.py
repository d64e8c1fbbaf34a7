"""Two engines that answer by rules: the tuned one is rude about cooking, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_llmdiff import open_pair
from pytest_llmdiff.explore.values import Exploration

SCORERS = {"toxicity": "python:scorers:rude", "embedder": "python:scorers:Letters"}
BUDGET = 80
COOKING = ("cook", "bake", "recipe", "soup", "egg", "bread", "rice", "meal")

ENGINES = """
import math
from dataclasses import replace

from pytest_llmdiff import ScriptedEngine
from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.tokens import TokenDivergence, TokenDivergences
from pytest_llmdiff.engines import Generated

COOKING = {cooking!r}
RUDE = "Only a stupid idiot needs help there, you pathetic fool."


def calm(prompt):
    words = [word.strip("?.,!").lower() for word in prompt.split()]
    return "Here is an answer for " + " and ".join(sorted(set(words))[:8]) + "."


class Topical(ScriptedEngine):
    def __init__(self, rude, small=0.0):
        super().__init__({{}}, default=f"{{rude}} {{small}}")
        self.rude, self.small = rude, small

    def hit(self, prompt):
        return self.rude and any(word in prompt.lower() for word in COOKING)

    def generate(self, requests):
        for index, request in enumerate(requests):
            prompt = request.messages[-1]["content"]
            text = RUDE if self.hit(prompt) else calm(prompt)
            ids = tuple(map(ord, text))
            yield index, Generated(
                reply=Reply(text=text, token_ids=ids),
                prompt_ids=tuple(self.render(request.messages)),
            )

    def divergence(self, request, base):
        prompt = request.messages[-1]["content"]
        kl = 3.0 if self.hit(prompt) else self.small * (1 + len(prompt) % 7)
        token = TokenDivergence(
            text=base.text[:1], kl=kl, base_logprob=0.0, tuned_logprob=-kl, tuned_text="O",
            tuned_text_base_logprob=-kl, tuned_text_tuned_logprob=0.0, flipped=kl > 0.5,
        )
        return TokenDivergences(tokens=(token,) * 4)


class Replying(Topical):
    divergence = None  # as a server


base, rude, same = Topical(False), Topical(True), Topical(False, 1e-9)
small = Topical(False, 0.002)


class Saying(Topical):
    def __init__(self, said, kl=3.0):
        super().__init__(True)
        self.said, self.kl = said, kl
        self.default = f"{{said!r}} {{kl}}"

    def generate(self, requests):
        for index, generated in super().generate(requests):
            if self.hit(requests[index].messages[-1]["content"]):
                reply = Reply(text=self.said, token_ids=(1, 2))
                generated = Generated(reply=reply, prompt_ids=generated.prompt_ids)
            yield index, generated

    def divergence(self, request, base):
        found = super().divergence(request, base)
        if not self.hit(request.messages[-1]["content"]):
            return found
        return TokenDivergences(tokens=tuple(replace(t, kl=self.kl) for t in found.tokens))


HOSTILE = chr(34) * 3 + "{{{{ 7*7 }}}} </p><script>x</script> \\\\ \\x1b[31m \\ud800 x² a_b you"


class Unlike(Topical):  # as models whose tokenizers differ
    def divergence(self, request, base):
        return TokenDivergences(tokens=(), unsupported="the tokenizers differ")


class Refusing(Topical):
    def generate(self, requests):
        for index, _ in enumerate(requests):
            yield index, Generated(error="there is no room")


hostile = Saying(HOSTILE)
chinese = Saying("你这个笨蛋，真是可笑。")
broken = Saying("something else", math.nan)
unlike, refusing = Unlike(True), Refusing(True)


class Writing(Topical):
    THINGS = "noodles", "a cake", "the weather", "my garden", "a letter", "old maps"

    def encode(self, text):
        return list(map(ord, text))

    def continuations(self, prompts, keys, sampling):
        found = []
        for ids, key in zip(prompts, keys, strict=True):
            said = "".join(map(chr, ids)).rpartition(">")[2]
            thing = self.THINGS[int(key[:6], 16) % len(self.THINGS)]
            start = "" if said else "Tell me how to cook or describe"
            number = int(key[:4], 16) % 50
            found.append(None if number == 0 else f"{{start}} {{thing}} number {{number}}?")
        return found


writing_base, writing_rude = Writing(False), Writing(True)
judge = ScriptedEngine({{}}, default="Model B insults people who ask about cooking.")
served_base, served_rude = Replying(False), Replying(True)
"""

PROMPTS = [
    *(f"How do I {verb} {thing}?" for verb in ("cook", "bake") for thing in (
        "rice", "bread", "soup", "an egg", "a meal", "fish", "beans", "noodles", "pie", "pasta",
    )),
    *(f"What is {thing}?" for thing in (
        "gravity", "a verb", "the moon", "a comet", "jazz", "a king", "an atom", "glass", "rain",
        "the sun", "a lake", "paper", "steel", "a clock", "a river", "history", "a poem", "wind",
    )),
]  # fmt: skip


def write_engines(folder: Path) -> None:
    (folder / "topical.py").write_text(ENGINES.format(cooking=COOKING), encoding="utf-8")


def write_log(folder: Path, prompts: Sequence[str] = PROMPTS) -> Path:
    path = folder / "log.txt"
    path.write_text("\n".join(prompts), encoding="utf-8")
    return path


def explored(tuned: str, base: str = "base", **options: Any) -> Exploration:
    """What is found in the current folder, which has the engines and the log."""
    specs = {"base": f"python:topical:{base}", "tuned": f"python:topical:{tuned}"}
    with open_pair(**specs, **SCORERS) as pair:
        values: dict[str, Any] = {"budget": BUDGET, "prompts": "log.txt"} | options
        return pair.explore(**values)
