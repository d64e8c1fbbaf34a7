"""`python -m pytest_llmdiff compare OLD.json NEW.json`: what changed between two runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_llmdiff.errors import ConfigError, LLMDiffError
from pytest_llmdiff.reports.diff.diff import changes_between, read_report
from pytest_llmdiff.reports.diff.text import changes_lines

CODES = (
    "Exit code: 0 nothing got worse, 1 a test got worse or is gone, 2 no comparison was possible."
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pytest_llmdiff")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    compare = commands.add_parser(
        "compare", help="what changed between two runs", epilog=CODES,
        description="What changed between two runs, from their JSON reports (--llmdiff-json).",
    )  # fmt: skip
    compare.add_argument("old", metavar="OLD.json", type=Path, help="the report of the run before")
    compare.add_argument("new", metavar="NEW.json", type=Path, help="the report of the run after")
    given = parser.parse_args(arguments)
    try:
        changes = changes_between(read_report(given.old), read_report(given.new))
        if not changes.tests[0]:
            raise ConfigError(f"{given.old} has no tests: there is nothing to compare with")
    except LLMDiffError as error:
        print(f"llmdiff: {error}", file=sys.stderr)
        return 2
    for line in changes_lines(changes):
        # A terminal whose encoding lacks Chinese must still show the result.
        encoding = sys.stdout.encoding or "utf-8"
        print(line.encode(encoding, "backslashreplace").decode(encoding))
    return 1 if changes.got_worse else 0


if __name__ == "__main__":
    sys.exit(main())
