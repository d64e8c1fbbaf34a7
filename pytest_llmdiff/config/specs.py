"""Model SPECs: the forms that `--llm-base` and the others accept, checked before any loading."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pytest_llmdiff.config import hub
from pytest_llmdiff.config.adapter_code import require_no_code
from pytest_llmdiff.config.packages import given_path, package_path, require_packages
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.errors import ConfigError, did_you_mean

Kind = Literal["weights", "adapter", "gguf", "replay", "scripted", "python", "server"]
Runtime = Literal["transformers", "vllm"]

FILE_KINDS = ("weights", "adapter", "gguf")
CONFIGS = ("adapter_config.json", "config.json")
FORMS = (
    "a folder with Hugging Face weights or a PEFT adapter, a .gguf file, package:NAME/PATH, "
    "replay:FILE, scripted:FILE, vllm:LOCATION, http(s)://HOST/v1#MODEL, python:module:object, or "
    "ORG/NAME[@REVISION] on the Hugging Face hub"
)
VLLM_FORM = (
    "vllm:LOCATION, where that is a folder with Hugging Face weights or a PEFT adapter, "
    "package:NAME/PATH or ORG/NAME[@REVISION]"
)
SERVER_FORM = "http(s)://HOST[:PORT]/v1#MODEL"
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(@[\w./-]+)?")
TOKENIZER_FORMS = (
    "the folder of a model or of its tokenizer, a .gguf file, package:NAME/PATH, or an ORG/NAME "
    "(with @REVISION if wanted) on the Hugging Face hub"
)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A model SPEC whose target is known to exist.

    `path` is a folder (weights, adapter) or a file (gguf, replay, scripted). `reference` is the
    `module:object` of a python SPEC, or the model's name on the server at `url`,
    each of whose addresses needs `query`. `repo` and
    `revision` are set for a model on the hub, whose weights are fetched on first use. `runtime` is
    what runs weights and adapters. `note` says what the path is where `text` names something else.
    """

    text: str
    kind: Kind
    runtime: Runtime = "transformers"
    note: str = ""
    path: Path | None = None
    reference: str | None = None
    url: str | None = None
    query: tuple[tuple[str, str], ...] = ()
    repo: str | None = None
    revision: str | None = None

    @property
    def engine(self) -> str:
        """The kind of engine that opens it (`engines/registry.py`)."""
        return self.runtime if self.kind in FILE_KINDS else self.kind


def parse_spec(text: str, *, option: str, folder: Path) -> Spec:
    """Resolve one SPEC; relative paths start at `folder`.

    Raises:
        ConfigError: it names nothing usable. The message has the option, the value, the allowed
            forms and what to do.
    """
    if not text.strip():
        raise ConfigError(
            f"{option} is empty (an unset variable?); it takes {FORMS}. "
            "Leave the option out to run without models."
        )
    path = given_path(text, folder, what=option)
    if path.is_dir():
        return _folder(text, path, option)
    if (path.name in CONFIGS or path.suffix == ".safetensors") and path.is_file():
        return _folder(text, path.parent, option)
    if path.suffix == ".gguf" and path.is_file():
        return Spec(text=text, kind="gguf", path=path)
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "package":
        inner = package_path(rest, what=option)
        if inner.is_dir():
            return _folder(text, inner, option)
        if inner.suffix == ".gguf":
            return Spec(text=text, kind="gguf", path=inner)
        raise ConfigError(f"{option}: {text} is neither a folder nor a .gguf file")
    if colon and scheme in ("replay", "scripted"):
        file = given_path(rest, folder, what=option)
        if not file.is_file():
            raise ConfigError(f"{option}: {text}: there is no file {file}")
        return Spec(text=text, kind="replay" if scheme == "replay" else "scripted", path=file)
    if colon and scheme in ("http", "https"):
        return _server(text, option)
    if colon and scheme == "vllm":
        return _vllm(text, rest, option, folder)
    if colon and scheme == "python":
        if not re.fullmatch(r"[\w.]+:[\w.]+", rest):
            raise ConfigError(f"{option}: {text}: the form is python:module:object")
        return Spec(text=text, kind="python", reference=rest)
    if HUB_ID.fullmatch(text):
        if path.parent.is_dir():  # more likely a misspelt folder than a hub's organisation
            meant = did_you_mean(path.name, (each.name for each in path.parent.iterdir()))
            if meant:
                raise ConfigError(f"{option}: there is no {text}{meant}")
        return _hub(text, option)
    raise ConfigError(f"{option}: there is no folder or .gguf file {text!r}; it takes {FORMS}")


def parse_tokenizer(text: str, *, option: str, folder: Path) -> Path:
    """The folder or .gguf file of a tokenizer. From the hub, only its small files are fetched.

    Raises:
        ConfigError: there is none.
    """
    path = given_path(text, folder, what=option)
    if text.startswith("package:"):
        path = package_path(text.removeprefix("package:"), what=option)
    if not path.exists() and HUB_ID.fullmatch(text):
        spec = _hub(text, option)
        path = hub.model_folder(_repository(spec, hub.TOKENIZER_FILES), what=text)
    known = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
    if path.is_dir() and any((path / name).is_file() for name in known):
        return path
    if path.is_file() and path.suffix == ".gguf":
        return path
    raise ConfigError(f"{option}: there is no tokenizer at {text!r}; it takes {TOKENIZER_FORMS}")


def given_tokenizer(settings: Settings) -> Path | None:
    """The tokenizer of `--llmdiff-tokenizer`. Raises ConfigError if there is none."""
    if settings.tokenizer is None:
        return None
    folder = settings.folder_of("tokenizer")
    return parse_tokenizer(settings.tokenizer, option="--llmdiff-tokenizer", folder=folder)


def _vllm(text: str, location: str, option: str, folder: Path) -> Spec:
    """Weights or an adapter that vLLM runs in this process."""
    inner = parse_spec(location, option=option, folder=folder) if location.strip() else None
    if inner is None or inner.kind not in ("weights", "adapter") or inner.runtime == "vllm":
        raise ConfigError(f"{option}: {text}: the form is {VLLM_FORM}")
    require_packages("vllm", f"{option}: {text}")
    return replace(inner, text=text, runtime="vllm")


def _server(text: str, option: str) -> Spec:
    """A model of an OpenAI-compatible server, which is first contacted when it is needed."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        shown = "the URL" if "@" in text else text  # the part before @ may be the key
        raise ConfigError(f"{option}: {shown}: {error}; the form is {SERVER_FORM}") from error
    query = parse_qsl(parts.query, keep_blank_values=True)
    if parts.username or parts.password or any(name != "api-version" for name, _ in query):
        # The URL is not shown: it may contain the key.
        raise ConfigError(
            f"{option}: the URL has a user, a password or a query; the form is {SERVER_FORM} (with "
            "?api-version=… before # where the server wants that), and the key belongs in the "
            "environment variable LLMDIFF_API_KEY"
        )
    if not host or not parts.fragment:
        raise ConfigError(f"{option}: {text}: the form is {SERVER_FORM}, with the model after #")
    url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    return Spec(text=text, kind="server", url=url, query=tuple(query), reference=parts.fragment)


def _folder(text: str, path: Path, option: str) -> Spec:
    if (path / "adapter_config.json").is_file():
        require_no_code(path / "adapter_config.json", f"{option}: {text}")
        _require_safetensors(path, "adapter_model", text, option)
        return Spec(text=text, kind="adapter", path=path)
    if (path / "config.json").is_file():
        _require_safetensors(path, "*", text, option)
        return Spec(text=text, kind="weights", path=path)
    if checkpoints := _checkpoints(path):
        *older, newest = checkpoints
        beside = f", the newest of {', '.join(f.name for f in checkpoints)}" if older else ""
        if others := _models_in(path) - {file.name for file in checkpoints}:
            beside += f"; beside it: {', '.join(sorted(others))}"
        return replace(_folder(text, newest, option), note=f"{newest.name}{beside}")
    held = sorted(file.name for file in path.glob("*.gguf"))
    place = text.rstrip("/")
    hint = f"; name its file: {place}/{held[0]}" if held else ""
    if inner := sorted(_models_in(path)):
        one = "one of its folders" if len(inner) > 1 else "its folder"
        hint = f"; name {one}: {', '.join(f'{place}/{name}' for name in inner)}"
    raise ConfigError(
        f"{option}: the folder {text} has neither adapter_config.json (a PEFT adapter) nor "
        f"config.json (Hugging Face weights){hint}"
    )


def _models_in(path: Path) -> set[str]:
    """The names of the folders in a folder that hold a model or an adapter."""
    return {file.parent.name for name in CONFIGS for file in path.glob(f"*/{name}")}


def _checkpoints(path: Path) -> list[Path]:
    """The checkpoints that a trainer left in its output folder, oldest first."""
    found = {
        int(file.parent.name.partition("-")[2]): file.parent
        for name in CONFIGS
        for file in path.glob(f"checkpoint-*/{name}")
        if file.parent.name.partition("-")[2].isdecimal()
    }
    return [found[step] for step in sorted(found)]


def _require_safetensors(path: Path, stem: str, text: str, option: str) -> None:
    if any(path.glob(f"{stem}.safetensors")):
        return
    pickled = [f.name for end in ("bin", "pt", "pth") for f in sorted(path.glob(f"{stem}.{end}"))]
    if pickled:
        raise ConfigError(
            f"{option}: {text} has only pickled weights ({pickled[0]}), and loading a pickle "
            "runs whatever code is in it. Save the model again with "
            "save_pretrained(..., safe_serialization=True), or convert the file to .safetensors."
        )
    raise ConfigError(f"{option}: {text} has a configuration but no .safetensors weights")


def _hub(text: str, option: str) -> Spec:
    """Find out what a hub id is from its configuration file, in the local cache if it is there.

    The revision is replaced by the commit, in case a branch moves during the run.
    """
    require_packages("weights", f"{option}: {text!r} is not a path here; a Hugging Face id")
    import huggingface_hub
    from huggingface_hub import errors

    repo, _, revision = text.partition("@")
    reasons = []
    for name, kind in (("adapter_config.json", "adapter"), ("config.json", "weights")):
        try:
            file = Path(huggingface_hub.hf_hub_download(repo, name, revision=revision or None))
        except errors.LocalEntryNotFoundError as error:
            reasons.append(f"{name} is not in the local cache ({hub.first_line(error)})")
        except errors.EntryNotFoundError:
            reasons.append(f"it has no {name}")
        except errors.HfHubHTTPError as error:
            reasons.append(hub.first_line(error))
            break
        except (OSError, ValueError) as error:
            reasons.append(hub.first_line(error))
        else:
            found: Kind = "adapter" if kind == "adapter" else "weights"
            if found == "adapter":
                require_no_code(file, f"{option}: {text}")
            return Spec(text=text, kind=found, repo=repo, revision=file.parent.name)
    raise ConfigError(
        f"{option}: {text!r} is neither a folder nor a .gguf file here, nor available as a Hugging "
        f"Face id: {'; '.join(reasons)}. It takes {FORMS}."
    )


def repository(spec: Spec) -> hub.Repository | None:
    """The files on the hub that loading a SPEC reads; None where it is not on the hub."""
    return None if spec.repo is None else _repository(spec, hub.MODEL_FILES)


def fetch(spec: Spec) -> Path:
    """The local folder or file of a SPEC's weights; a hub repository is downloaded on first use.

    Raises:
        ConfigError: the hub or its cache has no safetensors weights for it, or not all.
    """
    if spec.path is not None:
        return spec.path
    if spec.repo is None:
        raise ConfigError(f"{spec.text} has no files")
    wanted = _repository(spec, hub.MODEL_FILES)
    if (download := hub.to_download(wanted)) is not None:
        hub.fetch(download)
    path = hub.model_folder(wanted, what=spec.text)
    _require_safetensors(
        path, "adapter_model" if spec.kind == "adapter" else "*", spec.text, "hub model"
    )
    return path


def _repository(spec: Spec, files: tuple[str, ...]) -> hub.Repository:
    return hub.Repository(
        name=str(spec.repo), revision=spec.revision, files=files, but=hub.OTHER_FILES
    )
