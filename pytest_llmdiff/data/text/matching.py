"""Ways in which a reply can be right by its probe's reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal

from pytest_llmdiff.config.packages import require_packages
from pytest_llmdiff.data.text import bounded_search
from pytest_llmdiff.data.text.answers import contains
from pytest_llmdiff.data.text.formats import unfenced
from pytest_llmdiff.errors import ConfigError

SHOWN = 80  # characters of a reference in an error


def matches(reply: str, reference: str) -> bool:
    """Whether the reference, a regular expression, matches somewhere in the reply.

    Raises:
        ConfigError: it is not a regular expression, or takes more than a second.
        MissingPackageError: the package regex is missing.
    """
    require_packages("patterns", 'correct="regex"')
    what = f"the reference {reference[:SHOWN]!r}"
    return bounded_search.search(reference, reply, what=what, seconds=bounded_search.SECONDS)


def same_json(reply: str, reference: str) -> bool:
    """Whether the reply is the reference as JSON: in any order of keys, with any form of numbers,
    and with or without a Markdown code fence.

    Raises:
        ConfigError: the reference is not JSON.
    """
    try:
        wanted = _canonical(reference)
    except ValueError as error:
        raise ConfigError(f"the reference {reference[:SHOWN]!r} is not JSON: {error}") from error
    try:
        return _canonical(unfenced(reply)) == wanted
    except ValueError:
        return False


def _canonical(text: str) -> str:
    """Raises ValueError if the text is not JSON."""
    try:
        value = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_refused)
        return json.dumps(value, sort_keys=True, default=_number)
    except RecursionError:
        raise ValueError("it is nested too deeply to be read") from None


def _number(value: Decimal) -> dict[str, str]:
    return {"number": f"{value.normalize():f}" if value.adjusted() < SHOWN else str(value)}


def _refused(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}")


MATCHING: Mapping[str, Callable[[str, str], bool]] = {
    "contains": contains,
    "json": same_json,
    "regex": matches,
}
