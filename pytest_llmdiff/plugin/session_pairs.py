"""The pairs of models of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.plugin.pair_run import PairRun

if TYPE_CHECKING:
    from pytest_llmdiff.engines.pair.pair import Pair
    from pytest_llmdiff.generation.loaded import HandedOver
    from pytest_llmdiff.plugin.session import Session


def tuned_pair(session: Session, handed: HandedOver | None = None) -> PairRun:
    """The base and the tuned model. `handed` is what the pair before has left.

    Raises:
        ConfigError: none are given.
    """
    if session.specs is None:
        raise ConfigError("no models were given")
    (base, tuned), settings = session.specs, session.settings  # another may be in use later

    def open_pair() -> Pair:
        from pytest_llmdiff.engines import opening

        if settings.calibrating:
            from pytest_llmdiff.engines.noise import open_noise

            return open_noise(base, settings, session.store)
        kept = None if handed is None else handed.base
        return opening.open_pair(base, tuned, settings, session.store, kept=kept)

    return PairRun(
        session, session.specs, open_pair, used=session.used, untimed=session.timer.stopped,
        divergences_expected=session.divergences_expected, handed=handed,
    )  # fmt: skip


def follow(session: Session, before: PairRun) -> None:
    """Close a pair for good. Its base is the next pair's where the next tuned model is an adapter
    too, and the session then has that pair at once, to give the base up if others wait for it.

    Raises:
        ModelError: an engine cannot be closed.
    """
    if session.specs is None or session.specs[1].kind != "adapter":
        before.close()
        return
    handed = before.hand_over()
    if handed is not None:
        session.pair_run = tuned_pair(session, handed)


def served_pair(session: Session) -> PairRun:
    """The tuned model, in the base's place, and the served one. Raises ConfigError: none is."""
    if session.specs is None or session.served is None:
        raise ConfigError("no served model: give --llm-served SPEC")
    (base, tuned), served = session.specs, session.served

    def open_pair() -> Pair:
        from pytest_llmdiff.engines.opening import open_served

        pair = session.pair_run.generation.pair
        return open_served(pair, base, served, session.settings, session.store)

    # Without `used`: a recording is of the base and the tuned model only.
    return PairRun(
        session, (tuned, served), open_pair, sides=("tuned", "served"),
        lock=lambda: session.pair_run.generation.loaded.lock, untimed=session.timer.stopped,
    )  # fmt: skip
