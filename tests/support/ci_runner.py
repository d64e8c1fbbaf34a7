"""What the runner of a CI job reads as commands in the log, ported from their sources: GitHub's
`ActionCommand.TryParseV2` and `TryParse` (actions/runner, src/Runner.Common/ActionCommand.cs),
Azure's `Command.TryParse` (microsoft/azure-pipelines-agent), TeamCity's service messages."""

from __future__ import annotations

import re
from collections.abc import Iterator

# GitHub obeys those that it knows; of the others it writes a warning.
KNOWN = frozenset({
    "add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group",
    "internal-set-repo-path", "notice", "remove-matcher", "save-state", "set-env", "set-output",
    "stop-commands", "warning",
})  # fmt: skip
# Regardless of where in a line: GitHub's older form and Azure's. An agent looks for the prefix and
# the next "]" after it.
ANYWHERE = re.compile(r"##(?:vso)?\[[^\]]*\]", re.IGNORECASE)
TEAMCITY = "##teamcity["  # at the beginning of a line
# .NET's ReadLine ends a line at each of these.
LINES = re.compile(r"\r\n|\n|\r")


def commands(log: str) -> Iterator[str]:
    """The lines of a log that some runner obeys."""
    for line in LINES.split(log):
        trimmed = line.lstrip()
        newer = trimmed.startswith("::") and "::" in trimmed[2:]
        name = re.split(r"[ :]", trimmed[2:], maxsplit=1)[0].lower() if newer else ""
        if name in KNOWN or ANYWHERE.search(line) or trimmed.startswith(TEAMCITY):
            yield line
