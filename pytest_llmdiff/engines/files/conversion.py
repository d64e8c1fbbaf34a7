"""A cache of what GGUF files expand to, beside the store, so that later runs load it directly."""

from __future__ import annotations

import copy
import gc
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pytest_llmdiff.config.hub import size_text
from pytest_llmdiff.config.packages import installed_version, quiet
from pytest_llmdiff.data.files.hashes import file_hash
from pytest_llmdiff.errors import ModelError
from pytest_llmdiff.store import Store, content_key

T = TypeVar("T")

# Packages that decide what a file expands to and how it is written.
VERSIONS = ("transformers", "gguf", "tokenizers", "torch")
LAYOUT = 1  # version of a cached folder's layout
KIND = "converted"
# Smallest size of a shard, in bytes. A file stays mapped until the last of its weights has been
# copied or packed, so that with twenty shards about a twentieth of the model is in memory twice.
SHARD = 50_000_000
# Entries of a configuration that say where it came from, not what the model computes.
NAMING = ("_name_or_path", "architectures", "quantization_config", "transformers_version")
# What writing and reading back may raise besides errors of the disk. A model that transformers
# cannot write is no error of the run: it is expanded each time.
UNFIT = (ValueError, RuntimeError, TypeError, AttributeError, KeyError)


@dataclass(frozen=True, kw_only=True)
class Form(Generic[T]):
    """How one thing is made from a file, saved in a folder, and loaded from there.

    `make` and `load` raise ModelError when they fail. `digest` is equal for two things that are
    identical in every bit. `size` is in bytes, 0 for what is too small to mention.
    """

    name: str
    make: Callable[[], T]
    save: Callable[[T, Path], object]
    load: Callable[[Path], T]
    digest: Callable[[T], str]
    size: Callable[[T], int]


class Conversions:
    """Caches expanded files, in `converted` below the store's folder.

    Whatever is cached was loaded once and compared with the original. What cannot be cached is
    expanded from the file each time. `notes` says why, or where it is cached.
    """

    def __init__(self, store: Store, notes: list[str] | None = None) -> None:
        self._store = store
        self.notes: list[str] = [] if notes is None else notes

    def load(self, file: Path, form: Form[T]) -> T:
        """The thing in the file: from the cache, or made and cached.

        Raises:
            ModelError: the file cannot be expanded.
        """
        hashed = file_hash(self._store, file)
        versions = [installed_version(name) for name in VERSIONS]
        key = content_key([LAYOUT, hashed, form.name, versions])
        kind = f"{hashed[:16]}-{form.name}"
        folder = self._store.folder / "converted" / f"{kind}-{key[:16]}"
        found = self._manifest(folder)
        if found is None:
            # Only one process makes it. If that one is killed, its lock is released.
            with self._store.lock("convert"):
                found = self._manifest(folder)
                if found is None:
                    # Damaged, left by a killed process, or made by other versions.
                    _remove(folder.parent.glob(f"{kind}-*"))
                    return self._made(file, form, folder)
        reason = found.get("unfit")
        if reason is None:
            try:
                return form.load(folder)
            except (OSError, ModelError) as error:
                reason = str(error)
        self._not_kept(file, form, reason)
        return form.make()

    def _manifest(self, folder: Path) -> dict[str, Any] | None:
        """The manifest of a complete folder, else None: a row of the store, which is written last,
        with the hashes of the files."""
        found: dict[str, Any] = self._store.get(KIND, [folder.name], dict).get(folder.name, {})
        files: dict[str, str] = found.get("files", {})
        try:
            whole = all(file_hash(self._store, folder / name) == files[name] for name in files)
        except OSError:
            return None
        return found if found and whole else None

    def _made(self, file: Path, form: Form[T], folder: Path) -> T:
        made = form.make()
        try:
            self._save(made, form, folder)
            digest = form.digest(made)
        except (OSError, *UNFIT) as error:
            self._give_up(file, form, folder, error)
            return made
        # So that only one of the two is in memory at a time.
        del made
        _release_memory()
        try:
            kept = form.load(folder)
            if form.digest(kept) != digest:
                raise ValueError("what is read back differs from what was written")
            files = {part.name: file_hash(self._store, part) for part in folder.iterdir()}
        except (OSError, ModelError, *UNFIT) as error:
            self._give_up(file, form, folder, error)
            return form.make()
        self._store.put(KIND, {folder.name: {"files": files}})
        if size := form.size(kept):
            self.notes.append(
                f"{file.name}: expanded once and cached, {size_text(size)} in {folder}"
            )
        return kept

    def _save(self, made: T, form: Form[T], folder: Path) -> None:
        size = form.size(made)
        folder.mkdir(parents=True)
        free = shutil.disk_usage(folder).free
        if free < 2 * size:
            raise OSError(
                f"it takes {size_text(size)}, the same must stay free, and only "
                f"{size_text(free)} are free"
            )
        form.save(made, folder)

    def _give_up(self, file: Path, form: Form[T], folder: Path, error: Exception) -> None:
        """Remove the folder. If another try would fail in the same way, keep the reason."""
        self._not_kept(file, form, str(error))
        _remove([folder])
        if not isinstance(error, OSError):
            self._store.put(KIND, {folder.name: {"unfit": str(error)}})

    def _not_kept(self, file: Path, form: Form[T], reason: str) -> None:
        self.notes.append(
            f"{file.name}: the {form.name} are expanded at every start, not cached: {reason}"
        )


def weights_form(dtype: str, make: Callable[[], Any], load: Callable[[Path], Any]) -> Form[Any]:
    """The weights of a causal model, as a folder in Hugging Face's format."""
    return Form(
        name=f"{dtype}-weights",
        make=make,
        save=_save_model,
        load=load,
        digest=_model_digest,
        size=_model_size,
    )


def tokenizer_form(make: Callable[[], Any], load: Callable[[Path], Any]) -> Form[Any]:
    return Form(
        name="tokenizer",
        make=make,
        save=lambda tokenizer, folder: tokenizer.save_pretrained(folder),
        load=load,
        digest=_tokenizer_digest,
        size=lambda _: 0,
    )


def _save_model(model: Any, folder: Path) -> None:
    """Write a model that came from GGUF, which its own `save_pretrained` refuses to write.

    A new model of the same class takes over the tensors without a copy, so that transformers still
    handles tied weights and the names in the files.
    """
    import torch
    from safetensors import SafetensorError

    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        plain = type(model)(config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.generation_config = model.generation_config
    try:
        with quiet():
            plain.save_pretrained(folder, max_shard_size=max(SHARD, _model_size(model) // 20))
    except SafetensorError as error:
        raise OSError(str(error)) from error  # a full disk, say


def _model_size(model: Any) -> int:
    """Bytes of the parameters in memory."""
    return sum(p.nbytes for p in model.parameters())


def _model_digest(model: Any) -> str:
    import torch

    def bits(tensor: torch.Tensor) -> str:
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()

    # Includes buffers that are computed from the configuration and not saved.
    tensors = {**model.state_dict(), **dict(model.named_buffers())}
    facts = [
        {key: value for key, value in part.to_dict().items() if key not in NAMING}
        for part in (model.config, model.generation_config)
    ]
    shown = {name: [str(t.dtype), list(t.shape), bits(t)] for name, t in tensors.items()}
    return content_key([type(model).__name__, facts, shown])


def _tokenizer_digest(tokenizer: Any) -> str:
    facts = [
        tokenizer.backend_tokenizer.to_str(),
        tokenizer.chat_template,
        tokenizer.special_tokens_map,
        tokenizer.all_special_ids,
        tokenizer.clean_up_tokenization_spaces,
        tokenizer.padding_side,
        tokenizer.model_max_length,
    ]
    return content_key([type(tokenizer).__name__, json.loads(json.dumps(facts, default=str))])


def _release_memory() -> None:
    """Return freed memory to the system. glibc holds on to it: half a model's size was measured."""
    import ctypes

    gc.collect()
    with suppress(AttributeError, OSError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
