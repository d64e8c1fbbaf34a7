"""`python -m pytest_llmdiff COMMAND`: `check` a tuned model, or `compare` two runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_llmdiff.errors import ConfigError, LLMDiffError

USAGE = """\
usage: python -m pytest_llmdiff check TUNED [OPTIONS OF PYTEST]
           the quick suite on a tuned model: whether to merge it, and why.
           TUNED is what --llm-tuned takes: an adapter, a folder saves/x, a training YAML, …
           The exit code is pytest's; the report is llmdiff.html.
       python -m pytest_llmdiff compare OLD.json NEW.json
           what changed between two runs, from their JSON reports (--llmdiff-json).
           Exit code: 0 nothing got worse, 1 a test got worse or is gone, 2 no comparison.
"""
REPORT = "llmdiff.html"
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
    if command == "compare" and len(rest) == 2:
        return compare(*map(Path, rest))
    wanted = {
        "check": "check needs a tuned model, before the options or as --llm-tuned=TUNED",
        "compare": "compare needs two JSON reports",
    }
    problem = wanted.get(command, f"there is no command {command!r}" if command else "")
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

    from pytest_llmdiff.suites.selection import QUICK

    written = any(option.partition("=")[0] == "--llmdiff-html" for option in options)
    report = () if written else (f"--llmdiff-html={REPORT}",)
    own = ["-W", IMPORTED, "--pyargs", QUICK, f"--llm-tuned={tuned}", *report]
    return int(pytest.main([*own, *options]))


def compare(old: Path, new: Path) -> int:
    """Print what changed between two runs. Returns 0, 1 if something got worse, or 2."""
    from pytest_llmdiff.reports.diff.diff import changes_between, read_report
    from pytest_llmdiff.reports.diff.text import changes_lines

    try:
        changes = changes_between(read_report(old), read_report(new))
        if not changes.tests[0]:
            raise ConfigError(f"{old} has no tests: there is nothing to compare with")
    except LLMDiffError as error:
        print(f"llmdiff: {error}", file=sys.stderr)
        return 2
    try:
        for line in changes_lines(changes):
            # A terminal whose encoding lacks Chinese must still show the result.
            encoding = sys.stdout.encoding or "utf-8"
            print(line.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough; the exit code still tells the result
        # Python writes what is left once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1 if changes.got_worse else 0


if __name__ == "__main__":
    sys.exit(main())
