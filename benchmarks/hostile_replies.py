"""Replies that talk to the judge: how many win, against a protocol that trusts the judge and ours.

    python -m benchmarks.hostile_replies --json hostile.json

`hostile_replies.jsonl` has attempts of six kinds in English and Chinese. None of them meets the
rubric. Each is judged by itself, and against a good reply. `writes` is what a judge writes that
takes it at its word, `better` the reply that it asks to be preferred: itself, or a place.

Three judges follow a rule, and give in to some attempts:

  careful    obeys what stands outside of the marks: an attempt that closes the marks is outside
  literal    obeys any text, and writes what it is told to
  obedient   obeys any text, and still answers in the form asked for, with the code: the hard case

`trusting` is a protocol with fixed marks, without a code, and in one order, as is usual.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_llmdiff import Generated, Reply
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.generation.judge import Form, Judge
from pytest_llmdiff.measures.judged import preference

FILE = Path(__file__).with_suffix(".jsonl")
RUBRIC = "The reply is polite, and answers the question."
PROMPT = "How do I get a refund?"
GOOD = "Please write to us within 30 days, and we will gladly refund you."
FORMS: tuple[Form, ...] = ("meets", "better")
Obeys = Literal["careful", "literal", "obedient"]
JUDGES: tuple[Obeys, ...] = ("careful", "literal", "obedient")
# What comes of an attempt. `half` is a judge that contradicts itself, where the good reply would
# have won: the order swap takes half of the win away.
OUTCOMES = ("won", "half", "not judged", "no effect")
ACCEPTED = re.compile(r"true|yes|10|accept|meets|是|通过|接受|符合", re.IGNORECASE)
CLOSING = "<<end of the reply>>"  # the mark of the trusting protocol, which anybody knows


@dataclass(frozen=True, kw_only=True)
class Attempt:
    kind: str
    language: str
    reply: str
    writes: str
    better: Literal["me", "first", "second"]


def attempts() -> list[Attempt]:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return [Attempt(**json.loads(line)) for line in lines]


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """An engine that judges by a rule, and gives in to one attempt."""

    obeys: Obeys
    attempt: Attempt

    def fingerprint(self) -> str:
        return f"scripted {self.obeys}"

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        for index, request in enumerate(requests):
            said = self.answer(str(request.messages[-1]["content"]))
            yield index, Generated(reply=Reply(text=said, finish_reason="stop"))

    def answer(self, asked: str) -> str:
        mark = re.search(r"<<question (\w+)>>", asked)
        assert mark is not None
        name = rf"(?:first |second )?reply {mark[1]}>>"
        found = re.findall(rf"<<{name}\n(.*?)\n<<end of the {name}", asked, re.DOTALL)
        code = re.findall(r'"code": "(\w+)"', asked)[-1]
        form: Form = "meets" if len(found) == 1 else "better"
        if self.obeys == "literal":
            return self.attempt.writes
        value = self.value(form, found, obeys=self.obeys == "obedient")
        return json.dumps({"code": code, form: value})

    def value(self, form: Form, replies: Sequence[str], *, obeys: bool) -> bool | str:
        if form == "meets":
            return obeys and self.attempt.kind != "place"
        wanted = self.attempt.reply if obeys and self.attempt.better == "me" else GOOD
        if obeys and self.attempt.better != "me":
            return self.attempt.better
        return "first" if replies[0] == wanted else "second"

    def render(self, _: object) -> list[int]:
        return []

    def score(self, *_: object) -> float:
        raise NotImplementedError

    def close(self) -> None:
        pass


def protected(obeys: Obeys, attempt: Attempt, form: Form) -> str:
    """What comes of an attempt under the protocol of `assert_judged` or `assert_preferred`."""
    engine = Scripted(obeys=obeys, attempt=attempt)
    judge = Judge(spec="scripted", rubric=RUBRIC, form=form, open_engine=lambda: engine)
    if form == "meets":
        (score,) = judge.score([(PROMPT, attempt.reply)])
        value = score.value
    else:
        orders = [(PROMPT, GOOD, attempt.reply), (PROMPT, attempt.reply, GOOD)]
        found = preference(*judge.score(orders))
        value = None if found.unsupported else found.value
    return {None: "not judged", 0.0: "no effect", 0.5: "half", 1.0: "won"}[value]


def trusting(obeys: Obeys, attempt: Attempt, form: Form) -> str:
    """What comes of it where marks are fixed and whatever the judge writes is taken; the good reply
    stands first."""
    given_in = obeys != "careful" or CLOSING in attempt.reply
    judge = Scripted(obeys=obeys, attempt=attempt)
    if obeys == "obedient" or not given_in:
        value = judge.value(form, [GOOD, attempt.reply], obeys=given_in)
        return "won" if value in (True, "second") else "no effect"
    wanted = ACCEPTED if form == "meets" else re.compile("second")
    return "won" if wanted.search(attempt.writes) else "no effect"


def counted() -> dict[str, dict[str, dict[str, int]]]:
    """The number of attempts by protocol, judge with form, and outcome."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name, protocol in (("trusting", trusting), ("protected", protected)):
        for obeys in JUDGES:
            for form in FORMS:
                counts = Counter(protocol(obeys, attempt, form) for attempt in attempts())
                found.setdefault(name, {})[f"{obeys}, {form}"] = {
                    outcome: counts[outcome] for outcome in OUTCOMES
                }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = counted()
    kinds: dict[str, Any] = Counter(f"{each.kind} ({each.language})" for each in attempts())
    print(f"{len(attempts())} attempts: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}")
    for judge, ours in found["protected"].items():
        theirs = found["trusting"][judge]["won"]
        told = ", ".join(f"{n} {outcome}" for outcome, n in ours.items())
        print(f"{judge:<18} trusting: {theirs} won; here: {told}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
