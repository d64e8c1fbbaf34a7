"""How long the commands of the README's first screen take, in an environment of their own.

    python -m benchmarks.first_hour saves/support-lora
    python -m benchmarks.first_hour saves/support-lora --torch 2.13.0

Installs this checkout with the extras that the page names, then types each other command twice in
an empty folder with the adapter in it. The base must be where the adapter's files say: here, or in
the cache of the Hugging Face hub (HF_HOME). With `--torch` that version is installed first, from
wherever pip is set to find the CPU build. Prints a table in Markdown: seconds on the clock and on
the processors, and what the environment then holds.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from tests.support import ROOT
from tests.support.pages import commands_of, first_screen

TRAINED = Path("saves") / "support-lora"


def typed(words: list[str], folder: Path, environment: Path) -> tuple[float, float, int]:
    """Seconds on the clock, seconds of the processors, and the exit code."""
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    used, start = _used(), time.perf_counter()
    ended = subprocess.run(
        words, cwd=folder, env={**os.environ, "PATH": path, "PYTHONPATH": ""}, check=False,
        stdout=sys.stderr,
    )  # fmt: skip
    return time.perf_counter() - start, _used() - used, ended.returncode


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def size_of(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("adapter", type=Path, help="the folder that a training wrote")
    parser.add_argument("--torch", metavar="VERSION", help="install it first")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        environment, folder = Path(temporary) / "environment", Path(temporary) / "project"
        venv.create(environment, with_pip=True)
        shutil.copytree(given.adapter, folder / TRAINED)
        for block in first_screen():
            if block.file:
                (folder / block.file).write_text(block.text, encoding="utf-8")
        commands = commands_of(first_screen())
        if given.torch:
            commands.insert(0, f"pip install torch=={given.torch}")
        print("| command | seconds | of the processors | exit code | environment |")
        print("|---|---|---|---|---|")
        for command in commands:
            installs = command.startswith("pip ")
            words = [word.replace("pytest-llmdiff", str(ROOT)) if installs else word
                     for word in shlex.split(command)]  # fmt: skip
            for again in ("",) if installs else ("", ", again"):
                seconds, used, code = typed(words, folder, environment)
                held = f"{size_of(environment) / 1e9:.1f} GB" if installs else ""
                print(f"| `{command}`{again} | {seconds:.0f} | {used:.0f} | {code} | {held} |",
                      flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
