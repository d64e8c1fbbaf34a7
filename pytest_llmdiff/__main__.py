"""`python -m pytest_llmdiff COMMAND`: `check` or `explore` a tuned model, or `compare` runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from pytest_llmdiff.errors import ConfigError, LLMDiffError

USAGE = """\
usage: python -m pytest_llmdiff check TUNED [OPTIONS OF PYTEST]
           the quick suite on a tuned model: whether to merge it, and why.
           TUNED is what --llm-tuned takes: an adapter, a folder saves/x, a training YAML, …
           The exit code is pytest's; the report is llmdiff.html.
       python -m pytest_llmdiff explore TUNED [--base BASE] [--budget 500 | --minutes 5]
           [--prompts FILE] [--accept NAME,…] [--seed 0] [--output FOLDER] [--OPTION VALUE …]
           what tuning changed, on which prompts and in what way, before there is any test: themes
           with examples, probes/found.jsonl and test_found.py with a test for each. An OPTION is
           one of open_pair, such as --embedder. Exit code: 0, or 2 if nothing could be explored.
       python -m pytest_llmdiff compare OLD.json NEW.json [--html FILE] [--markdown FILE]
           [--json FILE]
           what changed between two runs, from their JSON reports (--llmdiff-json): tests, values
           with their limits, and replies, the worst first.
           Exit code: 0 nothing got worse, 1 a test got worse or is gone, 2 no comparison.
       python -m pytest_llmdiff compare A.json B.json C.json … [--html FILE] …
           a ranking of more than two runs, a row for each. Exit code: 0, or 2 if there is none.
"""
REPORT = "llmdiff.html"
STOPPED = 130  # the exit code of what Ctrl-C ends
FORMS = ("html", "markdown", "json")  # that compare writes
TUNED = "--llm-tuned"
FLAGS = ("-h", "-l", "-q", "-s", "-v", "-x")  # pytest's short options that have no value
# `python -m` imports the package before pytest can, which a project may count as an error.
IMPORTED = (
    "ignore:Module already imported so cannot be rewritten; pytest_llmdiff:"
    "pytest.PytestAssertRewriteWarning"
)


def main(arguments: Sequence[str] | None = None) -> int:
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if command in ("-h", "--help") or "-h" in rest[:1] or "--help" in rest[:1]:
        print(USAGE, end="")
        return 0
    tuned, options = _models_of(rest) if command == "check" else ([], [])
    if len(tuned) == 1:
        return check(*tuned, *options)
    if len(tuned) > 1:
        print(f"llmdiff: check takes one tuned model, not {' and '.join(tuned)}", file=sys.stderr)
        return 2
    if command == "compare":
        return compare(rest)
    if command == "explore":
        return explore(rest)
    wanted = {
        "check": "check needs a tuned model, before the options or as --llm-tuned=TUNED",
    }
    return _misused(wanted.get(command, f"there is no command {command!r}" if command else ""))


def _misused(problem: str) -> int:
    print(USAGE + (f"\nllmdiff: {problem}" if problem else ""), file=sys.stderr)
    return 2


def _models_of(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The tuned models that are given to `check`, and the options of pytest.

    What follows an option that may have a value is that value: only pytest knows them all.
    """
    models, options, waiting = list[str](), list[str](), ""
    for word in words:
        if waiting == TUNED or (not waiting and not word.startswith("-")):
            models.append(word)
        elif word.startswith(f"{TUNED}="):
            models.append(word.partition("=")[2])
        elif word != TUNED:
            options.append(word)
        valued = word.startswith("--") and "=" not in word
        short = len(word) == 2 and word.startswith("-") and word not in FLAGS
        waiting = word if valued or short else ""
    return models, options


def check(tuned: str, *options: str) -> int:
    """Run the quick suite with pytest. Returns pytest's exit code."""
    import pytest

    from pytest_llmdiff.suites.arguments import QUICK

    written = any(option.partition("=")[0] == "--llmdiff-html" for option in options)
    report = () if written else (f"--llmdiff-html={REPORT}",)
    own = ["-W", IMPORTED, "--pyargs", QUICK, f"--llm-tuned={tuned}", *report]
    return int(pytest.main([*own, *options]))


def compare(words: Sequence[str]) -> int:
    """Print what changed between two runs, or rank more of them, and write the files that are asked
    for. Returns 0, 1 if something got worse between two runs, or 2."""
    from pytest_llmdiff.data.files.whole_files import write_whole
    from pytest_llmdiff.reports.diff.comparison import compared

    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("reports", nargs="*", type=Path)
    for form in FORMS:
        parser.add_argument(f"--{form}", type=Path)
    try:
        given, unknown = parser.parse_known_intermixed_args(words)
    except argparse.ArgumentError as error:
        return _misused(str(error))
    if unknown:
        return _misused(f"compare has no option {' '.join(unknown)}")
    if len(given.reports) < 2:
        return _misused("compare needs two JSON reports")
    outputs = {form: path for form in FORMS if (path := getattr(given, form)) is not None}
    try:
        if taken := {p.resolve() for p in given.reports} & {p.resolve() for p in outputs.values()}:
            raise ConfigError(f"{taken.pop()} is one of the reports: write to another file")
        found = compared(given.reports)
        for form, path in outputs.items():
            write_whole(path, found.written(form))
    except (LLMDiffError, OSError) as error:
        return _failed(error)
    _print(found.lines())
    return 1 if found.got_worse else 0


def explore(words: Sequence[str]) -> int:
    """Search a tuned model for what changed, print it, and write what it calls for into a folder.
    Returns 0, or 2."""
    from pytest_llmdiff.explore.files import TESTS, check_place
    from pytest_llmdiff.explore.run import BUDGET
    from pytest_llmdiff.interactive import open_pair

    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("tuned", nargs="?")
    for name in ("base", "prompts", "accept"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--budget", type=int, default=BUDGET)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path())
    try:
        given, rest = parser.parse_known_args(words)
        options = _options_of(rest)
    except argparse.ArgumentError as error:
        return _misused(str(error))
    if given.tuned is None:
        return _misused("explore needs a tuned model, before the options")
    accept = [name.strip() for name in (given.accept or "").split(",") if name.strip()]
    try:
        check_place(given.output)
        with open_pair(base=given.base, tuned=given.tuned, **options) as pair:
            found = pair.explore(
                budget=given.budget, minutes=given.minutes, prompts=given.prompts, seed=given.seed,
                accept=accept, progress=partial(_tried, budget=given.budget),
            )  # fmt: skip
        _print(found.lines())
        written = found.write(given.output)
    except (LLMDiffError, OSError) as error:
        return _failed(error)
    except KeyboardInterrupt:
        print("llmdiff: stopped; the same command goes on from here", file=sys.stderr)
        return STOPPED
    _print(["", f"written: {', '.join(map(str, written))}"])
    if found.themes:
        models = f"--llm-base={found.base} --llm-tuned={found.tuned}"
        _print([f"next: pytest {given.output / TESTS} {models}, red until the change is gone; or"])
        _print([f"say what is wanted: the same command with --accept {found.themes[0].name},…"])
    return 0


def _failed(error: LLMDiffError | OSError) -> int:
    """Say what went wrong; an OSError is of an output. Returns the exit code."""
    if isinstance(error, OSError):
        reason = error.strerror or error
        print(f"llmdiff: {error.filename} cannot be written ({reason})", file=sys.stderr)
    else:
        print(f"llmdiff: {error}", file=sys.stderr)
    return 2


def _tried(count: int, *, budget: int) -> None:
    print(f"llmdiff: {count} of {budget} prompts tried", file=sys.stderr, flush=True)


def _options_of(words: Sequence[str]) -> dict[str, object]:
    """Options of `open_pair` from `--name value` and `--name=value`."""
    found: dict[str, object] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        plain = name.removeprefix("--llmdiff-").removeprefix("--").replace("-", "_")
        if not name.startswith("--") or not plain:
            raise argparse.ArgumentError(None, f"explore takes one tuned model; got {word!r} too")
        known = value if equals else next(rest, None)
        if known is None:
            raise argparse.ArgumentError(None, f"{name} needs a value")
        found[plain] = known
    return found


def _print(lines: Iterable[str]) -> None:
    try:
        for line in lines:
            # A terminal whose encoding lacks Chinese must still show the result.
            encoding = sys.stdout.encoding or "utf-8"
            print(line.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough; the exit code still tells the result
        # Python writes what is left once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
