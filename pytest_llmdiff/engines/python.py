"""An engine written by the user: `python:module:object` names it."""

from __future__ import annotations

from pytest_llmdiff.config.packages import called, load_object
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.engines import Engine
from pytest_llmdiff.engines.context import Context
from pytest_llmdiff.errors import ConfigError


def check(spec: Spec, option: str, _base: Spec, _settings: Settings) -> None:
    python_engine(spec, option)


def open_engine(spec: Spec, side: str, _context: Context) -> Engine:
    return python_engine(spec, f"--llm-{side}")


def python_engine(spec: Spec, option: str) -> Engine:
    """The engine that a `python:` SPEC names: an object, or a class or function that makes one.

    Raises:
        ConfigError: it names something else.
    """
    found = load_object(spec.reference or "", what=option)
    what = f"{option}: {spec.text}"
    engine = called(found, what=what) if isinstance(found, type) else found
    if not isinstance(engine, Engine) and callable(engine):
        engine = called(engine, what=what)
    if not isinstance(engine, Engine):
        raise ConfigError(
            f"{what} is not an engine: it needs the methods fingerprint, generate, "
            "render and close (pytest_llmdiff.Engine)"
        )
    return engine
