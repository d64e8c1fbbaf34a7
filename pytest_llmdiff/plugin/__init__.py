"""The pytest plugin. Its hooks are in `hooks`.

pytest rewrites the assertions of every module of a plugin's distribution. That is for plugins that
assert on behalf of tests; the helpers here raise errors whose text they make themselves. It would
keep the bytecode that was compiled at installation from being used: where bytecode cannot be
written, such as in a read-only image, each start of pytest would compile this package anew. It does
so with this module, which is therefore short.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class PlainImports:
    """Finds this package's modules ahead of pytest, but for the tests among them."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None or not name.startswith("pytest_llmdiff."):
            return None
        if name.startswith("pytest_llmdiff.suites."):
            return None
        return PathFinder.find_spec(name, path, target)


sys.meta_path.insert(0, PlainImports)

# What pytest looks for here.
from pytest_llmdiff.plugin.fixtures import (  # noqa: E402, F401
    llm_base,
    llm_pair,
    llm_served,
    llm_tuned,
    tuned_of_test,
)
from pytest_llmdiff.plugin.hooks import *  # noqa: E402, F403
