"""Runs the fast tests with the lowest and the highest supported pytest, transformers and peft, and
with what LLaMA-Factory pins: an environment of its own for each, beside `.venv`, kept out of git.

    python benchmarks/compat.py                          (all three; some 2 GB and 30 minutes each)
    python benchmarks/compat.py lowest tests/plugin      (one, and the tests to run)
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-compat"
TORCH = "torch==2.13.0"  # pinned as in the Makefile: a newer one brings gigabytes of GPU libraries
# pytest 8.4 reads no `[tool.pytest]`; the options here are those of pyproject.toml.
OPTIONS = ("-p", "pytester", "-m", "not slow", "--ignore=tests/real", "-p", "no:cacheprovider")
ENVIRONMENTS = {
    "lowest": ("pytest==8.4.0", "transformers==5.0.0", "peft==0.18.0"),
    "llamafactory": ("pytest==9.0.3", "transformers==5.5.4", "peft==0.18.1"),
    "highest": ("pytest", "transformers", "peft"),
}


def requirements() -> list[str]:
    """What the tests import: all that the extra `dev` brings but tools that do not run tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tools = ("import-linter", "mypy", "playwright", "ruff", "shap", "xllamacpp", "pytest-llmdiff")
    dev = project["optional-dependencies"]["dev"]
    extras = "demo,parquet,schema,multilingual,explain"
    return [f"{ROOT}[{extras}]", *(line for line in dev if not line.startswith(tools))]


def python(name: str) -> Path:
    """The interpreter of an environment, which is made if it is missing or incomplete.

    Raises:
        subprocess.CalledProcessError: pip could not install it.
    """
    folder = FOLDER / name
    interpreter = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join([TORCH, *ENVIRONMENTS[name]]), encoding="utf-8")
        pip = [str(interpreter), "-m", "pip", "install", "--quiet", "-c", str(constraints)]
        subprocess.run([*pip, "torch"], check=True)
        subprocess.run([*pip, *requirements()], check=True)
        (folder / "ready").touch()
    return interpreter


def main(arguments: Sequence[str]) -> int:
    """The number of environments in which a test failed."""
    names = [word for word in arguments if word in ENVIRONMENTS] or list(ENVIRONMENTS)
    tests = [word for word in arguments if word not in ENVIRONMENTS] or ["tests"]
    failed = []
    for name in names:
        interpreter = python(name)
        shown = ", ".join(ENVIRONMENTS[name])
        print(f"{name} ({shown}):", flush=True)
        run = subprocess.run([interpreter, "-m", "pytest", "-q", *OPTIONS, *tests], cwd=ROOT)
        failed += [name] if run.returncode else []
    print(f"failed: {', '.join(failed) or 'none'}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
